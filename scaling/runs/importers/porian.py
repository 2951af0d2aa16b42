"""IsoFLOP tables in the layout of Porian et al. (2024): one configuration a group.

References
----------
T. Porian et al., *Resolving Discrepancies in Compute-Optimal Scaling of Language Models*,
NeurIPS 2024; the columns are those of its released summary.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pandas as pd

from scaling.errors import Message
from scaling.runs.importers.base import Imported
from scaling.runs.importers.layout import read_layout

name = "porian"

_KEYS = ("dataset", "hparams", "warmup", "decay", "param_count", "val")
_NEEDED = (*_KEYS, "flops", "n", "tokens", "loss")
_COUNTED = {
    "kaplan": "N without embeddings and head",
    "standard": "N = body + head",
    "attention": "N = body + head, attention FLOP counted into it",
}


def recognises(path: Path) -> bool:
    """Whether the first line of a file holds the columns of the layout."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader([handle.readline(4096)]), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return set(_NEEDED) <= {field.strip() for field in header}


def read(path: Path) -> Imported:
    """Read the table: the six keys together name the group, ``flops`` is the budget.

    Raises
    ------
    TableError
        SC105 if a column of the layout is missing.
    """
    found = read_layout(path, _NEEDED)
    cells = found.cells
    keys = zip(*(cells[key] for key in _KEYS), strict=True)
    counted = [_COUNTED.get(str(count).strip(), str(count)) for count in cells["param_count"]]
    own = {
        "group": pd.Series(["/".join(map(str, key)) for key in keys], dtype=object),
        "budget": cells["flops"],
        "convention": pd.Series(counted, dtype=object),
    }
    text = "Read in the layout of Porian et al. (2024): six columns name the group, n is counted "
    message = Message("SC121", text + "as param_count says.", "info")
    more = pd.DataFrame({column: own[column] for column in own if column not in cells})
    return replace(found, cells=pd.concat([cells, more], axis=1), messages=(message,))
