"""What stands in the way is said in a sentence with the next step; nothing ends in a traceback."""

import ast
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ENV, ROOT, start
from tests.cli.stored_fits import text_of
from tests.cli.studies import GRID
from tests.test_no_torch import HOOK

HIDES = '("torch", "torchvision")'
OFFLINE = """
import os, socket
def refuse(what):
    with open(os.environ["ASKED"], "a") as handle:
        print(what, file=handle)
    raise OSError(what)
class Refused(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX:
            refuse(f"a socket to {address}")
        return super().connect(address)
    connect_ex = connect
socket.socket = Refused
socket.getaddrinfo = lambda *words, **named: refuse(f"a look-up of {words[0]}")
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_HOME = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None,
           "MPLCONFIGDIR": None, "SCALING_CACHE_DIR": None, "SCALING_CONFIG": None}  # fmt: skip


@pytest.fixture
def program(tmp_path):
    """Run ``python -m scaling`` in the test's folder, with more or less in its environment."""

    def run(*words, python=sys.executable, **changes):
        env = {k: v for k, v in {**ENV, **changes}.items() if v is not None}
        done = subprocess.run(
            [python, "-m", "scaling", *map(str, words)],
            capture_output=True, cwd=tmp_path, env=env, timeout=180, check=False,
        )  # fmt: skip
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode(errors="replace")
        assert "Traceback" not in done.stderr
        assert "SC900" not in done.stderr
        return done

    return run


@pytest.fixture
def without(tmp_path):
    """Return a search path on which some packages are not installed."""

    def hide(*names):
        folder = tmp_path.parent / f"{tmp_path.name}-hook"
        folder.mkdir(exist_ok=True)
        assert HIDES in HOOK
        (folder / "sitecustomize.py").write_text(HOOK.replace(HIDES, repr((*names, ""))))
        return os.pathsep.join([str(folder), str(ROOT)])

    return hide


# ----------------------------------------------------------------------------------- misspellings


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("predcit fit.json", "scaling predict"),
        ("sweeps plan", "scaling sweep plan"),
        ("sweep rnu", "scaling sweep run"),
        ("plan study.toml", "scaling sweep plan"),
        ("status out", "scaling sweep status"),
        ("fetch x", "scaling data fetch"),
        ("sweeprun", "scaling sweep run"),
        ("FIT x.csv", "scaling fit"),
        ("laws shwo", "scaling laws show"),
    ],
)
def test_a_misspelt_command(refused, typed, meant):
    said = refused(*typed.split(), code="SC004").stderr
    assert said.splitlines()[-1] == f"  mend: did you mean {meant}?"


def test_nothing_like_it(refused):
    said = refused("xyzzy", code="SC004").stderr
    assert "mend: scaling --help lists the commands" in said
    assert "one of init, study" in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("fit --bootstrp 3 x.csv", "did you mean --bootstrap?"),
        ("study --worker 3", "did you mean --workers?"),
        ("fit x.csv --flops 1e21", "an option of scaling predict and scaling sweep plan"),
        ("predict f.json --title x", "an option of scaling report"),
        ("predict f.json --group-by x", "did you mean --group?"),
        ("fit x.csv --output f.json", "did you mean --out?"),
        ("predict f.json --out p.csv", "scaling predict --help lists the options"),
        ("sweep run --engin local", "did you mean --engine?"),
        ("fit --xyzzy", "scaling fit --help lists the options"),
        ("--versoin", "did you mean --version?"),
        ("fit --bootstrap many x.csv", "scaling fit --bootstrap"),
        ("fit x.csv --law", "scaling fit  Option '--law' requires an argument"),
        ("sweep run --workers", "mend: scaling sweep run --help"),
        ("version", "mend: did you mean scaling --version?"),
        ("citation", "mend: did you mean scaling --citation?"),
        ("sweep help", "mend: did you mean scaling sweep --help?"),
        ("fit", "scaling fit results.csv"),
        ("fit a.csv b.csv", "unexpected extra argument"),
    ],
)
def test_a_misspelt_option(refused, typed, said):
    assert said in refused(*typed.split(), code="SC004").stderr


