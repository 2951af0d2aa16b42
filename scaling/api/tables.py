"""Runs from anywhere, as a checked table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.api.words import with_keywords

if TYPE_CHECKING:
    import pandas as pd


@with_keywords
def read(
    source: str | Path,
    *,
    maps: Mapping[str, str] | None = None,
    convention: str | None = None,
    where: str | None = None,
    needs_loss: bool = True,
    curves: bool = False,
    final: bool = False,
    decimal: str = ".",
    thousands: str = "",
    kind: str | None = None,
    melt: tuple[str, str] | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """Read and check runs from anywhere, and say on standard error how they were understood.

    Parameters
    ----------
    source : str or Path
        CSV, TSV, JSON, JSON lines or Parquet; ``"-"`` for standard input; the folder or database
        of a tracker; a study's folder.
    maps : mapping of str to str, optional
        Expression of each column that is not to be chosen by name:
        ``{"N": "params_body + params_head"}``.
    convention : str, optional
        What N counts, in your words; it is printed beside every exponent.
    where : str, optional
        Condition on rows, of the table's own columns: ``"loss < 3.4 and seed == 0"``.
    needs_loss : bool
        Whether a table without a loss is an error; laws of something else need none.
    curves : bool
        Whether a run may have a row for each point of its learning curve.
    final : bool
        Whether only the last row of each run counts.
    decimal : str
        Decimal mark of the numbers.
    thousands : str
        Separator of thousands; none if empty.
    kind : str, optional
        Format or importer, where the content does not tell it.
    melt : tuple of str, optional
        ``("D", "loss")`` turns columns named by numbers into rows.
    quiet : bool
        Say nothing; a fit keeps how the table was read all the same.

    Returns
    -------
    DataFrame
        The usable rows with canonical columns N [count], D [count], C [FLOP] and loss, whichever
        the source has or implies, and its other columns under their own names. A fit of it names
        the file, its checksum and how each column was read, as long as it is not changed.

    Raises
    ------
    TableError
        All faults at once, each with file, row and column. `AmbiguousColumns`, one of them, has
        the choices.
    ConfigError
        SC020 for an expression that cannot be used; SC004 for an option.

    Examples
    --------
    >>> named = runs.rename(columns={"N": "params", "D": "tokens", "loss": "val_loss"})
    >>> named.to_csv("mine.csv", index=False)
    >>> sc.read("mine.csv", quiet=True)[["N", "D", "C", "loss"]].shape
    (35, 4)
    """
    import sys

    import pandas as pd

    from scaling.errors import ConfigError, Fault
    from scaling.runs.numbers import Dialect
    from scaling.runs.read import describe, frame_of, read_table

    if isinstance(source, pd.DataFrame):
        raise ConfigError(
            Fault("SC004", "read", "a frame", "a path", "sc.fit takes frames as such")
        )
    table = read_table(
        source,
        maps=maps,
        convention=convention,
        where=where,
        needs_loss=needs_loss,
        curves=curves,
        final=final,
        dialect=Dialect(decimal, thousands),
        kind=kind,
        melt=melt,
    )
    if not quiet:
        lines = describe(table) + [line for m in table.messages for line in m.lines()]
        sys.stderr.write("\n".join(lines) + "\n")
    return frame_of(table)
