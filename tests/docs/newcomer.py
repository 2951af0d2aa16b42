"""A newcomer with nothing but the README and the docs: ``python -m tests.docs.newcomer``.

Each story has its own folder and an environment without variables but PATH, HOME and how pip
reaches its index; what is typed is read from the pages, as it stands there. Says what each story
took, and fails where it needs more commands or minutes than promised.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.blocks import DOCS, ROOT, page_of
from tests.docs.program import commands, expected_code

CONSTRAINTS = ROOT / "constraints.txt"
NETWORK = re.compile(r"PIP_|SSL_CERT_FILE|(https?|no)_proxy", re.IGNORECASE)
# Somebody's table: names of columns that we did not choose, one run that diverged.
OWN = ["Model Size (M),train_tokens,val_loss,status"]


class Newcomer:
    """A person at a clean machine."""

    def __init__(self, place):
        self.place = place
        self.bin = place / "env" / "bin"
        subprocess.run([sys.executable, "-m", "venv", place / "env"], check=True)
        self.env = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(place / "home"),
            "LANG": "C.UTF-8",
            **{name: value for name, value in os.environ.items() if NETWORK.match(name)},
            "PIP_CONSTRAINT": str(CONSTRAINTS),
        }
        (place / "home").mkdir()

    def types(self, command, folder):
        """Run one command and say how long it took; what installs the checkout runs there."""
        folder = ROOT if command.startswith("pip install '.") else folder
        started = time.monotonic()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder, env=self.env, capture_output=True, text=True, timeout=1200, check=False,
        )  # fmt: skip
        say(f"  {time.monotonic() - started:5.0f} s  {command}")
        if done.returncode != expected_code(command):
            sys.exit(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")

    def follows(self, text, name, pip=False):
        """Do in a new folder all that `text` shows; return the folder and the commands typed."""
        folder = self.place / name
        folder.mkdir(exist_ok=True)
        typed = []
        for block in page_of(DOCS / name, text).blocks:
            if block.title and block.lang != "text":
                target = folder / block.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.code, encoding="utf-8")
            elif block.lang == "python":
                (folder / "snippet.py").write_text(block.code, encoding="utf-8")
                self.types("python snippet.py", folder)
            elif block.lang == "sh" and (
                not block.elsewhere or block.elsewhere in ("newcomer", "pip" * pip)
            ):
                for command in commands(block.code):
                    self.types(command, folder)
                    typed.append(command)
        return folder, typed


def section(path, heading):
    """Return what stands under a heading of a page."""
    text = path.read_text(encoding="utf-8")
    start = text.index(f"\n{heading}\n")
    level = len(heading.split()[0])
    end = re.search(rf"\n#{{1,{level}}} ", text[start + len(heading) :])
    return text[start : start + len(heading) + end.start() if end else None]


def own_table(newcomer, readme):
    """A table of one's own is fitted and reported in three commands and five minutes."""
    folder = newcomer.place / "own-table"
    folder.mkdir()
    rows = list(OWN)
    for n in (20, 45, 100, 220, 500):
        for d in (1e9, 2.5e9, 6e9, 1.5e10, 4e10, 1e11):
            loss = 1.8 + 420 / (n * 1e6) ** 0.34 + 380 / d**0.28 + 0.003 * ((n * 7 + d) % 5 - 2)
            rows.append(f"{n},{d:.0f},{loss:.4f},done")
    rows.append("500,200000000000,,diverged")
    (folder / "results.csv").write_text("\n".join(rows) + "\n")
    started = time.monotonic()
    _, typed = newcomer.follows(section(readme, "### Your own runs"), "own-table", pip=True)
    took = time.monotonic() - started
    assert len(typed) <= 3, typed
    assert took < 300, f"{took:.0f} s"
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    return f"{len(typed)} commands, {took:.0f} s"


def own_study(newcomer, readme):
    """A study is trained on this machine in two commands."""
    newcomer.types("pip install '.[train,pdf]'", newcomer.place)
    started = time.monotonic()
    folder, typed = newcomer.follows(section(readme, "### A study"), "own-study")
    assert len(typed) <= 2, typed
    assert (folder / "out" / "report.html").stat().st_size > 10_000
    return f"{len(typed)} commands, {time.monotonic() - started:.0f} s"


def own_law(newcomer, readme):
    """A law of one's own, by copy and paste from the docs; the table is the template's."""
    folder = newcomer.place / "own-law"
    folder.mkdir()
    newcomer.types("scaling init --template table", folder)
    (folder / "study.toml").unlink()
    page = (DOCS / "how-to" / "own-law.md").read_text(encoding="utf-8")
    newcomer.follows(page, "own-law", pip=True)
    return "as the page says"


def own_task(newcomer, readme):
    """A task of one's own, by copy and paste from the docs."""
    page = section(DOCS / "how-to" / "own-task.md", "## The task")
    page += section(DOCS / "how-to" / "own-task.md", "## The study")
    page += section(DOCS / "how-to" / "own-task.md", "## Run it")
    folder, _ = newcomer.follows(page, "own-task")
    assert (folder / "out" / "results.csv").read_text().count("\n") > 10
    return "as the page says"


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    """Tell every story."""
    with tempfile.TemporaryDirectory(prefix="scaling-newcomer-") as place:
        newcomer = Newcomer(Path(place))
        for story in (own_table, own_study, own_law, own_task):
            say(story.__doc__.splitlines()[0])
            say("  " + story(newcomer, ROOT / "README.md"))
    say("newcomer: passed")


if __name__ == "__main__":
    main()
