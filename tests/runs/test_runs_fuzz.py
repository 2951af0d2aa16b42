"""Hostile files: each is read with every number as it is written, or refused in plain words.

A seed makes a sound table under the names that researchers use, writes it in some format and
dialect and damages it. A second reader, strict and slow, then says what each cell of the file is.
``check(case(seed), folder)`` repeats a failure.
"""

import csv
import io
import json
import math
import random
import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")  # Parquet is one of the formats

from scaling.cli.app import main
from scaling.codes import CODES
from scaling.errors import ScalingError
from scaling.runs.numbers import Dialect
from scaling.runs.read import describe, from_frame, read_table
from scaling.runs.write import canonical_frame, to_csv

CI, NIGHTLY, BLOCK = 1_000, 20_000, 250
MISSING = {"", "na", "n/a", "#n/a", "none", "null", "-", "--"}
SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has its own file
)
LN2 = math.log(2.0)
NAMES = {  # header: unit that its name states
    "N": {"N": 1, "params": 1, "n_params": 1, "Model Size": 1, "num_parameters": 1,
          "params (M)": 1e6, "Parameters (B)": 1e9, "model/params": 1, "non_embedding_params": 1},
    "D": {"D": 1, "tokens": 1, "Training Tokens": 1, "tokens_seen": 1, "Tokens (B)": 1e9,
          "train/tokens": 1, "num_tokens": 1},
    "C": {"C": 1, "flops": 1, "Training FLOP": 1, "total_flops": 1, "PF-days": 8.64e19,
          "zettaflops": 1e21, "total_compute": 1},
    "loss": {"loss": 1, "val_loss": 1, "Val Loss": 1, "eval/loss": 1, "final_loss": 1,
             "perplexity": "ln", "bits_per_byte": LN2},
    "run": {"run": 1, "run_id": 1, "Run ID": 1},
    "seed": {"seed": 1, "random_seed": 1},
    "status": {"status": 1, "state": 1},
}  # fmt: skip
EXTRAS = ["notes", "arch", "dropout", "gpu_hours", "date", "width", "n_layers", "µ", 'say "x"',
          "a, b; c", "tab\there", "line\nbreak", "git|sha", "tokenizer",
          "x" * 90, "=A1"]  # fmt: skip
WORDS = ["gpt", "base; small", "a,b", 'he said "no"', "größe", "x|y", "none", "", "True", "line\n2",
         "\x1b[31mred", "-", "模型", "  spaced  ", "1e3", "2021-03-04"]  # fmt: skip
_SHORT = """
1,234 1.234,5 1.234.567 1'000 1_000 1_0 12_345_678 1,5 3,1e6 =A1*2 #REF! #DIV/0! #N/A @x +cmd 4-Mar
2021-03-04 3/4/21 Mar-21 nan NaN -nan inf -Inf Infinity 1e999 -1e999 1e-999 0x10 0b1 0o7 7M 3T 7e9
1e 1e+ e5 . .5 5. +.5e-3 - -- + True false yes ½ ² １２３４ ١٢٣ 1e6 7B 1.3b 500k ∞ −5 1–5 1~ ~3 12%
$5 5€ 1e6FLOP 2.4e14FLOPs 3h 1:30 NULL n/a na N/A None nil ? * 1j 1+2j 1d5 1f 1L 1E6 1.5E+07 0 -0
-1 -1e6 1..2 1.2.3 --5 +-5 (5) [3] {} null NaN1 1nan "5 5" 'x a"b ""x"" \u200b5 5\u200b 𝟏𝟐 १२ done
diverged failed running
"""
HOSTILE = [
    *_SHORT.split(),
    "9" * 400, "1" * 5000, "1e" + "9" * 30, "0." + "0" * 400 + "1", "1 000 000", "1 2", "1e6 ",
    "\t1e6", "1\u00a0000", "1\u202f000", "\ufeff1", "\x00", "\x1b[31m5", "\x07", "\x7f", "5\x0b",
    "\x1c5", "\x855", "1\r2", "\ud7ff",
    "1.0000000000000000000001", "9007199254740993", "123456789012345678901234567890", "x" * 3000,
    "a\nb", "1\n2", "\n", "1e6\n", "12 million", "-1.5e-324", "4.9e-324", "1.7976931348623157e309",
]  # fmt: skip


# -------------------------------------------------------------------------------- the second reader


def amount(text, how):
    """A decimal number as float, None for what is none; by the grammar, not by Python's float."""
    if not isinstance(text, str):
        return float(text)
    text = text.strip()
    if text.lower() in MISSING:
        return math.nan
    if text.lower().lstrip("+-") in {"nan", "inf", "infinity"} and text[:2] not in ("++", "--"):
        return math.inf
    sign = text[:1] if text[:1] in "+-" else ""
    body, power = re.fullmatch(r"(.*?)([eE][+-]?[0-9]+)?", text[len(sign) :], re.DOTALL).groups()
    whole, _, part = body.partition(how.decimal)
    if how.thousands and how.thousands in whole:
        groups = whole.split(how.thousands)
        if not 1 <= len(groups[0]) <= 3 or any(len(g) != 3 for g in groups[1:]):
            return None
        whole = "".join(groups)
    digits = whole + part
    if not digits or set(digits) - set("0123456789"):
        return None
    if not whole and how.decimal == ",":
        return None
    try:
        return float(Decimal(f"{sign}{whole or 0}.{part or 0}{power or ''}"))
    except (InvalidOperation, OverflowError):  # powers beyond all decimals
        return float(f"{sign}{whole or 0}.{part or 0}{power}")


