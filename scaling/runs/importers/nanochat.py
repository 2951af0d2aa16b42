"""The results table of nanochat's scaling runs, read as its own notebook reads it.

Never recognised by itself: which parameters N counts is the reader's to say, and ``--from
nanochat`` says it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd

from scaling.errors import Message
from scaling.runs.importers.base import Imported
from scaling.runs.importers.layout import read_layout
from scaling.runs.numbers import to_numbers

name = "nanochat"

_NEEDED = ("flops_budget", "depth", "params_transformer", "params_lm_head", "tokens_trained",
           "val_bpb")  # fmt: skip
CONVENTION = "N = transformer + output head, input embeddings left out"


def recognises(path: Path) -> bool:
    """Only when asked for by name."""
    del path
    return False


def read(path: Path) -> Imported:
    """Read the table: N = transformer + head, loss in nats per byte, budgets as planned.

    Raises
    ------
    TableError
        SC105 if a column of the layout is missing, SC102 if a cell is no number.
    """
    found = read_layout(path, _NEEDED)
    cells = found.cells

    def numbers(column: str) -> pd.Series:
        return pd.Series(to_numbers(cells[column], column, found))

    labels = zip(cells["depth"], cells["flops_budget"], strict=True)
    own = {
        "run": pd.Series([f"d{d}-{c}".replace(" ", "") for d, c in labels], dtype=object),
        "budget": cells["flops_budget"],
        "N": numbers("params_transformer") + numbers("params_lm_head"),
        "D": cells["tokens_trained"],
        "loss": numbers("val_bpb") * math.log(2.0),
        "N_head": cells["params_lm_head"],
        "N_body": cells["params_transformer"],
        "status": pd.Series("done", index=cells.index, dtype=object),
        "convention": pd.Series(CONVENTION, index=cells.index, dtype=object),
        "loss_unit": pd.Series("nats per byte", index=cells.index, dtype=object),
    }
    rest = [c for c in cells if c not in ("flops_budget", "tokens_trained", "val_bpb")]
    frame = pd.concat([pd.DataFrame(own), cells[rest]], axis=1)
    text = f"Read in the layout of nanochat: {CONVENTION}; val_bpb became nats per byte."
    return replace(found, cells=frame, messages=(Message("SC121", text, "info"),))
