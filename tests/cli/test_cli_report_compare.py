"""`scaling report` of several sources, and of the groups of one: what it writes and refuses."""

import json

import numpy as np
import pandas as pd
import pytest

import scaling as sc

LAW = sc.law("chinchilla")
TRUTH = dict(LAW.published[0].params)


def runs(m=1.0, seed=0):
    """Runs on one grid that do at C what the law does at m C."""
    n, d = np.geomspace(1e7, 1e10, 5), np.geomspace(1e9, 5e11, 5)
    x = pd.DataFrame({"N": np.repeat(n, 5), "D": np.tile(d, 5)})
    gamma = TRUTH["alpha"] * TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
    loss = TRUTH["E"] + (LAW.loss(TRUTH, x) - TRUTH["E"]) * m**-gamma
    return x.assign(loss=loss * np.exp(1e-3 * np.random.default_rng(seed).standard_normal(25)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two studies' folders with their fits, a lone fit, and a fit of two groups."""
    root = tmp_path_factory.mktemp("studies")
    for k, (name, m) in enumerate((("old", 1.0), ("new", 2.0))):
        folder = root / name
        folder.mkdir()
        sc.fit(runs(m, seed=k), "chinchilla", bootstrap=20).save(folder / "fit.json")
        (folder / "plan.jsonl").write_text("")
        study = {"study": {"title": f"The {name} one"}, "recipe": {"name": "r", "lr": 0.1 * m}}
        (folder / "study.json").write_text(json.dumps(study))
    sc.fit(runs(1.5, seed=3), "chinchilla", bootstrap=20).save(root / "third.fit.json")
    both = pd.concat([runs(seed=4).assign(group="A"), runs(2.0, seed=5).assign(group="B")])
    sc.fit(both, "chinchilla", group="group", bootstrap=20).save(root / "groups.json")
    return root


def test_folders_are_laid_side_by_side(scaling, kept, tmp_path):
    out = scaling("report", kept / "old", kept / "new", "--at", "1e20", "-o", "c.md")
    assert out.returncode == 0, out.stderr
    text = (tmp_path / "c.md").read_text()
    assert text.startswith("# Comparison of The old one and The new one")
    assert "The new one is better: with " in text
    assert "| recipe.lr | 0.1 | 0.2 |" in text
    assert "| 1.00×10²⁰ |" in text
    assert "scaling report old new" in text.replace(str(kept), "")
    assert str(kept) not in text
    assert not (kept / "old" / "report.html").exists()


def test_three_sources_and_another_reference(scaling, kept, tmp_path):
    sources = (kept / "old", kept / "new", kept / "third.fit.json")
    out = scaling("report", *sources, "--reference", "third", "--target-flops", "1e21",
                  "-o", "c.html", "--pdf", "c.pdf", "--title", "Three")  # fmt: skip
    assert out.returncode == 0, out.stderr
    html = (tmp_path / "c.html").read_text()
    assert "<title>Three</title>" in html
    assert html.count('class="verdict ') == 2
    assert "The old one against third" in html
    assert "The new one against third" in html
    assert "http" not in html.replace("http://www.w3.org", "")
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_groups_of_one_source(scaling, kept, tmp_path):
    out = scaling("report", kept / "groups.json", "--compare", "--reference", "B", "-o", "c.txt")
    assert out.returncode == 0, out.stderr
    text = (tmp_path / "c.txt").read_text()
    assert text.startswith("Comparison of B and A")
    assert "B is better" in text
    whole = scaling("report", kept / "groups.json", "-o", "whole.txt")
    assert whole.returncode == 0, whole.stderr
    assert "Recipes compared" in (tmp_path / "whole.txt").read_text()


def test_tables_of_runs_are_fitted_and_compared(scaling, tmp_path):
    for name, m in (("a", 1.0), ("b", 2.0)):
        runs(m, seed=7).to_csv(tmp_path / f"{name}.csv", index=False)
    out = scaling("report", "a.csv", "b.csv", "-o", "c.txt")
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "c.txt").read_text().startswith("Comparison of a and b")


def test_sources_of_one_name_are_told_apart(scaling, kept, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fit = kept / ("old" if name == "one" else "new") / "fit.json"
        (tmp_path / name / "mine.json").write_text(fit.read_text())
    out = scaling("report", "one/mine.json", "two/mine.json", "-o", "c.txt")
    assert out.returncode == 0, out.stderr
    assert "Comparison of one/mine and two/mine" in (tmp_path / "c.txt").read_text()


def test_what_cannot_be_compared_is_refused(refused, kept):
    lone = kept / "third.fit.json"
    for words in ((lone, "--compare"), (lone, lone)):
        out = refused("report", *words, "-o", "c.html", code="SC004")
        assert "one fit, compared with nothing" in out.stderr
    out = refused("report", lone, "--at", "1e20", "-o", "c.html", code="SC004")
    assert "two sources, or --compare" in out.stderr
    words = ("report", lone, kept / "old", "--reference", "nobody", "-o", "c.html")
    out = refused(*words, code="SC004")
    assert "third, The old one" in out.stderr
    refused("report", lone, kept / "nowhere.json", "-o", "c.html", code="SC005")


def test_a_dry_run_writes_nothing(scaling, kept, tmp_path):
    out = scaling("report", kept / "old", kept / "new", "-o", "c.html", "--dry-run")
    assert out.returncode == 0
    assert "would write c.html" in out.stderr
    assert not (tmp_path / "c.html").exists()
