"""Findings: each mistake that moves exponents is told, with rows and a working mend; no other."""

import numpy as np
import pandas as pd
import pytest

from scaling.errors import TableError
from scaling.runs.names import guesses
from scaling.runs.read import describe, from_frame, read_table


def sound(rows=36, seed=0):
    """Return a grid of 6 by 6 runs of an additive law with noise of 0.3%, and their C."""
    rng = np.random.default_rng(seed)
    n = 1e7 * 2.2 ** (np.arange(rows) % 6)
    d = 1e9 * 2.1 ** (np.arange(rows) // 6)
    loss = (1.7 + 400 / n**0.34 + 410 / d**0.28) * (1 + 0.003 * rng.standard_normal(rows))
    return pd.DataFrame({"params": n, "tokens": d, "flops": 6 * n * d, "loss": loss})


def codes(table, least="warning"):
    wanted = ("warning", "error") if least == "warning" else ("info", "warning", "error")
    return [m.code for m in table.messages if m.severity in wanted]


def told(table, code):
    (message,) = [m for m in table.messages if m.code == code]
    return message


def mended(frame, mend, tmp_path):
    """Read the frame as a file with the --map that a mend names."""
    maps = {}
    for part in mend.split("--map ")[1:]:
        role, _, text = part.split("'")[1].partition("=")
        maps[role] = text
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    return read_table(path, maps=maps)


def test_a_sound_table_has_no_findings():
    table = from_frame(sound())
    assert codes(table) == []
    assert set(codes(table, "info")) == {"SC114"}


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_finding(seed):
    frame = sound(seed=seed)
    frame["loss"] *= 1 + 0.01 * np.random.default_rng(100 + seed).standard_normal(36)
    assert codes(from_frame(frame), "info") == ["SC114"]


@pytest.mark.parametrize(
    ("column", "factor", "word"),
    [
        ("flops", 1e-9, "C is short of a factor 1e9"),
        ("flops", 1e-18, "C is short of a factor 1e18"),
        ("flops", 1 / 3, "the forward pass only"),
        ("flops", 1 / 2, "multiply-accumulates instead of FLOP"),
        ("flops", 1 / 6, "multiply-accumulates of the forward pass"),
        ("flops", 2.0, "a factor 2 too many"),
        ("flops", 1e-9 / 2, "multiply-accumulates instead of FLOP"),
        ("tokens", 1e-9, "N or D is short of a factor 1e9"),
        ("params", 1e-6, "N or D is short of a factor 1e6"),
        ("flops", 4.0, "check units"),
    ],
)
def test_a_slip_in_units_is_named(column, factor, word, tmp_path):
    frame = sound()
    frame[column] *= factor
    message = told(from_frame(frame), "SC113")
    assert message.severity == "warning"
    assert word in message.text or word in message.mend
    if factor != 4.0:
        fixed = mended(frame, message.mend, tmp_path).frame
        np.testing.assert_allclose(fixed["C"], 6 * fixed["N"] * fixed["D"], rtol=1e-9)


@pytest.mark.parametrize("factor", [4.2 / 6, 1.0, 7.8 / 6])
def test_heads_and_attention_are_no_slip(factor):
    frame = sound()
    frame["flops"] *= factor
    assert "SC113" not in codes(from_frame(frame), "info")


def test_own_tables_count_heads_in_compute():
    frame = sound().rename(columns={"params": "N", "tokens": "D", "flops": "C"})
    frame["N_head"], frame["N_body"] = 0.4 * frame["N"], 0.6 * frame["N"]
    frame["C"] *= 2
    assert "SC113" not in codes(from_frame(frame), "info")


def test_a_convolution_is_no_slip():
    frame = sound().rename(columns={"params": "N", "tokens": "D", "flops": "C"})
    frame["N_head"], frame["N_body"] = 0.4 * frame["N"], 0.6 * frame["N"]
    frame["C"] *= 17
    assert "SC113" in codes(from_frame(frame), "info")
    frame["loss_unit"] = "nats per image"
    assert "SC113" not in codes(from_frame(frame), "info")


@pytest.mark.parametrize("column", ["params", "tokens"])
def test_billions_without_a_word(column, tmp_path):
    frame = sound()[["params", "tokens", "loss"]]
    frame[column] /= 1e9
    message = told(from_frame(frame), "SC118")
    assert "billions" in message.text
    fixed = mended(frame, message.mend, tmp_path).frame
    assert fixed["N" if column == "params" else "D"].min() >= 1e7


def test_compute_in_units_of_1e21(tmp_path):
    frame = sound()
    frame["flops"] /= 1e21
    message = told(from_frame(frame), "SC113")
    np.testing.assert_allclose(
        mended(frame, message.mend, tmp_path).frame["C"].max(),
        6 * frame["params"].max() * frame["tokens"].max(),
    )
    alone = frame[["params", "flops", "loss"]]
    assert "1e18" in told(from_frame(alone), "SC118").mend


def test_small_models_are_not_billions():
    frame = sound()
    frame["params"] = np.round(frame["params"] / 1e4)
    frame["tokens"] = np.round(frame["tokens"] / 1e4)
    assert "SC118" not in codes(from_frame(frame[["params", "tokens", "loss"]]), "info")


def test_a_name_that_contradicts_its_values(write):
    path = write("t.csv", "Model Size (B),tokens,loss\n7e9,2e11,2.1\n13e9,2e11,2.0\n")
    with pytest.raises(TableError) as caught:
        read_table(path)
    (fault,) = caught.value.faults
    assert fault.code == "SC117"
    assert fault.where.startswith("t.csv:2:1 ")
    table = read_table(path, maps={"N": 'source["Model Size (B)"]'})
    assert table.frame["N"].tolist() == [7e9, 13e9]
    assert "SC121" not in codes(table)  # the values are counts, so the name's unit is not missed


def test_two_units_down_one_column():
    frame = sound()
    frame.loc[[3, 7], "params"] /= 1e9
    message = [m for m in from_frame(frame).messages if m.code == "SC118"]
    assert message
    assert all(m.rows == (3, 7) for m in message)


def test_a_perplexity_called_loss(tmp_path):
    frame = sound()
    frame["loss"] = np.exp(frame["loss"] + 1)
    message = told(from_frame(frame), "SC122")
    assert "perplexity" in message.text
    fixed = mended(frame, message.mend, tmp_path).frame["loss"]
    np.testing.assert_allclose(fixed, np.log(frame["loss"]))


def test_perplexity_and_bits_are_converted_and_told(write):
    table = read_table(write("t.csv", "N,D,val_ppl\n1e6,2e7,20\n2e6,2e7,10\n"))
    assert table.frame["loss"].tolist() == [np.log(20.0), np.log(10.0)]
    assert "perplexity" in told(table, "SC121").text
    table = read_table(write("t.csv", "N,D,val_bpb\n1e6,2e7,1.5\n2e6,2e7,1.25\n"))
    np.testing.assert_allclose(table.frame["loss"], np.array([1.5, 1.25]) * np.log(2))
    assert table.columns["loss"].unit == "nats per byte"
    assert any("nats per byte" in line for line in describe(table))


def test_units_in_names_are_applied_exactly(write):
    header = "Model Size (B),tokens_T,total train ZFLOPs,loss"
    table = read_table(write("t.csv", f"{header}\n0.07,0.3,0.126,3.1\n1.3,0.3,2.34,2.4\n"))
    assert table.frame["N"].tolist() == [70e6, 1.3e9]
    assert table.frame["D"].tolist() == [3e11, 3e11]
    assert table.frame["C"].tolist() == [1.26e20, 2.34e21]
    assert [m.severity for m in table.messages if m.code == "SC121"] == ["info"] * 3


@pytest.mark.parametrize(
    ("header", "role", "scale"),
    [
        ("flops_budget (1e18)", "budget", 1e18),
        ("Training TFLOPs (millions)", "C", 1e18),
        ("Params (in millions)", "N", 1e6),
        ("params_1e6", "N", 1e6),
        ("N (M)", "N", 1e6),
        ("N_B", "N", 1e9),
        ("D (B)", "D", 1e9),
        ("C (1e18 FLOPs)", "C", 1e18),
    ],
)
def test_units_of_many_spellings(header, role, scale):
    (guess,) = guesses(header)
    assert (guess.role, guess.scale) == (role, scale)


@pytest.mark.parametrize(
    "header",
    ["log(loss)", "ln(loss)", "log_val_loss", "sqrt(loss)", "loss reduction", "excess loss",
     "initial loss", "irreducible loss", "dataset size (GB)", "loss_upper", "tokens_per_param",
     "loss_std", "flops/token", "aux_loss", "peak_flops", "batch_tokens", "log10 params"],
)  # fmt: skip
def test_what_is_no_role(header):
    assert [g for g in guesses(header) if g.points >= 60] == []


def test_losses_per_character_say_so():
    (guess,) = guesses("loss (nats/char)")
    assert guess.unit == "nats per character"


def test_counts_named_by_suffix(write):
    table = read_table(write("t.csv", "params,tokens,loss\n70M,300B,3.1\n1.3B,300B,2.4\n"))
    assert table.frame["N"].tolist() == [70e6, 1.3e9]
    with pytest.raises(TableError) as caught:
        read_table(write("t.csv", "params,tokens,loss\n70M,3e11,3.1\n13,3e11,2.4\n5,3e11,2\n"))
    assert "suffix" in caught.value.faults[0].found


def test_runs_that_diverged():
    frame = sound()
    frame.loc[[4, 9], "loss"] = [38.0, 1e4]
    message = told(from_frame(frame), "SC134")
    assert message.rows == (4, 9)
    assert codes(from_frame(frame, where="loss < 12")) == []


def test_an_accuracy_taken_for_a_loss(tmp_path):
    frame = sound()
    frame["loss"] = 1 / frame["loss"]
    message = told(from_frame(frame), "SC133")
    assert "rises" in message.text
    assert "SC133" not in codes(mended(frame, message.mend, tmp_path))


def test_a_training_loss_is_told(write):
    for header in ("train_loss", "train/loss", "training loss"):
        table = read_table(write("t.csv", f"N,D,{header}\n1e6,2e7,3\n2e6,2e7,2.9\n"))
        assert table.frame["loss"].tolist() == [3.0, 2.9]
        assert "SC133" in codes(table)
    table = read_table(write("t.csv", "N,D,train_loss,val_loss\n1e6,2e7,3,4\n2e6,2e7,2,3\n"))
    assert table.frame["loss"].tolist() == [4.0, 3.0]
    assert "SC133" not in codes(table)


def test_losses_of_two_tokenizers(tmp_path):
    frame = sound()
    frame["tokenizer"] = np.where(np.arange(36) < 18, "gpt2", "llama")
    message = told(from_frame(frame), "SC124")
    assert "gpt2, llama" in message.text
    assert 'tokenizer == "gpt2"' in message.mend
    assert "SC124" not in codes(from_frame(frame, where='tokenizer == "gpt2"'))
    frame["tokenizer"] = np.where(np.arange(36) < 18, 32000, 50257)
    frame = frame.rename(columns={"tokenizer": "vocab_size"})
    assert "SC124" in codes(from_frame(frame))


def test_two_ways_to_count():
    frame = sound()
    frame["n_convention"] = np.where(np.arange(36) < 18, "total", "non-embedding")
    assert "total" in told(from_frame(frame), "SC123").text
    frame = sound()
    frame.loc[10:20, "flops"] *= 1.4
    assert told(from_frame(frame), "SC123").rows == tuple(range(10, 21))


def test_kinds_of_runs_without_a_group():
    frame = sound()
    frame["corpus"] = np.where(np.arange(36) % 2, "c4", "pile")
    message = told(from_frame(frame), "SC136")
    assert (message.severity, message.mend) == ("warning", "--group corpus")
    frame["name"] = [f"r{i}" for i in range(36)]  # a name of its own for each run is no kind
    assert "name" not in told(from_frame(frame), "SC136").text
    sizes = {n: f"{n:.3g}" for n in frame["params"].unique()}
    frame["model"] = frame["params"].map(sizes)  # nor is a name for each size
    assert "model" not in told(from_frame(frame), "SC136").text
    assert "SC136" not in codes(from_frame(frame.assign(group=frame["corpus"])))


def test_one_ratio_of_data_to_parameters():
    frame = sound()
    frame["tokens"] = 20 * frame["params"]
    frame["flops"] = 6 * frame["params"] * frame["tokens"]
    assert "20" in told(from_frame(frame), "SC125").text


def test_seen_and_unique_data_swapped(tmp_path):
    frame = sound()
    frame["unique_tokens"] = frame["tokens"] * np.linspace(1.5, 30, 36)
    message = told(from_frame(frame), "SC135")
    assert len(message.rows) == 36
    fixed = mended(frame.drop(columns="flops"), message.mend, tmp_path)
    assert (fixed.frame["D"] > fixed.frame["D_unique"]).all()
    frame["unique_tokens"] = 1e12  # one large set that no run exhausts
    assert "SC135" not in codes(from_frame(frame))


def test_rows_that_are_points_of_curves():
    steps = np.arange(1, 41)
    frame = pd.concat(
        pd.DataFrame({"N": n, "D": 1e8 * steps, "loss": 2 + 1e3 / n**0.5 + steps**-0.5})
        for n in (1e7, 3e7)
    )
    message = told(from_frame(frame), "SC119")
    assert len(message.rows) == 80
    assert "SC119" not in codes(from_frame(sound()))


def test_copies_and_marked_rows():
    frame = pd.concat([sound(), sound().iloc[[5]]], ignore_index=True)
    assert told(from_frame(frame), "SC107").rows == (36,)
    frame = sound()
    frame["is_outlier"] = np.arange(36) % 12 == 0
    message = told(from_frame(frame), "SC129")
    assert message.rows == (0, 12, 24)


def test_outliers_are_kept_with_a_reason():
    frame = sound()
    frame.loc[17, "loss"] *= 1.2
    table = from_frame(frame)
    message = told(table, "SC128")
    assert (message.rows, message.severity) == ((17,), "info")
    assert "+20%" in message.text
    assert table.used.all()


def test_findings_look_at_used_rows_only():
    frame = sound()
    frame["status"] = "done"
    frame.loc[3, ["loss", "status"]] = [900.0, "diverged"]
    assert "SC134" not in codes(from_frame(frame))
