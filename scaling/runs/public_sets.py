"""The public data sets by name: where their originals are, and what makes tables of them.

No data are kept here: addresses, checksums, licences and citations alone. Each original is pinned
by commit and sha256; each table is pinned by the sha256 of what its filter gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

from scaling.runs.public_filters import (
    Filter,
    overtraining_models,
    overtraining_tasks,
    repeated_data_runs,
    rows_where,
    without_columns,
)

NO_LICENCE = "none stated"
PICKLE = "original is a pickle: not offered; needs SCALING_DATA_DIR"


@dataclass(frozen=True)
class Original:
    """A file of the origin: its path in the repository and its sha256."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Table:
    """A CSV of a data set.

    Attributes
    ----------
    name : str
        Name of the file.
    rows : int
        Rows under the header.
    sha256 : str
        Checksum of the table.
    originals : tuple of Original
        What it is made of; empty where the originals can be read as pickles alone.
    make : callable or None
        From the originals by path to the table; None where the table is the original.
    """

    name: str
    rows: int
    sha256: str
    originals: tuple[Original, ...] = ()
    make: Filter | None = None


@dataclass(frozen=True)
class DataSet:
    """A published study whose runs are public.

    Attributes
    ----------
    name, title : str
        Name for the command line, and what it is.
    repo, commit : str
        Owner and repository on GitHub, and the commit whose files were checked.
    files : tuple of Table
        Its tables; the first is the one to fit.
    licence : str
        Licence of the origin, or `NO_LICENCE`.
    citation, url : str
        Whom to cite, and the paper.
    note : str
        Convention of the columns and the trap that catches most readers.
    fit : str
        Options with which ``scaling fit`` reads the first table, quoted for a shell.
    """

    name: str
    title: str
    repo: str
    commit: str
    files: tuple[Table, ...]
    licence: str
    citation: str
    url: str
    note: str
    fit: str = ""

    @property
    def offered(self) -> bool:
        """Whether its originals can be downloaded and read."""
        return all(table.originals for table in self.files)

    @property
    def terms(self) -> str:
        """What the licence means for whoever passes the data on."""
        if self.licence == NO_LICENCE:
            return "none stated: not to be redistributed"
        return f"{self.licence}: keep its notice when passing the data on"


def _listed(name: str) -> tuple[Original, ...]:
    text = resources.files("scaling.runs").joinpath("public_files.json").read_text("utf-8")
    return tuple(Original(path, sha256) for path, sha256 in json.loads(text)[name].items())


def _same(path: str, rows: int, sha256: str) -> Table:
    """Return a table that is its original."""
    return Table(path.rpartition("/")[2], rows, sha256, (Original(path, sha256),))


_GADRE = _listed("gadre2024_redpajama")
_ISOFLOPS = ("llama_3__raw_loss", "llama_3__exp_loss", "ml_scalefit__massivetext__chinchilla")
_CLIP = ("imagenet1k", "imagenet_robustness", "mscoco_captions", "flickr30k")