@pytest.mark.parametrize("group", ["sweep", "data", "laws"])
def test_a_group_alone_shows_its_commands(scaling, group):
    done = scaling(group)
    assert done.returncode == 2
    assert "Commands:" in done.stderr
    assert "error[" not in done.stderr


# --------------------------------------------------------------------------- where nothing is


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("study", "study.toml"),
        ("sweep plan", "study.toml"),
        ("sweep run", "study.toml"),
        *((f"sweep {name}", "plan.jsonl") for name in ("status", "suggest", "logs", "cancel")),
        ("sweep classes", "plan.jsonl"),
        ("report", "fit.json"),
        ("sweep status .", "plan.jsonl"),
        ("sweep run .", "plan.jsonl"),
    ],
)
def test_a_folder_without_a_study(refused, typed, file):
    said = refused(*typed.split(), code="SC005").stderr
    assert f"there is no {file}" in said
    assert "mend: scaling init, then scaling study study.toml -o out; or name the f" in said


def test_a_study_that_was_not_run(refused, write):
    write("study.toml", "schema = 1\n")
    said = refused("sweep", "status", code="SC005").stderr
    assert "mend: scaling study study.toml -o out; or" in said


def test_without_a_name_the_folder_s_own_is_meant(scaling, tmp_path, write):
    assert scaling("init", "--template", "table").returncode == 0
    text = (tmp_path / "study.toml").read_text()
    quick = "[[fit]]\nbootstrap = 50\nsensitivity = false\nbacktest = false"
    write("study.toml", text.replace("[[fit]]", quick))
    assert scaling("study", "--no-pdf").returncode == 0
    done = scaling("report", "-o", "again.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.html").is_file()
    done = scaling("report")
    assert done.stderr == "wrote out/report.html\n", "a study's own folder"


def test_a_report_of_an_ordinary_folder_is_not_replaced(refused, scaling, write):
    write("fit.json", text_of("fit"))
    assert scaling("report").stderr == "wrote report.html\n"
    assert "report.html  exists already" in refused("report", code="SC002").stderr
    assert scaling("report", "--force").returncode == 0


def test_the_fit_of_a_smoke_run_is_found(scaling, write, tmp_path):
    (tmp_path / "out" / "smoke").mkdir(parents=True)
    write("out/smoke/fit.json", text_of("fit"))
    done = scaling("report", "-o", "-")
    assert done.returncode == 0, done.stderr


def test_a_sweep_is_not_run_from_its_beginnings(refused, write, tmp_path):
    (tmp_path / "out" / "smoke").mkdir(parents=True)
    write("out/smoke/plan.jsonl", "")
    assert "no sweep in it: there is no plan" in refused("sweep", "run", "out", code="SC005").stderr


def test_a_sweep_in_out_is_found(scaling, tmp_path, write):
    write("study.toml", GRID)
    done = scaling("sweep", "run", "--engine", "debug")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "out/results.csv"
    for place in (tmp_path, tmp_path / "out"):
        rows = json.loads(start(["sweep", "status", "--json"], place).stdout)
        assert rows["counts"]["done"] == 4
    again = start(["sweep", "run"], tmp_path / "out")
    assert (again.returncode, again.stdout) == (0, "results.csv\n"), again.stderr
    point = rows["points"][0]["id"]
    assert "record: done" in scaling("sweep", "logs", point[:6]).stdout
    assert scaling("sweep", "cancel").stderr.strip() == "nothing works on this sweep"
    said = scaling("sweep", "logs")
    assert said.returncode == 2
    assert "scaling sweep status out names the points" in said.stderr


# ------------------------------------------------------------------------------------- extras


@pytest.mark.parametrize(
    ("hidden", "typed", "extra", "code"),
    [
        ("torch", "study study.toml", "train", 2),
        ("typst", "report results.csv -o r.html --pdf r.pdf", "pdf", 2),
        ("ray", "study study.toml --engine ray", "ray", 2),
        ("submitit", "study study.toml --engine slurm", "slurm", 2),
        ("pyarrow", "fit runs.parquet", "parquet", 2),
        ("wandb", "study study.toml --track wandb", "trackers", 2),
    ],
)
def test_without_an_extra(program, without, small_table, write, hidden, typed, extra, code):
    write("study.toml", GRID)
    write("runs.parquet", b"PAR1")
    done = program(*typed.split(), PYTHONPATH=without(hidden))
    assert done.returncode == code, done.stderr
    assert "error[SC001]" in done.stderr
    assert f"mend: pip install 'scaling-study[{extra}]'" in done.stderr


