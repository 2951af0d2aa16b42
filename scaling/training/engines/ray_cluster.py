"""The Ray cluster: joining it, what its nodes have, and whether they can train."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling.errors import Fault, TrainingError, counted
from scaling.runs.provenance import versions
from scaling.training.engines.base import Check, device_counts, error_of
from scaling.training.engines.local import usable_cores, visible_gpus
from scaling.training.engines.task import versions_here

CONNECT_SECONDS = 5.0
JOIN_SECONDS = 60.0
PROBE_SECONDS = 120.0  # a node imports torch for the first time
MARK = "scaling/check "
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
        raise TrainingError(_unlike(str(error)) or _unreachable(where, first_line(error))) from None
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
    port = (address or "").rpartition(":")[2]
    start = "ray start --head" + f" --port={port}" * port.isdigit()
    mend = f"{start} on its head node, or another [engine.ray] address"
    return Fault("SC316", f"Ray at {address or 'this machine'}", why, "a running cluster", mend)


def _unlike(text: str) -> Fault | None:
    """Say of which versions a cluster is that refuses those of this process."""
    found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
    if len(found) != 2:
        return None
    (ray, python), (own_ray, own_python) = found
    said = f"the cluster has Ray {ray} and Python {python}, this process {own_ray} and {own_python}"
    mend = f"pip install ray=={ray}" if ray != own_ray else f"use Python {python} here"
    return Fault("SC316", "ray", said, mend=mend)


def alive() -> list[dict[str, Any]]:
    """Nodes that the cluster has now, as Ray describes them."""
    import ray

    every: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in every if node["Alive"]]


def need_of(ray: Mapping[str, Any], devices: int, on_gpu: bool) -> dict[str, float]:
    """What Ray sets apart for a job, by Ray's names."""
    gpus = ray.get("gpus")
    each = 1.0 if gpus is None or devices > 1 else float(gpus)
    need = {"CPU": float(ray.get("cpus", 1.0)) * devices}
    need["GPU"] = each * devices if on_gpu else 0.0
    if ray.get("memory_gib"):
        need["memory"] = float(ray["memory_gib"]) * 2**30
    return need | dict(ray.get("resources") or {})


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
        name, asked = "[engine.ray]", f"{_amounts(need)} for each point"
        if settings.get("autoscaled"):
            yield Check(name, f"{asked}: not checked, since nodes may be added")
        elif any(times(have, need) >= 1 for have in nodes):
            yield Check(name, f"{asked}, which a node has")
        else:
            most = {k: max((have.get(k, 0.0) for have in nodes), default=0.0) for k in need}
            short = {k: most[k] for k, v in need.items() if most[k] < v}
            found = f"{asked}, which no node has"
            found += f"; the most is {_amounts(short, nothing=True)}" * bool(short)
            mend = "ask for less, or set autoscaled = true where nodes are added on demand"
            yield Check(name, found, "SC317", mend)


def _amounts(of: Mapping[str, float], nothing: bool = False) -> str:
    """Say amounts of resources, such as ``1 CPU, 4 GiB``."""
    said = {k: f"{v / 2**30:.4g} GiB" if k == "memory" else f"{v:g} {k}" for k, v in of.items()}
    return ", ".join(text for k, text in said.items() if of[k] > 0 or nothing)


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


# ----------------------------------------------------------------------------------------- checks

ANSWER = """
import sys
from scaling.training.engines.ray_cluster import answer
answer(*sys.argv[1:])
"""


def checks(settings: Mapping[str, Any], out: Path | None = None) -> Iterator[Check]:
    """Look at what a run by Ray needs; a cluster is asked, and none is started.

    Parameters
    ----------
    settings : mapping
        The engine section of a study.
    out : Path, optional
        Sweep folder, which every node that could train is to see and write.
    """
    if importlib.util.find_spec("ray") is None:
        yield Check("ray", "not installed", "SC001", "pip install 'scaling-study[ray]'")
        return
    version = versions("ray")["ray"] or "installed"
    where = (settings.get("ray") or {}).get("address") or os.environ.get("RAY_ADDRESS")
    if where in (None, "local"):
        yield from _alone(settings, version)
        return
    yield Check("ray", version)
    try:
        _knock(where)
    except TrainingError as error:
        yield _check_of(error.faults[0])
        return
    yield from _asked(settings, out, str(where))


