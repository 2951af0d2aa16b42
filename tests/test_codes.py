"""Codes: each is known, used and documented. ``python tests/test_codes.py`` writes the page."""

import re
from pathlib import Path

import pytest

import scaling
from scaling.codes import CODES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "codes.md"
UNUSED: set[str] = set()  # explained already, raised by nothing yet
PATTERN = re.compile(r"\bSC\d{3}\b")


def used():
    """Return the codes that the source names, with the files; the catalogue itself is left out."""
    found = {}
    for path in sorted(Path(scaling.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name == "codes.py":
            continue
        if path.name == "errors.py":
            text = re.sub(r'"""Errors and messages:.*?"""', "", text, flags=re.S)
        for code in PATTERN.findall(text):
            found.setdefault(code, path.name)
    return found


def page():
    """Return docs/reference/codes.md."""
    parts = [
        "# Message codes\n",
        "Errors, warnings and report notes carry a code. `scaling explain CODE` prints what stands "
        "here.\n",
    ]
    for code, item in sorted(CODES.items()):
        parts.append(f"## {code}: {item.title}\n\n{item.cause}\n\nTo mend it: {item.mend}\n")
    return "\n".join(parts)


def test_every_code_in_the_source_is_known():
    assert {c: f for c, f in used().items() if c not in CODES} == {}


def test_every_known_code_is_used():
    assert sorted(set(CODES) - set(used()) - UNUSED) == []


def test_the_exceptions_are_unused():
    """A code that comes into use leaves the list of exceptions."""
    assert sorted(UNUSED & set(used())) == []
    assert set(CODES) >= UNUSED


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_says_what_to_do(code):
    item = CODES[code]
    assert item.title
    assert item.cause.endswith(".")
    assert item.mend.rstrip("`").endswith(".")


def test_the_page_is_in_step():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/test_codes.py"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
