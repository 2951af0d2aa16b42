"""Plain text: a folder of files, or one file of documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.documents import OPTIONS, made, split
from scaling.runs.sources.overlap import Document

BLANK = "\n\n"
PARTS = {"train": 0, "val": 1, "valid": 1, "validation": 1}


class Text:
    """Documents of text files.

    A folder with folders (or files) called ``train`` and ``val`` is split as they say. Else
    documents are split by the hash of their text.
    """

    name = "text"
    kind = "tokens"
    options = (
        Option("path", "text", None, "a folder of text files, or one file"),
        Option("files", "text", "*.txt", "which files of a folder, at any depth"),
        Option("separator", "text", "", "what divides documents inside a file; without it a file "
               "of a folder is one document, and blank lines divide a single file"),
        *OPTIONS,
    )  # fmt: skip

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the files, split them and make tokens of them."""
        place = where or Path()
        if place.is_file():
            separator = options["separator"] or BLANK
            documents = _documents(place, place.name, separator)
            parts = split(documents, float(options["validation_share"]))
            return made(parts, options, place, f"text of {place.name}")
        if not place.is_dir():
            expected = "a folder of text files, or one file"
            raise ConfigError(
                Fault("SC330", str(place), "is not there", expected, "[data] options path")
            )
        names = _names(place, options["files"])
        given = {_part(name) for name in names} >= {0, 1}
        every = [(name, d) for name in names
                 for d in _documents(place / name, name, options["separator"])]  # fmt: skip
        if not given:
            parts = split((d for _, d in every), float(options["validation_share"]))
        else:
            chosen = [tuple(d for name, d in every if _part(name) == side) for side in (0, 1)]
            parts = (chosen[0], chosen[1])
        return made(parts, options, place, f"text of {len(names)} files")


def _names(folder: Path, pattern: str) -> list[str]:
    """Files of a folder that are text, by their paths in it, in order."""
    try:
        found = [p for p in folder.rglob(pattern) if p.is_file()]
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(Fault("SC012", "[data] options files", str(error))) from None
    if not found:
        said, mend = f"holds no file that matches {pattern}", '[data] options files = "*.md", say'
        raise ConfigError(Fault("SC330", str(folder), said, "text files", mend))
    return sorted(p.relative_to(folder).as_posix() for p in found)


def _part(name: str) -> int | None:
    """0 for a file that its first folder or its name puts into training, 1 for validation."""
    first = name.split("/")[0]
    return PARTS.get(first if "/" in name else first.split(".")[0])


def _documents(path: Path, name: str, separator: str) -> Iterator[Document]:
    """Documents of a file, named by the file and their number in it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            Fault("SC330", str(path), f"cannot be read: {error.strerror}", "a text file")
        ) from None
    if not separator:
        yield Document(name, text)
        return
    if separator == BLANK:
        text = text.replace(b"\r\n", b"\n")
    for number, part in enumerate(text.split(separator.encode()), start=1):
        if part.strip():
            yield Document(f"{name} document {number}", part.strip(b"\n"))


TEXT = Text()