SETS: tuple[DataSet, ...] = (
    DataSet(
        name="chinchilla_epoch2024",
        title="Chinchilla's runs, read off its Figure 4",
        repo="epoch-research/analyzing-chinchilla",
        commit="92258837425e1b5f2851d624287f0120583a3d0e",
        files=(
            _same(
                "data/svg_extracted_data.csv",
                245,
                "193478df4e90f040016431996c45682659306840ecdadf83cfb9cd5ca0aa1b30",
            ),
        ),
        licence=NO_LICENCE,
        citation="Besiroglu, Erdil, Barnett and You (2024), Chinchilla Scaling: A replication "
        "attempt, arXiv:2404.10102; points of Hoffmann et al. (2022), arXiv:2203.15556",
        url="https://arxiv.org/abs/2404.10102",
        note="There is no D: D = C/(6N), so errors in N enter D with opposite sign. Published "
        "fits leave out the five largest losses.",
        fit="--where 'loss < 3.446'",
    ),
    DataSet(
        name="isoflop_llama3_scalefit",
        title="isoFLOP points of Llama 3 and of Chinchilla, digitised",
        repo="Open-Athena/scaling-law-analysis",
        commit="3e0656ee3dce1a2c89aa67691920f5eb9d30f0fc",
        files=(
            Table(
                "isoflops.csv",
                390,
                "aaa46b89ed3b4ff6694f5d394e1b7ced15fee7166bc12791cf8b5514297af0d6",
                (
                    Original(
                        "data/isoflops/transform/isoflops.csv",
                        "b04d611253611490c5cc339fb95cb28d4f38f279a97438cb804a80f03171caa0",
                    ),
                ),
                rows_where("experiment", _ISOFLOPS),
            ),
        ),
        licence=NO_LICENCE,
        citation="Llama Team (2024), The Llama 3 Herd of Models, arXiv:2407.21783; Hoffmann et al. "
        "(2022), arXiv:2203.15556; table of Open-Athena/scaling-law-analysis, Llama 3 points of "
        "eric-czech/llama3_isoflop_extraction",
        url="https://arxiv.org/abs/2407.21783",
        note="Llama 3's params are budget/(6 tokens), and exp_loss repeats raw_loss. Published "
        "fits use all rows: leaving out the flagged ones removes the two largest budgets.",
        fit="--group experiment",
    ),
    DataSet(
        name="porian2024_refinedweb",
        title="Ten configurations between Kaplan's and Chinchilla's, RefinedWeb",
        repo="formll/resolving-scaling-law-discrepancies",
        commit="0dc60d91b8a525858a3067fc9e4a46ff5374cc6f",
        files=(
            Table(
                "isoflop_points.csv",
                1164,
                "be76c661e3530986bdf13b5296f0a5c7ebae69453563dc8586b2f26d790a259c",
            ),
            Table(
                "optima.csv",
                118,
                "d9b9b3f8aa238a88dc42d11c8dc8f6cf0fc2cb65773a232ab9abeb661a0d0241",
            ),
            Table(
                "published_fits.csv",
                10,
                "da081d7797193153ff8530242f167a79a7a19b0def223fa112c7a17feaf622be",
            ),
        ),
        licence="MIT",
        citation="Porian, Wortsman, Jitsev, Schmidt and Carmon (2024), Resolving Discrepancies in "
        "Compute-Optimal Scaling of Language Models, arXiv:2406.19146",
        url="https://arxiv.org/abs/2406.19146",
        note="n and flops follow the column param_count, with flops = 6 n tokens: compare N only "
        "within one param_count.",
        fit="--group id --approach isoflop --map N=n --map D=tokens --map C=flops "
        "--map budget=flops",
    ),
    DataSet(
        name="alabdulmohsin2022_language",
        title="Language curves of the extrapolation benchmark",
        repo="google-research/google-research",
        commit="9853680c781781bd8d3de20aa61c7373ce059913",
        files=(
            _same(
                "revisiting_neural_scaling_laws/data/benchmark.lang.csv",
                1399,
                "63c346db00a66b692e1ea9a0f71a2f2b267e55f74be5b863a92e199dffbf0983",
            ),
        ),
        licence="Apache-2.0",
        citation="Alabdulmohsin, Neyshabur and Zhai (2022), Revisiting Neural Scaling Laws in "
        "Language and Vision, arXiv:2209.06640",
        url="https://arxiv.org/abs/2209.06640",
        note="Twenty curves by Domain, Model and Task: fit on Training == 1 and score on 0. Rows "
        "of the LM curves repeat up to four times.",
        fit="--law power-D --map 'D=source[\"Seen Examples\"]' --map loss=Loss --group Model "
        "--where 'Domain == \"NMT\" and Training == 1'",
    ),
    DataSet(
        name="muennighoff2023",
        title="Runs on repeated data",
        repo="huggingface/datablations",
        commit="13701315b163f1c54642b94ad237b2699187c3ee",
        files=(
            Table(
                "runs.csv",
                182,
                "5b3ac4cb591ad2561765203d5b570ce88b05830325d1b4cfa030a3621a9946a1",
                (
                    Original(
                        "utils/parametric_fit.ipynb",
                        "6c65d270e70c944a9ac90f5f1213a4584e1ff9d6d2781cd86900663f4ab17db9",
                    ),
                ),
                repeated_data_runs,
            ),
        ),
        licence="Apache-2.0",
        citation="Muennighoff et al. (2023), Scaling Data-Constrained Language Models, "
        "arXiv:2305.16264",
        url="https://arxiv.org/abs/2305.16264",
        note="In circulating copies tokens and unique_tokens are exchanged; here D >= D_unique. "
        "The base law came from other runs and is held; the decay constants are weakly identified.",
        fit="--law data-constrained --fix E=1.869144 --fix A=520.825 --fix B=1487.716 "
        "--fix alpha=0.3526596 --fix beta=0.3526596",
    ),
    DataSet(
        name="gadre2024_redpajama",
        title="Over-trained models on RedPajama, with 46 task errors",
        repo="mlfoundations/scaling",
        commit="a003c4913793ac2ae7ef87b28ecb562955d026d5",
        files=(
            Table(
                "models_rpj.csv",
                35,
                "c1b016c7ecd0c3926a24fd028ae921e42b45422e38dd8ca1a718070b3e8cf162",
                _GADRE,
                overtraining_models,
            ),
            Table(
                "task_errors_rpj.csv",
                35,
                "c25e3d3ff2fa4a6aa29e4a005fc4085cf0d57bd069a976c736225dd099b2e999",
                _GADRE,
                overtraining_tasks,
            ),
        ),
        licence="MIT",
        citation="Gadre et al. (2024), Language models scale reliably with over-training and on "
        "downstream tasks, arXiv:2403.08540",
        url="https://arxiv.org/abs/2403.08540",
        note="The published law is of loss_c4_val, the loss on C4 and not on RedPajama. It has 4 "
        "parameters fitted to 5 of these rows, which is close to interpolation.",
        fit="--law over-training --map loss=loss_c4_val",
    ),
    DataSet(
        name="finetune_flan_lin2024",
        title="Fine-tuning curves of 30 models on FLAN",
        repo="linhaowei1/Fine-tuning-Scaling-Law",
        commit="5214568013af65e3cefd03860ecd7bc9358b308c",
        files=(
            _same(
                "benchmark/flan.csv",
                30,
                "ead24af8eaa97ac0507bbd76c4880eb09c6361e252f4971666ba55017215d1e9",
            ),
            Table(
                "published_rmsd_flan.csv",
                30,
                "8daa64794321bc7bd101957b2cf9c77ee5b1f501cf18dcddb5b8e7d75a20de04",
                (
                    Original(
                        "results/rmsd.csv",
                        "4e8846f1f65b70b4aa2a41f88550c01c36538e80f011b0c58e962eb4bee08b65",
                    ),
                ),
                rows_where("dataset", ("FLAN",)),
            ),
        ),
        licence="Apache-2.0",
        citation="Lin et al. (2024), Selecting Large Language Model to Fine-tune via Rectified "
        "Scaling Law, arXiv:2402.02314",
        url="https://arxiv.org/abs/2402.02314",
        note="A row is a model and a column a number of training samples; column 0 is part of no "
        "published fit. The published scores of the rival law are those of a poor optimiser.",
        fit="--law power-N --map N=size --map 'loss=source[\"1638400\"]'",
    ),
    DataSet(
        name="openclip_cherti2023",
        title="OpenCLIP models, zero-shot and retrieval",
        repo="LAION-AI/scaling-laws-openclip",
        commit="652b1e7471f7ccf372277f67cb680de5c9fa139d",
        files=(
            Table(
                "zeroshot_results.csv",
                128,
                "08b53128a753dca578a09e96e28dbe78b8648c8d40d9bd18be870277dce22028",
                (
                    Original(
                        "zeroshot_results.csv",
                        "a04786cfcde5d47436c8ddbca0f0bdbb39cc584c0d0776b4f99145ae430a6568",
                    ),
                ),
                rows_where("downstream_dataset", _CLIP),
            ),
            _same(
                "arch_info.csv",
                28,
                "44189a6d88685eb70a632fcf0db20e9944e7277d58c0a2d343ee9d9d6d5bcc08",
            ),
            Table(
                "trained_models_info.csv",
                29,
                "42847e177085d61c8baf6bc0c9d0e2c90ddcf36c8e8ce75cbccdf60777a32a3b",
                (
                    Original(
                        "trained_models_info.csv",
                        "6b084d4895ed83c0dc38a8f166b6164e1a70d0bcc42c75e2aae51a86bf9f678d",
                    ),
                ),
                without_columns("detailed_training_info", "url"),
            ),
        ),
        licence=NO_LICENCE,
        citation="Cherti et al. (2023), Reproducible scaling laws for contrastive language-image "
        "learning, arXiv:2212.07143",
        url="https://arxiv.org/abs/2212.07143",
        note="Compute is in GMACs of one forward pass, here made FLOP of training by 6e9. The "
        "CLIP-WIT rows are other authors' models and no part of the frontier.",
        fit="--approach envelope --map 'C=6e9*gmacs_total' --map loss=1-acc1 "
        '--where \'downstream_dataset == "imagenet1k" and upstream_dataset != "CLIP-WIT"\'',
    ),
)
