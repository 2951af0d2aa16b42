"""What pages find in their folders."""

import pytest


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    from tests.docs.prepared import Prepared

    return Prepared(tmp_path_factory.mktemp("prepared"))
