"""The page of the study file names every section and key."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from scaling.count.accelerators import devices
from scaling.planning.sections import Study

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "study.md").read_text(encoding="utf-8")


def sections():
    for name, field in Study.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield name, kind


def rows():
    """Cells of the table by section, each row's section being the last that was named."""
    found, now = {}, ""
    for line in PAGE.splitlines():
        if line.startswith("|"):
            cells = line.split("|")[1:-1]
            name = re.search(r"`\[+(\w+)\]+`", cells[0])
            now = name[1] if name else now
            found.setdefault(now, []).append(line)
    return found


@pytest.mark.parametrize(("name", "kind"), list(sections()))
def test_every_key_stands_on_the_page(name, kind):
    text = "\n".join(rows()[name])
    words = set(re.findall(r"\w+", text))
    missing = set(kind.model_fields) - words
    assert missing == set()


def test_every_accelerator_stands_on_the_page():
    assert all(device in PAGE for device in devices())
