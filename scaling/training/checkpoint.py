"""Checkpoints: whole or not at all, checked by hash, the latest two kept."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, cast

import torch

from scaling.runs.files import write_atomic, write_atomic_by
from scaling.runs.records import checkpoints_in

KEPT = 2
MOMENTS = ("exp_avg", "exp_avg_sq")


class Checkpoints:
    """Checkpoints of one run in a folder.

    Parameters
    ----------
    folder : Path
    pinned : collection of int
        Steps whose checkpoints stay beside the latest two.
    """

    def __init__(self, folder: Path, pinned: Collection[int] = ()) -> None:
        self.folder, self.pinned = folder, frozenset(pinned)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint of `step`, its hash last, and remove those that are too old.

        Raises
        ------
        OutputError
            SC003 if it cannot be written; older ones stay.
        """
        path = self.folder / f"checkpoint-{step:010d}.pt"
        write_atomic(path.with_suffix(".sha256"), save_to(path, state))
        self.tidy(step)

    def tidy(self, step: int) -> None:
        """Remove checkpoints older than the latest two, and those of steps beyond `step`.

        Pinned ones stay, before and behind it.
        """
        kept = 0
        for old in checkpoints_in(self.folder):
            number = step_of(old)
            whole = old.is_dir() or old.with_suffix(".sha256").exists()
            if whole and number in self.pinned:
                continue
            if whole and number <= step and kept < KEPT:
                kept += 1
                continue
            _remove(old)  # too old, or of a later step that a broken attempt left

    def steps(self) -> Iterator[int]:
        """Steps of the checkpoints whose hash is right, newest first."""
        for path in checkpoints_in(self.folder):
            if path.is_dir():  # it got its name when all of it was written
                yield step_of(path)
                continue
            try:
                expected = path.with_suffix(".sha256").read_text().strip()
                with path.open("rb") as handle:
                    found = hashlib.file_digest(handle, "sha256").hexdigest()
            except OSError:
                continue
            if found == expected:
                yield step_of(path)

    def newest(self, at_most: int | None = None) -> int | None:
        """Step of the newest checkpoint whose hash is right, or None."""
        return next((step for step in self.steps() if at_most is None or step <= at_most), None)

    def latest(self, device: torch.device) -> dict[str, Any] | None:
        """Read the newest checkpoint whose hash is right, or None."""
        step = self.newest()
        return None if step is None else self.load(step, device)

    def load(self, step: int, device: torch.device) -> dict[str, Any]:
        """Read the checkpoint of a step, whole."""
        if self.sharded(step):
            from scaling.training.sharded import read_whole  # it loads much of torch.distributed

            return read_whole(self.sharded_path(step), device)
        path = self.folder / f"checkpoint-{step:010d}.pt"
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        return state

    # ----------------------------------------------------------------------------------- sharded

    def sharded_path(self, step: int) -> Path:
        """Folder of the checkpoint that several processes write for a step."""
        return self.folder / f"checkpoint-{step:010d}.dcp"

    def sharded(self, step: int) -> bool:
        """Whether several processes wrote the checkpoint of a step, each its part."""
        return self.sharded_path(step).is_dir()

    # ---------------------------------------------------------------------------------- removing

    def remove(self) -> None:
        """Remove every checkpoint."""
        for path in checkpoints_in(self.folder):
            _remove(path)

    def newest_only(self) -> None:
        """Remove all but the newest, which somebody wants to keep."""
        for path in checkpoints_in(self.folder)[1:]:
            _remove(path)


def step_of(path: Path) -> int:
    """Step of a checkpoint file."""
    return int(path.stem.rpartition("-")[2])


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    path.with_suffix(".sha256").unlink(missing_ok=True)


def save_to(path: Path, state: dict[str, Any]) -> str:
    """Write a state by torch, whole or not at all; return its hash.

    Raises
    ------
    OutputError
        SC003.
    """
    digest = hashlib.sha256()
    write_atomic_by(path, lambda handle: _write(state, _Hashing(handle, digest)))
    return digest.hexdigest()


def _write(state: dict[str, Any], target: _Hashing) -> None:
    """Write a state; of a full disk torch makes a `RuntimeError` that does not speak of it."""
    try:
        torch.save(state, cast(IO[bytes], target))
    except RuntimeError:
        if target.failure is None:
            raise
        raise target.failure from None


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is written, so that nothing is held twice in memory."""

    def __init__(self, handle: IO[bytes], digest: Any) -> None:
        super().__init__()
        self.handle, self.digest = handle, digest
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        self.digest.update(data)
        try:
            return self.handle.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self.handle.flush()