def counted(text):
    """``7B`` as 7e9, None for anything else but an empty cell."""
    text = str(text).strip()
    if amount(text, Dialect()) is not None and math.isnan(amount(text, Dialect())):
        return math.nan
    power = {"k": 3, "m": 6, "b": 9, "t": 12}.get(text[-1:].lower())
    plain = text[:-1].rstrip()
    if power is None or plain[:1] not in set("0123456789.") or re.search("[eE]", plain):
        return None
    value = amount(plain, Dialect())
    return (
        None if value is None or not math.isfinite(value) else float(Decimal(plain).scaleb(power))
    )


@dataclass
class Sheet:
    """What the second reader finds: column names, the line of each row, and its cells."""

    names: list
    lines: list
    rows: list


def sheet_of(raw, name):
    """Read a file a second time; None where it is no table."""
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        entries = pq.read_table(io.BytesIO(raw)).to_pylist()
        return _objects(list(enumerate(entries, start=1)))
    text = raw.decode("utf-8").lstrip("\ufeff")
    if name.endswith(".jsonl"):
        parts = [(i, t) for i, t in enumerate(text.split("\n"), start=1) if t.strip()]
        return _objects([(i, _parse(t)) for i, t in parts])
    if name.endswith(".json") and text.lstrip()[:1] in ("[", "{"):
        found = _parse(text)
        runs = [v for v in found.values() if isinstance(v, list)] if isinstance(found, dict) else []
        runs = [v for v in runs if v and all(isinstance(entry, dict) for entry in v)]
        if runs:
            (found,) = runs
        elif isinstance(found, dict):
            keys = list(found)
            found = [dict(zip(keys, row, strict=True)) for row in zip(*found.values(), strict=True)]
        return _objects(list(enumerate(found, start=1)))
    return _separated(text)


def _parse(text):
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _objects(entries):
    flat = []
    for _, entry in entries:
        row, todo = {}, list(entry.items())
        while todo:
            key, value = todo.pop(0)
            if isinstance(value, dict):
                todo = [(f"{key}/{inner}", v) for inner, v in value.items()] + todo
            else:
                value = json.dumps(value) if isinstance(value, list) else value
                number = isinstance(value, int | float) and not isinstance(value, bool)
                row[key.strip()] = "" if value is None else value if number else str(value)
        flat.append(row)
    names = list(dict.fromkeys(key for row in flat for key in row))
    rows = [[row.get(key, "") for key in names] for row in flat]
    return Sheet(names, [line for line, _ in entries], rows)


def _separated(text):
    """Split by the delimiter under which every row has the width of the header."""
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text)
    best = None
    for delimiter in ",\t;|":
        records, start = [], 1
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                if any(map(str.strip, cells)):
                    records.append((start, cells))
                start = reader.line_num + 1
        except csv.Error:
            continue
        names = [cell.strip() or f"column {i}" for i, cell in enumerate(records[0][1], start=1)]
        if all(len(cells) == len(names) for _, cells in records) and (
            best is None or len(names) > len(best.names)
        ):
            rest = records[1:]
            best = Sheet(names, [line for line, _ in rest], [cells for _, cells in rest])
    return best


# ------------------------------------------------------------------------------------- the verdicts


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def assert_plain(text, what):
    """No control character, and nothing that turns a terminal's text around."""
    odd = [
        c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]
    assert not odd, f"{what} holds {odd[:3]!r}: {text[:300]!r}"


