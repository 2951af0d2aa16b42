"""Every snippet of the reference is run, top to bottom, in an empty folder of its page."""

import pytest

pytest.importorskip("torch", reason="pages train")

from tests.docs.reader import go_through, pages


@pages("reference")
def test_a_page_does_what_it_shows(path, prepared, tmp_path, monkeypatch):
    go_through(path, prepared, tmp_path, monkeypatch)
