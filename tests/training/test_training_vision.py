"""torchvision is imported on demand, and mended on one error alone; each case in a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKS = """
import json, torch
from scaling.training.vision import torchvision
tv = torchvision()
image = torch.zeros(3, 8, 8, dtype=torch.uint8)
flipped = tv.transforms.v2.RandomHorizontalFlip(1.0)(image)
data = tv.datasets.FakeData(size=2, image_size=(3, 8, 8), transform=tv.transforms.v2.ToImage())
model = tv.models.resnet18(num_classes=10)
print(json.dumps({
    "version": tv.__version__, "flipped": list(flipped.shape), "item": list(data[0][0].shape),
    "logits": list(model(torch.zeros(2, 3, 32, 32)).shape), "again": torchvision() is tv,
    "nms": hasattr(torch.ops.torchvision, "nms"),
}))
"""
FAILS = """
import json
from scaling.errors import ScalingError
from scaling.training.vision import torchvision
try:
    torchvision()
except ScalingError as error:
    fault = error.faults[0]
    print(json.dumps([type(error).__name__, fault.code, fault.found, fault.mend]))
"""


def run(code, *ahead):
    path = os.pathsep.join([*map(str, ahead), str(ROOT)])
    command = [sys.executable, "-W", "error", "-c", code]
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fake(folder, text):
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(text)
    return folder


def test_models_transforms_and_data_sets_work():
    found = run(WORKS)
    assert found.pop("version")
    assert found == {
        "flipped": [3, 8, 8], "item": [3, 8, 8], "logits": [2, 10], "again": True, "nms": True,
    }  # fmt: skip


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import json, sys, scaling.training.vision\n"
    code += "print(json.dumps([n for n in ('torch', 'torchvision') if n in sys.modules]))"
    assert run(code) == []


ONCE = """
import torch
if not hasattr(torch.ops.torchvision, "{operator}"):
    raise RuntimeError("operator torchvision::nms does not exist")
__version__ = "1.0"
"""


@pytest.mark.parametrize("operator", ["nms", "qnms"])
def test_both_schemas_are_declared(tmp_path, operator):
    code = "import json\nfrom scaling.training.vision import load\n"
    code += "print(json.dumps(load().__version__))"
    assert run(code, fake(tmp_path, ONCE.replace("{operator}", operator))) == "1.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import torch_of_elsewhere", "ModuleNotFoundError: No module named 'torch_of_elsewhere'"),
        (
            "raise RuntimeError('operator torchvision::roi_align does not exist')",
            "RuntimeError: operator torchvision::roi_align does not exist",
        ),
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",  # and still does not
            "RuntimeError: operator torchvision::nms does not exist",
        ),
        (
            "raise ValueError('operator torchvision::nms does not exist')",
            "ValueError: operator torchvision::nms does not exist",
        ),
    ],
)
def test_other_errors_are_told(tmp_path, text, said):
    name, code, found, mend = run(FAILS, fake(tmp_path, text))
    assert (name, code) == ("TrainingError", "SC319")
    assert found == f"cannot be imported: {said}"
    assert mend.startswith("rename ")


def test_without_torchvision_the_extra_is_named():
    hide = "import importlib.util as u, sys\nfind = u.find_spec\n"
    hide += "u.find_spec = lambda n, *a: None if n == 'torchvision' else find(n, *a)\n"
    name, code, _, mend = run(hide + FAILS)
    assert (name, code) == ("MissingExtraError", "SC001")
    assert "[train]" in mend


def test_the_doctor_sees_its_version():
    code = "import json\nfrom scaling.training.installation import torch_checks\n"
    code += "print(json.dumps([[c.name, c.found, c.code] for c in torch_checks()]))"
    checks = {name: (found, code) for name, found, code in run(code)}
    assert checks["torchvision"] == (run(WORKS)["version"], "")
