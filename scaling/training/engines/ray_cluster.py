"""The Ray cluster: joining it, what its nodes have, and whether they can train."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.errors import Fault, TrainingError, counted
from scaling.training.engines.base import Check
from scaling.training.engines.local import usable_cores
from scaling.training.engines.task import versions_here

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 120.0  # a node imports torch for the first time
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
LOCAL: dict[str, Any] = {  # of a cluster of this machine alone
    "include_dashboard": False,
    "object_store_memory": 80 << 20,
}


def join(address: str | None) -> bool:
    """Join a cluster, or start one of this machine; return whether this process is to leave it.

    Raises
    ------
    TrainingError
        SC316 if nothing answers at the address.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return False
    where = address or os.environ.get("RAY_ADDRESS")
    _knock(where)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        with _own_signals():
            if where is None:
                ray.init("local", num_cpus=usable_cores(), **options, **LOCAL)
            else:
                ray.init(where, **options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise TrainingError(_unreachable(where, first_line(error))) from None
    return True


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of this process, which Ray would replace by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _knock(address: str | None) -> None:
    """Refuse an address at which nothing answers at once; Ray itself would wait for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise TrainingError(_unreachable(address, error.strerror or str(error))) from None


def _unreachable(address: str | None, why: str) -> Fault:
    mend = "ray start --head on its head node, or another [engine.ray] address"
    return Fault("SC316", f"Ray at {address or 'this machine'}", why, "a running cluster", mend)


def alive() -> list[dict[str, Any]]:
    """Nodes that the cluster has now, as Ray describes them."""
    import ray

    every: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in every if node["Alive"]]


def times(have: Mapping[str, float], need: Mapping[str, float]) -> float:
    """How often a need fits into what a node has."""
    return min((have.get(k, 0.0) // v for k, v in need.items() if v > 0), default=1.0)


def fits(
    nodes: Sequence[Mapping[str, float]],
    needs: Sequence[Mapping[str, float]],
    settings: Mapping[str, Any],
) -> Iterator[Check]:
    """Whether some node has what a point needs, for each need; nodes to come are not known."""
    for need in needs:
        parts = [f"{v:g} {k}" for k, v in need.items() if v > 0 and k != "memory"]
        if need.get("memory"):
            parts.append(f"{need['memory'] / 2**30:g} GiB")
        name = f"[engine.ray] for each point: {', '.join(parts)}"
        if settings.get("autoscaled"):
            yield Check(name, "not checked: nodes may be added")
        elif any(times(have, need) >= 1 for have in nodes):
            yield Check(name, f"some of {counted(len(nodes), 'node')} has that")
        else:
            most = {k: max((have.get(k, 0.0) for have in nodes), default=0.0) for k in need}
            short = [f"{most[k]:g} {k}" for k, v in need.items() if most[k] < v]
            found = "no node has that" + f"; the most is {', '.join(short)}" * bool(short)
            mend = "ask for less, or set autoscaled = true where nodes are added on demand"
            yield Check(name, found, "SC317", mend)


def probe(out: Path, resources: Mapping[str, float]) -> dict[str, Mapping[str, Any] | None]:
    """Let every node that could train look at the sweep; what it says if it cannot, by node id."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in alive():
        if times(node["Resources"], {k: v for k, v in resources.items() if k != "CPU"}) < 1:
            continue
        place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = _remote_look().options(scheduling_strategy=place, num_cpus=0)
        asked[task.remote(str(out), versions_here())] = node["NodeID"]
    answers: dict[str, Mapping[str, Any] | None] = {}
    end = time.monotonic() + PROBE_SECONDS
    for ref, node_id in asked.items():
        try:
            answers[node_id] = ray.get(ref, timeout=max(0.1, end - time.monotonic()))
        except ray.exceptions.RayError as error:
            fault = Fault("SC316", "a node of Ray", first_line(error), "an answer")
            answers[node_id] = {"error": "TrainingError", "faults": [vars(fault)]}
    return answers


def failed_task(error: Exception) -> Fault:
    """Say that a task could not even begin."""
    lines = str(error).strip().splitlines()
    mend = "install this package on every node of the cluster, in the version of the driver"
    return Fault("SC316", "a task of Ray", lines[-1] if lines else "failed", mend=mend)


def first_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _remote_look() -> Any:
    import ray

    return ray.remote(max_calls=0, max_retries=1)(_look)


def _look(out: str, expected: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say why this node cannot train, or None."""
    from scaling.errors import ScalingError
    from scaling.training.engines.base import fields_of
    from scaling.training.engines.task import fit_for_work, seen

    try:
        seen(Path(out))
        fit_for_work(expected)
    except ScalingError as error:
        return fields_of(error, Path(out))
    return None


def checks(settings: Mapping[str, Any]) -> Iterator[Check]:
    """Look at what a run by Ray needs."""
    if importlib.util.find_spec("ray") is None:
        mend = "pip install 'scaling-study[ray]'"
        yield Check("ray", "not installed", "SC001", mend)
        return
    try:
        join((settings.get("ray") or {}).get("address"))
    except TrainingError as error:
        fault = error.faults[0]
        yield Check(fault.where, fault.found, fault.code, fault.mend)
        return
    nodes = [node["Resources"] for node in alive()]
    cores, gpus = (sum(have.get(k, 0.0) for have in nodes) for k in ("CPU", "GPU"))
    found = f"{counted(len(nodes), 'node')}, {cores:g} CPUs, {gpus:g} GPUs"
    yield Check("ray", found)
