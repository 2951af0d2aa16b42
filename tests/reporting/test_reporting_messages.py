"""Every message reaches every rendering, and so do intervals with their kind and level."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from scaling.codes import CODES
from scaling.errors import Message
from scaling.reporting import Report, build
from scaling.reporting.document import Note

ALL = ["whole", "lost", "curve", "many", "minima", "hostile"]
RENDERINGS = ["html", "markdown", "text", "pdf"]


class Words(HTMLParser):
    """Gathers text outside scripts and styles."""

    def __init__(self):
        super().__init__()
        self.words, self.hidden = [], False

    def handle_starttag(self, tag, attributes):
        self.hidden = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)


def words(html):
    parser = Words()
    parser.feed(html)
    return "".join(parser.words)


def read(rendered, kind):
    """Return what a person reads in a rendering."""
    if kind == "html":
        return words(rendered.html)
    if kind == "markdown":
        return words(MarkdownIt("commonmark").enable("table").render(rendered.markdown))
    return rendered.text if kind == "text" else rendered.pdf_text


@pytest.fixture(params=RENDERINGS)
def kind(request):
    """Return each kind of rendering in turn."""
    return request.param


@pytest.fixture(params=ALL)
def shown(request, kind, squeezed):
    """Return a report with its words; those that are costly to draw without their HTML."""
    if kind == "html" and request.param in ("many", "minima"):
        pytest.skip("drawing these figures takes long; the others show the same")
    rendered = request.getfixturevalue(request.param)
    return rendered, squeezed(read(rendered, kind))


def test_every_message(shown, squeezed):
    rendered, text = shown
    assert rendered.fits.messages
    for m in rendered.fits.messages:
        assert squeezed(m.text) in text, m
        assert f"[{m.code}]" in text, m


def test_every_reason_stands_in_the_verdict(shown, squeezed):
    rendered, text = shown
    for v in rendered.document.verdicts:
        assert squeezed(v.headline) in text
        assert squeezed(v.sure) in text
        for note in v.reasons:
            assert squeezed(f"{note.text} [{note.code}]") in text


def test_every_fit_names_its_status_its_objective_and_its_rows(shown, squeezed):
    rendered, text = shown
    for fit in rendered.fits.fits:
        assert squeezed(f"Status: {fit.status}") in text
        assert squeezed("log-huber, delta 0.001, residuals in logs of the loss, sum") in text
    table = rendered.fits.table
    assert squeezed(f"{table['used']} of {table['rows']} runs from") in text
    assert squeezed(f"Convention: {table['convention']}") in text
    for item in table["dropped"]:
        assert squeezed(item["why"]) in text


def test_intervals_come_with_their_kind_and_level(shown, squeezed):
    rendered, text = shown
    for fit in rendered.fits.fits:
        if fit.interval is None:
            assert squeezed("no intervals (bootstrap 0)") in text
        elif fit.identified:
            i = fit.interval
            counts = f"{i.draws} replicates, {i.failed} failed; {i.clusters} clusters ({i.cluster})"
            assert squeezed(f"{i.level:.0%} intervals: {i.kind}; {counts}") in text
    for allocation in rendered.fits.allocations:
        if allocation.interval is not None:
            i = allocation.interval
            assert squeezed(f"{i['level']:.0%}, {i['kind']}") in text


def test_the_meaning_of_c_stands_beside_exponents(shown, squeezed):
    rendered, text = shown
    for allocation in rendered.fits.allocations:
        meaning = "C = 6ND" if allocation.approach == "surface" else "C of the table"
        assert squeezed(meaning) in text


def test_warnings_stand_in_the_verdict_too(whole, lost, curve, hostile):
    for rendered in (whole, lost, curve, hostile):
        for fit, verdict in zip(rendered.fits.fits, rendered.document.verdicts, strict=True):
            reasons = {(n.code, n.text) for n in verdict.reasons}
            for m in fit.messages:
                assert ((m.code, m.text) in reasons) == (m.severity != "info"), m


def test_the_gravest_reason_comes_first(lost):
    severities = [n.severity for n in lost.document.verdict.reasons]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert severities[0] == "error"


def test_every_code_that_is_shown_is_known(whole, lost, curve, many, hostile):
    for rendered in (whole, lost, curve, many, hostile):
        found = set(re.findall(r"\bSC\d{3}\b", rendered.text))
        assert found
        assert found <= set(CODES)


def test_a_message_that_nobody_foresaw_is_shown(whole, squeezed):
    odd = Message("SC900", "A sentence that only this test contains.")
    fits = replace(whole.fits, fits=(replace(whole.fits.fits[0], messages=(odd,)),))
    document = build(fits)
    assert Note("SC900", "warning", odd.text) in list(document.blocks)
    assert odd.text in {n.text for n in document.verdict.reasons}
    report = Report(document)
    for text in (report.text(), words(MarkdownIt().render(report.markdown()))):
        assert squeezed(odd.text) in squeezed(text)


def test_rows_left_out_are_listed_with_a_reason(whole):
    (table,) = [b for b in whole.document.blocks if getattr(b, "caption", "") == "Rows left out: 2"]
    assert table.rows == (
        ("30", "status diverged", "SC303"),
        ("31", "do not match --where loss < 9", "SC120"),
    )
    assert whole.markdown.count("| held out |") == 7


def test_the_hold_out_is_reported(whole, squeezed):
    text = squeezed(whole.text)
    assert squeezed("Hold-out budget > 9e20: 7 runs, up to 10× the largest fitted") in text