# ------------------------------------------------------------------------------------ terminal


def test_a_question_is_not_asked_where_nobody_answers(refused, write):
    write("runs.csv", "params_total,params_non_embedding,tokens,loss\n1e6,9e5,1e7,3.1\n")
    said = refused("fit", "runs.csv", code="SC110").stderr
    assert "--map" in said


@pytest.mark.parametrize("changes", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_no_colour_codes(tmp_path, changes):
    """On a terminal that has none, or whose owner wants none."""
    (tmp_path / "study.toml").write_text(GRID)
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scaling", "study", "--no-pdf", "--engine", "debug"],
        stdin=follower, stdout=follower, stderr=follower, cwd=tmp_path, env={**ENV, **changes},
    )  # fmt: skip
    os.close(follower)
    said = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
    os.close(leader)
    assert process.wait(60) in (0, 4), said.decode()
    assert b"4 points trained" in said
    coloured = re.findall(rb"\x1b\[[0-9;]*[1-9][0-9;]*m", said)
    allowed = () if "TERM" in changes else (b"\x1b[1m", b"\x1b[2m", b"\x1b[3m")
    assert set(coloured) <= set(allowed), coloured


def test_nothing_but_text_through_a_pipe(program, small_table):
    done = program("fit", small_table, "--bootstrap", 20, TERM="xterm-256color", FORCE_COLOR=None)
    assert "\x1b" not in done.stdout + done.stderr
    assert "Next:" not in done.stderr


@pytest.mark.parametrize(
    "encoding", [{**ASCII, "PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}]
)
def test_a_terminal_without_utf_8(program, small_table, tmp_path, encoding):
    """The byte stream is what that terminal can take, or UTF-8."""
    env = {**ENV, **encoding}
    for words in (["fit", small_table, "--bootstrap", "20"], ["laws", "list"], ["fit", "x.csv"],
                  ["study", "study.toml", "--no-pdf", "--engine", "debug"], ["fit", "--help"],
                  ["--help"], ["doctor", "--profile", "no–where"]):  # fmt: skip
        (tmp_path / "study.toml").write_text(GRID)
        done = subprocess.run(
            [sys.executable, "-m", "scaling", *map(str, words)],
            capture_output=True, cwd=tmp_path, env=env, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 2, 4), (words, done.stderr)
        assert b"Traceback" not in done.stderr, (words, done.stderr)
        assert b"SC900" not in done.stderr, (words, done.stderr)


def test_a_reader_that_goes_away(tmp_path):
    line = f"{sys.executable} -m scaling laws list | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENV,
                          cwd=tmp_path, check=True)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&-", "1>&- 2>&-"])
def test_closed_streams(tmp_path, small_table, closed):
    line = f"{sys.executable} -m scaling fit {small_table} --bootstrap 20 -o fit.json {closed}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENV,
                          cwd=tmp_path, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "fit.json").read_text())["fits"][0]["status"] == "converged"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(tmp_path):
    line = f"{sys.executable} -m scaling laws list > /dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENV,
                          cwd=tmp_path, check=False)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error[SC003] output  No space left on device")


# ---------------------------------------------------------------------------------------- home


def test_a_home_that_cannot_be_written(program, small_table, tmp_path):
    done = program("fit", small_table, "--bootstrap", 20, "-o", "fit.json", **NO_HOME)
    assert done.returncode == 0, done.stderr
    done = program("report", "fit.json", "-o", "r.html", **NO_HOME)
    assert done.returncode == 0
    assert done.stderr == "wrote r.html\n"
    (tmp_path / "study.toml").write_text(GRID)
    done = program("study", "--no-pdf", "--engine", "local", "--workers", 1, **NO_HOME)
    assert done.returncode in (0, 4), done.stderr
    assert "/proc/nowhere" not in done.stderr
    assert program("config", **NO_HOME).returncode == 0
    assert program("data", "list", **NO_HOME).returncode == 0


