"""What a report says, apart from how it is rendered.

A `Document` is laid out once, by `scaling.reporting.build`, and rendered by ``html``, ``pdf`` and
``text``. All strings are plain text: a renderer escapes them, none interprets them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from scaling.errors import Severity

Level = Literal["supported", "weak", "not identified"]
Align = Literal["left", "right"]
FontType = Literal["none", "path"]

SPACES = "\n\u00a0\u2009\u202f"


def printable(text: str) -> str:
    """Replace control, direction-changing and unassigned characters, which can hide or break text.

    Line feeds and the usual no-break spaces stay.
    """
    return "".join(c if c.isprintable() or c in SPACES else "\ufffd" for c in text)


@dataclass(frozen=True)
class Paragraph:
    """Plain prose."""

    text: str


@dataclass(frozen=True)
class Note:
    """A coded message in its place."""

    code: str
    severity: Severity
    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text, rounded already.

    Attributes
    ----------
    caption : str
    columns : tuple of str
        Column heads, with units.
    rows : tuple of tuple of str
    align : tuple of {"left", "right"}
        One a column; right for numbers.
    note : str
        A line under the table; may be empty.
    long : bool
        Whether it may run over pages; such tables are set small and cut in terminal text.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: tuple[Align, ...]
    note: str = ""
    long: bool = False

    def __post_init__(self) -> None:
        if len(self.align) != len(self.columns):
            raise ValueError("one alignment a column is needed")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("every row needs one cell a column")


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when a renderer asks for it.

    Attributes
    ----------
    key : str
        Unique in the document; prefixes every id of the SVG.
    title, caption : str
    alt : str
        What a reader who cannot see the figure should know.
    good : str
        What good looks like.
    data : mapping of str to sequence
        What is drawn, as columns of equal length.
    tips : tuple of str
        Tooltip of each interactive marker, in the order of drawing.
    draw : callable
        ``(fonttype, key, title, alt) -> str``: SVG with text as ``"none"`` (text) or ``"path"``.
    """

    key: str
    title: str
    caption: str
    alt: str
    good: str
    data: Mapping[str, Sequence[Any]] = field(repr=False)
    tips: tuple[str, ...] = field(repr=False)
    draw: Callable[[FontType, str, str, str], str] = field(repr=False, compare=False)

    @cached_property
    def svg_html(self) -> str:
        """SVG whose text is text, with unique ids, a title and a description."""
        return self.draw("none", self.key, self.title, self.alt)

    @cached_property
    def svg_print(self) -> str:
        """SVG whose text is drawn as paths, for renderers without the fonts."""
        return self.draw("path", self.key, self.title, self.alt)


@dataclass(frozen=True)
class Formula:
    """A formula in the notations that the renderers read."""

    plain: str
    mathml: str
    latex: str
    typst: str


@dataclass(frozen=True)
class Listing:
    """Text that is copied rather than read, such as a command."""

    text: str
    caption: str = ""


Block = Paragraph | Note | Table | Figure | Formula | Listing


@dataclass(frozen=True)
class Section:
    """A heading with blocks; ``level`` 2 stands under one of level 1."""

    heading: str
    blocks: tuple[Block, ...]
    level: int = 1


@dataclass(frozen=True)
class Verdict:
    """The answer for one fit: how far it is supported, what it is, and why not to trust it.

    Attributes
    ----------
    level : {"supported", "weak", "not identified"}
    subject : str
        Group and law; empty where there is only one fit.
    headline : str
        What to train, or that there is no answer.
    sure : str
        The intervals of the headline, or why it has none.
    reasons : tuple of Note
        What limits the answer, the gravest first.
    """

    level: Level
    subject: str
    headline: str
    sure: str
    reasons: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes
    ----------
    title, subtitle, question : str
    verdicts : tuple of Verdict
        One a fit, or one that says that there is none.
    sections : tuple of Section
        The first holds the prediction tables.
    footer : str
    """

    title: str
    subtitle: str
    question: str
    verdicts: tuple[Verdict, ...]
    sections: tuple[Section, ...]
    footer: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the first fit."""
        return self.verdicts[0]

    @property
    def blocks(self) -> Iterator[Block]:
        """Every block of every section in order."""
        for section in self.sections:
            yield from section.blocks

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure in order."""
        return tuple(block for block in self.blocks if isinstance(block, Figure))
