"""The program, run in this process, and lines of a shell that call it."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

import typer

from scaling.cli import app as cli

EXIT = re.compile(r"#.*\bexit code (\d+)\s*$")


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    text: str


def scaling(arguments, folder, env=None):
    """Run ``scaling`` in `folder`; output and talk come back together, in their order."""
    printed = io.StringIO()
    kept = sys.argv, dict(os.environ)
    sys.argv = ["scaling", *map(str, arguments)]
    os.environ.update({"COLUMNS": "80", **(env or {})})
    code = 0
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            cli.main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = kept[0]
        os.environ.clear()
        os.environ.update(kept[1])
    return Done(code, printed.getvalue())


def commands(code):
    """Return the commands of a block of shell: continued lines joined, comments as they are."""
    joined = re.sub(r"\\\n\s*", "", code)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def words(command):
    """Return a command's variables, and its words."""
    found = shlex.split(command, comments=True)
    env = {}
    while found and re.match(r"[A-Z_]+=", found[0]):
        name, _, value = found.pop(0).partition("=")
        env[name] = value
    return env, found


def run(command, folder, stand_ins):
    """Run one command in `folder`; stand-ins replace names that only a run can give."""
    for name, here in stand_ins.items():
        command = command.replace(name, here)
    env, found = words(command)
    if not found:
        return Done(0, "")
    if found[0] == "scaling" and not {"|", ">", "&&", ";", "&"} & set(found):
        return scaling(found[1:], folder, env)
    return separately(command, folder)


def separately(command, folder, env=None):
    """Run a command by bash, with the program of this environment first on the path."""
    own = os.path.dirname(sys.executable)  # noqa: PTH120 - as PATH has it
    path = {"COLUMNS": "80", "PATH": own + os.pathsep + os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **path, **(env or {})},
    )  # fmt: skip
    return Done(done.returncode, done.stdout + done.stderr)


def expected_code(command):
    """Return the exit code that a command's comment names; 0 if none."""
    found = EXIT.search(command)
    return int(found[1]) if found else 0


def parse(command):
    """Check a command's options by the program's own parser, running nothing."""
    found = words(command)[1]
    at, name, rest = typer.main.get_command(cli.app), "scaling", found[1:]
    parent = None
    while True:
        context = at.make_context(name, list(rest), parent=parent)
        left = [*getattr(context, "_protected_args", ()), *context.args]
        if not hasattr(at, "resolve_command"):
            return
        name, at, rest = at.resolve_command(context, left)
        parent = context
