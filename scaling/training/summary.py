"""How a run of the driver ended, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import Message, clip, counted
from scaling.runs.records import read_record


@dataclass(frozen=True)
class Summary:
    """How a run of the driver ended.

    Attributes
    ----------
    counts : mapping
        Records by status.
    seconds : float
        Wall time.
    trained : int
        Points that this run finished.
    messages : tuple of Message
    stopped : str or None
        ``deadline``, ``cancel``, ``scancel`` or the name of a signal, if points are left for it.
    C, C_spent : float
        Compute of the points that this run brought to a loss, each on its own, and what was
        spent on them: less where a trunk was trained once [FLOP].
    """

    counts: dict[str, int]
    seconds: float
    trained: int
    messages: tuple[Message, ...]
    stopped: str | None = None
    C: float = 0.0
    C_spent: float = 0.0


def messages_of(
    counts: dict[str, int],
    ended: str | None,
    left: int,
    new: Sequence[tuple[dict[str, Any], dict[str, Any]]],
) -> list[Message]:
    """Say what is to be said of points that diverged, failed or were left."""
    found = []
    if counts["diverged"]:
        text = f"{counted(counts['diverged'], 'point')} diverged; kept as rows"
        text += _example(new, ("diverged",))
        mend = "a lower rate; --retry diverged runs them again"
        found.append(Message("SC303", text, mend=mend))
    lost = counts["failed"] + counts["too-big"]
    if lost:
        text = f"{counted(lost, 'point')} failed; kept as rows"
        text += _example(new, ("failed", "too-big"))
        found.append(
            Message(
                "SC302",
                text,
                "error",
                mend="scaling sweep logs OUT POINT tells more; --retry failed runs them again",
            )
        )
    if ended is not None and left:
        text = f"Stopped by {ended} with {counted(left, 'point')} left; those that ran kept "
        text += "checkpoints. The same command goes on."
        found.append(Message("SC313", text))
    return found


def _example(new: Sequence[tuple[dict[str, Any], dict[str, Any]]], statuses: Sequence[str]) -> str:
    """Say the cause of the first such point of this run."""
    for point, record in new:
        if record["status"] in statuses:
            return f", such as {point['id']}: {clip(headline(record['cause']), 120)}."
    return "."


def headline(cause: str) -> str:
    """What a cause says first: of a traceback, the line of the exception itself."""
    lines = str(cause).strip().splitlines() or [""]
    last = max((i for i, line in enumerate(lines) if line.startswith("  ")), default=-1)
    return lines[min(last + 1, len(lines) - 1)] if lines[0].startswith("Traceback") else lines[-1]


def left_at_work(out: Path, busy: Collection[str]) -> list[Message]:
    """Say that points go on without the driver."""
    left = [name for name in busy if read_record(out, name) is None]
    if not left:
        return []
    text = (
        f"{counted(len(left), 'point')} of this sweep stay with Slurm; this command follows them."
    )
    return [Message("SC313", text, "info", mend=f"scaling sweep cancel {out} ends them")]
