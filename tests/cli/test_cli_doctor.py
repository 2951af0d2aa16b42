"""``scaling doctor``: what is not there, broken or out of reach, each really so."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from scaling import api
from scaling.cli import machine
from scaling.training import installation
from scaling.training.engines import local, ray_cluster, slurm_commands
from scaling.training.engines.base import Check
from scaling.training.lock import locked
from tests.cli.conftest import ENV, ROOT
from tests.cli.studies import GRID
from tests.test_no_torch import HOOK

NO_CLUSTERS = {"RAY_ADDRESS": None, "SLURM_CONF": None}
HIDES = 'if name.partition(".")[0] in ("torch", "torchvision"):'
WORKS = """
from types import SimpleNamespace
__version__ = "9.9"
version = SimpleNamespace(cuda=None, hip=None)
class full(list):
    def __init__(self, shape, value, device): self.append({PRODUCT})
    def __matmul__(self, other): return self
    def __getitem__(self, at): return list.__getitem__(self, 0)
"""


@pytest.fixture
def doctor(tmp_path):
    """Run the command in the test's folder, with more or less in its environment."""

    def run(*words, **changes):
        env = {k: v for k, v in {**ENV, **NO_CLUSTERS, **changes}.items() if v is not None}
        return subprocess.run(
            [sys.executable, "-m", "scaling", "doctor", *map(str, words)],
            capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def ahead(tmp_path):
    """Put files into a folder that Python looks through first; return its search path."""

    def make(**files):
        for name, text in files.items():
            path = tmp_path / "ahead" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return os.pathsep.join([str(tmp_path / "ahead"), str(ROOT)])

    return make


@pytest.fixture
def out(tmp_path):
    """Plan a sweep of four points."""
    path = tmp_path / "study.toml"
    path.write_text(GRID)
    api.plan(path).write(tmp_path / "out")
    return tmp_path / "out"


def line_of(done, name):
    """Return the line of a check, with those that go on with it, as one; and its mend."""
    lines = done.stdout.splitlines()
    (first,) = [i for i, line in enumerate(lines) if line[6:].startswith((f"{name} ", f"{name}:"))]
    said = lines[first]
    for line in lines[first + 1 :]:
        if not line.startswith(" "):
            break
        said += " " + line.strip()
    said, _, mend = said.partition(" mend: ")
    return " ".join(said.split()), mend


def rows(done):
    return {row["name"]: row for row in json.loads(done.stdout)["checks"]}


# --------------------------------------------------------------------------------------- machine


def test_this_machine_is_well(doctor, tmp_path):
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert done.stderr == "no checks failed\n"
    for name in ("Python", "numpy", "scipy", "pandas", "folder", "hard links", "TMPDIR", "cores"):
        assert line_of(done, name)[0].startswith("ok ")
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_pasted(doctor, tmp_path, out):
    """No name of the host, of the user or of the home, and nothing secret of the environment."""
    home = out.parent / "someone"
    (home / ".config" / "scaling").mkdir(parents=True)
    (home / ".config" / "scaling" / "config.toml").write_text("[fit]\nsed = 1\n")
    kept = {"HOME": str(home), "LOGNAME": "annemarie", "USER": "annemarie", "SCALING_CONFIG": None,
            "HF_TOKEN": "hf_verysecret", "WANDB_API_KEY": "verysecret", "XDG_CONFIG_HOME": None,
            "TMPDIR": str(home / "annemarie" / "no"), "XDG_CACHE_HOME": None}  # fmt: skip
    lock = {"pid": 1, "host": "node17.cluster", "started": "1"}
    (out / "driver.lock").write_text(json.dumps(lock))
    said = ""
    for words in ((), (out,), ("--json",)):
        done = doctor(*words, **kept)
        assert done.returncode == 1
        said += done.stdout + done.stderr
    for name in (str(home), "annemarie", "node17", "verysecret"):
        assert name not in said.replace(str(out), "OUT"), name
    host = rf"(?<![\w.-]){re.escape(socket.gethostname())}(?![\w-])"  # it may be part of a word
    assert not re.search(host, said.replace(str(out), "OUT"))
    both = machine.safe(Check("a", f"on {socket.gethostname()}", "x", f"{socket.gethostname()}!"))
    assert (both.found, both.mend) == ("on this machine", "this machine!")
    assert "~/.config/scaling/config.toml [fit] sed" in " ".join(said.split())
    assert "~/$USER/no" in said
    assert "on another machine" in said


def test_broken_settings_fail_with_their_mend(doctor, tmp_path):
    (tmp_path / "scaling.toml").write_text("[fit]\nbootstrp = 1\n")
    done = doctor()
    assert done.returncode == 1
    said, mend = line_of(done, "settings")
    assert said.startswith("FAIL settings ./scaling.toml [fit] bootstrp")
    assert mend == 'did you mean "bootstrap"?'
    (tmp_path / "scaling.toml").write_text("[fit]\nbootstrap = 1\n")
    done = doctor(SCALING_CONFIG=None, XDG_CONFIG_HOME=str(tmp_path))
    assert line_of(done, "settings")[0] == "ok settings 1 option set; ./scaling.toml"


def test_what_could_be_better(doctor, tmp_path):
    found = rows(
        doctor("--json", HOME="/proc/nowhere", SHELL="/bin/zsh", SCALING_CACHE_DIR=None,
               XDG_CACHE_HOME=None, XDG_CONFIG_HOME=None, MPLCONFIGDIR=None, LC_ALL="C",
               PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING=None)
    )  # fmt: skip
    mends = {name: row["mend"] for name, row in found.items() if row["code"] == "SC014"}
    assert mends == {
        "fonts": "export MPLCONFIGDIR=FOLDER, one to write",
        "cache": "export SCALING_CACHE_DIR=FOLDER, one that can be written",
        "encoding": "export LC_ALL=C.UTF-8",
        "completion": "scaling --install-completion",
    }
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "x").write_bytes(bytes(2_500_000))
    (tmp_path / "mpl").mkdir()
    kept = {"SCALING_CACHE_DIR": str(tmp_path / "cache"), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    good = rows(doctor("--json", LC_ALL="C.UTF-8", **kept))
    assert good["cache"]["found"].endswith("cache, 2.5 MB")
    assert good["encoding"]["state"] == "ok"
    assert good["fonts"]["found"].startswith("DejaVu and STIX, by matplotlib")


def test_a_cache_that_cannot_be(monkeypatch, tmp_path):
    monkeypatch.setenv("SCALING_CACHE_DIR", str(tmp_path / ("x" * 300)))
    cache = next(machine.comfort_checks())
    assert (cache.code, cache.optional) == ("SC014", True)
    assert cache.found.endswith("cannot be used: File name too long")


def test_typst_compiles_a_page(doctor, ahead):
    pytest.importorskip("typst")
    assert line_of(doctor(), "typst")[0].endswith("compiles a page")
    done = doctor(PYTHONPATH=ahead(typst="def compile(text): raise ValueError('no fonts')"))
    assert done.returncode == 0
    said = line_of(done, "typst")[0]
    assert said.startswith("-- typst does not compile a page: ValueError: no fonts")


def test_lines_fit_a_screen_and_mends_are_whole(doctor, tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    done = doctor(folder, PATH="/nowhere")
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines if "mend: " not in line)
    assert all(line[:6] in ("ok    ", "--    ", "FAIL  ", " " * 6) for line in lines)
    assert folder.name in done.stdout.replace("\n" + " " * 19, "")
    assert "      mend: scaling sweep plan FILE.toml -o OUT" in lines


def test_json_alone_on_standard_output(doctor, tmp_path):
    (tmp_path / "study.toml").write_text(GRID + '[engine]\ntrack = ["tensorboard"]\n')
    done = doctor("study.toml", "--json", TMPDIR="/nowhere")
    assert done.returncode == 1
    data = json.loads(done.stdout)
    assert data["schema"] == "scaling/doctor@1"
    assert {tuple(row) for row in data["checks"]} == {("name", "state", "found", "code", "mend")}
    found = rows(done)
    assert found["TMPDIR"]["state"] == "failed"
    assert found["TMPDIR"]["code"] == "SC315"
    assert found["numpy"] == {**found["numpy"], "state": "ok", "code": "", "mend": ""}
    assert "ray" not in found


@pytest.mark.parametrize("name", ["numpy", "scipy"])
def test_without_the_core_nothing_else_is_looked_at(doctor, ahead, name):
    done = doctor("nowhere.toml", PYTHONPATH=ahead(**{name: "raise ImportError('half there')"}))
    assert done.returncode == 1
    said, mend = line_of(done, name)
    assert said == f"FAIL {name} cannot be imported: ImportError: half there [SC319]"
    assert "PYTHONPATH" in mend
    assert "torch" not in done.stdout
    assert "Traceback" not in done.stderr


# ----------------------------------------------------------------------------------------- torch


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ImportError('libcudart.so.12: no such file')", "libcudart.so.12: no such file"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL"),
        ("__version__ = '9.9'", "AttributeError: module 'torch' has no attribute 'version'"),
        (WORKS.replace("{PRODUCT}", "2.5"), "9.9 does not multiply: a wrong product"),
    ],
)
def test_broken_torch(doctor, ahead, text, said):
    done = doctor(PYTHONPATH=ahead(torch=text))
    assert done.returncode == 1
    assert done.stderr == "1 check failed\n"
    line, mend = line_of(done, "torch")
    assert line.startswith("FAIL torch ")
    assert line.endswith(f"{said} [SC319]")
    assert mend.startswith("rename ")
    assert "Traceback" not in done.stdout