def judge_error(error, raw, name):
    """A refusal names a known code, the place, and what was found, on one screen."""
    shown = error.render()
    assert_plain(shown, "the message")
    assert sum(max(1, -(-width(line) // 80)) for line in shown.splitlines()) <= 24, shown
    last = 1 + len(re.findall(rb"\r\n|\r|\n", raw))
    for fault in error.faults:
        assert fault.code in CODES, fault
        assert fault.found, fault
        assert fault.where.startswith((name, "--")), fault
        row = re.match(re.escape(name) + r":(\d+)(?::(\d+)  column)?", fault.where)
        if row is None or not name.endswith((".csv", ".tsv", ".txt", ".json", ".jsonl")):
            continue
        entries = len(re.findall(rb"[{,]", raw)) if name.endswith(".json") else 0
        assert 1 <= int(row[1]) <= max(last, entries), fault
        if fault.code in ("SC102", "SC103", "SC104", "SC106") and row[2]:
            sheet = sheet_of(raw, name)
            assert int(row[1]) in sheet.lines, fault
            cell = sheet.rows[sheet.lines.index(int(row[1]))][int(row[2]) - 1]
            if fault.code == "SC102":
                quoted = "".join(c if c.isprintable() else "�" for c in str(cell).strip())[:50]
                assert fault.found.startswith(f'"{quoted}'), (fault, cell)


def judge_table(table, sheet, how):
    """Every row is there, and every number of a known column is the one that stands in the file."""
    assert sheet is not None, "a table was read where there is none"
    assert table.rows.tolist() == sheet.lines
    assert len(table.frame) == len(table.used) == len(sheet.lines)
    assert sorted({d.row for d in table.dropped}) == sorted(table.rows[~table.used].tolist())
    assert all(d.code in CODES and d.why for d in table.dropped)
    for message in table.messages:
        assert message.code in CODES
        assert set(message.rows) <= set(sheet.lines)
        assert_plain("\n".join(message.lines()), "a finding")
    assert_plain("\n".join(describe(table)), "the description")
    for role, reading in table.columns.items():
        values = table.frame[role].tolist()
        if reading.header is None:
            assert reading.source.startswith("= "), reading
            continue
        assert sheet.names.count(reading.header) == 1, reading
        at = sheet.names.index(reading.header)
        judge_column(role, reading, values, [row[at] for row in sheet.rows], how, table.used)
    told = {m.code for m in table.messages}
    n, d, c = (table.frame[k].to_numpy() if k in table.frame else None for k in "NDC")
    with np.errstate(all="ignore"):
        if "C" in table.columns and table.columns["C"].source == "= 6 N D":
            np.testing.assert_array_equal(c, 6.0 * n * d)
            assert "SC112" in told
        if "D" in table.columns and table.columns["D"].source == "= C/(6 N)":
            np.testing.assert_array_equal(d, c / (6.0 * n))
            assert "SC111" in told
    for role in "NDC":
        if role in table.frame:
            used = table.fit_frame[role].to_numpy()
            assert (np.isfinite(used) & (used > 0)).all()
    if "loss" in table.frame:
        loss = table.fit_frame["loss"].to_numpy()
        assert np.isfinite(loss).all()
        assert (loss > 0).all() or table.columns["loss"].transform


def judge_column(role, reading, values, cells, how, used):
    if role in ("run", "group", "trunk", "status", "convention", "loss_unit"):
        for value, cell in zip(values, cells, strict=True):
            gone = cell != cell or str(cell).strip().lower() in MISSING
            cell = str(cell)
            if role == "status":
                assert value in STATUS[cell.strip().lower() if not gone else ""], (value, cell)
            else:
                assert value == (None if gone else cell.strip()), (role, value, cell)
        return
    want = [amount(cell, how) for cell in cells]
    if None in want and role in ("N", "D", "seed", "steps"):
        want = [counted(cell) for cell in cells]
    for value, number, cell, kept in zip(values, want, cells, used, strict=True):
        assert number is not None, f"{role}: {cell!r} was read as {value!r}"
        if reading.transform:
            number = math.log(number) if number > 0 else number
            number = value if number <= 0 and not kept else number
        exact = number * reading.scale
        same = value == exact or (math.isnan(value) and math.isnan(exact))
        if (reading.scale != 1.0 or reading.transform) and not same:  # rounded twice
            same = abs(value - exact) <= 2 * math.ulp(exact)
        assert same, f"{role}: {cell!r} was read as {value!r}, not {exact!r}"


STATUS = {
    "": ["done"], "done": ["done"], "finished": ["done"], "completed": ["done"], "ok": ["done"],
    "failed": ["failed"], "crashed": ["failed"], "killed": ["failed"], "diverged": ["diverged"],
    "nan": ["diverged"], "running": ["running"], "too-big": ["too-big"], "pending": ["pending"],
}  # fmt: skip


# ----------------------------------------------------------------------------------- sound, damaged


@dataclass
class Case:
    """A file, how it is to be read, and what is known of it."""

    name: str
    raw: bytes
    how: Dialect = field(default_factory=Dialect)
    damage: list = field(default_factory=list)
    units: dict = field(default_factory=dict)


def sound(rng):
    """Names, the unit of each known one, and rows of text."""
    roles = ["N", "D", *(r for r in ("C", "run", "seed", "status") if rng.random() < 0.5), "loss"]
    chosen = {role: rng.choice(list(NAMES[role])) for role in roles}
    extras = rng.sample(EXTRAS, rng.randrange(4))
    rows = []
    for i in range(rng.randint(2, 12)):
        n, d = 10 ** rng.uniform(6, 10), 10 ** rng.uniform(8.5, 12)
        loss = 1.7 + 400 / n**0.34 + 410 / d**0.28
        known = {"N": n, "D": d, "C": 6 * n * d, "loss": loss, "run": f"r{i}", "seed": i % 3}
        known["status"] = rng.choice(["done", "finished", "", "done", "completed"])
        cells = {}
        for role, header in chosen.items():
            value, unit = known[role], NAMES[role][header]
            if isinstance(value, float):
                value = math.exp(value) if unit == "ln" else value / unit
                value = rng.choice([repr(value), f"{value:.6g}", f"{value:.9e}", f"+{value!r}"])
            cells[header] = str(value)
        rows.append({**cells, **{name: rng.choice(WORDS) for name in extras}})
    names = [*chosen.values(), *extras]
    rng.shuffle(names)
    units = {role: (header, NAMES[role][header]) for role, header in chosen.items()}
    return names, [[row[name] for name in names] for row in rows], units


def damage_cells(rng, names, rows):
    """Damage a table in one way; returns what was done."""
    row, at = rng.choice(rows), rng.randrange(len(names))
    kind = rng.choice(["cell"] * 8 + ["column", "swap", "swap rows", "drop", "copy", "less", "more",
                                      "name", "twice", "blank"])  # fmt: skip
    if kind == "cell" and at < len(row):
        row[at] = rng.choice(HOSTILE)
    elif kind == "column":
        for cells in rows:
            if at < len(cells) and rng.random() < 0.6:
                cells[at] = rng.choice([*HOSTILE, cells[at] + "e3", f"{cells[at]}B", "7B"])
    elif kind == "swap" and at < len(row):
        other = rng.randrange(len(row))
        row[at], row[other] = row[other], row[at]
    elif kind == "swap rows":
        rng.shuffle(rows)
    elif kind == "drop" and len(rows) > 1:
        rows.remove(row)
    elif kind == "copy":
        rows.append(list(row))
    elif kind == "less" and row:
        row.pop(min(at, len(row) - 1))
    elif kind == "more":
        row.insert(at, rng.choice(["", "1", *HOSTILE]))
    elif kind == "name":
        names[at] = rng.choice(
            [*HOSTILE, *EXTRAS, "", " ", "train_loss", "params_embedding", "\ud800"]
        )
    elif kind == "twice":
        names[at] = rng.choice(names)
    elif kind == "blank":
        row[:] = [""] * len(row)
    return kind


def damage_bytes(rng, raw):
    """Damage a file in one way; returns it and what was done."""
    kind = rng.choice(
        "flip delete insert truncate swap double latin utf-16 nul quote newlines delimiter digit "
        "bom junk".split()
    )
    at, text = rng.randrange(len(raw) + 1), raw
    lines = raw.split(b"\n")
    line = rng.randrange(len(lines))
    if kind == "flip" and at < len(raw):
        text = raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
    elif kind == "delete":
        text = raw[:at] + raw[at + rng.randint(1, 20) :]
    elif kind == "insert":
        text = raw[:at] + rng.choice([*HOSTILE, "\n\n", "\r", ",", ";"]).encode() + raw[at:]
    elif kind == "truncate":
        text = raw[:at]
    elif kind in ("swap", "double"):
        other = rng.randrange(len(lines))
        lines[line], lines[other] = lines[other], lines[line if kind == "swap" else other]
        text = b"\n".join(lines)
    elif kind == "utf-16":
        text = raw.decode("utf-8", "replace").encode(
            rng.choice(["utf-16", "utf-16-be", "utf-16-le"])
        )
    elif kind == "latin":
        text = raw[:at] + bytes([rng.randrange(128, 256)]) + raw[at:]
    elif kind == "nul":
        text = raw[:at] + b"\0" + raw[at:]
    elif kind == "quote":
        text = raw[:at] + b'"' + raw[at:]
    elif kind == "newlines":
        text = b"".join(c + rng.choice([b"\n", b"\r", b"\r\n", b"\n\n"]) for c in lines)
    elif kind == "delimiter":
        a, b = rng.sample([b",", b";", b"\t", b"|"], 2)
        lines[line] = lines[line].replace(a, b)
        text = b"\n".join(lines) if rng.random() < 0.5 else raw.replace(a, b)
    elif kind == "digit" and (found := [m.start() for m in re.finditer(rb"\d", raw)]):
        at = rng.choice(found)
        text = raw[:at] + rng.choice([b"", b"9", b"e", b".", b"-", b" "]) + raw[at + 1 :]
    elif kind == "bom":
        text = b"\xef\xbb\xbf" + raw
    elif kind == "junk":
        text = raw[:at] + rng.randbytes(rng.randint(1, 30)) + raw[at:]
    return text, kind


def written(rng, names, rows, how, hits):
    """Write a table in a format and dialect of chance."""
    form = rng.choice(["csv"] * 12 + ["json", "jsonl", "columns", "nested", "jsonl"] + ["parquet"])
    table = [dict(zip(names, row, strict=False)) for row in rows]
    if form == "csv":
        delimiter = ";" if how.decimal == "," else rng.choice(",,,\t;|")
        end, out = rng.choice(["\n", "\n", "\r\n", "\r"]), io.StringIO()
        quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n", quoting=quoting)
        for cells in [names, *rows]:
            writer.writerow(cells)
            if rng.random() < 0.03:
                out.write("\r\n")
        text = out.getvalue().replace("\r\n", end)
        text = text.rstrip("\r\n") if rng.random() < 0.2 else text
        mark = "\ufeff" if rng.random() < 0.1 else ""
        raw = (mark + text).encode("utf-8", "surrogatepass")
        return rng.choice(["t.csv", "t.csv", "t.tsv", "t.txt"]), raw
    if form == "parquet":
        out = io.BytesIO()
        if len(set(names)) == len(names) and "\ud800" not in "".join(names):
            frame = pd.DataFrame(table, dtype=object)
            for name in frame:
                want = [amount(cell, Dialect()) for cell in frame[name].fillna("").tolist()]
                if None not in want and math.inf not in want and rng.random() < 0.5:
                    frame[name] = pd.Series(want, dtype=rng.choice(["float64", "Float64"]))
            frame.to_parquet(out, compression=rng.choice(["snappy", None]))
            return "t.parquet", out.getvalue()
    loose = [{k: _typed(rng, v) for k, v in row.items()} for row in table]
    if hits and rng.random() < 0.2:
        rng.choice(loose)[rng.choice(names)] = rng.choice([None, "", True, [1], {"a": 1}, math.nan])
    if form == "columns":
        value = {name: [row.get(name) for row in loose] for name in dict.fromkeys(names)}
    elif form == "nested":
        value = {"runs": [_nested(row) for row in loose], "note": "x"}
    else:
        value = loose
    if form == "jsonl":
        return "t.jsonl", "\n".join(json.dumps(row) for row in value).encode() + b"\n"
    return "t.json", json.dumps(value, indent=rng.choice([None, 1])).encode()


def _typed(rng, cell):
    """A cell as JSON would have it: a number where it is one."""
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]\d+)?", cell, re.ASCII) and rng.random() < 0.9:
        return float(cell) if "." in cell or "e" in cell else int(cell[:4000])
    return cell


def _nested(row):
    out = {}
    for key, value in row.items():
        head, _, tail = key.partition("/")
        if tail and head:
            out.setdefault(f"{head}", {})[tail] = value
        else:
            out[key] = value
    return out


def case(seed):
    """The file of a seed: sound for a fifth of them, damaged up to four times for the others."""
    rng = random.Random(seed)
    names, rows, units = sound(rng)
    how = Dialect(",", ".") if rng.random() < 0.1 else Dialect()
    if how.decimal == ",":
        known = {header for header, _ in units.values()}
        at = [i for i, name in enumerate(names) if name in known]
        for row in rows:
            for i in at:
                row[i] = row[i].replace(".", ",") if amount(row[i], Dialect()) else row[i]
    hits = rng.choice([0, 1, 1, 2, 4])
    before = rng.randint(0, hits)
    damage = [damage_cells(rng, names, rows) for _ in range(before)]
    name, raw = written(rng, names, rows, how, hits)
    if name.endswith((".json", ".jsonl", ".parquet")):
        how = Dialect() if not any("," in cell for row in rows for cell in row) else how
    for _ in range(hits - before):
        raw, kind = damage_bytes(rng, raw)
        damage.append(kind)
    return Case(name, raw, how, damage, units)


def check(it, folder):
    """Read the file of a case and judge what comes of it; returns the table, None if refused."""
    path = folder / it.name
    path.write_bytes(it.raw)
    try:
        table = read_table(path, dialect=it.how)
    except ScalingError as error:
        judge_error(error, it.raw, it.name)
        return None
    judge_table(table, sheet_of(it.raw, it.name), it.how)
    return table


def sweep(first, last, folder, capsys):
    """Judge the files of a range of seeds; some go through the program too."""
    read = 0
    for seed in range(first, last):
        it = case(seed)
        try:
            table = check(it, folder)
            if not it.damage:
                assert table is not None, "a sound table was refused"
                for role, (header, unit) in it.units.items():
                    reading = table.columns[role]
                    assert (reading.header, reading.transform or reading.scale) == (header, unit)
            if seed % 25 == 0:
                through_the_program(it, table, folder, capsys)
        except Exception as error:
            error.add_note(f"seed {seed}: {it.damage} {it.how} {it.name} {it.raw[:600]!r}")
            raise
        read += table is not None
    assert 0.2 < read / (last - first) < 0.9  # neither all refused nor all taken


def through_the_program(it, table, folder, capsys):
    """``check`` and ``import`` agree with the library, print plain text and never a traceback."""
    path = folder / it.name
    options = ["--decimal", it.how.decimal, "--thousands", it.how.thousands]
    code, out, err = run(["check", str(path), "--json", *options], capsys)
    told = json.loads(out)
    assert code in (0, 2)
    assert told["ok"] is (code == 0)
    if table is not None:
        assert code == 0
        assert told["table"]["rows"] == len(table)
    code, out, err = run(["check", str(path), *options], capsys)
    assert_plain(out + err, "what check prints")
    code, out, err = run(["import", str(path), *options], capsys)
    assert_plain(err, "what import tells")
    if code == 0:
        table = read_table(path, dialect=it.how, needs_loss=False)  # import needs none either
        again = folder / "again.csv"
        again.write_text(out, newline="")
        assert_same(table, read_table(again, needs_loss=False))
    else:
        assert code == 2
        assert "error[SC" in err


def run(words, capsys):
    """Run the program in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["scaling", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
    out, err = capsys.readouterr()
    assert left.value.code in (0, 1, 2), (words, err)
    return left.value.code or 0, out, err


def assert_same(one, two):
    """Two tables hold the same runs, bit for bit."""
    first, second = canonical_frame(one, left_out=True), canonical_frame(two, left_out=True)
    assert len(first) == len(second)
    for name in ("run", "status", "N", "D", "C", "loss", "seed"):
        assert (name in first) == (name in second), name
        if name in first:
            pairs = zip(first[name].tolist(), second[name].tolist(), strict=True)
            assert all(a == b or (a != a and b != b) for a, b in pairs), name


@pytest.mark.parametrize("first", range(0, CI, BLOCK))
def test_damaged_files(first, tmp_path, capsys):
    sweep(first, first + BLOCK, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(CI, CI + NIGHTLY, BLOCK))
def test_damaged_files_by_night(first, tmp_path, capsys):
    sweep(first, first + BLOCK, tmp_path, capsys)


# ------------------------------------------------------------------------- the list of bad inputs

HEAD, ROW = b"N,D,loss\n", b"1e6,2e7,3.1\n"
BAD = {
    "empty": (b"", None),
    "white": (b" \n\t\r\n", None),
    "header only": (HEAD, None),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), None),
    "zip": (b"PK\x03\x04" + bytes(100), None),
    "elf": (b"\x7fELF\x02\x01\x01" + bytes(60), None),
    "pickle": (b"\x80\x04\x95\x00", None),
    "utf-16": ("\ufeffN,D,loss\n1,2,3\n".encode("utf-16-le"), None),
    "utf-32": ("N,D,loss\n1,2,3\n".encode("utf-32"), None),
    "bom": (b"\xef\xbb\xbf" + HEAD + ROW, [3.1]),
    "two boms": (b"\xef\xbb\xbf" * 2 + HEAD.replace(b"N", b"x,N") + b"1," + ROW, [3.1]),
    "latin-1 line": (HEAD + ROW + b"\xe9," + ROW, None),
    "ragged": (HEAD + ROW + b"1,2\n", None),
    "wrong delimiter": (HEAD.replace(b",", b":") + ROW.replace(b",", b":"), None),
    "delimiter changes": (HEAD + ROW.replace(b",", b";"), None),
    "twice a name": (b"N,D,loss,loss\n1,2,3,4\n", None),
    "open quote": (HEAD + b'"1e6,2e7,3.1\n' + ROW * 3, None),
    "open quote, long": (HEAD + b'"1e6,2e7,3.1\n' + ROW * 20_000, None),
    "nul": (HEAD + b"1e6,2e7\0,3.1\n", None),
    "nul far down": (HEAD + ROW * 9000 + b"1e6,2e7\0,3.1\n", None),
    "cr": ((HEAD + ROW).replace(b"\n", b"\r"), [3.1]),
    "mixed newlines": (HEAD.replace(b"\n", b"\r\n") + ROW + b"\r\r" + ROW, [3.1, 3.1]),
    "no last newline": (HEAD + ROW[:-1], [3.1]),
    "long line": (HEAD + b"1e6,2e7,3.1," + b"9" * 2_000_000 + b"\n", None),
    "long field": (HEAD + b"1e6,2e7," + b"9" * 200_000 + b"\n", None),
    "long digits": (HEAD + b"1e6,2e7,3." + b"1" * 100_000 + b"x\n", None),
    "long number": (HEAD + b"1e6,2e7,3.1" + b"0" * 100_000 + b"\n", [3.1]),
    "long word": (HEAD + b'1e6,2e7,"3' + b"a" * 100_000 + b'\nb"\n', None),
    "long header": (HEAD.replace(b"D", b"_" * 130_000 + b",D") + b"1," + ROW, None),
    "many columns": (b",".join(b"a%d" % i for i in range(100_000)) + b"\n", None),
    "many blank lines": (b"\n" * 1_000_000 + HEAD + ROW, [3.1]),
    "many ragged rows": (HEAD + b"1\n" * 300_000, None),
    "escapes": (b"N,D,loss,tokenizer\x1b[31m\n1,2,3,\x1b]0;x\x07\n4,5,6,\xc2\x9b\n", [3, 6]),
    "units down a column": (HEAD + ROW + b"7M,2e7,3\n", None),
}  # fmt: skip
NUMBERS_BAD = ["1,234", "2021-03-04", "=A1*2", "#REF!", "inf", "-Infinity", "NAN", "1_000",
               "１２３", "0x10", "True", "3,1", "1 000", "9" * 400, "1e400", "½",
               "3.1\x00"]  # fmt: skip
_RUN = '{"N": 1e6, "D": 2e7, "loss": 3.1}'
BAD_JSON = {
    "deep lists": ("t.json", "[" * 100_000, None),
    "deep objects": ("t.json", '{"a":' * 100_000 + "1" + "}" * 100_000, None),
    "deep run": ("t.json", "[" + _RUN[:-1] + ',"x":' + '{"a":' * 800 + "1" + "}" * 801 + "]", None),
    "twice a key": ("t.json", '[{"N": 1, "N": 2, "D": 1, "loss": 1}]', None),
    "one key nested": ("t.json", '[{"N": 1, "D": 1, "loss": {"a": 1}, "loss/a": 2}]', None),
    "nan": ("t.json", "[" + _RUN.replace("3.1", "NaN") + "]", None),
    "huge": ("t.json", "[" + _RUN.replace("1e6", "9" * 400) + "]", None),
    "exact": ("t.json", "[" + _RUN.replace("1e6", "12345678901234567890") + "]", [3.1]),
    "lists": ("t.json", "[[1, 2], [3, 4]]", None),
    "scalar": ("t.json", "3", None),
    "columns": ("t.json", '{"N": [1e6], "D": [2e7], "loss": [3.1]}', [3.1]),
    "columns of two lengths": ("t.json", '{"N": [1], "D": [1, 2], "loss": [1, 2]}', None),
    "half a pair": ("t.json", "[" + _RUN[:-1] + r', "run": "\ud800"}]', None),
    "half a pair, name": ("t.json", "[" + _RUN[:-1] + r', "\ud800": 1}]', None),
    "nul": ("t.json", "[" + _RUN[:-1] + r', "run": "\u0000"}]', None),
    "cut": ("t.json", "[" + _RUN, None),
    "lines": ("t.jsonl", _RUN + "\n\n" + _RUN, [3.1, 3.1]),
    "a bad line": ("t.jsonl", _RUN + '\n{"N": 1,\n' + _RUN, None),
    "a list among lines": ("t.jsonl", _RUN + "\n[1]\n" + _RUN, None),
    "comment": ("t.json", "[" + _RUN + "] // end", None),
}  # fmt: skip


def verdict(folder, name, raw, want, capsys):
    """Read, judge, and pass it through ``check``; `want` is the losses, None for a refusal."""
    (folder / name).write_bytes(raw)
    try:
        table = read_table(folder / name)
    except ScalingError as error:
        judge_error(error, raw, name)
        losses = None
    else:
        judge_table(table, sheet_of(raw, name), Dialect())
        losses = table.frame["loss"].tolist()
    assert losses == want
    code, out, err = run(["check", str(folder / name)], capsys)
    assert code in (0, 2)
    assert_plain(out + err, "what check prints")


@pytest.mark.parametrize("kind", BAD)
def test_bad_text(kind, tmp_path, capsys):
    verdict(tmp_path, "t.csv", *BAD[kind], capsys)


@pytest.mark.parametrize("kind", BAD_JSON)
def test_bad_json(kind, tmp_path, capsys):
    name, text, want = BAD_JSON[kind]
    verdict(tmp_path, name, text.encode(), want, capsys)


@pytest.mark.parametrize("column", ["N", "D", "loss", "seed"])
@pytest.mark.parametrize("cell", NUMBERS_BAD)
def test_a_cell_that_is_no_number_is_found_where_it_stands(cell, column, tmp_path):
    row = {"N": "1e6", "D": "2e7", "loss": "3.1", "seed": "1"}
    lines = [
        "N;D;loss;seed",
        *[";".join(row.values())] * 2,
        "",
        ";".join((row | {column: cell}).values()),
    ]
    path = tmp_path / "t.csv"
    for end in ("\n", "\r", "\r\n"):
        path.write_text(end.join(lines), newline="")
        with pytest.raises(ScalingError) as caught:
            read_table(path)
        judge_error(caught.value, path.read_bytes(), "t.csv")
        (fault,) = caught.value.faults
        place = f"t.csv:5:{list(row).index(column) + 1}  column"
        assert fault.where.startswith(place) or "\x00" in cell
        infinite = abs(amount(cell, Dialect()) or 0) == math.inf
        assert fault.code == ("SC101" if "\x00" in cell else "SC103" if infinite else "SC102")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_the_line_of_a_bad_byte_or_quote_is_the_line_of_an_editor(end, tmp_path):
    path = tmp_path / "t.csv"
    for bad in ("x\udce9y", 'x,"a"b,3'):
        text = end.join(["N,D,loss", "1e6,2e7,3", "", bad, "1e6,2e7,3"])
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ScalingError) as caught:
            read_table(path)
        (fault,) = caught.value.faults
        assert (fault.where, fault.excerpt[0], len(fault.excerpt)) == ("t.csv:4", "x", len(bad))


def test_the_name_of_a_file_is_shown_plainly(tmp_path):
    path = tmp_path / "a\x1b[31m\n.csv"
    path.write_bytes(HEAD + b"x,2e7,3\n")
    with pytest.raises(ScalingError) as caught:
        read_table(path)
    assert_plain(caught.value.render(), "the message")


# ----------------------------------------------------------------------------------------- parquet


def parquet(**columns):
    out = io.BytesIO()
    base = {"N": [1e6, 2e6, 4e6], "D": [2e7] * 3, "loss": [3.1, 3.0, 2.9]}
    pd.DataFrame({**base, **columns}).to_parquet(out)
    return out.getvalue()


ODD = {
    "list": [[1], [2], [3]],
    "struct": [{"a": 1}, {"a": 2}, {"a": 3}],
    "date": pd.to_datetime(["2021-03-04"] * 3),
    "span": pd.to_timedelta([1, 2, 3], unit="s"),
    "decimal": [Decimal("1.5"), Decimal("2.5"), None],
    "category": pd.Categorical(["a", "b", "a"]),
    "nullable": pd.array([1, None, 3], dtype="Int64"),
    "truth": pd.array([True, None, False], dtype="boolean"),
    "bytes": [b"a", b"\xff", b""],
    "complex": np.array([1j, 2, 3]),
    "tokenizer": pd.array([1, None, 3], dtype="Int64"),
    "arrays": [np.arange(2), np.arange(3), None],
    "range": pd.interval_range(0, 3),
    "period": pd.period_range("2020", periods=3, freq="D"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("role", ["x", "N", "loss", "run", "status", "outlier", "group"])
def test_odd_kinds_of_columns(kind, role, tmp_path):
    frames = [
        pd.DataFrame({"N": [1e6, 2e6, 4e6], "D": 2e7, "loss": [3.1, 3, 2.9], role: ODD[kind]})
    ]
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet(**{role: ODD[kind] if kind != "complex" else ["1j", "2", "3"]}))
    for read, source in ((from_frame, frames[0]), (read_table, path)):
        try:
            table = read(source)
        except ScalingError as error:
            judge_error(error, b"", "frame" if read is from_frame else "t.parquet")
        else:
            to_csv(canonical_frame(table))
            assert len(table) == 3
            assert role not in ("N", "loss")


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_damaged_parquet(first, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    for seed in range(first, first + 50):
        rng = random.Random(seed)
        raw = parquet(x=rng.choice(list(ODD.values())[:8]))
        for _ in range(rng.randint(1, 4)):
            raw, _ = damage_bytes(rng, raw)
        path = tmp_path / "t.parquet"
        path.write_bytes(raw)
        try:
            table = read_table(path)
        except ScalingError as error:
            judge_error(error, raw, "t.parquet")
        else:
            if raw.startswith(b"PAR1"):
                assert len(table) == len(pq.read_table(io.BytesIO(raw)))


# ------------------------------------------------------------------------------------- properties


def frames():
    """Frames of odd types under odd names."""
    numbers = st.lists(
        st.floats(allow_nan=True) | st.integers(-(2**70), 2**70), min_size=3, max_size=3
    )
    odd = st.sampled_from(list(ODD.values()))
    cell = st.one_of(
        *(st.none(), st.booleans(), st.text(max_size=5), st.floats(), st.complex_numbers()),
        *(st.decimals(), st.binary(max_size=3), st.just(pd.NA), st.just(pd.NaT)),
    )
    column = numbers | odd | st.lists(cell, min_size=3, max_size=3)
    sound = st.lists(st.floats(1, 1e12), min_size=3, max_size=3)
    names = st.sampled_from(["N", "D", "C", "loss", "seed", "run", "status", "params", "x", "", 1,
                             "\x1b", None, ("a", "b"), "outlier", "tokenizer"])  # fmt: skip
    return st.tuples(sound, st.dictionaries(names, sound | column, max_size=5))


@SETTINGS
@given(frames())
def test_frames_of_any_kind(drawn):
    sound, columns = drawn
    columns = {"N": sound, "D": sound, "loss": sound} | columns
    frame = pd.concat([pd.Series(v, dtype=object if isinstance(v, list) else None) for v in
                       columns.values()], axis=1)  # fmt: skip
    frame.columns = pd.Index(list(columns), dtype=object, tupleize_cols=False)
    before = frame.copy(deep=True)
    try:
        table = from_frame(frame)
    except ScalingError as error:
        judge_error(error, b"\n" * 9, "frame")
    else:
        assert len(table) == 3
        to_csv(canonical_frame(table))
        assert_plain("\n".join(describe(table)), "the description")
        for role in {"N", "D", "C", "loss"} & set(table.columns):
            header = table.columns[role].header
            if header is not None and header in columns and table.columns[role].scale == 1.0:
                for value, cell in zip(table.frame[role], columns[header], strict=True):
                    if not pd.isna(cell):
                        assert not isinstance(cell, bool | complex)
                        want = amount(cell if isinstance(cell, str) else str(cell), Dialect())
                        assert value == want or (want != want and value != value)
    # cell by cell as written: pandas itself cannot compare a signalling NaN
    assert frame.dtypes.tolist() == before.dtypes.tolist()
    assert [list(map(repr, frame.iloc[:, i])) for i in range(frame.shape[1])] == [
        list(map(repr, before.iloc[:, i])) for i in range(before.shape[1])
    ]


@st.composite
def sound_files(draw):
    """A seed whose file is sound; hypothesis chooses, so that a failure is repeated at once."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    names, rows, _ = sound(rng)
    return rng, names, rows


def csv_of(names, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([names, *rows])  # quotes every newline
    return out.getvalue().encode()


@SETTINGS
@given(sound_files())
def test_what_is_written_is_read_again_bit_for_bit(tmp_path, drawn):
    _, names, rows = drawn
    path = tmp_path / "t.csv"
    path.write_bytes(csv_of(names, rows))
    first = read_table(path)
    path.write_text(to_csv(canonical_frame(first)), newline="")
    second = read_table(path)
    assert_same(first, second)


@SETTINGS
@given(sound_files())
def test_the_order_of_rows_and_columns_does_not_matter(tmp_path, drawn):
    rng, names, rows = drawn
    path = tmp_path / "t.csv"
    path.write_bytes(csv_of(names, rows))
    first = read_table(path)
    order, across = (
        rng.sample(range(len(rows)), len(rows)),
        rng.sample(range(len(names)), len(names)),
    )
    path.write_bytes(
        csv_of([names[j] for j in across], [[rows[i][j] for j in across] for i in order])
    )
    second = read_table(path)
    roles = list(first.columns)
    assert sorted(roles) == sorted(second.columns)
    pd.testing.assert_frame_equal(
        first.frame.iloc[order][roles].reset_index(drop=True), second.frame[roles]
    )
    assert first.used[order].tolist() == second.used.tolist()


@SETTINGS
@given(sound_files())
def test_a_column_twice(tmp_path, drawn):
    """The same name twice is refused; the same cells under a second name change nothing."""
    _, names, rows = drawn
    path = tmp_path / "t.csv"
    path.write_bytes(csv_of(names, rows))
    first = read_table(path)
    header = first.columns["N"].header
    at = names.index(header)
    path.write_bytes(csv_of([*names, header], [[*row, row[at]] for row in rows]))
    with pytest.raises(ScalingError) as caught:
        read_table(path)
    assert caught.value.code == "SC108"
    other = "param_count (M)" if "(M)" in header else "param_count"
    if first.columns["N"].scale == 1.0 and "embedding" not in header:
        path.write_bytes(csv_of([*names, other], [[*row, row[at]] for row in rows]))
        second = read_table(path)
        assert second.frame["N"].tolist() == first.frame["N"].tolist()
