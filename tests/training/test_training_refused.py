"""What Ray or Slurm cannot do is found before the first point starts."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")

from scaling.errors import MissingExtraError  # noqa: E402
from scaling.training import driver  # noqa: E402
from tests.training.killing import ROOT  # noqa: E402


def refused(out, engine, env, profile="", *options):
    """Run a sweep that must be refused; return what it says, and how long it took."""
    path = out.parent / "profile.toml"
    path.write_text(profile)
    words = ["sweep", "run", str(out), "--engine", engine, "--profile", str(path), *options]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "scaling", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env}, timeout=120,
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr
    assert not list(out.glob("points/*"))
    assert not (out / "driver.lock").exists()
    assert all(
        len(line) <= 80 or "mend:" in line or "/" in line for line in done.stderr.split("\n")
    )
    return " ".join(done.stderr.split()), time.monotonic() - began


@contextlib.contextmanager
def unseen(folder):
    """Let a disk lie in a folder that only this process and its children see."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed(planned, monkeypatch, engine, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else real(name)
    )
    with pytest.raises(MissingExtraError, match=rf"scaling-study\[{engine}\]"):
        driver.run(planned(), engine=engine, device="cpu")


# -------------------------------------------------------------------------------------------- ray


def test_a_ray_that_does_not_answer(planned):
    said, seconds = refused(planned(), "ray", {}, '[engine.ray]\naddress = "127.0.0.1:1"\n')
    assert "SC316" in said
    assert "Ray at 127.0.0.1:1" in said
    assert "ray start --head" in said
    assert seconds < 30


@pytest.mark.parametrize(
    ("profile", "options", "need"),
    [
        ("[engine]\ndevices = 2", ["--device", "cuda"], "2 GPU"),
        ("[engine.ray]\nmemory_gib = 4000", ["--device", "cpu"], "4000 GiB"),
        ("[engine.ray]\nresources = { unicorn = 1 }", ["--device", "cpu"], "1 unicorn"),
    ],
)
def test_more_than_any_node_of_ray_has(planned, ray_cluster, profile, options, need):
    said, _ = refused(planned(), "ray", ray_cluster.env, profile, *options)
    assert "SC317" in said
    assert need in said
    assert "which no node has" in said


def test_a_folder_that_no_node_of_ray_sees(plan_into, tmp_path, ray_cluster):
    with unseen(tmp_path / "disk") as disk:
        said, _ = refused(plan_into(disk / "out"), "ray", ray_cluster.env, "[engine]")
    assert "SC314" in said
    assert "as this machine sees it" in said


# ------------------------------------------------------------------------------------------ slurm


def test_a_host_without_slurm(planned, tmp_path):
    said, _ = refused(planned(), "slurm", {"PATH": str(tmp_path)}, "[engine]")
    assert "SC316" in said
    assert "no sbatch on this machine" in said


def test_a_slurm_that_does_not_answer(planned, slurm, tmp_path):
    conf = tmp_path / "slurm.conf"
    text = (slurm.folder / "slurm.conf").read_text()
    lines = [ln for ln in text.splitlines() if not ln.startswith("SlurmctldPort")]
    conf.write_text("\n".join([*lines, "SlurmctldPort=1"]) + "\n")
    said, _ = refused(planned(), "slurm", {**slurm.env, "SLURM_CONF": str(conf)}, "[engine]")
    assert "SC316" in said


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ('partition = "nowhere"', 'no partition "nowhere"; there are debug, urgent'),
        ('gres = "gpu:4"', "the most is 2 CPUs"),
        ('gres = "unicorn"', "gres unicorn:1; the most is"),
        ('constraint = "a100"', "Invalid feature specification"),
        ("cpus = 8", "the most is 2 CPUs"),
        ('partition = "urgent"\nminutes = 600', "600 minutes are more than the 60"),
        ("minutes = 2\nsignal_seconds = 90", "signal_seconds"),
    ],
)
def test_what_slurm_would_not_run(planned, slurm, settings, found):
    said, _ = refused(planned(), "slurm", slurm.env, f"[engine.slurm]\n{settings}\n")
    assert "SC317" in said
    assert found in said
    assert slurm.run("squeue", "-h", "-o", "%i").strip() == ""


def test_a_folder_that_no_node_of_slurm_sees(plan_into, tmp_path, slurm):
    with unseen(tmp_path / "disk") as disk:
        said, _ = refused(plan_into(disk / "out"), "slurm", slurm.env, "[engine]")
    assert "SC314" in said
