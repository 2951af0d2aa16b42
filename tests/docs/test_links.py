"""Links between the files of the checkout lead somewhere; `make docs` holds the site's."""

import re
import unicodedata

import pytest

from tests.docs.blocks import ROOT

PAGES = sorted(
    path
    for folder in (".", "docs", "analysis", "benchmarks", "sweeps", "reports")
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)
ARCHIVE = (ROOT / "PKG-INFO").is_file()
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^ *```.*?^ *```$|`[^`\n]+`", re.S | re.M)


def links(text):
    """Return the targets of links and pictures, those in code left out."""
    return [a or b for a, b in LINK.findall(FENCE.sub("", text))]


def anchors(path):
    """Return the anchors of a page's headings, as its site and its host make them."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    found = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", text, re.M):
        plain = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", heading.replace("`", "").replace("\\", ""))
        ascii_ = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        kept = re.sub(r"[^\w\s-]", "", ascii_).strip().lower()
        found |= {re.sub(r"[-\s]+", "-", kept), re.sub(r"\s", "-", kept)}
    return found | set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_link_is_dead(path):
    dead = []
    for link in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if target.parent == ROOT / "reports" and ARCHIVE:  # rendered reports stay out of it
            continue
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            dead.append(link)
    assert dead == []


def test_a_dead_link_is_seen():
    assert links("[a](b.md#c) `[x](y)` ![p](q.png)") == ["b.md#c", "q.png"]
    assert "daily-use" in anchors(ROOT / "README.md")
