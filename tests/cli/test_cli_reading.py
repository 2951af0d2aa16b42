"""`scaling check` and `scaling import` through the program, and what fits keep of the reading."""

import json
import os
import pty
import select
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import scaling as sc
from scaling.errors import TableError
from scaling.runs.read import read_table

NANOCHAT = (
    "flops_budget,depth,model_dim,params_wte,params_value_embeds,params_lm_head,"
    "params_transformer,params_scalars,params_total,num_iterations,tokens_trained,val_bpb,"
    "core_score,train_time_sec\n"
    "1e18,10,640,32768000,0,32768000,49152000,20,114688020,3000,1.5e9,1.01,0.1,400\n"
    "1e18,12,768,39321600,0,39321600,84934656,24,163577880,2200,1.1e9,0.99,0.1,410\n"
    "3e18,12,768,39321600,0,39321600,84934656,24,163577880,6600,3.3e9,0.93,0.1,900\n"
)
CURVES = "run,params,step,tokens,val_loss\n" + "".join(
    f"{run},{n},{step},{step * 1e6},{3 + 1e3 / n**0.5 - 0.1 * step}\n"
    for run, n in (("a", 1e6), ("b", 4e6))
    for step in (1, 2, 3)
)


def test_check_prints_the_reading_and_the_findings(write, scaling):
    write("runs.csv", "params,tokens,flops,val_loss\n1e6,2e7,4e13,3.1\n2e6,4e7,1.6e14,3.0\n")
    out = scaling("check", "runs.csv")
    assert out.returncode == 0
    assert "N      params" in out.stdout
    assert "the forward pass only" in " ".join(out.stdout.split())
    assert all(len(line) <= 80 for line in out.stdout.splitlines())
    assert scaling("check", "runs.csv", "--strict").returncode == 1


def test_check_is_quiet_about_a_sound_table(write, scaling, small_table):
    out = scaling("check", small_table, "--strict")
    assert out.returncode == 0
    assert "!" not in out.stdout


def test_check_as_json(write, scaling):
    write("runs.csv", "params,tokens,flops,val_loss\n1e6,2e7,4e13,3.1\n2e6,4e7,1.6e14,3.0\n")
    out = scaling("check", "runs.csv", "--json")
    found = json.loads(out.stdout)
    assert (found["schema"], found["ok"]) == ("scaling/check@1", True)
    assert found["table"]["columns"]["N"] == {"source": "params", "unit": "parameters", "scale": 1}
    by_code = {item["code"]: item for item in found["findings"]}
    assert by_code["SC113"]["severity"] == "warning"
    assert (
        by_code["SC113"]["mend"].startswith("state the unit") or "--map" in by_code["SC113"]["mend"]
    )
    write("bad.csv", "N,D,loss\nx,2e7,3\n1e6,2e7,3\n1e6,2e7,2\n")
    out = scaling("check", "bad.csv", "--json")
    assert out.returncode == 2
    found = json.loads(out.stdout)
    assert found["ok"] is False
    assert found["findings"][0]["where"].startswith("bad.csv:2:1")


def test_check_of_something_else_than_a_loss(write, scaling):
    write("runs.csv", "params,tokens,accuracy\n1e6,2e7,.3\n2e6,2e7,.4\n")
    assert scaling("check", "runs.csv").returncode == 2
    assert scaling("check", "runs.csv", "--response", "accuracy").returncode == 0
    assert scaling("check", "runs.csv", "--response", "nothing").returncode == 2


def test_ambiguous_parameters_are_named_with_choices(write, refused):
    write("nanochat.csv", NANOCHAT)
    out = refused("fit", "nanochat.csv", code="SC110")
    assert "params_total" in out.stderr
    assert "N=params_transformer+params_lm_head" in " ".join(out.stderr.split())


