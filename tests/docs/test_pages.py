"""Every snippet of the README, the tutorials and the pages at the root is run."""

import pytest

pytest.importorskip("torch", reason="pages train")

from tests.docs.reader import go_through, pages


@pages("", "tutorials")
def test_a_page_does_what_it_shows(path, prepared, tmp_path, monkeypatch):
    go_through(path, prepared, tmp_path, monkeypatch)
