"""From a public file as its authors keep it to the table that a study reads.

A filter takes the original files by path and gives the bytes of one CSV. Text of cells is kept as
it stands, so that a filter is exact. Nothing here runs what it reads: notebooks are parsed as
literals, and pickles are not read at all.
"""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

Originals = Mapping[str, bytes]
Filter = Callable[[Originals], bytes]

SUBSET_OF_TASKS = (
    "bigbench_operators", "pubmed_qa_labeled", "hellaswag_zeroshot", "boolq", "arc_easy", "coqa",
    "bigbench_dyck_languages", "lambada_openai", "bigbench_novel_concepts", "winograd",
    "bigbench_cs_algorithms", "commonsense_qa", "bigbench_qa_wikidata", "hellaswag", "copa",
    "squad", "piqa",
)  # fmt: skip
EVALUATIONS = (
    "openlm", "c4_val", "paloma_c4_en", "paloma_dolma_100_programing_languages", "paloma_ptb",
    "paloma_redpajama", "val_de-en_100",
)  # fmt: skip


def rows_where(column: str, values: Collection[str]) -> Filter:
    """Keep the rows in which `column` has one of `values`."""

    def apply(originals: Originals) -> bytes:
        head, *rows = _cells(_only(originals))
        at = head.index(column)
        return _csv([head, *(row for row in rows if row[at] in values)])

    return apply


def without_columns(*names: str) -> Filter:
    """Leave out columns."""

    def apply(originals: Originals) -> bytes:
        head, *rows = _cells(_only(originals))
        kept = [i for i, name in enumerate(head) if name not in names]
        return _csv([row[i] for i in kept] for row in (head, *rows))

    return apply


# ------------------------------------------------------- runs named in the cells of a notebook


def repeated_data_runs(originals: Originals) -> bytes:
    """Read the runs of Muennighoff et al. out of the notebook that fits them.

    Three of its cells hold the losses by name of run; the second is the one that the published fit
    uses. A name says parameters, tokens and unique tokens, as in ``2b832b4b``: 2.8e9, 32e9, 4e9.
    """
    cells = json.loads(_only(originals))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    chosen = [source for source in sources if "NAMES_TO_VAL_LOSSES = {" in source][1]
    tables = _literals(chosen)
    sizes, amounts = tables["PARAMS_MAP"], tables["TOKENS_MAP"]
    rows: list[Sequence[Any]] = [("id", "params", "tokens", "unique_tokens", "loss")]
    for name, loss in tables["NAMES_TO_VAL_LOSSES"].items():
        if loss == 0 or name.endswith("dedup"):  # unfinished, or on other data
            continue
        size, seen, unique = _split_name(name, sizes)
        rows.append((name, sizes[size], _tokens(seen, amounts), _tokens(unique, amounts), loss))
    return _csv(rows)


def _literals(source: str) -> dict[str, Any]:
    """Return the assigned literals of a source by name, without running it."""
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def _split_name(name: str, sizes: Collection[str]) -> tuple[str, str, str]:
    """Split a run's name into parameters, tokens and unique tokens."""
    size = next(name[:i] for i in range(2, len(name)) if name[:i] in sizes)
    start = -4 if name[-1] in "bm" or name[-2] not in "bm" else -3
    while name[start:].count("b") > 1 or name[start:].count("m") > 1:
        start += 1
    return size, name[len(size) : start], name[start:]


def _tokens(text: str, amounts: Mapping[str, float]) -> float:
    """Read an amount of tokens such as ``7b5``, in billions unless the notebook lists it."""
    billions = amounts[text] if text in amounts else float(text.replace("b", ".").strip("."))
    return billions * 1e9


# ------------------------------------------------------- one JSON a model and one an evaluation


def overtraining_models(originals: Originals) -> bytes:
    """Flatten Gadre et al.'s files: a row a model, with losses and mean task errors."""
    records = _overtraining(originals)
    names = [f"loss{bound}_{e}" for e in EVALUATIONS for bound in ("", "_upper", "_lower")]
    head = ["name", "model_name", "dataset_name", "cc_mult", "tok_mult", "N", "D", "flops"]
    head += [*names, "err_avg", "err_avg_subset"]
    return _csv([head, *([model[name] for name in head] for model, _ in records)])


def overtraining_tasks(originals: Originals) -> bytes:
    """Flatten Gadre et al.'s files: a row a model, with the error of each task."""
    records = _overtraining(originals)
    head = ["name", *records[0][1]]
    return _csv(
        [head, *([model["name"], *(errors[n] for n in head[1:])] for model, errors in records)]
    )


def _overtraining(originals: Originals) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Return each model and its errors by task, by size and then by length of training."""
    found = []
    for path, raw in originals.items():
        folder, _, file = path.rpartition("/")
        if not folder.endswith("/models"):
            continue
        stem = file.removesuffix(".json")
        other = f"{folder.removesuffix('models')}evals/evaluation_{stem}_heavy.json"
        scores = json.loads(originals[other])["eval_metrics"]["icl"]
        errors = {f"err_{task}": 1.0 - score for task, score in scores.items()}
        found.append((_model(json.loads(raw), errors), errors))
    return sorted(found, key=lambda pair: (pair[0]["N"], pair[0]["cc_mult"]))


def _model(data: Mapping[str, Any], errors: Mapping[str, float]) -> dict[str, Any]:
    h = data["hyperparameters"]
    row = {
        "name": data["name"],
        "model_name": h["model"].rpartition("/")[2].split(".")[0],  # some are paths of a .json
        "dataset_name": data["dataset_name"],
        "cc_mult": h["chinchilla_multiplier"],
        "tok_mult": h["chinchilla_multiplier"] * 20,
        "N": h["params"],
        "D": h["tokens"],
        "flops": 6 * h["params"] * h["tokens"],
    }
    for result in data["results"]:
        *_, folder, file = result["val_data"][0].split("/")
        name = file.split(".")[0] if "de-en" in folder else folder
        row[f"loss_{name}"] = result["loss"]
        row[f"loss_upper_{name}"] = result["loss_sequences_upper_95"]
        row[f"loss_lower_{name}"] = result["loss_sequences_lower_95"]
    row["err_avg"] = _mean(errors.values())
    subset = [e for task, e in errors.items() if task.removeprefix("err_") in SUBSET_OF_TASKS]
    row["err_avg_subset"] = _mean(subset)
    return row


def _mean(values: Iterable[float]) -> float:
    """Return the mean by plain addition: `sum` compensates from Python 3.12 on."""
    total, n = 0.0, 0
    for value in values:
        total += value
        n += 1
    return total / n


# ------------------------------------------------------- CSV


def _only(originals: Originals) -> bytes:
    (raw,) = originals.values()
    return raw


def _cells(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8"), newline="")))


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
