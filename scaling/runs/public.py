"""Public runs by name: downloaded from their origin, checked, filtered and kept in a cache.

A table is looked for in the folder that SCALING_DATA_DIR names, then in the cache, and only then
is its original fetched; each is taken by checksum alone. Originals are pinned by commit and sha256,
and what fails its checksum is not kept.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from scaling.errors import ConfigError, Fault, OutputError, TableError, clip, listed
from scaling.runs.files import write_atomic
from scaling.runs.public_sets import PICKLE, SETS, DataSet, Original, Table

__all__ = ["PICKLE", "DataSet", "at_hand", "cache_folder", "fetch_set", "find_table", "get_set",
           "list_sets", "state"]  # fmt: skip

ORIGIN = "https://raw.githubusercontent.com"
TIMEOUT, ATTEMPTS, PAUSE = 30.0, 2, 1.0  # seconds, downloads of a file, seconds between them


def list_sets() -> tuple[DataSet, ...]:
    """Return the data sets that can be named."""
    return SETS


def get_set(name: str) -> DataSet:
    """Return the data set called `name`.

    Raises
    ------
    ConfigError
        SC004 with the nearest names.
    """
    known = {found.name: found for found in list_sets()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
    mend = f"did you mean {near[0]}?" if near else "scaling data list describes them"
    raise ConfigError(
        Fault("SC004", "NAME", f'no data set called "{clip(name)}"', listed(near or known), mend)
    )


def cache_folder(cache: Path | None = None) -> Path:
    """Return the folder of downloads: `cache`, else SCALING_CACHE_DIR, else the user's cache."""
    import pooch

    chosen = cache or os.environ.get("SCALING_CACHE_DIR") or pooch.os_cache("scaling-study")
    return Path(chosen).expanduser().absolute()


def find_table(found: DataSet, table: Table, cache: Path | None = None) -> Path | None:
    """Return where `table` lies with the right checksum, without a network; None if nowhere."""
    places = [cache_folder(cache) / found.name / table.name]
    if (own := _own_copy(found, table)) is not None:
        places.insert(0, own)
    return next((path for path in places if _digest(path) == table.sha256), None)


def at_hand(name: str, file: str) -> Path:
    """Return where a table of a data set lies; nothing is downloaded.

    Raises
    ------
    ConfigError
        SC004: no such data set or table. SC005: it is not at hand.
    """
    found = get_set(name)
    table = next((table for table in found.files if table.name == file), None)
    if table is None:
        known = listed([table.name for table in found.files])
        raise ConfigError(Fault("SC004", name, f'no table called "{clip(file)}"', known))
    path = find_table(found, table)
    if path is None:
        expected = f"{name}/{file} of sha256 {table.sha256[:12]}… in the cache or SCALING_DATA_DIR"
        mend = f"scaling data fetch {name}" if found.offered else "set SCALING_DATA_DIR"
        raise ConfigError(Fault("SC005", f"{name}/{file}", "is not at hand", expected, mend))
    return path


def state(found: DataSet, cache: Path | None = None) -> str:
    """Say in a few words where the tables of a data set are."""
    paths = [find_table(found, table, cache) for table in found.files]
    if all(paths):
        here = cache_folder(cache)
        return "cached" if all(p and here in p.parents for p in paths) else "in SCALING_DATA_DIR"
    return "not fetched" if found.offered else PICKLE


def fetch_set(name: str, cache: Path | None = None, base_url: str | None = None) -> list[Path]:
    """Return the tables of a data set, downloaded where they are not at hand.

    Parameters
    ----------
    name : str
        One of the names of `list_sets`.
    cache : Path, optional
        Folder of downloads; see `cache_folder`.
    base_url : str, optional
        Mirror of raw.githubusercontent.com; SCALING_DATA_URL by default.

    Returns
    -------
    list of Path
        The files, in the order of the data set; the first is the one to fit.

    Raises
    ------
    ConfigError
        SC004: no such data set, or no web address.
    TableError
        SC130: a checksum differs. SC131: a download failed. SC132: not offered for download.
    OutputError
        SC003: the cache cannot be written.
    """
    found = get_set(name)
    base = _base_address(base_url)
    folder = cache_folder(cache) / found.name
    return [
        find_table(found, table, cache) or _make(found, table, folder, base)
        for table in found.files
    ]


def _base_address(base_url: str | None) -> str:
    address = base_url or os.environ.get("SCALING_DATA_URL") or ORIGIN
    if not address.startswith(("https://", "http://")):
        raise ConfigError(
            Fault("SC004", "SCALING_DATA_URL", f'"{clip(address)}"', "an https:// address")
        )
    return address.rstrip("/")


def _own_copy(found: DataSet, table: Table) -> Path | None:
    """Return where SCALING_DATA_DIR would have a table."""
    root = os.environ.get("SCALING_DATA_DIR")
    return Path(root).expanduser().absolute() / found.name / table.name if root else None


