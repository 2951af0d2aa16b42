"""Reports that are checked in: each is what its fit.json says today, for the study of its name."""

import re
from pathlib import Path

import pytest

from scaling.fitting.stored import load
from scaling.planning.study import read_study
from scaling.reporting import Report, build

ROOT = Path(__file__).parents[1]
FITS = sorted((ROOT / "reports").glob("*.fit.json"))
DRAWN = re.compile(r"<svg.*?</svg>|<style.*?</style>|<script.*?</script>", re.S)


def rendered(path):
    """Render the report of a fit as `scaling study` does."""
    slug = path.name.removesuffix(".fit.json")
    study = read_study(ROOT / "sweeps" / f"{slug}.toml")
    fits = load(path)
    document = build(
        fits,
        title=study.report.title or study.study.title,
        question=study.study.question or None,
        target_flops=study.study.target_flops,
        study=study.model_dump(mode="json", by_alias=True, exclude_unset=True),
        command=fits.provenance.get("command"),
    )
    return Report(document)


def words(page):
    """Text of a page without what is drawn, of which other fonts make other bytes."""
    return " ".join(re.sub(r"<[^>]+>", " ", DRAWN.sub(" ", page)).split())


@pytest.mark.parametrize("path", FITS, ids=lambda p: p.name.split(".")[0])
def test_a_report_says_what_its_fit_says(path, tmp_path):
    rendered(path).write(tmp_path / "r.html")
    kept = path.with_name(path.name.replace(".fit.json", ".html")).read_text(encoding="utf-8")
    assert words((tmp_path / "r.html").read_text(encoding="utf-8")) == words(kept)


def test_studies_of_a_cpu_have_reports():
    without = {"optimal-1e18", "isoflop-text"}  # a plan alone; a GPU and text of one's own
    studies = {p.stem for p in (ROOT / "sweeps").glob("*.toml")}
    assert {p.name.split(".")[0] for p in FITS} == studies - without
    for path in FITS:
        for ending in (".html", ".pdf"):
            assert path.with_name(path.name.replace(".fit.json", ending)).is_file()


if __name__ == "__main__":  # renders all of them again
    for each in FITS:
        for ending in (".html", ".pdf"):
            target = each.with_name(each.name.replace(".fit.json", ending))
            target.unlink(missing_ok=True)
            rendered(each).write(target)
