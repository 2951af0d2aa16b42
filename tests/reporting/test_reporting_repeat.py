"""The same fit gives the same bytes: again, from its file, and in another process."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.fitting.stored import load
from scaling.reporting import Report, build

ROOT = Path(__file__).parents[2]
AFRESH = """
import hashlib, json, sys
from scaling.fitting.stored import load
from scaling.reporting import Report, build

options = json.loads(sys.argv[2])
report = Report(build(load(sys.argv[1]), **options))
for kind in sys.argv[3:]:
    made = getattr(report, kind)()
    print(kind, hashlib.sha256(made.encode() if isinstance(made, str) else made).hexdigest())
"""


def digest(made):
    return hashlib.sha256(made.encode() if isinstance(made, str) else made).hexdigest()


def afresh(rendered, folder, *kinds, seed):
    """Return digests of renderings that another process makes of the saved fit."""
    rendered.fits.save(folder / "fit.json")
    command = [sys.executable, "-c", AFRESH, str(folder / "fit.json"), json.dumps(rendered.options)]
    env = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
    env.pop("SOURCE_DATE_EPOCH", None)
    out = subprocess.run([*command, *kinds], capture_output=True, text=True, env=env, check=True)
    return dict(line.split() for line in out.stdout.splitlines())


def test_the_page_is_the_same_in_another_process(whole, tmp_path):
    found = afresh(whole, tmp_path, "html", "markdown", "text", seed=7)
    assert found == {
        "html": digest(whole.html),
        "markdown": digest(whole.markdown),
        "text": digest(whole.text),
    }


@pytest.mark.slow
def test_the_pdf_is_the_same_in_another_process(whole, tmp_path):
    made = digest(whole.pdf)
    assert afresh(whole, tmp_path, "pdf", seed=11) == {"pdf": made}


def test_all_is_the_same_when_it_is_read_from_its_file(curve, tmp_path):
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    curve.fits.save(tmp_path / "fit.json")
    report = Report(build(load(tmp_path / "fit.json"), **curve.options))
    assert report.html() == curve.html
    assert report.markdown() == curve.markdown
    assert report.text() == curve.text
    assert report.pdf() == curve.report.pdf()


def test_a_hostile_table_is_the_same_when_it_is_read_from_its_file(hostile, tmp_path):
    hostile.fits.save(tmp_path / "fit.json")
    report = Report(build(load(tmp_path / "fit.json"), **hostile.options))
    assert report.markdown() == hostile.markdown
    assert report.text() == hostile.text


def opened(made):
    """Open a PDF, whose objects are packed."""
    return pytest.importorskip("pikepdf").open(io.BytesIO(made))


def test_the_pdf_has_a_date_only_if_the_environment_gives_one(lost, monkeypatch):
    pytest.importorskip("typst", reason="typst is needed to render PDF")
    assert "/CreationDate" not in opened(lost.pdf).docinfo
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    dated = lost.report.pdf()
    assert dated != lost.pdf
    pdf = opened(dated)
    assert str(pdf.docinfo["/CreationDate"]).startswith("D:20231114")
    assert dated == lost.report.pdf()


def test_the_pdf_is_tagged(whole):
    pdf = opened(whole.pdf)
    assert bool(pdf.Root.MarkInfo.Marked)
    assert len(pdf.Root.StructTreeRoot.K) > 0
    assert str(pdf.Root.Lang) == "en"
    assert pdf.open_metadata()["pdfuaid:part"] == "1"
    assert len(whole.pdf) < 1_000_000
