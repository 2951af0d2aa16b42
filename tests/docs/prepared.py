"""What pages find in their folder: small files and a finished study, made once for all pages."""

import json
import shutil

import numpy as np
import pytest

from tests.docs.blocks import ROOT
from tests.docs.program import scaling, separately

QUICKSTART = ROOT / "sweeps" / "quickstart.toml"
WANDB = """
import wandb

for k in range(4):
    n, d = 1e7 * 3**k, 1e9 * 3**k
    run = wandb.init(project="sizes", name=f"w{k}", config={"params": n, "tokens": d})
    run.log({"loss": 1.7 + 400 / n**0.34 + 410 / d**0.28})
    run.finish()
"""
MLFLOW = """
import mlflow

mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("sizes")
for k in range(4):
    n, d = 2e7 * 3**k, 1e9 * 3**k
    with mlflow.start_run(run_name=f"m{k}"):
        mlflow.log_params({"params": n, "tokens": d})
        mlflow.log_metric("loss", 1.7 + 400 / n**0.34 + 410 / d**0.28)
"""
PRIOR = """[prior]
noise = 0.002
laws = [{ law = "chinchilla", params = { E = 0.6, A = 0.8, alpha = 0.5, B = 1.2, beta = 0.45 } }]
"""
TEXT = """
schema = 1
[data]
source = "stdlib"
[model]
context = 32
layers = 2
[design]
kind = "points"
points = [[5e4, 2e5]]
[recipe]
name = "mup-2022"
"""
IMAGES = """
schema = 1
[data]
task = "images"
source = "shapes"
[model]
family = "vit"
options = { patch = 7 }
[design]
kind = "points"
points = [[1.1e4, 4e3], [1.1e4, 8e3]]
[recipe]
name = "images-small"
"""
TRUTH = {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28}


def loss(n, d, seed, compute=1.0):
    """Return losses of the law of `TRUTH` at `compute` times the FLOP, with noise of 0.1%."""
    n, d = np.asarray(n) * compute**0.5, np.asarray(d) * compute**0.5
    clean = TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]
    return clean * np.exp(0.001 * np.random.default_rng(seed).standard_normal(np.shape(clean)))


def grid():
    """Return N and D of six sizes by six lengths."""
    n, d = np.meshgrid(1e7 * 2.2 ** np.arange(6), 1e9 * 2.0 ** np.arange(6), indexing="ij")
    return n.ravel(), d.ravel()


def table(header, rows):
    """Return CSV."""
    lines = [",".join(x if isinstance(x, str) else f"{x:.6g}" for x in row) for row in rows]
    return "\n".join([header, *lines]) + "\n"


