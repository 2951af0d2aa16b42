"""Figures of the documentation: each page makes its own, and docs/figures shows them.

``python -m tests.docs.figures`` runs the pages that make figures and writes docs/figures anew;
``python -m tests.docs.figures docs/explanation/intervals.md`` runs that page alone.
"""

import re
import shutil
from importlib.metadata import version

import numpy as np

from tests.docs.blocks import DOCS, ROOT

SHOWN = DOCS / "figures"
FEW = 100_000  # bytes of a figure
NEAR = 0.5  # how far apart numbers may lie: a 72nd of an inch, halved
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)")
_NAME = re.compile(r'(id="|url\(#|href="#)[^")]*')


def hold(folder):
    """Compare the figures that a page left in its folder with those that the site shows."""
    for made in sorted((folder / "figures").glob("*.svg")):
        shown = SHOWN / made.name
        assert shown.exists(), f"{made.name} is not in docs/figures: python -m tests.docs.figures"
        assert shown.stat().st_size <= FEW, f"{made.name} has {shown.stat().st_size} bytes"
        if _as_pinned():
            assert same(made.read_text(), shown.read_text()), (
                f"the page makes another {made.name}: python -m tests.docs.figures"
            )


def same(made, shown):
    """Whether two SVGs are the same drawing; a processor may round its last digits otherwise."""
    one, other = (_NUMBER.split(_NAME.sub(r"\1", text)) for text in (made, shown))
    if len(one) != len(other) or one[::2] != other[::2]:
        return False
    numbers = [np.array(parts[1::2], dtype=np.float64) for parts in (one, other)]
    return bool((np.abs(numbers[0] - numbers[1]) <= NEAR).all())


def _as_pinned():
    """Whether matplotlib is of the version that drew the figures."""
    pinned = re.search(r"^matplotlib==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    return pinned is not None and pinned[1] == version("matplotlib")


def write(path, prepared, folder):
    """Run a page, and keep what it draws."""
    from tests.docs.blocks import read_page
    from tests.docs.reader import Reader

    page = read_page(path)
    folder.mkdir()
    for name in page.here:
        prepared.lay(name, folder)
    reader = Reader(path, folder, {})
    for block in page.blocks:
        reader.take(block)
    for made in sorted((folder / "figures").glob("*.svg")):
        shutil.copy(made, SHOWN / made.name)
        print(f"{path.name}: {made.name}, {made.stat().st_size} bytes")


def main():
    """Write the figures of the pages that are named, or of all that show any."""
    import sys
    import tempfile
    from pathlib import Path

    import matplotlib

    from tests.docs.prepared import Prepared

    matplotlib.use("Agg")
    found = [Path(name).resolve() for name in sys.argv[1:]]
    shown = (p for p in sorted(DOCS.rglob("*.md")) if "figures/" in p.read_text())
    with tempfile.TemporaryDirectory() as name:
        prepared = Prepared(Path(name) / "prepared")
        prepared.folder.mkdir()
        for k, path in enumerate(found or shown):
            write(path, prepared, Path(name) / str(k))


if __name__ == "__main__":
    main()
