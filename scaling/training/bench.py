"""What a step costs on this machine: the calibration that plans read.

Shapes are measured as a sweep would run them: in processes of their own, as many at once as the
sweep has workers, since memory bandwidth and clock depend on what the neighbours do.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from scaling.errors import ConfigError, Fault, MissingExtraError, TrainingError
from scaling.runs.files import canonical_json
from scaling.training.bench_worker import quantile
from scaling.training.engines.local import usable_cores

SCHEMA = "scaling/calibration@3"
ROUNDS = 3  # each shape is measured at several times, so that a passing load spoils but one
Listener = Callable[[str, Mapping[str, Any] | None, int, int], None]


def shape_key(point: Mapping[str, Any]) -> str:
    """Key of a point's shape in a calibration file."""
    names = ("family", "sequences", "shape")
    return canonical_json({name: point[name] for name in names})


def distinct(points: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the first point of each shape, by `shape_key`, in order of FLOP a step."""
    found: dict[str, Mapping[str, Any]] = {}
    for point in points:
        found.setdefault(shape_key(point), point)
    return dict(sorted(found.items(), key=lambda item: (_flops(item[1]), item[0])))


def select(
    shapes: Mapping[str, Mapping[str, Any]], most: int, known: Iterable[str] = ()
) -> list[str]:
    """Choose shapes to measure, spread over ln FLOP a step in each family.

    Parameters
    ----------
    shapes : mapping
        From `distinct`.
    most : int
        Shapes to measure in all, those that are known included.
    known : iterable of str
        Keys that were measured before.

    Returns
    -------
    list of str
        Keys to measure: first the ends of each family, then always the shape that lies farthest
        from those chosen.
    """
    done = sorted(set(known) & set(shapes))
    # rounded, and ties to the smaller: the last bit of a logarithm decides nothing
    place = {key: round(math.log(_flops(point)), 9) for key, point in shapes.items()}
    left = sorted(set(shapes) - set(done), key=lambda key: (place[key], key))
    if len(done) + len(left) <= most:
        return left
    chosen = {key: place[key] for key in done}
    gaps = {key: _gap(key, shapes, place, chosen) for key in left}
    found: list[str] = []
    while gaps and len(done) + len(found) < most:
        best = max(gaps, key=lambda key: round(gaps[key], 8))
        found.append(best)
        chosen[best] = place[best]
        del gaps[best]
        family = shapes[best]["family"]
        for key in gaps:
            if shapes[key]["family"] == family:
                gaps[key] = _gap(key, shapes, place, {best: place[best]}, gaps[key])
    return sorted(found, key=lambda key: (place[key], key))


def _gap(
    key: str,
    shapes: Mapping[str, Mapping[str, Any]],
    place: Mapping[str, float],
    chosen: Mapping[str, float],
    limit: float = math.inf,
) -> float:
    """Distance of a shape from the nearest chosen one of its family."""
    family = shapes[key]["family"]
    near = (abs(place[key] - x) for k, x in chosen.items() if shapes[k]["family"] == family)
    return min(limit, min(near, default=math.inf))


def _flops(point: Mapping[str, Any]) -> float:
    """FLOP of a training step."""
    return float(point["C"]) / float(point["steps"])


def measure(
    points: Iterable[Mapping[str, Any]],
    device: str = "auto",
    seconds: float = 1.0,
    *,
    workers: int | None = None,
    shapes: int | None = None,
    known: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Time the training step and the evaluation of the shapes of a plan.

    Parameters
    ----------
    points : iterable of mapping
        Points of a plan.
    device : {"auto", "cpu", "cuda"}
    seconds : float
        Time to spend on the steps of each shape [s].
    workers : int, optional
        Processes that measure at once; as many as a sweep would have if None.
    shapes : int, optional
        Shapes to measure at most, spread over their FLOP; all if None.
    known : mapping, optional
        A calibration made before under the same conditions, to which shapes are added.
    listener : callable, optional
        Called with (shape key, its entry or None if it did not fit, shapes measured, of how many).
    folder : Path, optional
        Folder that holds the code of the user's own tasks, as a sweep folder does.

    Returns
    -------
    dict
        The calibration: ``schema``, conditions (device, kind, torch, threads, workers),
        ``start_seconds`` of a process, ``record_seconds`` of a point, ``peak_flops`` of the device
        and ``peak_source``, ``shapes``. A file keeps the peak that it has, so that its MFUs can be
        compared.

    Raises
    ------
    MissingExtraError
        SC001 if torch is not installed.
    TrainingError
        SC306 if the device is not there, SC302 if a process dies.
    ConfigError
        SC226 if `known` was made under other conditions.
    """
    if find_spec("torch") is None:
        raise MissingExtraError.of("torch", "train", "train and measure")
    found = distinct(points)
    old = dict(known["shapes"]) if known is not None else {}
    wanted = select(found, len(found) if shapes is None else shapes, old)
    count = workers or (1 if device == "cuda" else usable_cores())
    if known is not None:
        _same_conditions(known, {"workers": count})
        if not wanted:
            return dict(known)
    crew = _Crew(device, count, folder)
    try:
        crew.open()
        conditions = {**crew.about, "workers": count}
        if known is not None:
            _same_conditions(known, conditions)
        entries = crew.measure([(key, found[key]) for key in wanted], seconds, listener)
    finally:
        crew.close()
    new = {
        key: {"family": found[key]["family"], "flops": _flops(found[key]), **_entry(answers)}
        for key, answers in entries.items()
    }
    firsts = [answers[0] for answers in entries.values() if "first_seconds" in answers[0]]
    rated = _peak(known or {}, [a for answers in entries.values() for a in answers])
    every = {**old, **new}
    return {
        "schema": SCHEMA,
        **conditions,
        "start_seconds": crew.start_seconds() + _median(firsts, "first_seconds"),
        "record_seconds": _median(firsts, "record_seconds"),
        **rated,
        "shapes": {
            key: _with_use(every[key], found.get(key), rated["peak_flops"]) for key in sorted(every)
        },
    }


def _peak(known: Mapping[str, Any], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Peak of the device and its source: as the file has it, else the processes' median."""
    if known.get("peak_flops") is not None or not answers:
        return {"peak_flops": known.get("peak_flops"), "peak_source": known.get("peak_source")}
    found = [answer["peak_flops"] for answer in answers]
    peak = None if None in found else quantile(found, 0.5)
    return {"peak_flops": peak, "peak_source": answers[0]["peak_source"]}


def _with_use(
    entry: Mapping[str, Any], point: Mapping[str, Any] | None, peak: float | None
) -> dict[str, Any]:
    """Add to an entry how much it gets out of the device: units a second, and MFU.

    An entry of version 2 that is of another study keeps its units a second unknown.
    """
    seconds, pace = entry["seconds_per_step"], entry.get("tokens_per_second")
    if point is not None:
        pace = _short(point["batch"] / seconds, 6)
    use = None if peak is None else _short(entry["flops"] / (seconds * peak), 4)
    return {**entry, "tokens_per_second": pace, "mfu": use}


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _entry(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entry of a shape in the file, from its rounds."""
    steps = [spent for answer in answers for spent in answer["steps"]]
    low, median, high = (quantile(steps, share) for share in (0.1, 0.5, 0.9))
    peaks = [a["memory_bytes"] for a in answers if a["memory_bytes"] is not None]
    once = ("evaluation_seconds", "setup_seconds", "compile_seconds")
    return {
        "seconds_per_step": median,
        "low": low,
        "high": high,
        **{name: _median(answers, name) for name in once},
        "memory_bytes": max(peaks, default=None),
    }


def _median(answers: Sequence[Mapping[str, Any]], name: str) -> float:
    values = [float(answer[name]) for answer in answers]
    return quantile(values, 0.5) if values else 0.0


def _same_conditions(known: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    other = [name for name in now if known.get(name) != now[name]]
    if other:
        found = ", ".join(f"{name} {known.get(name)}" for name in other)
        expected = ", ".join(f"{name} {now[name]}" for name in other)
        mend = "--force measures everything anew; another -o keeps both"
        raise ConfigError(Fault("SC226", "calibration", found, expected, mend))


class _Member:
    """A measuring process and the shape that it has."""

    def __init__(self, device: str, folder: Path | None) -> None:
        self.folder = None if folder is None else str(folder)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scaling.training.bench_worker", device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input: IO[bytes] = self.process.stdin
        self.output: IO[bytes] = self.process.stdout
        self.start = 0.0
        self.key: str | None = None

    def ask(self, key: str, point: Mapping[str, Any], seconds: float) -> None:
        self.key = key
        job = {"point": point, "seconds": seconds, "folder": self.folder}
        self.input.write(json.dumps(job).encode() + b"\n")
        self.input.flush()

    def answer(self) -> dict[str, Any]:
        line = self.output.readline()
        if not line:
            code = self.process.wait()
            found = f"a measuring process ended (exit {code})"
            where = "scaling bench" if self.key is None else self.key
            raise TrainingError(Fault("SC302", where, found, mend="see what it printed above"))
        found_: dict[str, Any] = json.loads(line)
        if found_["event"] == "error":
            raise TrainingError(
                Fault(found_["code"], "scaling bench", found_["text"], mend="--device cpu")
            )
        return found_


class _Crew:
    """Processes that measure at once and work until the last of them is done."""

    def __init__(self, device: str, count: int, folder: Path | None) -> None:
        self.device, self.count, self.folder = device, count, folder
        self.members: list[_Member] = []
        self.about: dict[str, Any] = {}

    def open(self) -> None:
        """Start all processes and wait until they are ready."""
        self.members = [_Member(self.device, self.folder) for _ in range(self.count)]
        with selectors.DefaultSelector() as selector:
            for member in self.members:
                selector.register(member.output, selectors.EVENT_READ, member)
            waiting = len(self.members)
            while waiting:
                for key, _ in selector.select():
                    member = key.data
                    about = member.answer()
                    member.start = time.perf_counter() - member.began
                    selector.unregister(member.output)
                    waiting -= 1
                    self.about = {k: v for k, v in about.items() if k != "event"}

    def measure(
        self,
        jobs: Sequence[tuple[str, Mapping[str, Any]]],
        seconds: float,
        listener: Listener | None,
    ) -> dict[str, list[dict[str, Any]]]:
        """Measure every job in several rounds; return its answers, none if it did not fit.

        A process without a job keeps the machine as busy as a sweep would. There may be fewer jobs
        than processes: the others then measure the same ones, and what they find is left out.
        """
        costly_first = list(jobs[::-1])  # so that all end at about the same time
        queue = deque(costly_first * ROUNDS)
        entries: dict[str, list[dict[str, Any]]] = {key: [] for key, _ in jobs}
        left = dict.fromkeys(entries, ROUNDS)
        with selectors.DefaultSelector() as selector:
            for number, member in enumerate(self.members):
                selector.register(member.output, selectors.EVENT_READ, member)
                if queue:
                    member.ask(*queue.popleft(), seconds / ROUNDS)
                elif jobs:
                    member.ask(*jobs[number % len(jobs)], seconds / ROUNDS)
                    member.key = None
            while any(left.values()):
                for event, _ in selector.select():
                    member = event.data
                    answer = member.answer()
                    if member.key is None:
                        continue
                    left[member.key] -= 1
                    if answer["event"] == "measured":
                        entries[member.key].append(answer)
                    if listener is not None and not left[member.key]:
                        settled = sum(not n for n in left.values())
                        found = entries[member.key]
                        listener(member.key, _entry(found) if found else None, settled, len(jobs))
                    member.key = None
                    if queue:
                        member.ask(*queue.popleft(), seconds / ROUNDS)
        return {key: answers for key, answers in entries.items() if answers}

    def start_seconds(self) -> float:
        """Median seconds from starting a process until it is ready."""
        return quantile([member.start for member in self.members], 0.5)

    def close(self) -> None:
        """End the processes."""
        for member in self.members:
            for pipe in (member.input, member.output):
                try:
                    pipe.close()
                except OSError:
                    continue
        for member in self.members:
            try:
                member.process.wait(10.0)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
