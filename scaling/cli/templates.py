"""Studies to begin with: those of ``sweeps/``, and a few that show what is one's own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scaling.cli.shipped import shipped

DEFAULT = "quickstart"
STUDY = "study.toml"


@dataclass(frozen=True)
class Template:
    """A study, and the files it needs.

    Attributes
    ----------
    name, question, cost : str
    files : mapping
        Text of each file by its name.
    drawn : mapping
        Law, truth, sizes and noise that a table is drawn from; empty where it needs none.
    next : tuple of str
        Commands that come then.
    note : str
        What is to be put in its place.
    trains : bool
        Whether it trains points here.
    """

    name: str
    question: str
    cost: str
    files: Mapping[str, str]
    drawn: Mapping[str, Any]
    next: tuple[str, ...]
    trains: bool
    note: str = ""

    def written(self) -> dict[str, str]:
        """Return the text of every file, a drawn table included."""
        drawn = {str(self.drawn["file"]): table_of(self.drawn)} if self.drawn else {}
        return {**self.files, **drawn}


@lru_cache
def templates() -> dict[str, Template]:
    """All templates by name, the default first."""
    own = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    found = [_ready(path) for path in sorted(shipped("sweeps").glob("*.toml"))]
    found += [
        Template(name, t["question"], t["cost"], t["files"], t.get("drawn", {}),
                 tuple(t["next"]), t.get("trains", False), t.get("note", ""))
        for name, t in own.items()
    ]  # fmt: skip
    return {t.name: t for t in sorted(found, key=lambda t: (t.name != DEFAULT, t.name not in own))}


def _ready(path: Path) -> Template:
    """A ready-made study; what its comment says of its place is said of the copy."""
    text = path.read_text(encoding="utf-8")
    study = tomllib.loads(text)
    cost = re.search(r"^# Cost: (.+(?:\n# .+)*)", text, re.M)
    words = " ".join(line.lstrip("# ").strip() for line in (cost[1] if cost else "").splitlines())
    short = re.split(r"(?<=\w)[;:.](?: |$)", words, maxsplit=1)[0]
    external = study.get("data", {}).get("source") == "external"
    verb = "sweep plan study.toml" if external else "study study.toml -o out"
    copy = text.replace(f"sweeps/{path.name}", STUDY).replace("sweeps/corpus", "corpus")
    copy = copy.replace(f"out/{path.stem}", "out")
    return Template(path.stem, study["study"]["question"], short, {STUDY: copy}, {},
                    (f"scaling {verb}",), not external)  # fmt: skip


def table_of(drawn: Mapping[str, Any]) -> str:
    """Return a table of runs drawn from a law, as CSV with the names that people use."""
    import numpy as np

    from scaling.laws.catalogue import LAWS
    from scaling.laws.formula import from_formula

    sizes = [(n, d) for n in drawn["N"] for d in drawn["D"] if 6.0 * n * d <= drawn["most"]]
    x = {"N": np.array([n for n, _ in sizes]), "D": np.array([d for _, d in sizes])}
    law = LAWS[drawn["law"]] if "law" in drawn else from_formula(drawn["formula"], ["N", "D"])
    noise = np.random.default_rng(drawn["seed"]).standard_normal(len(sizes))
    losses = law.loss(drawn["truth"], x) * np.exp(drawn["noise"] * noise)
    rows = [f"{n:.0f},{d:.0f},{6 * n * d:.4g},{loss:.5f}"
            for (n, d), loss in zip(sizes, losses, strict=True)]  # fmt: skip
    return "\n".join(["params,tokens,flops,loss", *rows]) + "\n"
