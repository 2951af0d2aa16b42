"""What a data source is: options in, arrays and what is known of them out; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from scaling.options import Option

Arrays = Mapping[str, NDArray[Any]]
PATH = "path"  # the option that names a file or folder; it is no part of what the data are


@dataclass(frozen=True)
class Made:
    """The data of a source.

    Attributes
    ----------
    train, validation : mapping of str to ndarray
        The two parts; which arrays they hold is said by the kind of the source. The part for
        training is empty where a task draws its examples itself.
    train_units, validation_units : int
        How much each holds, in units of D (tokens, images, ratings).
    vocabulary : int
        Number of distinct values of a token, or of classes; 0 where there is none.
    detail : str
        One line for readers.
    entropy : float or None
        Exact lowest expected loss [nats per unit], where it is known.
    facts : mapping of str to int
        What a model's shape must agree with (``image``, ``channels``, ``classes``, ``users``, …),
        by the name of the family's option.
    digest : str or None
        sha256 that stands for the data, where it is not that of the arrays themselves.
    bytes_per_token : float or None
        Bytes of text in a token of the validation part, where the text is known.
    names : tuple of str
        Of the classes, where they have names.
    """

    train: Arrays
    validation: Arrays
    train_units: int
    validation_units: int
    vocabulary: int
    detail: str
    entropy: float | None = None
    facts: Mapping[str, int] = field(default_factory=dict)
    digest: str | None = None
    bytes_per_token: float | None = None
    names: tuple[str, ...] = ()


class Source(Protocol):
    """A data source.

    A source whose options have one called ``path`` reads what lies there; its place is not part of
    a point's id, its content is.
    """

    @property
    def name(self) -> str:
        """Name in study files."""

    @property
    def kind(self) -> str:
        """What its arrays are, and so which tasks can read it.

        ``tokens`` (array ``tokens``, 1-d), ``labelled`` (``tokens`` of shape (n, T) and
        ``labels``), ``images`` (``images``, uint8 of shape (n, channels, height, width), and
        ``labels``), ``ratings`` (``users``, ``items`` and ``ratings``, in the order of time),
        ``examples`` (``x`` and ``y``, or nothing where they are drawn), ``truth`` (nothing: the
        loss of a point is computed).
        """

    @property
    def options(self) -> tuple[Option, ...]:
        """Options that a study may set."""

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Make or read the data.

        Parameters
        ----------
        options : mapping
            All of them, checked; without ``path``.
        where : Path or None
            What ``path`` named.

        Raises
        ------
        ConfigError
            Data that cannot be used: with the file, and how to mend it.
        """