class Prepared:
    """Makes each thing once, and lays a copy of it into a page's folder."""

    def __init__(self, folder):
        self.folder = folder

    def lay(self, name, into):
        """Copy the thing called `name`; a folder may be asked for under another folder's name."""
        made = self.folder / name.replace("/", "-")
        if not made.exists():
            getattr(self, "make_" + made.name.replace(".", "_").replace("-", "_"))(made)
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if made.is_dir():
            shutil.copytree(made, target, symlinks=True)
        else:
            shutil.copy(made, target)

    def run(self, *arguments):
        done = scaling(arguments, self.folder)
        assert done.code == 0, done.text

    def make_results_csv(self, path):
        n, d = grid()
        rows = zip(n, d, 6 * n * d, loss(n, d, 1), strict=True)
        path.write_text(table("params,tokens,flops,loss", rows))

    def make_fit_json(self, path):
        self.lay("results.csv", self.folder / "of-fit")
        self.run("fit", "of-fit/results.csv", "--bootstrap", "200", "-o", path.name)

    def make_recipes_csv(self, path):
        """Two recipes on one grid; the new one is worth 1.3 times the compute."""
        n, d = grid()
        rows = [
            (group, *row)
            for group, seed, worth in (("old", 1, 1.0), ("new", 2, 1.3))
            for row in zip(n, d, 6 * n * d, loss(n, d, seed, worth), strict=True)
        ]
        path.write_text(table("recipe,params,tokens,flops,loss", rows))

    def make_old(self, path):
        self._side(path)

    def make_new(self, path):
        self._side(path)

    def _side(self, path):
        self.lay("recipes.csv", path)
        self.run(
            "fit", f"{path.name}/recipes.csv", "--where", f'recipe == "{path.name}"',
            "--bootstrap", "200", "-o", f"{path.name}/fit.json",
        )  # fmt: skip

    def make_curves_csv(self, path):
        """Eight runs of two sizes, with a row for each of twelve points of their curves."""
        rows = []
        for i, n in enumerate((1e7, 2e7, 4e7, 8e7)):
            d = 1e8 * 2.0 ** np.arange(12)
            rows += [(f"run-{i}", n, x, y) for x, y in zip(d, loss(n, d, i), strict=True)]
        path.write_text(table("run,params,tokens,loss", rows))

    def make_curve_csv(self, path):
        """One size, twelve lengths."""
        d = 1e8 * 2.0 ** np.arange(12)
        path.write_text(table("tokens,loss", zip(d, loss(1e8, d, 3), strict=True)))

    def make_export_csv(self, path):
        """Results as a spreadsheet of another country writes them, sizes in billions."""
        n, d = grid()
        rows = zip(n / 1e9, d, loss(n, d, 1), strict=True)
        text = table("Model Size|tokens|loss", rows)
        path.write_text(text.replace(",", ";").replace("|", ";").replace(".", ","))

    def make_nanochat_csv(self, path):
        """Two parameter counts."""
        n, d = grid()
        rows = zip(0.9 * n, 0.1 * n, d, loss(n, d, 1), strict=True)
        path.write_text(table("params_transformer,params_lm_head,tokens,val_loss", rows))

    def make_zeroshot_csv(self, path):
        """An accuracy on two data sets."""
        n, d = grid()
        found = loss(n, d, 1) / 10
        rows = [
            (task, *row)
            for task in ("imagenet1k", "cifar10")
            for row in zip(n, d, 1 - found, strict=True)
        ]
        path.write_text(table("downstream_dataset,params,samples_seen,acc1", rows))

    def make_benchmark_csv(self, path):
        """Groups named by two columns."""
        n, d = grid()
        rows = [("code", "a", *row) for row in zip(n, d, loss(n, d, 1), strict=True)]
        path.write_text(table("Domain,Model,params,tokens,loss", rows))

    def make_flan_csv(self, path):
        """A size a row, an amount of data a column."""
        d = np.array([0.0, *(200 * 2.0 ** np.arange(12))])
        rows = [
            (name, n, *loss(1e8 * n, 1e5 + 1e5 * d, 4))
            for name, n in (("small", 1.0), ("base", 3.0))
        ]
        path.write_text(table("config name,size," + ",".join(f"{x:.0f}" for x in d), rows))

    def make_wandb(self, path):
        self._tracked("wandb", WANDB)

    def make_mlflow_db(self, path):
        self._tracked("mlflow", MLFLOW)

    def _tracked(self, tracker, code):
        """Let a tracker itself write four runs, in a process of its own."""
        pytest.importorskip(tracker)
        (self.folder / f"of-{tracker}.py").write_text(code)
        offline = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
        done = separately(f"python of-{tracker}.py", self.folder, offline)
        assert done.code == 0, done.text

    def make_study_toml(self, path):
        """Write a study whose losses are known and computed, so that it is done in seconds."""
        text = (ROOT / "sweeps" / "additive-truth.toml").read_text(encoding="utf-8")
        text = text.replace("[200, 640, 2e3, 6.4e3, 2e4, 6.4e4, 2e5]", "[640, 2e3, 6.4e3, 2e4]")
        text = text.replace("[1e5, 3.2e5, 1e6, 3.2e6, 1e7, 3.2e7]", "[1e5, 3.2e5, 1e6, 3.2e6]")
        path.write_text(text[: text.rindex("[[fit]]")] + PRIOR)

    def make_sweeps(self, path):
        path.mkdir()
        self.make_study_toml(path / "quickstart.toml")
        (path / "isoflop-text.toml").write_text(TEXT)

    def make_out(self, path):
        self.make_study_toml(self.folder / "of-out.toml")
        self.run("study", "of-out.toml", "-o", path.name)

    def make_out_quickstart(self, path):
        self.lay("out", self.folder / "of-quickstart")
        (self.folder / "of-quickstart" / "out").rename(path)

    def make_out_images(self, path):
        """Train two small classifiers of drawn shapes."""
        (self.folder / "of-images.toml").write_text(IMAGES)
        self.run("sweep", "run", "of-images.toml", "-o", path.name)

    def stand_ins(self):
        """Return what pages call by a name that only a run can give, and its name here."""
        made = (self.folder / name / "plan.jsonl" for name in ("out", "out-quickstart"))
        plan = next(path for path in made if path.exists()).read_text().splitlines()
        return {"3b78247": json.loads(plan[0])["id"][:7]}
