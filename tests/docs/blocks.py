"""What stands in a page of the documentation: its fences, in order, and how each is to be run."""

import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Why a block is not run with its page, and what runs or holds such lines instead.
ELSEWHERE = {
    "cluster": "a cluster of the reader's own",
    "gpu": "needs a GPU: tests marked gpu",
    "kubernetes": "Kubernetes is not at hand: the YAML and the program's own lines are parsed",
    "make": "CI runs the targets themselves",
    "newcomer": "tests/docs/newcomer.py types it on a clean machine",
    "network": "fetches from the network: tests/cli/test_cli_data.py, with the files at hand",
    "pip": "CI's jobs install the package",
    "ray": "tests/training/test_training_ray.py, on a Ray of three nodes",
    "slurm": "tests/training/test_training_slurm.py, on a Slurm of three nodes",
}
OUTPUT = "output"  # the title of what a block printed
PART = "part of "  # begins the title of a fragment
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<lang>\w*)(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.S | re.M
)
_COMMENT = re.compile(r"<!-- (?P<key>here|elsewhere|before):\s?(?P<text>.*?)\s*-->", re.S)


@dataclass(frozen=True)
class Block:
    """One fence.

    Attributes
    ----------
    lang, title, code : str
        Language, title and text, without the indentation of the fence.
    line : int
        Line of the page on which it begins.
    elsewhere : str
        Key of `ELSEWHERE`, or empty.
    output : str or None
        What it is to print, where the page shows that.
    """

    lang: str
    title: str
    code: str
    line: int
    elsewhere: str = ""
    output: str | None = None


@dataclass(frozen=True)
class Page:
    """A page: what is laid beside it, and its blocks in order."""

    path: Path
    here: tuple[str, ...]
    blocks: tuple[Block, ...]


def read_page(path):
    """Read the blocks of a Markdown page.

    A comment ``before:`` holds lines of the shell that readers need not see; it is a block as well.
    """
    return page_of(path, path.read_text(encoding="utf-8"))


def page_of(path, text):
    """Read the blocks of a page's text."""
    found = [(m.start(), _block(m, text)) for m in _FENCE.finditer(text)]
    inside = [(m.start(), m.end()) for m in _FENCE.finditer(text)]
    here = []
    for m in _COMMENT.finditer(text):
        if any(start <= m.start() < end for start, end in inside):
            continue
        if m["key"] == "here":
            here += m["text"].split()
        elif m["key"] == "before":
            found.append((m.start(), Block("sh", "", m["text"] + "\n", _line(text, m.start()))))
        else:
            following = [item for item in found if item[0] >= m.end()]
            first = min(following, default=None, key=lambda item: item[0])
            gap = "x" if first is None else text[m.end() : first[0]].strip()
            if gap:
                raise ValueError(f"{path.name}:{_line(text, m.start())} stands before no block")
            found[found.index(first)] = (first[0], replace(first[1], elsewhere=m["text"]))
    return Page(path, tuple(here), _with_outputs([b for _, b in sorted(found, key=lambda f: f[0])]))


def _block(match, text):
    title = re.search(r'title="([^"]*)"', match["info"])
    code = textwrap.dedent(match["code"]) if match["indent"] else match["code"]
    return Block(match["lang"], title[1] if title else "", code, _line(text, match.start()))


def _line(text, at):
    return text.count("\n", 0, at) + 1


def _with_outputs(blocks):
    """Give each block the output that follows it."""
    out = []
    for block in blocks:
        if block.title == OUTPUT and block.lang == "text":
            out[-1] = replace(out[-1], output=block.code)
        else:
            out.append(block)
    return tuple(out)