def _digest(path: Path) -> str | None:
    """Return the sha256 of a file, None where there is none to read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


# ------------------------------------------------------- from originals to a table


def _make(found: DataSet, table: Table, folder: Path, base: str) -> Path:
    """Fetch the originals of a table and filter them into the cache."""
    if not table.originals:
        raise _not_offered(found, table)
    where = f"{found.name}/{table.name}"
    address = f"{base}/{found.repo}/{found.commit}"
    target = folder / table.name
    if table.make is None:  # the table is its original
        _retrieve(address, table.originals[0], target, where)
        return target
    contents: dict[str, bytes] = {}
    for original in table.originals:
        place = folder / "original" / original.path
        _retrieve(address, original, place, where)
        contents[original.path] = place.read_bytes()
    made = table.make(contents)
    digest = hashlib.sha256(made).hexdigest()
    if digest != table.sha256:
        raise TableError(
            Fault(
                "SC130",
                str(target),
                f"the filter gave a table of sha256 {digest}",
                table.sha256,
                "please report it; nothing was kept",
            )
        )
    write_atomic(target, made)
    return target


def _not_offered(found: DataSet, table: Table) -> TableError:
    """Explain why a table cannot be had, or what is wrong with the copy at hand."""
    own = _own_copy(found, table)
    if own is not None and (digest := _digest(own)) is not None:
        return TableError(
            Fault("SC130", str(own), f"sha256 {digest}", table.sha256, "put back the right table")
        )
    return TableError(
        Fault(
            "SC132",
            found.name,
            f"{found.repo} has these numbers as pickles alone, which run code when they are read",
            f"{found.name}/{table.name} of sha256 {table.sha256} in SCALING_DATA_DIR",
            "set SCALING_DATA_DIR; or read the pickles yourself where that is safe, and give "
            "scaling fit a CSV of them",
        )
    )


# ------------------------------------------------------- downloads


def _retrieve(address: str, original: Original, target: Path, table: str) -> None:
    """Download an original to `target` unless it is there with the right checksum.

    pooch writes to a temporary file beside the target and moves it only if the checksum is right.
    """
    import pooch

    url = f"{address}/{quote(original.path, safe='/=')}"
    # Not streamed: a connection that fails is then closed at once, and no file is large.
    http = pooch.HTTPDownloader(chunk_size=2**16, timeout=TIMEOUT, stream=False)
    digests: list[str] = []

    def download(
        url: str, file: str, mirror: object, *, check_only: bool | None = False
    ) -> bool | None:
        done: bool | None = http(url, file, mirror, check_only=bool(check_only))
        digests.append(_digest(Path(file)) or "unreadable")
        return done

    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _quiet():
                pooch.retrieve(
                    url,
                    f"sha256:{original.sha256}",
                    fname=target.name,
                    path=target.parent,
                    downloader=download,
                )
            return
        except OSError as error:
            if not hasattr(error, "request"):  # not of the network
                raise _unwritable(target, error) from error
            status = getattr(getattr(error, "response", None), "status_code", 0)
            problem = _failed(url, target, table, error)
            if 400 <= status < 500 or attempt == ATTEMPTS:
                raise problem from error
        except ValueError as error:
            if not digests:  # an address that cannot be asked
                raise _failed(url, target, table, error) from error
            if attempt == ATTEMPTS:
                raise _altered(url, digests[-1], original) from error
        time.sleep(PAUSE)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep pooch's news off the terminal, and leave its logger as it was."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _altered(url: str, digest: str, original: Original) -> TableError:
    return TableError(
        Fault(
            "SC130",
            url,
            f"sha256 {digest}",
            original.sha256,
            "the origin changed or the download was altered on its way; nothing was kept",
        )
    )


def _failed(url: str, target: Path, table: str, error: Exception) -> TableError:
    return TableError(
        Fault(
            "SC131",
            url,
            f"not downloaded: {_what_happened(url, error)}",
            mend=f"try again; or get it by other means and save it as {target}, or its table as "
            f"SCALING_DATA_DIR/{table}",
        )
    )


def _unwritable(target: Path, error: OSError) -> OutputError:
    return OutputError(
        Fault(
            "SC003",
            str(target),
            f"cannot be written: {clip(error.strerror or str(error))}",
            mend="--cache or SCALING_CACHE_DIR names another folder for downloads",
        )
    )


def _what_happened(url: str, error: Exception) -> str:
    """Say a network error in words; its classes are those of requests."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    host = url.split("/")[2]
    response = getattr(error, "response", None)
    if response is not None:
        status = int(response.status_code)
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        return f"{host} answered HTTP {status} {phrase}".rstrip()
    if "Timeout" in kinds or "timed out" in str(error):
        return f"no answer from {host} within {TIMEOUT:g} s"
    if kinds & {"ChunkedEncodingError", "ContentDecodingError"}:
        return f"the connection to {host} was cut before the end"
    if "SSLError" in kinds:
        return f"the certificate of {host} was not accepted"
    if "ProxyError" in kinds:
        return f"the proxy did not let {host} through"
    if "ConnectionError" in kinds:
        return f"no connection to {host}"
    return f"{type(error).__name__}: {clip(str(error))}"
