"""Text columns of Hugging Face data sets on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling.errors import ConfigError, Fault, MissingExtraError, clip, listed
from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.documents import OPTIONS, made, split
from scaling.runs.sources.overlap import Document

KINDS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv", ".txt": "text"}
SPLITS = ("validation", "test")  # held out where a data set has them, the first that it has


class HuggingFace:
    """A column of a data set: saved to disk, in one file, or by its name on the hub.

    Only a study that names ``dataset`` can cause a download.
    """

    name = "huggingface"
    kind = "tokens"
    options = (
        Option("path", "text", "", "folder of save_to_disk, or a .parquet, .jsonl or .csv file"),
        Option("dataset", "text", "", "name on the hub, which is downloaded; only without a path"),
        Option("config", "text", "", "configuration of a data set of the hub"),
        Option("revision", "text", "", "commit of a data set of the hub"),
        Option("column", "text", "text", "the column that holds the text"),
        *OPTIONS,
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Read the column, split it and make tokens of it."""
        if (where is None) == (not options["dataset"]):
            raise ConfigError(
                Fault("SC012", "[data] options", "a path and a dataset, or neither",
                      "the path of data on disk, or the name of a dataset")
            )  # fmt: skip
        found = _read(options, where)
        place = where or Path(str(options["dataset"]))
        column = str(options["column"])
        train = _documents(found["train"], column, "train", place)
        held = next((name for name in SPLITS if name in found), None)
        if held is None:
            parts = split(train, float(options["validation_share"]))
        else:
            validation = _documents(found[held], column, held, place)
            parts = (tuple(train), tuple(validation))
        return made(parts, options, place, f"column {column} of {place.name}")


def _read(options: Mapping[str, Any], where: Path | None) -> Mapping[str, Any]:
    """Data sets by the name of their split; ``train`` is among them."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingExtraError.of("datasets", "hf", "read data sets of Hugging Face") from None
    name = str(where or options["dataset"])
    if where is not None and not where.exists():
        expected = "a folder of save_to_disk, or a file"
        raise ConfigError(Fault("SC330", name, "is not there", expected, "[data] options path"))
    if where is not None and where.is_file() and where.suffix not in KINDS:
        raise ConfigError(Fault("SC330", name, f'a file "{where.suffix}"', listed(KINDS)))
    try:
        if where is None:
            found = datasets.load_dataset(
                name, options["config"] or None, revision=options["revision"] or None
            )
        elif where.is_dir():
            found = datasets.load_from_disk(name)
        else:  # kept in memory: a cache elsewhere would outlive a change of the file
            found = getattr(datasets.Dataset, f"from_{KINDS[where.suffix]}")(
                name, keep_in_memory=True
            )
    except Exception as error:  # noqa: BLE001 - the library raises errors of its readers
        said = f"cannot be read: {type(error).__name__}: {clip(str(error), 100)}"
        raise ConfigError(Fault("SC330", name, said, "a data set of Hugging Face")) from None
    if isinstance(found, datasets.DatasetDict):
        if "train" not in found:
            said = f"splits {', '.join(found)}"
            raise ConfigError(Fault("SC330", name, said, "one called train"))
        return dict(found)
    return {"train": found}


def _documents(rows: Any, column: str, part: str, place: Path) -> Iterator[Document]:
    if column not in rows.column_names:
        mend = "[data] options column"
        expected = listed(rows.column_names)
        raise ConfigError(Fault("SC330", str(place), f'no column "{column}"', expected, mend))
    for number, row in enumerate(rows.select_columns([column])):
        text = row[column]
        if not isinstance(text, str):
            where = f"{place} {part} row {number + 1}"
            raise ConfigError(Fault("SC330", where, f"{type(text).__name__} in {column}", "text"))
        yield Document(f"{place.name} {part} row {number + 1}", text.encode())


HUGGINGFACE = HuggingFace()
