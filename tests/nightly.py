"""docs/nightly.md from pytest's JUnit file: ``python -m tests.nightly out/nightly.xml``.

`make nightly` calls it after the long tests; ``--commit`` names another commit than the checkout's.
"""

import argparse
import ast
import os
import platform
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "nightly.md"
HEAD = """# The long tests

`make nightly` runs every test, then those marked slow or for a GPU by themselves, and writes this
page of the latter. A row is a test function; where it has several cases, how many.
"""
COLUMNS = "| Shows | Cases | Outcome | Seconds |\n|---|---:|---|---:|"


def main():
    """Write the page of a finished run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("xml", type=Path)
    parser.add_argument("--commit")
    parser.add_argument("--note", default="", help="what a reader must know of the run")
    asked = parser.parse_args()
    xml = asked.xml.read_text(encoding="utf-8")
    PAGE.write_text(page(xml, asked.commit or commit(), asked.note), "utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")


def page(xml, commit, note=""):
    """Return the page: what was run where, a table a file, and why tests were skipped or failed."""
    suite = ElementTree.fromstring(xml).find("testsuite")
    files = defaultdict(lambda: defaultdict(list))
    for case in suite.findall("testcase[@name]"):  # the one that a person cuts off has no name
        name = re.sub(r"\[.*", "", case.get("name"), flags=re.DOTALL)
        files[case.get("classname") or name][name].append(case)
    parts = [HEAD, summary(suite, commit), *([f"\n{note}"] if note else [])]
    for module in sorted(files):
        parts.append(f"\n## {path_of(module).as_posix()}\n\n{COLUMNS}")
        parts += [row(module, name, cases) for name, cases in files[module].items()]
    return "\n".join(parts) + "\n"


def summary(suite, commit):
    """Return when, of what and on which machine, and how it went."""
    counts = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    return (
        f"Last run: {suite.get('timestamp')[:10]}, commit {commit}, {machine()}. "
        f"{passed} passed, {failed} failed, {counts['skipped']} skipped, in "
        f"{float(suite.get('time')) / 60:.0f} minutes."
    )


def row(module, name, cases):
    """Return the line of a test function."""
    outcomes = [outcome(case) for case in cases]
    told = "; ".join(
        f"{each} ({outcomes.count(each)})" if len(set(outcomes)) > 1 else each
        for each in dict.fromkeys(outcomes)
    )
    seconds = sum(float(case.get("time")) for case in cases)
    return f"| {shows(module, name)} | {len(cases)} | {told} | {seconds:.1f} |"


def outcome(case):
    """Return what became of a case, with the reason unless it passed."""
    for kind, word in (("failure", "**failed**"), ("error", "**error**"), ("skipped", "skipped")):
        found = case.find(kind)
        if found is not None:
            why = (found.get("message") or "").strip().splitlines() or ["no reason given"]
            return f"{word}: {why[0][:160].replace('|', '/')}"
    return "passed"


def shows(module, name):
    """Return the docstring's first sentence, or the name in words."""
    text = docstrings(path_of(module)).get(name)
    if not text:
        return name.removeprefix("test_").replace("_", " ").capitalize()
    return " ".join(text.split("\n\n")[0].split()).removesuffix(".").replace("|", "/")


@cache
def docstrings(path):
    """Return the docstrings of the functions of a file."""
    if not (ROOT / path).is_file():  # of a class, or of what could not be collected
        return {}
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {n.name: ast.get_docstring(n) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def path_of(module):
    """Return the file of a test's module."""
    return Path(*module.split(".")).with_suffix(".py")


def machine():
    """Return cores, Python and torch."""
    try:
        torch = f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        torch = "no torch"
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {torch}"


def commit():
    """Return the checkout's commit, and whether files differ from it."""
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    return (found.stdout.strip() or "unknown") + (" with changes" if changes.stdout else "")


if __name__ == "__main__":
    main()
