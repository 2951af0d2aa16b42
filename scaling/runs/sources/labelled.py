"""Labelled texts in a table: JSON lines or CSV with a column of text and one of labels."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, listed
from scaling.options import Option
from scaling.runs.sources.base import Arrays, Made
from scaling.runs.sources.documents import OPTIONS, held_out
from scaling.runs.sources.overlap import Document
from scaling.runs.sources.tokenizer import Tokenizer

Rows = list[tuple[Document, str]]
KINDS = (".jsonl", ".csv")
SHARE = next(option for option in OPTIONS if option.name == "validation_share")
PAD = 0  # of bytes, as after a document of bytes


class Labelled:
    """Texts of one file, cut or filled up to one length, with their labels.

    A column ``split`` with train and validation (or val, valid, test) divides them; without one
    the hash of a text does. Classes are the labels of the training part, in the order of their
    names.
    """

    name = "labelled"
    kind = "labelled"
    options = (
        Option("path", "text", None, "a .jsonl or .csv file"),
        Option("text", "text", "text", "the column of texts"),
        Option("label", "text", "label", "the column of labels"),
        Option("length", "integer", 128, "tokens of an example: longer texts are cut, shorter ones "
               "filled up", high=2**20),
        Option("tokenizer", "text", "", "tokenizer.json of Hugging Face, looked for beside the "
               "data first; bytes without one"),
        SHARE,
    )  # fmt: skip

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the table, split it and make tokens of its texts."""
        path = where or Path()
        if not path.is_file():
            expected = "a .jsonl or .csv file"
            raise ConfigError(
                Fault("SC330", str(path), "is not a file", expected, "[data] options path")
            )
        parts = _split(path, options)
        classes = _classes(path, *parts)
        tokenizer = None
        if options["tokenizer"]:
            beside = path.parent / options["tokenizer"]
            tokenizer = Tokenizer.read(
                beside if beside.exists() else Path(options["tokenizer"]).expanduser()
            )
        length = int(options["length"])
        train, validation = (_arrays(part, classes, length, tokenizer) for part in parts)
        vocabulary = 256 if tokenizer is None else tokenizer.vocabulary
        detail = f"{len(parts[0])} + {len(parts[1])} texts of {len(classes)} classes, "
        detail += f"{listed(classes, 6).removeprefix('one of ')}; {length} tokens each"
        facts = {"classes": len(classes), "context": length}
        sizes = (train["tokens"].size, validation["tokens"].size)
        return Made(
            train, validation, *sizes, vocabulary, detail, facts=facts, names=tuple(classes)
        )


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a table with the place of each; those columns must be there."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.start}: not UTF-8"
        raise ConfigError(Fault("SC330", str(path), found, "UTF-8", "convert it: iconv")) from None
    if path.suffix not in KINDS:
        raise ConfigError(Fault("SC330", str(path), f'a file "{path.suffix}"', listed(KINDS)))
    rows = _json(path, text) if path.suffix == ".jsonl" else _csv(text, path)
    for place, row in rows:
        missing = [name for name in columns if row.get(name) is None]
        if missing:
            expected = listed(row) if row else "columns"
            mend = "[data] options text and label name the columns"
            raise ConfigError(Fault("SC330", place, f'no column "{missing[0]}"', expected, mend))
        yield place, row


def _json(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(
                Fault("SC334", f"{path}:{number}", f"no JSON: {error}", "one object a line")
            ) from None
        if not isinstance(row, dict):
            raise ConfigError(Fault("SC330", f"{path}:{number}", "no object", "one object a line"))
        yield f"{path}:{number}", row


def _csv(text: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a text may be longer than 128 KiB
    reader = csv.DictReader(text.splitlines(keepends=True))
    for row in reader:
        yield f"{path}:{reader.line_num}", row


def _split(path: Path, options: Mapping[str, Any]) -> tuple[Rows, Rows]:
    """Texts with their labels, those to train on first."""
    parts: tuple[Rows, Rows] = ([], [])
    share = float(options[SHARE.name])
    for place, row in _rows(path, (options["text"], options["label"])):
        document = Document(place, str(row[options["text"]]).encode())
        own = str(row.get("split") or "")
        side = own != "train" if own else held_out(document, share)
        parts[side].append((document, str(row[options["label"]])))
    for part, name in zip(parts, ("training", "validation"), strict=True):
        if not part:
            raise ConfigError(
                Fault("SC330", str(path), f"no rows for {name}", "rows in both parts",
                      "more rows, or a larger validation_share in [data] options")
            )  # fmt: skip
    train = {document.text: document.name for document, _ in parts[0]}
    for document, _ in parts[1]:
        if document.text in train:
            raise ConfigError(
                Fault("SC332", document.name, f"its text is training data: {train[document.text]}",
                      "texts of validation that are not trained on", "remove one of the two")
            )  # fmt: skip
    return parts


def _classes(path: Path, train: Rows, validation: Rows) -> list[str]:
    """Names of the classes, each of which stands in both parts."""
    trained, checked = ({label for _, label in part} for part in (train, validation))
    odd = sorted(trained ^ checked)
    if odd:
        part = "validation" if odd[0] in trained else "training"
        raise ConfigError(
            Fault("SC333", str(path), f'label "{odd[0]}" has no text for {part}',
                  "texts of every class in both parts", "a larger validation_share, or no label")
        )  # fmt: skip
    if len(trained) < 2:
        raise ConfigError(Fault("SC333", str(path), "one label", "two classes or more"))
    return sorted(trained)


def _arrays(part: Rows, classes: Sequence[str], length: int, tokenizer: Tokenizer | None) -> Arrays:
    texts = [(document.name, document.text) for document, _ in part]
    kind: np.dtype[Any]
    if tokenizer is None:
        ids: list[Any] = [np.frombuffer(text[:length], dtype=np.uint8) for _, text in texts]
        pad, kind = PAD, np.dtype(np.uint8)
    else:
        ids, pad = list(tokenizer.ids(texts)), tokenizer.pad or 0
        kind = np.dtype(np.uint16 if tokenizer.vocabulary <= 2**16 else np.uint32)
    tokens: NDArray[Any] = np.full((len(part), length), pad, dtype=kind)
    for row, own in zip(tokens, ids, strict=True):
        row[: len(own)] = own[:length]
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[label] for _, label in part], dtype=np.int64)
    return {"tokens": tokens, "labels": labels}


LABELLED = Labelled()