def _alone(settings: Mapping[str, Any], version: str) -> Iterator[Check]:
    """Look at this machine, where no address of a cluster is given."""
    if settings.get("name") != "ray":
        yield Check("ray", f"{version} installed, no cluster configured")
        return
    yield Check("ray", f"{version}; no address: a run starts a cluster of this machine alone")
    gpus = len(visible_gpus()) if settings.get("device") != "cpu" else 0
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    have = {"CPU": usable_cores(), "GPU": gpus, "memory": memory}
    for check in _fitting(settings, [have]):
        mend = "ask for less, or set the address of a cluster in [engine.ray]"
        yield check if check.ok else replace(check, mend=mend)


def _fitting(settings: Mapping[str, Any], nodes: Sequence[Mapping[str, float]]) -> Iterator[Check]:
    device, ray = settings.get("device", "auto"), settings.get("ray") or {}
    there = any(have.get("GPU", 0.0) > 0 for have in nodes)
    on_gpu = device == "cuda" or (device == "auto" and there)
    return fits(nodes, [need_of(ray, d, on_gpu) for d in device_counts(settings)], ray)


def _asked(settings: Mapping[str, Any], out: Path | None, where: str) -> Iterator[Check]:
    """Let a process of its own ask the cluster; Ray would wait for minutes at a wrong port."""
    words = [json.dumps(dict(settings)), str(out.resolve()) if out is not None else ""]
    seconds = JOIN_SECONDS + (PROBE_SECONDS if out is not None else 0.0)
    command = [sys.executable, "-c", ANSWER, *words]
    why = "ended without an answer"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        said, last = done.stdout, done.stderr.strip().splitlines()[-1:]
        why = "".join(last) or why if done.returncode else ""
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        why = f"something answers, but not as a cluster of Ray does, within {seconds:.0f} s"
    for line in said.splitlines():
        if line.startswith(MARK):
            yield Check(**json.loads(line.removeprefix(MARK)))
    if why:
        yield _check_of(_unreachable(where, why))


def answer(settings: str, out: str) -> None:
    """Print what a cluster says, a check a line."""
    for check in _cluster_checks(json.loads(settings), Path(out) if out else None):
        sys.stdout.write(f"{MARK}{json.dumps(vars(check))}\n")
        sys.stdout.flush()


def _cluster_checks(settings: Mapping[str, Any], out: Path | None) -> Iterator[Check]:
    ray = settings.get("ray") or {}
    try:
        join(ray.get("address"))
    except TrainingError as error:
        yield _check_of(error.faults[0])
        return
    nodes = [node["Resources"] for node in alive()]
    cores, gpus = (sum(have.get(k, 0.0) for have in nodes) for k in ("CPU", "GPU"))
    yield Check("cluster", f"{counted(len(nodes), 'node')} with {cores:g} CPUs and {gpus:g} GPUs")
    fitting = list(_fitting(settings, nodes))
    yield from fitting
    if out is not None and all(check.ok for check in fitting):
        yield from _seeing(out, need_of(ray, 1, settings.get("device") == "cuda"))


def _seeing(out: Path, need: Mapping[str, float]) -> Iterator[Check]:
    """Say which nodes see and write a sweep; a run goes on without some, but not without all."""
    answers = list(probe(out, need).values())
    bad = [answer for answer in answers if answer is not None]
    good = len(answers) - len(bad)
    if good:
        yield Check("nodes", f"{good} of {len(answers)} can train and see the sweep folder")
    for fault in {str(f): f for answer in bad for f in error_of(answer).faults}.values():
        yield replace(_check_of(fault), optional=good > 0)


def _check_of(fault: Fault) -> Check:
    return Check(fault.where, fault.found, fault.code, fault.mend)
