"""Studies as mappings, planned on data that are only described."""

import pytest

from scaling.errors import ScalingError
from scaling.planning.make import make_plan
from scaling.planning.study import check_study
from scaling.runs.manifest import Manifest, resolve

BYTES = Manifest("stdlib", "ab" * 32, 256, 10_000_000, 700_000, "bytes")
TOKENS = resolve("external")


def study(design, **sections):
    """Check a study of this design, with other sections where given."""
    return check_study({"schema": 1, "data": {"source": "stdlib"}, "design": design, **sections})


def planned(design, manifest=BYTES, inputs=None, stage="main", **sections):
    """Plan a study of this design."""
    return make_plan(study(design, **sections), manifest, inputs, stage=stage)


def codes(plan):
    """Codes of a plan's messages."""
    return [message.code for message in plan.messages]


def text_of(plan, code):
    """Return the text of a plan's one message of this code."""
    (text,) = (m.text for m in plan.messages if m.code == code)
    return text


def fault_of(make, *arguments, **options):
    """Return the one fault of a call that must be refused."""
    with pytest.raises(ScalingError) as caught:
        make(*arguments, **options)
    (fault,) = caught.value.faults
    return fault
