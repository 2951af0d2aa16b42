"""The program in its own process, and what every refusal must look like."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.stored_fits import text_of

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
ENV.pop("SCALING_VERBOSE", None)
# Imports once, then forks a process a command: the imports are most of what a command costs.
SERVER = """
import json, os, runpy, sys, traceback
import scaling.cli.app, scaling.fitting.analyse, scaling.planning.plan, scaling.reporting
import scaling.runs.read

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 0
        for number, flags in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
            os.dup2(os.open(job["streams"][number], flags), number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        os.chdir(job["cwd"])
        sys.argv = ["scaling", *job["args"]]
        try:
            runpy.run_module("scaling", run_name="__main__", alter_sys=True)
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
            code = 70
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def start(arguments, cwd, stdin=None):
    """Run ``python -m scaling`` afresh."""
    return subprocess.run(
        [sys.executable, "-m", "scaling", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=ENV, timeout=120, check=False,
        input=stdin or "",
    )  # fmt: skip


@pytest.fixture(scope="session")
def server():
    """Start the process that forks."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=ENV,
    )  # fmt: skip
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait(timeout=60)


@pytest.fixture
def fresh(tmp_path):
    """Run ``python -m scaling`` in the test's folder, imports and all."""
    return lambda *arguments, stdin=None: start(arguments, tmp_path, stdin)


@pytest.fixture
def scaling(server, tmp_path, tmp_path_factory):
    """Run ``python -m scaling`` in the test's folder, in a fork of the server."""

    def run(*arguments, stdin=None):
        streams = [tmp_path_factory.mktemp("streams") / name for name in ("in", "out", "err")]
        for path, text in zip(streams, (stdin or "", "", ""), strict=True):
            path.write_text(text)
        job = {"cwd": str(tmp_path), "args": [str(a) for a in arguments],
               "streams": [str(p) for p in streams]}  # fmt: skip
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (path.read_text() for path in streams[1:])
        return subprocess.CompletedProcess(job["args"], code, out, err)

    return run


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def screen_lines(text):
    """Lines that a text takes on a terminal of 80 columns."""
    return sum(max(1, -(-len(line) // 80)) for line in text.splitlines())


@pytest.fixture
def refused(scaling, tmp_path):
    """Run a command that must fail: a message on one screen, its code, and nothing touched."""

    def run(*arguments, code, exit_code=2, stdin=None):
        before = snapshot(tmp_path)
        out = scaling(*arguments, stdin=stdin)
        assert f"error[{code}]" in out.stderr, out.stderr
        assert out.returncode == exit_code
        assert out.stdout == ""
        assert "Traceback" not in out.stderr
        assert "Warning" not in out.stderr
        assert screen_lines(out.stderr) <= 24
        assert snapshot(tmp_path) == before
        return out

    return run


@pytest.fixture
def document(scaling):
    """Run a command that must end as told, without Python's warnings; return its JSON."""

    def run(*arguments, exit_code=0):
        out = scaling(*arguments)
        assert out.returncode == exit_code, out.stderr
        assert "Warning" not in out.stderr
        return json.loads(out.stdout)

    return run


@pytest.fixture
def predict(write, scaling):
    """Predict from a stored fit and return what was printed."""

    def run(name, *options):
        write(f"{name}.json", text_of(name))
        return scaling("predict", f"{name}.json", *options)

    return run
