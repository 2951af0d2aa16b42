"""The Slurm engine: job arrays by submitit, which go on when this process does not.

What an array was given stands in ``OUT/slurm/NAME.json`` before it is submitted under that name, so
that whoever comes later finds out from Slurm which points are at work.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import Fault, Message, MissingExtraError, TrainingError, counted
from scaling.runs.files import write_atomic
from scaling.runs.records import read_record
from scaling.training.engines.attempts import Attempts, End
from scaling.training.engines.base import Event, Job, news_of
from scaling.training.engines.journal import Progress, Tail
from scaling.training.engines.machines import Machines
from scaling.training.engines.slurm_commands import (
    ENDED,
    HELD,
    NEVER,
    Element,
    ask,
    cancel,
    checks,
    directives,
    living,
    manifest,
    never,
    own_number,
    refused,
    signal_seconds,
    states,
    stillborn,
    wanted,
)
from scaling.training.engines.task import perform, versions_here

PLACES = 32  # elements that run at once, where nobody says
AT_ONCE = 256  # of an array
SETTLE_SECONDS = 15.0  # until Slurm shows what it was given
STILLBORN = 3  # elements in a row that ended without a word
SILENT_SECONDS = 900.0  # without an answer of Slurm
NOT_OURS = {"BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "REVOKED"}  # ends that no point brings about


class SlurmEngine:
    """Runs jobs as elements of job arrays.

    Parameters
    ----------
    out : Path
        Sweep folder, at the same path on every node.
    workers : int or None
        Elements of an array that run at once at most.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`, and under ``slurm`` those of this engine.
    trunks : mapping
        Trunk of each point, by id.
    """

    def __init__(
        self,
        out: Path,
        workers: int | None,
        device: str,
        setup: Mapping[str, Any],
        trunks: Mapping[str, str],
    ) -> None:
        self.out, self.workers, self.device = out.resolve(), workers, device
        self.setup, self.trunks = dict(setup), trunks
        self.slurm: Mapping[str, Any] = setup.get("slurm") or {}
        self.attempts, self.machines = Attempts(self.out, trunks), Machines(self.out)
        self.queue: deque[Job] = deque()
        self.elements: dict[tuple[str, int], Element] = {}
        self.places, self.packs = workers or PLACES, True
        self.on_gpu = device == "cuda" or bool(self.slurm.get("gres"))
        self.names: set[str] = set()  # of arrays, from before Slurm has them
        self.quiet = 0  # elements in a row that ended without a word
        self.looked = self.answered = self.retried = 0.0
        self.unfit: set[str] = set()  # those whose machine was given up
        self.messages: list[Message] = []  # not told yet
        self.notes: list[str] = []
        self.waits = ""  # what was told last of jobs that all wait

    # ------------------------------------------------------------------------------------ before

    def open(self) -> Collection[str]:
        """Make sure that Slurm takes such jobs; find those of this sweep that are at work.

        Raises
        ------
        MissingExtraError
            SC001.
        TrainingError
            SC316 if Slurm does not answer, SC317 if it would not take the jobs, SC314 if a node
            that is free cannot see the sweep.
        """
        for check in checks(self.setup, self.out, self.on_gpu):
            if check.code == "SC001":
                raise MissingExtraError(check.fault())
            if not check.ok:
                raise TrainingError(check.fault())
        self.tail, self.progress = Tail(self.out, "slurm-"), Progress(self.out)
        self.elements = living(self.out)
        self._part_with_strangers()
        self.names = {name for name, _ in self.elements}
        self.answered = time.monotonic()
        return self._at_work()

    def _part_with_strangers(self) -> None:
        """Take from Slurm what it has of a plan that was replaced."""
        every = self.elements.items()
        strange = {k: e for k, e in every if not self.trunks.keys() >= set(e.job.points)}
        for key, element in strange.items():
            ask("scancel", element.number)
            del self.elements[key]
        if strange:
            text = f"{counted(len(strange), 'job')} of a plan that this one has replaced "
            text += "were taken from Slurm."
            self.messages.append(Message("SC304", text))

    def _at_work(self) -> list[str]:
        return [name for element in self.elements.values() for name in element.job.points]

    # ------------------------------------------------------------------------------------ during

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs, and submit them."""
        self.queue.extend(jobs)
        self._submit()

    def _submit(self) -> None:
        """Submit what is queued: an array for each number of devices and as long as Slurm takes."""
        size = self._array_size() if self.queue else 0
        while self.queue:
            devices = self.queue[0].devices
            alike = [job for job in self.queue if job.devices == devices][:size]
            self._array(alike, devices)
            self.queue = deque(job for job in self.queue if job not in alike)

    def _submit_again(self) -> None:
        """Submit what was lost; Slurm may be out of reach, or take no more, for a while."""
        now = time.monotonic()
        if now - self.retried < float(self.slurm.get("poll_seconds", 10.0)):
            return
        try:
            self._submit()
            self.answered = now
        except TrainingError as error:
            self.retried = now
            if not self.elements and now - self.answered > SILENT_SECONDS:
                raise
            fault = error.faults[0]
            text = f"{counted(len(self.queue), 'job')} could not be submitted again yet: "
            self.messages.append(Message(fault.code, text + fault.found + ".", "info"))

    def _array_size(self) -> int:
        found = ask("scontrol", "show", "config")
        for line in (found or "").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "MaxArraySize" and value.strip().isdigit():
                return max(1, int(value) - 1)
        return 1000

    def _array(self, jobs: Sequence[Job], devices: int) -> None:
        import submitit

        name = f"scaling-{secrets.token_hex(4)}"
        setup = {k: v for k, v in self.setup.items() if k not in ("ray", "slurm")}
        kept = {
            "device": self.device, "setup": setup, "versions": versions_here(),
            "devices": devices, "orders": [self.attempts.begin(job) for job in jobs],
        }  # fmt: skip
        write_atomic(manifest(self.out, name), json.dumps(kept) + "\n")
        self.names.add(name)
        executor = submitit.SlurmExecutor(self.out / "slurm", max_num_timeout=1 << 30)
        executor.update_parameters(**self._parameters(name, devices))
        try:
            with _deaf_to_the_terminal(), executor.batch():
                given = [executor.submit(Work(str(self.out), name, i)) for i in range(len(jobs))]
        except submitit.core.utils.FailedJobError as error:
            if taken := {k: e for k, e in living(self.out).items() if k[0] == name}:
                self.elements |= taken  # it was, although the answer was lost
                return
            raise TrainingError(refused(str(error))) from error
        for index, (job, known) in enumerate(zip(jobs, given, strict=True)):
            self.elements[(name, index)] = Element(job, number=known.job_id)
        array = given[0].job_id.partition("_")[0]
        self.notes.append(f"{counted(len(jobs), 'job')} given to Slurm as {array}")

    def _parameters(self, name: str, devices: int) -> dict[str, Any]:
        """What submitit is told: names and signals; the rest goes to Slurm as it is."""
        flags = directives(self.slurm, self.on_gpu, devices)
        flags |= {"exclude": self._excluded()} if self._excluded() else {}
        return {
            "job_name": name,
            "time": flags.pop("time"),
            "setup": list(self.slurm.get("setup") or []) or None,
            "signal_delay_s": signal_seconds(self.slurm),
            "array_parallelism": self.workers or AT_ONCE,
            "wckey": None,
            "additional_parameters": flags,
        }

    def poll(self, timeout: float) -> list[Event]:
        """Follow the elements to their ends; submit again what was lost."""
        events = [e for e in self.tail.events() if self._take(e)]
        running = [e for e in self.elements.values() if e.state in ("RUNNING", "COMPLETING", "")]
        told = self.attempts.told
        events += self.progress.events([n for e in running for n in e.job.points if n not in told])
        for key, element in list(self.elements.items()):
            if all(name in told for name in element.job.points):  # before Slurm has noticed
                events += self._ended(key, "COMPLETED")
        pause = float(self.slurm.get("poll_seconds", 10.0))
        if self.elements and time.monotonic() - self.looked >= pause:
            events += self._look()
        if self.queue:
            self._submit_again()
        events += news_of(self.messages, self.notes)
        if not events:
            time.sleep(timeout)
        return [e for e in events if e["event"] not in ("finished", "error")]

    def _take(self, event: Event) -> bool:
        """Follow an event of a journal; return whether it is news."""
        if event["event"] == "error":
            self._avoid(event["process"].removeprefix("slurm-"), event)
        if event["event"] == "done":
            self.progress.forget(event["id"])
        return self.attempts.news(event)

    def _avoid(self, number: str, event: Event) -> None:
        """Give a machine up: what waits in Slurm must not go there."""
        self.unfit.add(number)
        if not self.machines.bad(event["node"] or number, event):
            return
        partition = self.slurm.get("partition")
        words = [f"--partition={partition}"] if partition else []
        there = ask("sinfo", "-h", "-N", "-o", "%N", *words)
        self.machines.check(len(set(there.split()) - set(self.machines.lost)) if there else None)
        self.messages.append(self.machines.message())
        for array in {e.number.partition("_")[0] for e in self.elements.values()}:
            ask("scontrol", "update", f"JobId={array}", f"ExcNodeList={self._excluded()}")

    def _excluded(self) -> str:
        """Nodes that jobs must not go to."""
        return ",".join(filter(None, [self.slurm.get("exclude"), *self.machines.lost]))

    def _look(self) -> list[Event]:
        """Ask Slurm what has become of the elements."""
        found = states({name for name, _ in self.elements})
        self.looked = now = time.monotonic()
        if found is None:
            if now - self.answered > SILENT_SECONDS:
                raise TrainingError(Fault("SC316", "squeue", "has not answered for 15 minutes"))
            return []
        self.answered, events = now, []
        for key, element in list(self.elements.items()):
            state, number, reason = found.get(key, ("", element.number, ""))
            if not state and now - element.since < SETTLE_SECONDS:
                continue
            element.state, element.number = state, number
            if reason in HELD:
                ask("scontrol", "release", number)  # Slurm has drained the node that failed
            if state == "PENDING" and reason in NEVER:
                raise TrainingError(never(reason))
            if not state or state in ENDED:
                events += self._ended(key, state)
        self._note_waiting({found[k][2] for k in self.elements if k in found} - {"None"})
        return events

    def _note_waiting(self, reasons: Collection[str]) -> None:
        """Say why all jobs wait, when they do and it is news."""
        idle = all(element.state == "PENDING" for element in self.elements.values())
        waits = ", ".join(sorted(reasons)) if idle and self.elements else ""
        if waits not in ("", self.waits):
            self.notes.append(f"{counted(len(self.elements), 'job')} waiting in Slurm: {waits}")
        self.waits = waits

    def _ended(self, key: tuple[str, int], state: str) -> list[Event]:
        """What an element left behind; what is left of its job is queued."""
        element = self.elements.pop(key)
        end: End = "finished" if state == "COMPLETED" else "lost" if state in NOT_OURS else "died"
        if element.number in self.unfit or state == "CANCELLED":
            end = "left"
        self.unfit.discard(element.number)
        left = [n for n in element.job.points if read_record(self.out, n) is None]
        if end in ("finished", "died"):
            self._listen_for(element, bool(left))
        again, events = self.attempts.end(element.job, end, None, f"Slurm: {state or 'gone'}")
        if again is not None and state == "CANCELLED":  # by a person, who meant it
            events += [{"event": "cancelled", "id": name} for name in left]
        elif again is not None:
            self.queue.append(again)
        return events

    def _listen_for(self, element: Element, left: bool) -> None:
        """End the run if elements end without a word of theirs: they never got to the sweep."""
        logs = self.out / "logs"
        if not left or (logs / f"slurm-{element.number}.jsonl").exists():
            self.quiet = 0
            return
        self.quiet += 1
        nothing = not self.elements and not any(logs.glob("slurm-*.jsonl"))
        if self.quiet >= STILLBORN or nothing:
            raise TrainingError(stillborn(self.out, element.number, self.quiet))

    def busy(self) -> bool:
        """Whether jobs are queued or with Slurm."""
        return bool(self.queue or self.elements)

    # -------------------------------------------------------------------------------------- after

    def cancel(self) -> None:
        """Let running points keep a checkpoint, and take all jobs from Slurm."""
        self.queue.clear()
        _, left = cancel(self.out, self.names)
        if left == 0:  # else they are told as what stays
            self.elements.clear()

    def leave(self) -> Collection[str]:
        """Jobs go on in Slurm."""
        return self._at_work()


@contextlib.contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Let Ctrl-C wait until an array is submitted and noted; sbatch would take it for itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ------------------------------------------------------------------------------------ on the node


@dataclass(frozen=True)
class Work:
    """What an element of an array does; submitit keeps it on disk."""

    out: str
    name: str
    index: int

    def __call__(self) -> str:
        """Train the jobs of the element."""
        requeue = signal.getsignal(signal.SIGUSR2)  # submitit's, with which Slurm runs it again
        kept = json.loads(manifest(Path(self.out), self.name).read_text(encoding="utf-8"))
        result = perform(
            self.out, kept["device"], kept["setup"], kept["orders"][self.index],
            f"slurm-{own_number()}", kept["versions"], again=True,
        )  # fmt: skip
        if result["end"] == "stopped" and result["signal"] and callable(requeue) and wanted():
            requeue(signal.SIGUSR2, None)
        if result["end"] == "stopped" and result["signal"]:
            sys.exit(143)
        if result["end"] == "error":
            sys.exit(1)
        return str(result["end"])

    def checkpoint(self) -> Any:
        """Return what is to run when Slurm starts the element again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
