"""The page of the long tests is what a run's JUnit file says."""

import re

import pytest

from tests import nightly

XML = """<testsuites><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="4"
time="125.4" timestamp="2026-02-03T04:05:06.1">
<testcase classname="tests.test_known_truth" name="test_fitted_floor_is_the_entropy_rate"
time="100.04"/>
<testcase classname="tests.test_nightly" name="test_the_page[a|b-1]" time="1.5"/>
<testcase classname="tests.test_nightly" name="test_the_page[2]" time="0.5">
<failure message="AssertionError: 1 | 2&#10;more">text</failure></testcase>
<testcase classname="tests.test_nightly" name="test_words" time="0">
<skipped message="no GPU here"/></testcase></testsuite></testsuites>"""


def test_the_page():
    """Counts, seconds, reasons: one row a function."""
    page = nightly.page(XML, "abc1234")
    assert "2026-02-03, commit abc1234" in page
    assert "2 passed, 1 failed, 1 skipped, in 2 minutes." in page
    assert "| Fitted floor is the entropy rate | 1 | passed | 100.0 |" in page
    assert page.index("## tests/test_known_truth.py") < page.index("## tests/test_nightly.py")
    told = "passed (1); **failed**: AssertionError: 1 / 2 (1)"
    assert f"| Counts, seconds, reasons: one row a function | 2 | {told} | 2.0 |" in page
    assert "\n\nCut off.\n" in nightly.page(XML, "abc1234", "Cut off.")
    assert "| Words | 1 | skipped: no GPU here | 0.0 |" in page


@pytest.mark.skipif(not nightly.PAGE.is_file(), reason="no run of the long tests is kept")
def test_the_kept_page_has_the_form_of_one():
    page = nightly.PAGE.read_text(encoding="utf-8")
    assert page.startswith(nightly.HEAD)
    assert re.search(r"Last run: \d{4}-\d\d-\d\d, commit [0-9a-f]{7,}, \d+ cores, Python 3", page)
    assert "failed, 0 skipped" in page or "| skipped: " in page or "; skipped: " in page