def test_a_torch_that_multiplies_passes(doctor, ahead):
    path = ahead(torch=WORKS.replace("{PRODUCT}", "2.0"), torchvision="1 / 0")
    done = doctor(PYTHONPATH=path)
    assert done.returncode == 0
    assert line_of(done, "torch")[0] == "ok torch 9.9, multiplies"
    assert line_of(done, "torchvision")[0].startswith("-- torchvision cannot be imported: ZeroDiv")


def test_a_fit_needs_no_torch(doctor, ahead, small_table, tmp_path):
    text = f'schema = 1\n[data]\ntable = "{small_table.name}"\n[[fit]]\nlaw = "chinchilla"\n'
    (tmp_path / "study.toml").write_text(text)
    done = doctor("study.toml", PYTHONPATH=ahead(torch="1 / 0"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert line_of(done, "torch")[0].startswith("-- torch cannot be imported: ZeroDivision")
    assert "cores" not in done.stdout


def test_torch_is_needed_where_a_study_trains(doctor, ahead, out):
    path = ahead(sitecustomize=HOOK)
    alone, asked = doctor(PYTHONPATH=path), doctor(out, PYTHONPATH=path)
    assert alone.returncode == 0
    assert line_of(alone, "torch") == (
        "-- torch not installed", "pip install 'scaling-study[train]'"
    )  # fmt: skip
    assert asked.returncode == 1
    assert line_of(asked, "torch") == (
        "FAIL torch not installed [SC001]", "pip install 'scaling-study[train]'"
    )  # fmt: skip


def test_trackers_are_needed_where_they_are_asked_for(doctor, ahead, tmp_path):
    (tmp_path / "study.toml").write_text(GRID + '[engine]\ntrack = ["wandb"]\n')
    assert HIDES in HOOK
    path = ahead(sitecustomize=HOOK.replace(HIDES, 'if name in ("wandb", "sqlalchemy"):'))
    found = rows(doctor("study.toml", "--json", PYTHONPATH=path))
    assert found["wandb"]["state"] == "failed"
    assert found["mlflow"]["state"] == "absent"
    assert found["mlflow"]["mend"] == "pip install 'scaling-study[trackers]'"


@pytest.mark.parametrize("engine", ["local", "debug"])
def test_a_run_with_broken_torch_says_the_same(ahead, out, tmp_path, engine):
    env = {**ENV, "PYTHONPATH": ahead(torch="raise ImportError('libcudart.so.12: no such file')")}
    done = subprocess.run(
        [sys.executable, "-m", "scaling", "sweep", "run", "out", "--engine", engine],
        capture_output=True, text=True, cwd=tmp_path, env=env, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "error[SC319] torch  cannot be imported: ImportError: libcudart.so.12" in done.stderr
    assert "mend: rename" in done.stderr
    assert not list(out.glob("points/*/record.json"))


# --------------------------------------------------------------------------------------- folders


def may_mount():
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    has = shutil.which("unshare") is not None
    return has and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="may not mount a file system")
@pytest.mark.parametrize(
    ("options", "why"), [("ro", "Read-only file system"), ("size=64k", "No space left on device")]
)
def test_a_folder_that_cannot_be_written(out, options, why):
    script = 'mount -t tmpfs -o "$1" none "$0"; exec "$2" -m scaling doctor "$0"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, out, options, sys.executable],
        capture_output=True, text=True, env=ENV, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    said, mend = line_of(done, "folder")
    assert said.startswith("FAIL folder ")
    assert said.endswith(f"cannot be written: {why} [SC003]")
    assert mend == "choose a writable -o with free space"


def test_a_folder_without_hard_links(doctor, ahead, out):
    hook = """
import errno, os
def link(*args, **options):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))
os.link = link
"""
    path, before = ahead(sitecustomize=hook), set(out.rglob("*"))
    done = doctor(out, PYTHONPATH=path)
    assert done.returncode == 1
    said, mend = line_of(done, "hard links")
    assert said.endswith("by hard links: Operation not permitted [SC003]")
    assert mend == "choose an -o on another file system"
    assert line_of(done, "folder")[0].startswith("ok ")
    assert set(out.rglob("*")) == before
    assert doctor(PYTHONPATH=path).returncode == 0, "the current folder need not be written"


def test_a_sweep_and_its_driver(doctor, out):
    free = doctor(out)
    assert free.returncode == 0
    assert line_of(free, "plan")[0] == "ok plan 4 points"
    assert line_of(free, "driver")[0] == "ok driver none works on this sweep"
    with locked(out):
        held = line_of(doctor(out), "driver")[0]
    assert f"process {os.getpid()} on this machine works on this sweep" in held
    lock = {"pid": 2**22 + 1, "host": socket.gethostname(), "started": "1"}
    (out / "driver.lock").write_text(json.dumps(lock))
    assert "has ended" in line_of(doctor(out), "driver")[0]


def test_jobs_in_slurm_of_a_sweep_for_another_engine(doctor, out, tmp_path):
    (out / "slurm").mkdir()
    order = {"points": ["a"], "kind": "alone"}
    kept = {"orders": [order, order], "devices": 1}
    (out / "slurm" / "scaling-1.json").write_text(json.dumps(kept))
    silent = doctor(out, PATH="/nowhere")
    assert line_of(silent, "squeue")[0] == "FAIL squeue does not answer [SC316]"
    command = tmp_path / "bin" / "squeue"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nprintf '7_0|scaling-1|RUNNING|None\\n7_1|scaling-1|FAILED|x\\n'")
    command.chmod(0o755)
    done = doctor(out, PATH=f"{command.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    said, mend = line_of(done, "jobs")
    assert said.startswith("FAIL jobs 1 job of this sweep is in Slurm, and would be trained twice")
    assert mend == f"scaling sweep cancel {out}"
    shutil.rmtree(out / "slurm")


@pytest.mark.parametrize(
    ("text", "code"), [(None, "SC005"), ("schema = ", "SC010"), (GRID + "x = 1", "SC011")]
)
def test_a_study_that_cannot_be_read(doctor, tmp_path, text, code):
    if text is not None:
        (tmp_path / "study.toml").write_text(text)
    done = doctor("study.toml", "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"error[{code}]" in done.stderr


# --------------------------------------------------------------------------------------- engines


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_ray_out_of_reach(doctor, tmp_path):
    pytest.importorskip("ray")
    address = f"127.0.0.1:{closed_port()}"
    text = f'[engine]\nname = "ray"\n[engine.ray]\naddress = "{address}"\n'
    (tmp_path / "study.toml").write_text(GRID + text)
    began = time.monotonic()
    done = doctor("study.toml")
    assert time.monotonic() - began < 30
    assert done.returncode == 1
    said, mend = line_of(done, f"Ray at {address}")
    assert said == f"FAIL Ray at {address}: Connection refused [SC316]"
    assert mend.startswith(f"ray start --head --port={address.rpartition(':')[2]}")
    alone = doctor(RAY_ADDRESS=address)
    assert alone.returncode == 1
    assert line_of(alone, f"Ray at {address}")[0].endswith("Connection refused [SC316]")


def test_no_ray_is_started_for_nobody(doctor):
    pytest.importorskip("ray")
    done = doctor()
    assert line_of(done, "ray")[0].endswith("installed, no cluster configured")


def test_ray_on_this_machine_alone(doctor, tmp_path):
    pytest.importorskip("ray")
    text = '[engine]\nname = "ray"\n[engine.ray]\nresources = {tpu = 1}\n'
    (tmp_path / "study.toml").write_text(GRID + text)
    done = doctor("study.toml", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    said, mend = line_of(done, "[engine.ray]")
    assert "1 CPU, 1 tpu for each point, which no node has; the most is 0 tpu [SC317]" in said
    assert "address" in mend


def test_a_port_that_is_not_ray(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(ray_cluster, "JOIN_SECONDS", 8.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        settings = {"name": "ray", "ray": {"address": address}}
        *_, last = ray_cluster.checks(settings)
    assert (last.name, last.code) == (f"Ray at {address}", "SC316")
    assert last.found.startswith("something answers, but not as a cluster of Ray")


def test_a_cluster_of_another_ray():
    text = """Version mismatch: The cluster was started with:
    Ray: 2.40.0
    Python: 3.10.4
This process on node 10.0.0.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""
    fault = ray_cluster._unlike(text)
    assert "Ray 2.40.0 and Python 3.10.4, this process 2.60.0 and 3.11.7" in fault.found
    assert fault.mend == "pip install ray==2.40.0"
    assert ray_cluster._unlike("no cluster") is None


def test_slurm_is_not_on_this_machine(doctor, tmp_path):
    pytest.importorskip("submitit")
    (tmp_path / "cluster.toml").write_text('[engine]\nname = "slurm"\n')
    asked, alone = doctor("--profile", "cluster.toml", PATH="/nowhere"), doctor(PATH="/nowhere")
    assert asked.returncode == 1
    assert line_of(asked, "slurm")[0] == "FAIL slurm no sbatch on this machine [SC316]"
    assert "cores" not in asked.stdout
    assert alone.returncode == 0
    assert line_of(alone, "slurm")[0] == "-- slurm no sbatch on this machine"


@pytest.mark.parametrize(
    ("limit", "minutes", "allowed"),
    [("1:00:00", 61, 60), ("2-01:30:00", 2971, 2970), ("30:00", 31, 30), ("infinite", 10**6, None)],
)
def test_jobs_longer_than_their_partition_allows(monkeypatch, limit, minutes, allowed):
    monkeypatch.setattr(slurm_commands, "ask", lambda *_: f"debug*|{limit}\nlong|infinite\n")
    check = slurm_commands._too_long({"time": minutes})
    assert (check and check.mend) == (allowed and f"set minutes = {allowed} in [engine.slurm]")
    assert slurm_commands._too_long({"time": minutes, "partition": "long"}) is None
    assert slurm_commands._too_long({"time": minutes - 1}) is None or allowed is None


def gpu_check(monkeypatch, seen, signs, gpus=(), **settings):
    monkeypatch.setattr(installation, "torch_seen", lambda: seen)
    monkeypatch.setattr(local, "SIGNS", signs)
    monkeypatch.setattr(local, "visible_gpus", lambda: list(gpus))
    monkeypatch.setattr(local, "gpu_driver", lambda: "570.86")
    return list(local.checks(settings))[-1]


def test_gpus_that_torch_cannot_use(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    plain = installation.Torch("2.9+cpu", None, True, wrong="not compiled")
    old = installation.Torch("2.9", "12.8", True, wrong="the driver is too old")
    cards = installation.Torch("2.9", "12.8", True, ("H100", "H100"))
    none = gpu_check(monkeypatch, plain, ())
    assert (none.found, none.mend, none.optional) == ("none on this machine", "", True)
    asked = gpu_check(monkeypatch, plain, (), device="cuda")
    assert (asked.code, asked.optional, bool(asked.mend)) == ("SC306", False, True)
    driver = gpu_check(monkeypatch, plain, ("/",))
    assert "built for the CPU alone" in driver.found
    assert driver.mend == "pip install --force-reinstall torch torchvision"
    assert driver.optional
    assert "the driver is too old" in gpu_check(monkeypatch, old, ("/",)).found
    assert not gpu_check(monkeypatch, old, ("/",), "0").optional, "points would be trained on it"
    assert gpu_check(monkeypatch, cards, ("/",), "01").found == (
        "2 of H100, each multiplies; driver 570.86, torch built for CUDA 12.8"
    )
    few = gpu_check(monkeypatch, cards, ("/",), "01", devices=4)
    assert (few.code, few.mend) == ("SC312", "set devices = 2 in [engine]")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpu_check(monkeypatch, cards, ("/",)).mend == "unset CUDA_VISIBLE_DEVICES"


def test_cuda_is_asked_for_and_not_there(doctor, tmp_path):
    (tmp_path / "study.toml").write_text(GRID + '[engine]\ndevice = "cuda"\n')
    done = doctor("study.toml", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert line_of(done, "GPU")[0] == 'FAIL GPU hidden by CUDA_VISIBLE_DEVICES="" [SC306]'