def test_ambiguous_parameters_are_asked_for_on_a_terminal(write, tmp_path):
    """A real pseudo-terminal: the program asks, an answer is typed, the command goes on."""
    path = write("nanochat.csv", NANOCHAT)
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "scaling", "check", str(path)]
    child = subprocess.Popen(
        command, stdin=slave, stdout=subprocess.PIPE, stderr=slave, cwd=tmp_path,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(slave)
    seen, answered, limit = "", False, time.monotonic() + 60
    while time.monotonic() < limit:
        ready = select.select([master], [], [], 0.2)[0]
        try:
            seen += os.read(master, 4096).decode() if ready else ""
        except OSError:  # the child is gone
            break
        if not answered and "Which is N?" in seen:
            os.write(master, b"0\n1\n")  # the first answer is out of range and asked again
            answered = True
        if child.poll() is not None and not ready:
            break
    stdout = child.communicate(timeout=30)[0].decode()
    os.close(master)
    assert child.returncode == 0, seen
    assert answered
    assert "params_total" in stdout
    assert "--map 'N=params_total'" in seen


def test_import_of_nanochat(write, scaling):
    write("nanochat.csv", NANOCHAT)
    out = scaling("import", "nanochat.csv", "--from", "nanochat", "-o", "runs.csv")
    assert out.returncode == 0, out.stderr
    frame = pd.read_csv(write("x", "").with_name("runs.csv"))
    assert frame["N"].tolist() == [81920000, 124256256, 124256256]
    np.testing.assert_allclose(frame["loss"], np.array([1.01, 0.99, 0.93]) * np.log(2))
    assert set(frame["convention"]) == {"N = transformer + output head, input embeddings left out"}
    table = read_table(write("x", "").with_name("runs.csv"))
    assert table.convention.startswith("N = transformer")
    assert table.columns["loss"].unit == "nats per byte"


def test_import_keeps_the_last_point_and_the_curves(write, scaling, refused, tmp_path):
    write("runs.csv", CURVES)
    out = refused("fit", "runs.csv", code="SC116")
    assert "--final-only" in out.stderr
    out = scaling("import", "runs.csv", "--final-only", "-o", "final.csv")
    assert out.returncode == 0, out.stderr
    final = pd.read_csv(tmp_path / "final.csv")
    assert final["run"].tolist() == ["a", "b"]
    assert final["steps"].tolist() == [3, 3]
    curves = read_table(tmp_path / "final.curves.csv", curves=True)
    assert len(curves) == 6
    assert curves.used.all()
    assert refused("import", "runs.csv", "--final-only", "-o", "final.csv", code="SC002")


def test_import_of_several_sources(write, scaling, tmp_path):
    write("one.csv", "run,N,D,loss\na,1e6,2e7,3\nb,2e6,2e7,2.9\n")
    write("two.json", json.dumps([{"run": "a", "N": 4e6, "D": 2e7, "val_loss": 2.8}]))
    out = scaling("import", "one.csv", "two.json", "-o", "all.csv")
    assert out.returncode == 0, out.stderr
    frame = pd.read_csv(tmp_path / "all.csv")
    assert frame["run"].tolist() == ["one.csv:a", "b", "two.json:a"]
    assert frame["source"].tolist() == ["one.csv", "one.csv", "two.json"]
    assert frame["loss"].tolist() == [3, 2.9, 2.8]


def test_what_is_imported_is_read_as_it_was(write, scaling, tmp_path):
    """Status, convention and units survive; every number keeps every digit."""
    write(
        "runs.csv",
        "Name,State,Non-Embedding Params (M),tokens_B,val_bpb\n"
        "x,finished,0.1,0.3,1.0123456789012345\ny,crashed,0.7,0.3,\nz,finished,1.3,0.3,0.9\n",
    )
    first = read_table(tmp_path / "runs.csv")
    out = scaling("import", "runs.csv", "-o", "out.csv")
    assert out.returncode == 0, out.stderr
    second = read_table(tmp_path / "out.csv")
    for column in ("run", "N", "D", "C", "loss", "status"):
        pd.testing.assert_series_equal(first.frame[column], second.frame[column])
    assert second.convention == first.convention
    assert "without embeddings" in second.convention
    assert second.columns["loss"].unit == "nats per byte"
    assert second.used.tolist() == [True, False, True]


def test_import_prints_without_a_target(write, scaling):
    write("runs.csv", "params,tokens,loss\n1e6,2e7,3\n2e6,2e7,2.9\n")
    out = scaling("import", "runs.csv")
    assert out.stdout.splitlines()[0] == "run,N,D,loss,status,loss_unit"  # C is derived
    assert out.stdout.splitlines()[1] == "row2,1000000,20000000,3,done,nats per token"


def test_reasons_stand_in_the_file(write, scaling, small_table, tmp_path):
    lines = small_table.read_text().splitlines()
    cells = lines[8].split(",")
    lines[8] = ",".join([*cells[:3], str(float(cells[3]) * 1.3)])
    write("runs.csv", "\n".join(lines) + "\n")
    assert scaling("import", "runs.csv", "-o", "out.csv").returncode == 0
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame["remark"].dropna().tolist() == ["SC128: far from its neighbours"]
    assert frame["run"][frame["remark"].notna()].tolist() == ["row9"]


def test_a_folder_in_which_nothing_is(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    out = refused("import", "empty", code="SC005")
    assert "tensorboard" in out.stderr


# ---------------------------------------------------------------------------------------- python


def test_how_a_table_was_read_is_printed_and_kept(write, capsys):
    lines = ["Model Size (M),tokens,loss"]
    lines += [
        f"{1.5**i},{2e8 * 1.7**j},{1.7 + 40 / (1.5**i * 1e6) ** 0.3 + 50 / (2e8 * 1.7**j) ** 0.3}"
        for i in range(5)
        for j in range(5)
    ]
    path = write("runs.csv", "\n".join(lines) + "\n")
    frame = sc.read(path)
    said = capsys.readouterr().err
    assert "runs.csv: 25 rows, 25 used" in said
    assert "Model Size (M) × 1e+06" in said
    fit = sc.fit(frame, bootstrap=0)
    assert fit.table["file"] == "runs.csv"
    assert fit.table["sha256"]
    assert fit.table["columns"]["N"]["source"] == "Model Size (M)"
    assert fit.table["columns"]["N"]["scale"] == 1e6
    assert "SC121" in [m["code"] for m in fit.table["messages"]]
    changed = frame.copy()
    changed["loss"] *= 1.01
    kept = sc.fit(changed, bootstrap=0).table
    assert "changed" in kept["file"]
    assert kept["sha256"] is None
    subset = sc.fit(frame[frame["D"] > 3e8], bootstrap=0).table
    assert "changed" in subset["file"]
    sc.read(path, quiet=True)
    assert capsys.readouterr().err == ""


def test_a_frame_that_was_read_can_be_written(write, tmp_path):
    pytest.importorskip("pyarrow")
    frame = sc.read(write("runs.csv", "N,D,loss\n1e6,2e7,3\n2e6,2e7,2.9\n"), quiet=True)
    frame.to_parquet(tmp_path / "t.parquet")  # attrs travel as JSON
    assert sc.read(tmp_path / "t.parquet", quiet=True)["N"].tolist() == [1e6, 2e6]
    pd.concat([frame, frame])


def test_choices_are_there_for_programs(write):
    with pytest.raises(TableError) as caught:
        sc.read(write("nanochat.csv", NANOCHAT), quiet=True)
    assert caught.value.choices["N"][0] == "params_total"


def test_several_conditions_all_hold(write, scaling):
    write("runs.csv", "N,D,loss\n1e6,2e7,3\n2e6,4e7,2.9\n4e6,8e7,2.8\n8e6,2e7,2.7\n")
    out = scaling("check", "runs.csv", "--where", "N > 1e6", "--where", "D > 2e7", "--json")
    assert json.loads(out.stdout)["table"]["used"] == 2
    out = scaling("check", "runs.csv", "--map", "N=D", "--map", "N=loss")
    assert out.returncode == 2
    assert "twice" in out.stderr


def test_import_does_not_replace_its_source(write, refused):
    path = write("runs.csv", "N,D,loss\n1e6,2e7,3\n2e6,4e7,2.9\n")
    refused("import", "runs.csv", "-o", "runs.csv", "--force", code="SC004")
    assert path.read_text().startswith("N,D,loss\n")


def test_an_importer_is_not_for_standard_input(refused):
    refused("check", "-", "--from", "nanochat", code="SC004", stdin=NANOCHAT)


def test_documents_that_fit_reads_are_reported_on(write, scaling, tmp_path):
    rows = [
        {"N": 1e7 * 2.0**i, "D": 1e9 * 2.0**j, "loss": 1.7 + 400 / (1e7 * 2.0**i) ** 0.34
         + 410 / (1e9 * 2.0**j) ** 0.28}
        for i in range(5) for j in range(5)
    ]  # fmt: skip
    write("named.json", json.dumps({"runs": rows}))
    assert scaling("compare", "named.json", "--bootstrap", "0").returncode == 0
    out = scaling("report", "named.json", "-o", "report.html")
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "report.html").exists()


def test_the_caret_is_below_the_cell(write, refused):
    write("runs.csv", "run,N,D,loss\nrun0,10000000,0,4.1\nrun1,2e7,2e8,4\n")
    lines = refused("check", "runs.csv", code="SC103").stderr.splitlines()
    (line,) = [text for text in lines if "run0" in text]
    caret = lines[lines.index(line) + 1]
    assert line[caret.index("^") :].startswith("0,4.1")


@pytest.mark.parametrize(
    ("header", "cell", "mend"),
    [
        ("top1_err", "0.41", "loss=source"),
        ("accuracy", "0.41", "loss=1-source"),
        ("accuracy", "41", "/100"),
    ],
)
def test_the_error_is_taken_from_scores(write, refused, header, cell, mend):
    write("runs.csv", f"N,D,{header}\n1e7,2e8,{cell}\n2e7,4e8,{cell}\n")
    assert mend in refused("check", "runs.csv", code="SC105").stderr


def test_what_one_source_has_and_another_derives_is_in_all_rows(write, scaling, tmp_path):
    write("one.csv", "run,N,D,C,loss\na,1e6,2e7,1.3e14,3\nb,2e6,2e7,2.5e14,2.9\n")
    write("two.csv", "run,N,D,loss\nc,4e6,2e7,2.8\n")
    out = scaling("import", "one.csv", "two.csv", "-o", "all.csv")
    assert out.returncode == 0, out.stderr
    assert pd.read_csv(tmp_path / "all.csv")["C"].tolist() == [1.3e14, 2.5e14, 4.8e14]
    assert scaling("check", "all.csv").returncode == 0
