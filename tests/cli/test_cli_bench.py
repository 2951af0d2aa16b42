"""``scaling bench``: a calibration is written, added to, used by a plan, and never mixed."""

import json

import pytest

pytest.importorskip("torch")

from scaling.cli.bench import _table
from scaling.training.bench import shape_key
from tests.cli.studies import GRID

STUDY = (
    GRID
    + """[engine]
workers = 1
"""
)


def test_a_calibration_grows_and_a_plan_reads_it(write, scaling, refused, document, tmp_path):
    write("s.toml", STUDY)
    first = scaling("bench", "s.toml", "-o", "c.json", "--seconds", "0.1", "--shapes", "1")
    assert first.returncode == 0, first.stderr
    assert "1 shapes, 1 at once" in first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].split() == "shape N sequences ms/step tokens/s MFU memory".split()
    assert len(lines[1].split()) in (7, 8)  # memory with its unit, or a dash
    assert "%" in lines[1]
    told = " ".join(first.stdout.split())
    assert told.count("of this core's measured matmul rate") == 1
    assert "C = 3 x forward, head and full attention included." in told
    assert max(map(len, lines)) <= 80
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
    assert 0 < plan["totals"]["range"]["mfu"][0] <= plan["totals"]["mfu"] < 1
    for p in plan["points"]:
        entry = next(e for key, e in both["shapes"].items() if json.loads(key)["shape"]
                     == p["shape"])  # fmt: skip
        assert p["seconds"] > p["steps"] * entry["seconds_per_step"] * 0.999

    third = scaling("bench", "s.toml", "-o", "c.json")
    assert third.returncode == 0
    assert "--force" in third.stderr
    assert len(third.stdout.splitlines()) == len(second.stdout.splitlines())
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


WIDE = {"width": 12288, "layers": 96}
POINT = {"family": "decoder", "task": "text", "shape": WIDE, "sequences": 1024,
         "N": 174_604_000_000, "C": 1e18, "steps": 10}  # fmt: skip
ENTRY = {"seconds_per_step": 12.34567, "memory_bytes": 7e10, "mfu": 0.4, "tokens_per_second": 1.2e6}
GPU = {"kind": "cuda", "device": "NVIDIA H100 80GB HBM3", "workers": 1, "peak_flops": 989.4e12,
       "peak_source": "NVIDIA H100 SXM 80 GB, dense bf16"}  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "header", "expected"),
    [
        (ENTRY, {}, ["40.0%", "66,757 MiB", "9.894e+14 FLOP/s of NVIDIA H100 SXM 80 GB"]),
        (ENTRY, {"workers": 4}, ["4 processes shared the device"]),
        ({**ENTRY, "mfu": None}, {"peak_flops": None, "device": "Abacus 9000"},
         ["no peak is known of Abacus 9000", "  -  "]),
        ({"seconds_per_step": 0.001, "memory_bytes": None},
         {"peak_flops": None, "schema": "scaling/calibration@2"}, ["version 2", "--force"]),
    ],
)  # fmt: skip
def test_the_table_of_a_gpu_fits_a_screen_and_says_what_the_peak_is(entry, header, expected):
    key = shape_key(POINT)
    made = {"schema": "scaling/calibration@3", **GPU, **header, "shapes": {key: entry}}
    lines = _table(made, [POINT, {**POINT, "sequences": 2}])
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:3] == ["12288x96", "1.746e+11", "1024"]
    assert "1024" not in " ".join(lines[2:])
    for part in expected:
        assert part in lines[1] or part in " ".join(" ".join(lines).split())
