"""Reports that are checked in: each is what its fit.json says today, for the study of its name."""

from pathlib import Path

import pandas as pd
import pytest

import scaling as sc
from scaling.fitting.stored import load
from scaling.planning.study import read_study
from scaling.reporting import Report, build

ROOT = Path(__file__).parents[1]
FITS = sorted((ROOT / "reports").glob("*.fit.json"))
ENDINGS = (".html", ".pdf")
ARCHIVE = (ROOT / "PKG-INFO").is_file()
needs_renderings = pytest.mark.skipif(ARCHIVE, reason="the source archive has no rendered reports")
TOLERANCE = 1e-6  # relative, of parameters that are fitted again


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


def kept(path, ending):
    """Return the place of a rendering of a fit."""
    return path.with_name(path.name.replace(".fit.json", ending))


@needs_renderings
@pytest.mark.parametrize("path", FITS, ids=lambda p: p.name.split(".")[0])
def test_a_report_is_rendered_to_the_same_bytes(path, tmp_path):
    report = rendered(path)
    for ending in ENDINGS:
        report.write(tmp_path / f"r{ending}")
        same = (tmp_path / f"r{ending}").read_bytes() == kept(path, ending).read_bytes()
        assert same, f"{ending}: run python -m tests.test_reports"  # a diff of these takes minutes


@pytest.mark.parametrize("path", FITS, ids=lambda p: p.name.split(".")[0])
def test_the_rows_of_a_report_give_its_numbers_again(path):
    for fit in load(path).fits:
        frame = pd.DataFrame(fit.rows)
        frame = frame[frame["used"]].drop(columns=["predicted", "residual", "why", "group"])
        o = fit.objective
        delta = {} if o.delta is None else {"delta": o.delta}
        again = sc.fit(
            frame,
            law=fit.law,
            objective=o.name,
            reduction=o.reduction,
            response=fit.response,
            bootstrap=0,
            **delta,
        )
        assert again.n == fit.n
        assert again.status == fit.status
        for name in fit.law.names:
            assert again.params[name] == pytest.approx(fit.params[name], rel=TOLERANCE, abs=1e-9)


@needs_renderings
def test_studies_of_a_cpu_have_reports():
    without = {"optimal-1e18", "isoflop-text"}  # a plan alone; a GPU and text of one's own
    studies = {p.stem for p in (ROOT / "sweeps").glob("*.toml")}
    assert {p.name.split(".")[0] for p in FITS} == studies - without
    for path in FITS:
        assert all(kept(path, ending).is_file() for ending in ENDINGS)


if __name__ == "__main__":  # renders all of them again
    for each in FITS:
        report = rendered(each)
        for ending in ENDINGS:
            kept(each, ending).unlink(missing_ok=True)
            report.write(kept(each, ending))