def test_what_needs_the_cache_says_what_to_set(program):
    # Where it is asked is nowhere, so that no test waits for a network.
    done = program("data", "fetch", "chinchilla_epoch2024", **NO_HOME, SCALING_DATA_DIR=None,
                   SCALING_DATA_URL="http://127.0.0.1:9")  # fmt: skip
    assert done.returncode == 2
    assert "--cache or SCALING_CACHE_DIR" in done.stderr


def test_a_folder_that_cannot_be_written(refused, small_table):
    for words in (("init", "/proc/nowhere"), ("fit", small_table, "-o", "/proc/nowhere/fit.json")):
        refused(*words, "--bootstrap", 20, code="SC003") if words[0] == "fit" else refused(
            *words, code="SC003"
        )


# ------------------------------------------------------------------------------------- offline


@pytest.fixture
def offline(tmp_path):
    """A search path on which every connection but a local one is an error."""
    folder = tmp_path.parent / f"{tmp_path.name}-offline"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(OFFLINE)
    return os.pathsep.join([str(folder), str(ROOT)])


def test_nothing_but_fetch_asks_the_network(program, offline, small_table, tmp_path):
    (tmp_path / "study.toml").write_text(GRID)
    asked = tmp_path / "asked"
    kept = {"PYTHONPATH": offline, "RAY_ADDRESS": None, "ASKED": str(asked)}
    for words in (
        "fit results.csv --bootstrap 20 -o fit.json",
        "predict fit.json --flops 1e20",
        "report fit.json -o r.html",
        "check results.csv",
        "study study.toml --engine local --workers 1",
        "data list",
        "doctor",
        "init elsewhere",
    ):
        done = program(*words.split(), **kept)
        assert done.returncode in (0, 4), (words, done.stderr)
        assert not asked.exists(), (words, asked.read_text())
    kept |= {"SCALING_DATA_DIR": None, "SCALING_CACHE_DIR": str(tmp_path)}
    program("data", "fetch", "chinchilla_epoch2024", SCALING_DATA_URL="http://localhost:9", **kept)
    assert "localhost" in asked.read_text(), "the hook sees what asks"


def test_fetch_offline_names_the_address_and_what_to_do(program, tmp_path):
    nowhere = "http://127.0.0.1:9"
    done = program("data", "fetch", "chinchilla_epoch2024", SCALING_DATA_DIR=None,
                   SCALING_CACHE_DIR=str(tmp_path), SCALING_DATA_URL=nowhere)  # fmt: skip
    assert done.returncode == 2
    assert "error[SC131]" in done.stderr
    assert "http://127.0.0.1:9/" in done.stderr
    assert "no connection to 127.0.0.1" in " ".join(done.stderr.split())
    assert "mend: try again; or get it by other means" in done.stderr


# ----------------------------------------------------------------------------------- old Python


def test_an_old_python_is_told_so(tmp_path):
    hook = "import sys\nsys.version_info = (3, 10, 13, 'final', 0)\n"
    (tmp_path / "sitecustomize.py").write_text(hook)
    env = {**ENV, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "scaling", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("scaling needs Python 3.11 or newer, and this is 3.10: make an")
    assert len(done.stderr.splitlines()) == 1
    command = [sys.executable, "-c", "import scaling"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert "ImportError: scaling needs Python 3.11" in done.stderr


def test_what_an_old_python_meets_first_can_be_parsed():
    for name in ("__init__.py", "__main__.py"):
        text = (ROOT / "scaling" / name).read_text(encoding="utf-8")
        ast.parse(text, feature_version=(3, 8))


def old_python():
    known = [shutil.which("python3.10"), *Path.home().glob(".pyenv/versions/3.10*/bin/python")]
    for path in filter(None, known):
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(path)
    return None


@pytest.mark.skipif(old_python() is None, reason="no Python 3.10 on this machine")
def test_a_real_old_python(program):
    done = program("--version", python=old_python())
    assert done.returncode == 2
    assert done.stderr.startswith("scaling needs Python 3.11 or newer, and this is 3.10")
