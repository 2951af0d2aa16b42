"""The Ray engine: a Ray Core task a job, on whatever nodes the cluster has or gets."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from scaling.errors import Fault, Message, MissingExtraError, OutputError, TrainingError, counted
from scaling.training.engines.attempts import Attempts, End
from scaling.training.engines.base import Event, Job, device_counts, news_of
from scaling.training.engines.journal import Progress, Tail
from scaling.training.engines.machines import Machines
from scaling.training.engines.ray_cluster import (
    alive,
    failed_task,
    first_line,
    fits,
    join,
    need_of,
    probe,
    times,
)
from scaling.training.engines.task import versions_here
from scaling.training.lock import ask_to_stop, withdraw

WAITING = 256  # tasks that Ray has at once, so that its autoscaler sees demand and memory is small
STOP_SECONDS = 60.0  # for a step, and for writing a large checkpoint


class RayEngine:
    """Runs jobs as tasks of Ray Core, not of Tune: what is done is known from records alone.

    Ray is told to retry nothing. A task whose worker or node is lost is given to it again here,
    where it is known whether the point gets on.

    Parameters
    ----------
    out : Path
        Sweep folder, at the same path on every node.
    workers : int or None
        Tasks that Ray has at once at most.
    device : {"auto", "cpu", "cuda"}
    setup : mapping
        Settings of `scaling.training.setup.Setup`, and under ``ray`` those of this engine:
        ``address``, ``cpus``, ``gpus``, ``memory_gib``, ``resources``, ``autoscaled``.
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
        self.out, self.most, self.device, self.setup = out.resolve(), workers, device, dict(setup)
        self.ray: Mapping[str, Any] = setup.get("ray") or {}
        self.attempts, self.machines = Attempts(self.out, trunks), Machines(self.out)
        self.queue: deque[Job] = deque()
        self.running: dict[Any, Job] = {}
        self.at: dict[str, str] = {}  # process of each point that is at work, the latest last
        self.places, self.on_gpu, self.packs = 1, device == "cuda", False
        self.messages: list[Message] = []  # not told yet
        self.notes: list[str] = []
        self.ours = False  # whether the cluster is to end with this process

    # ------------------------------------------------------------------------------------ before

    def open(self) -> tuple[str, ...]:
        """Join the cluster, or start one on this machine, and let every node look at the sweep.

        Raises
        ------
        MissingExtraError
            SC001.
        ScalingError
            SC316 if the cluster cannot be reached, SC317 if no node has what a point needs, and
            what all nodes say if none can work.
        """
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError.of("ray", "ray", "run a sweep by Ray")
        self.ours = join(self.ray.get("address"))
        self.tail, self.progress = Tail(self.out, "ray-"), Progress(self.out)
        resources = [node["Resources"] for node in alive()]
        gpus = sum(have.get("GPU", 0) for have in resources)
        self.on_gpu = self.device == "cuda" or (self.device == "auto" and gpus > 0)
        if self.ray.get("autoscaled") and self.device == "auto":
            found, mend = '"auto", on nodes that are not there yet', 'device = "cuda", or "cpu"'
            raise TrainingError(Fault("SC317", "[engine] device", found, mend=mend))
        need = self._need(1)
        for check in fits(resources, [self._need(d) for d in device_counts(self.setup)], self.ray):
            if not check.ok:
                raise TrainingError(check.fault())
        self.places = max(1, int(sum(times(have, need) for have in resources)))
        self.notes.append(f"Ray: {counted(len(resources), 'node')}, {self.places} at once")
        self.packs = self.on_gpu
        for node, answer in probe(self.out, resources=need).items():
            if answer is not None and self.machines.bad(node, answer):
                self.messages.append(self.machines.message())
        self.machines.check(self._left())
        return ()

    def _left(self) -> int:
        """Nodes that can train."""
        need, lost = self._need(1), self.machines.lost
        return sum(n["NodeID"] not in lost and times(n["Resources"], need) >= 1 for n in alive())

    def _need(self, devices: int) -> dict[str, float]:
        """What Ray sets apart for a job, by Ray's names."""
        return need_of(self.ray, devices, self.on_gpu)

    # ------------------------------------------------------------------------------------- during

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs; Ray is given as many as it needs to see."""
        self.queue.extend(jobs)
        self._fill()

    def _fill(self) -> None:
        most = self.most or max(WAITING, 4 * self.places)
        while self.queue and len(self.running) < most:
            job = self.queue.popleft()
            self.running[self._start(job)] = job

    def _start(self, job: Job) -> Any:
        """Give a job to Ray."""
        need = self._need(job.devices)
        setup = {k: v for k, v in self.setup.items() if k not in ("ray", "slurm")}
        if 0.0 < need["GPU"] < 1.0:
            setup["share"] = need["GPU"]
        special = {k: v for k, v in need.items() if k not in ("CPU", "GPU", "memory")}
        bad = ",".join(self.machines.lost)
        options: dict[str, Any] = {
            "num_cpus": need["CPU"], "num_gpus": need["GPU"], "resources": special or None,
            "memory": need.get("memory"), "name": f"scaling {job.points[0]}",
            "label_selector": {"ray.io/node-id": f"!in({bad})"} if bad else None,
        }  # fmt: skip
        kind = "cuda" if need["GPU"] else "cpu"  # tasks of no GPU see all that there are
        order = self.attempts.begin(job)
        given = {k: v for k, v in options.items() if v is not None}
        return _remote_task(need["GPU"] > 0).options(**given).remote(
            str(self.out), kind, setup, order, versions_here()
        )  # fmt: skip

    def poll(self, timeout: float) -> list[Event]:
        """Follow the tasks to their ends; give back to Ray what was lost."""
        import ray

        self._fill()
        if not self.running:
            return []
        done, _ = ray.wait(list(self.running), timeout=timeout)
        if done:
            done, _ = ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
        events = self._news()
        for ref in done:
            events += self._ended(ref, self.running.pop(ref))
        events += news_of(self.messages, self.notes)
        self._fill()
        return events

    def _news(self) -> list[Event]:
        events = []
        for event in self.tail.events():
            if event["event"] == "start":
                self.at[event["id"]] = event["process"]
            elif event["event"] == "done":
                self.at.pop(event["id"], None)
                self.progress.forget(event["id"])
            if event["event"] not in ("finished", "error") and self.attempts.news(event):
                events.append(event)
        return events + self.progress.events(list(self.at))

    def _ended(self, ref: Any, job: Job) -> list[Event]:
        """What a task left behind, and the task of what is still to be done."""
        end, code = self._verdict(ref)
        at = next((name for name in reversed(self.at) if name in job.points), None)
        again, events = self.attempts.end(job, end, at, code)
        for name in job.points:
            self.at.pop(name, None)
        if again is not None and end == "finished":
            self.queue.append(again)
        elif again is not None:
            self.queue.appendleft(again)
        return events

    def _verdict(self, ref: Any) -> tuple[End, int | str]:
        """How a task ended."""
        import ray
        from ray import exceptions

        try:
            result = ray.get(ref)
        except (exceptions.NodeDiedError, exceptions.LocalRayletDiedError):
            return "lost", "node lost"
        except (
            exceptions.ObjectLostError, exceptions.OutOfDiskError, exceptions.RaySystemError
        ) as error:  # fmt: skip
            return "lost", first_line(error)
        except (exceptions.RuntimeEnvSetupError, exceptions.TaskUnschedulableError) as error:
            raise TrainingError(failed_task(error)) from error
        except exceptions.TaskCancelledError:
            return "left", 0
        except exceptions.OutOfMemoryError:
            return "died", "killed by Ray: the memory of its node was full"
        except exceptions.RayTaskError as error:  # not of a point: those are told
            raise TrainingError(failed_task(error)) from error
        except exceptions.RayError as error:
            return "died", first_line(error)
        if result["end"] != "error":
            return ("left" if result["end"] == "stopped" else "finished"), 0
        if self.machines.bad(result["node"], result):
            self.machines.check(None if self.ray.get("autoscaled") else self._left())
            self.messages.append(self.machines.message())
        return "left", 0

    def busy(self) -> bool:
        """Whether jobs are queued or with Ray."""
        return bool(self.queue or self.running)

    # -------------------------------------------------------------------------------------- after

    def cancel(self) -> None:
        """Let running points keep a checkpoint, as the sweep folder asks them to, and end."""
        self.queue.clear()
        if not self.running and not self.ours:
            return
        import ray

        if self.running and ray.is_initialized():
            with contextlib.suppress(OSError, OutputError):
                ask_to_stop(self.out, "driver")  # tasks that wait start, see it, and end at once
            left = list(self.running)
            _, left = ray.wait(left, num_returns=len(left), timeout=STOP_SECONDS)
            for ref in () if self.ours else left:  # else they end with this process
                ray.cancel(ref, force=True)
            withdraw(self.out)
        self.running.clear()
        if self.ours:
            ray.shutdown()
            self.ours = False

    def leave(self) -> Collection[str]:
        """Tasks do not outlive the process that gave them out."""
        self.cancel()
        return ()


# ------------------------------------------------------------------------------------ on the node


@lru_cache(maxsize=2)
def _remote_task(gpu: bool) -> Any:
    """The task of a job; on a CPU its process is used again, on a GPU it cannot change devices."""
    import ray

    return ray.remote(max_calls=1 if gpu else 0, max_retries=0)(_task)


def _task(
    out: str, device: str, setup: Mapping[str, Any], order: Mapping[str, Any],
    expected: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Train a job in a worker process of Ray."""
    import ray

    from scaling.training.engines.task import perform

    node = ray.get_runtime_context().get_node_id()
    name = f"ray-{node[:8]}-{os.getpid()}"
    try:
        return {**perform(out, device, setup, order, name, expected), "node": node}
    except Exception:  # noqa: BLE001 - what is wrong with a process ends it, as under every engine
        os._exit(1)
