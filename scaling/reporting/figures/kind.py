"""What a kind of figure is: its name, its data as a pure function, and how the data are drawn.

A module a kind. Nothing here draws: matplotlib is imported when a renderer asks for a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scaling.reporting.wording import key_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scaling.reporting.context import Context
    from scaling.reporting.document import Tip

Marks = dict[str, list[int]]
"""For each group id in a drawing, the tip of each of its markers in the order of drawing."""
Subject = Any
"""What `Kind.per` says: a Fit, the name of a group, a `Treated`, or None for the whole."""


class Drawn:
    """Base of the data of a figure.

    A subclass is a frozen dataclass of arrays with nothing drawn; it overrides the properties.
    """

    @property
    def caption(self) -> str:
        """What is drawn, in a sentence or two; marks, lines, bands and their level."""
        raise NotImplementedError

    @property
    def alt(self) -> str:
        """What a reader who cannot see the figure should know, with its numbers."""
        raise NotImplementedError

    @property
    def tips(self) -> tuple[Tip, ...]:
        """Tips of the interactive markers: those of the field ``marked``, where there is one."""
        return tuple(getattr(self, "marked", ()))

    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Return what is drawn as columns of equal length, for the CSV."""
        raise NotImplementedError


def short(values: Sequence[Any]) -> list[Any]:
    """Return a column with numbers to seven digits, which is all that a CSV of a figure needs."""
    return [float(f"{v:.7g}") if isinstance(v, float) else v for v in values]


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes
    ----------
    name : str
        What ``scaling plot`` calls it.
    title : str
    good : str
        What good looks like, as the end of "Good looks like this: …".
    per : {"fit", "group", "treatment", "all"}
        What one figure is of.
    data : callable
        ``(context, subject) -> Drawn`` or None where there is nothing to show.
    draw : callable
        ``(data, axes) -> Marks``: draws on axes that the caller made, one a panel.
    panels : (int, int) or callable
        Rows and columns of panels at page width, or ``data -> (rows, columns)``; at column width
        the panels stand in one column.
    height : float or callable
        Of a row of panels at page width [inch], or ``data -> height``.
    """

    name: str
    title: str
    good: str
    per: Literal["fit", "group", "treatment", "all"]
    data: Callable[[Context, Subject], Drawn | None]
    draw: Callable[[Any, Sequence[Axes]], Marks]
    panels: tuple[int, int] | Callable[[Any], tuple[int, int]] = (1, 1)
    height: float | Callable[[Any], float] = 3.4

    def shape(self, data: Drawn) -> tuple[int, int]:
        """Return rows and columns of panels at page width."""
        return self.panels(data) if callable(self.panels) else self.panels

    def row_height(self, data: Drawn) -> float:
        """Return the height of a row of panels [inch]."""
        return self.height(data) if callable(self.height) else self.height

    def subjects(self, context: Context) -> tuple[Subject, ...]:
        """Return what a report has figures of this kind of."""
        if self.per == "fit":
            return context.fits.fits
        if self.per == "treatment":
            return context.treated
        return context.groups if self.per == "group" else (None,)

    def key(self, subject: Subject) -> str:
        """Return a key that prefixes the ids of the SVG; letters, digits and hyphens."""
        if self.per == "all":
            return self.name
        return f"{self.name}-{subject.key if self.per == 'treatment' else key_of(subject)}"
