"""``scaling bench``: a calibration is written, added to, used by a plan, and never mixed."""

import json

import pytest

pytest.importorskip("torch")

STUDY = """schema = 1
[data]
source = "markov"
options = { symbols = 16, tokens = 60000, validation_tokens = 8000 }
[model]
context = 16
layers = 1
[design]
kind = "grid"
params = [9e2, 1.9e3]
data = [4e3, 8e3]
[engine]
workers = 1
"""


def test_a_calibration_grows_and_a_plan_reads_it(write, scaling, refused, document, tmp_path):
    write("s.toml", STUDY)
    first = scaling("bench", "s.toml", "-o", "c.json", "--seconds", "0.1", "--shapes", "1")
    assert first.returncode == 0, first.stderr
    assert "1 shapes, 1 at once" in first.stderr
    one = json.loads((tmp_path / "c.json").read_text())

    plan = document("sweep", "plan", "s.toml", "--calibration", "c.json", "--json")
    assert "SC223" in [m["code"] for m in plan["messages"]]
    assert all(p["seconds"] > 0 for p in plan["points"])

    second = scaling("bench", "s.toml", "-o", "c.json", "--seconds", "0.1")
    assert second.returncode == 0, second.stderr
    both = json.loads((tmp_path / "c.json").read_text())
    assert len(both["shapes"]) == 2
    assert one["shapes"].items() <= both["shapes"].items()
    plan = document("sweep", "plan", "s.toml", "--calibration", "c.json", "--json")
    assert not {"SC206", "SC222", "SC223"} & {m["code"] for m in plan["messages"]}
    for p in plan["points"]:
        entry = next(e for key, e in both["shapes"].items() if json.loads(key)["shape"]
                     == p["shape"])  # fmt: skip
        assert p["seconds"] > p["steps"] * entry["seconds_per_step"] * 0.999

    third = scaling("bench", "s.toml", "-o", "c.json")
    assert third.returncode == 0
    assert "--force" in third.stderr
    refused("bench", "s.toml", "-o", "c.json", "--shapes", "3", "--workers", "2", code="SC226")


@pytest.mark.parametrize("text", ["precious", "{}", '{"schema": "scaling/calibration@1"}'])
def test_a_file_that_is_no_calibration_is_not_overwritten(write, refused, text):
    write("s.toml", STUDY)
    write("c.json", text)
    out = refused("bench", "s.toml", "-o", "c.json", code="SC012")
    assert "--force" in out.stderr


def test_a_device_that_does_not_exist_is_refused(write, refused):
    write("s.toml", STUDY)
    refused("bench", "s.toml", "--device", "tpu", code="SC004")


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(write, refused):
    write("s.toml", STUDY)
    write("file", "")
    out = refused("bench", "s.toml", "-o", "file/c.json", code="SC003")
    assert "ms (" not in out.stderr
