"""Codes: each is known, used and documented. ``python tests/test_codes.py`` writes the page."""

import ast
import errno
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from scaling import codes as catalogue
from scaling.cli.app import app, main
from scaling.cli.doctor import _lines as doctor_lines
from scaling.codes import CODES, RANGES, in_ranges
from scaling.errors import Fault, Message
from scaling.training.engines.base import Check

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "codes.md"
UNUSED: set[str] = set()  # explained already, raised by nothing yet
PATTERN = re.compile(r"\bSC\d{3}\b")
LINES, COLUMNS = 6, 120
GLUE = set("a and as at by in is its not of on or row the to".split())


def sources():
    """Yield the files of the package and their text; the catalogue itself is left out."""
    for path in sorted(Path(catalogue.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name == "errors.py":
            text = re.sub(r'"""Errors and messages:.*?"""', "", text, flags=re.S)
        if path.name != "codes.py":
            yield path, text


def used():
    """Return the codes that the source names, with the files."""
    found = {}
    for path, text in sources():
        for code in PATTERN.findall(text):
            found.setdefault(code, path.name)
    return found


def page():
    """Return docs/reference/codes.md."""
    parts = [
        "# Message codes\n",
        "Errors, warnings and report notes carry a code. `scaling explain CODE` prints what stands "
        "here; `scaling explain decimal comma` finds the codes that words are about.\n",
    ]
    for heading, codes in in_ranges(CODES).items():
        parts.append(f"## {heading}\n")
        for code in codes:
            item = CODES[code]
            parts.append(
                f"### {code}: {item.title}\n\n{item.cause}\n\n"
                f"```text\n{item.example}```\n\nTo mend it: {item.mend}\n"
            )
    return "\n".join(parts)


def test_every_code_in_the_source_is_known():
    assert {c: f for c, f in used().items() if c not in CODES} == {}


def test_every_known_code_is_used():
    assert sorted(set(CODES) - set(used()) - UNUSED) == []


def test_the_exceptions_are_unused():
    """A code that comes into use leaves the list of exceptions."""
    assert sorted(UNUSED & set(used())) == []
    assert set(CODES) >= UNUSED


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_says_what_to_do(code):
    item = CODES[code]
    assert item.title
    assert item.cause.endswith(".")
    assert item.mend.rstrip("`").endswith(".")


def commands(command, path="scaling"):
    """Yield each command with its words, groups included."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


def test_options_commands_and_pages_that_are_named_exist():
    known = dict(commands(typer.main.get_command(app)))
    options = {o for c in known.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    lost = set()
    for item in CODES.values():
        text = f"{item.cause} {item.mend}"
        lost |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - options - {"--head", "--help"}
        for words in re.findall(r"`scaling ((?:[a-z]+ ?)+)", text):
            lost |= set() if f"scaling {words.strip()}" in known else {words}
        lost |= {page for page in re.findall(r"docs/\S+\.md", text) if not (ROOT / page).is_file()}
    assert lost == set()


def test_the_page_is_in_step():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/test_codes.py"


def test_every_code_is_in_a_range_and_every_range_has_one():
    assert {code[:3] for code in CODES} == set(RANGES)


# ---------------------------------------------------------------------------------------- examples


def taken_apart(example):
    """The error or message that prints an example; None for a line of another kind."""
    lines = example.splitlines()
    parts = {"head": [], "expected": [], "mend": []}
    excerpt, marks, detail, at = "", "", [], "head"
    for line in lines:
        if line.startswith("   | "):
            excerpt, at = line[5:], "excerpt"
        elif at == "excerpt" and set(line) <= set(" ^"):
            marks = line[5:]
        elif re.match(r" +(expected|mend): ", line):
            at, _, rest = line.strip().partition(": ")
            parts[at].append(rest)
        elif at == "detail" or line.startswith("  Traceback"):
            at = "detail"
            detail.append(line[2:])
        else:
            parts[at].append(line.strip())
    head, expected, mend = (" ".join(parts[k]) for k in ("head", "expected", "mend"))
    error = re.match(r"error\[(SC\d{3})\] ", head)
    if error:
        where, _, found = head[error.end() :].partition("  ")
        first = len(marks) - len(marks.lstrip())
        mark = excerpt[first : len(marks)]
        return Fault(
            error[1], where, found, expected, mend, excerpt, mark, first, "\n".join(detail)
        )
    looked = re.fullmatch(r"--    (\w+) +(.*)", head)  # what the doctor finds of no consequence
    if looked:
        return Check(looked[1], looked[2], "SC014", mend, optional=True)
    said = re.fullmatch(r"(! )?(.*) \[(SC\d{3})\]", head)
    if said is None or example[0] not in "! ":
        return None
    return Message(said[3], said[2], "warning" if said[1] else "info", mend=mend)


def printed(item):
    """What the program prints of an error, a message or a finding of the doctor."""
    if isinstance(item, Check):
        return "\n".join(doctor_lines(item))
    return item.render() if isinstance(item, Fault) else "\n".join(item.lines())


def test_every_example_has_the_form_of_its_message():
    """Each is what the classes of messages print of its parts, breaks of lines included."""
    odd = {}
    for code, item in CODES.items():
        parts = taken_apart(item.example)
        if parts is None or parts.code != code or printed(parts) + "\n" != item.example:
            odd[code] = item.example
    assert sorted(odd) == []


@cache
def pieces():
    """Texts that the source writes out, whole from one place that it fills to the next.

    Each with the codes that its files name.
    """
    found = {}
    for path, text in sources():
        tree, about = ast.parse(text, str(path)), set(PATTERN.findall(text))
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docs
            ):
                for part in re.split(r"\{\w*\}", node.value):
                    piece = " ".join(part.split()).strip(".,:;?() ")
                    if re.search("[A-Za-z]", piece):
                        found.setdefault(piece, set()).update(about)
    return found


def is_filled_in(word):
    """Whether a word is a number, a name in quotes, a path, an option, a class or the like."""
    special = re.search(r"""\d|["'=_*…]|^-|\w[./:]\w|[a-z][A-Z]""", word)
    return special is not None or not re.search("[a-z]", word)


def unwritten(code, text, known=None):
    """Words of a message that are neither filled in nor part of a whole piece of the source."""
    for number in (errno.ENOENT, errno.EISDIR, errno.ENOSPC):  # the system's own words
        text = text.replace(os.strerror(number), "…")
    text = re.sub(r"\b\w*(Error|Compiler|TOML): [^.]*", "…", text)  # and those of exceptions
    covered = set()
    for piece, codes in (known or pieces()).items():
        if piece in text and (" " in piece or len(piece) > 3 or code in codes):
            plural = re.match(r"s\b", piece)  # goes on after a noun that was filled in
            before = "" if plural or not piece[0].isalpha() else "(?<![A-Za-z])"
            after = "s?(?![A-Za-z])" * piece[-1].isalpha()
            for found in re.finditer(before + re.escape(piece) + after, text):
                covered |= set(range(*found.span()))
    return [
        word[0]
        for word in re.finditer(r"\S+", text)
        if not is_filled_in(word[0])
        and word[0].strip("():.,") not in GLUE
        and not {i for i in range(*word.span()) if text[i].isalpha()} <= covered
    ]


def test_words_that_the_source_does_not_have_are_seen():
    assert unwritten("SC104", "empty, but the run counts as done") == []
    assert unwritten("SC104", "empty, but this run counts as done") != []


@pytest.mark.parametrize("code", sorted(CODES))
def test_examples_say_what_the_source_says(code):
    """A message that is changed makes its example wrong."""
    item = taken_apart(CODES[code].example)
    said = [item.text] if isinstance(item, Message) else [item.found]
    said += [item.expected] if isinstance(item, Fault) else []
    assert [word for text in (*said, item.mend) for word in unwritten(code, text)] == []
    assert max(map(len, CODES[code].example.splitlines())) <= COLUMNS
    assert len(CODES[code].example.splitlines()) <= LINES


# ------------------------------------------------------------------------------- provoked afresh


def runs(head="run,params,tokens,val_loss", change=None, more=()):
    """A table of 36 runs of a known law, each a list of cells; `change` is given their list."""
    rows = []
    for k in range(36):
        n, d = 1e7 * 2.2 ** (k // 6), 1e9 * 2.0 ** (k % 6)
        noise = 0.002 * ((k // 6 * 7 + k % 6 * 3) % 5 - 2)
        loss = 1.7 + 400 / n**0.34 + 410 / d**0.28 + noise
        rows.append([f"run-{k:03d}", f"{n:.3g}", f"{d:.3g}", f"{loss:.3f}"])
    if change is not None:
        change(rows)
    return "\n".join([head, *(",".join(row) for row in (*rows, *more))]) + "\n"


def cell(row, column, text):
    return lambda rows: rows[row].__setitem__(column, text)


def without(column):
    return lambda rows: [row.pop(column) for row in rows]


def scaled(*factors):
    def change(rows):
        for row in rows:
            row[1:3] = [f"{float(x) * f:.3g}" for x, f in zip(row[1:3], factors, strict=True)]

    return change


RAY = "params,tokens,loss\n" + "".join(f"{1e7 * 2**k:.3g},{2e8 * 2**k:.3g},3\n" for k in range(12))
CHECK = ("check", "results.csv")
PROVOKED = {
    "SC002": (runs(), ("fit", "results.csv", "--bootstrap", "0", "-o", "fit.json")),
    "SC004": (runs(), ("fit", "results.csv", "--fix", "alfa=0.3")),
    "SC005": (None, CHECK),
    "SC010": ("schema = 1\n[study]\ntitle = quickstart\n", ("sweep", "plan", "study.toml")),
    "SC020": (runs(), (*CHECK, "--where", "losss < 3")),
    "SC102": (runs(change=cell(4, 3, '"3,211"')), CHECK),
    "SC103": (runs(change=cell(4, 1, "0")), CHECK),
    "SC104": (runs(change=cell(4, 3, "")), CHECK),
    "SC105": (runs("run,params,tokens", without(3)), CHECK),
    "SC112": (runs(), CHECK),
    "SC118": (runs(change=scaled(1e-9, 1e-9)), CHECK),
    "SC120": (runs(), (*CHECK, "--where", "loss < 0")),
    "SC125": (RAY, CHECK),
    "SC133": (runs("run,params,tokens,train_loss"), CHECK),
    "SC137": (runs(more=[["mean", "1e8", "2e9", "2.9"]]), CHECK),
    "SC416": (runs(), ("fit", "results.csv", "--bootstrap", "0")),
}


@pytest.mark.parametrize("code", sorted(PROVOKED))
def test_examples_are_what_the_program_prints(code, tmp_path, monkeypatch, capsys):
    text, arguments = PROVOKED[code]
    monkeypatch.chdir(tmp_path)
    for name in arguments:
        if text is not None and name.endswith((".csv", ".toml", ".json")):
            Path(name).write_text(text, encoding="utf-8")
    said = scaling(capsys, monkeypatch, *arguments)
    assert CODES[code].example in said.out + said.err


def scaling(capsys, monkeypatch, *arguments):
    """What the program prints, in this process; its code of exit is `said.code`."""
    monkeypatch.setattr(sys, "argv", ["scaling", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return SimpleNamespace(out=said.out, err=said.err, code=ended.value.code)


# --------------------------------------------------------------------------------------- explain


@pytest.fixture
def explain(capsys, monkeypatch):
    return lambda *arguments: scaling(capsys, monkeypatch, "explain", *arguments)


@pytest.mark.parametrize("code", sorted(CODES))
def test_explain_prints_all_of_a_code_in_80_columns(code, explain):
    item, said = CODES[code], explain(code.lower())
    assert said.code == 0
    assert not said.err
    lines = said.out.splitlines()
    example = [f"    {line}" for line in item.example.splitlines()]
    start = lines.index("  for example:") + 1
    assert lines[start : start + len(example)] == example
    del lines[start : start + len(example)]
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"{code}  {item.title}"
    assert " ".join(" ".join(lines).split()) == " ".join(
        f"{code} {item.title} {item.cause} for example: mend: {item.mend}".split()
    )


@pytest.mark.parametrize("words", [("102",), ("error[SC102]",), ("SC", "102"), ("sc102",)])
def test_a_code_may_be_pasted(words, explain):
    assert explain(*words).out.startswith("SC102  ")


def test_several_codes_are_explained_in_turn(explain):
    said = explain("SC102", "SC103")
    assert [line[:5] for line in said.out.splitlines() if line[:2] == "SC"] == ["SC102", "SC103"]
    both = json.loads(explain("SC102", "SC103", "--json").out)
    assert both["schema"] == "scaling/codes@1"
    assert [one["code"] for one in both["codes"]] == ["SC102", "SC103"]


def test_the_machine_readable_form_has_the_example(explain):
    data = json.loads(explain("SC102", "--json").out)
    assert data == {"schema": "scaling/code@1", "code": "SC102", **vars(CODES["SC102"])}


@pytest.mark.parametrize(
    ("asked", "near"), [("SC1O2", "SC102"), ("SC9999", "SC900"), ("S102", "SC102")]
)
def test_an_unknown_code_suggests_the_nearest(asked, near, explain):
    said = explain(asked)
    assert said.code == 2
    assert f'no code is "{asked}"' in said.err.replace("\n ", "")
    assert f'did you mean {near}, "{CODES[near].title}"?' in said.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("decimal comma", "SC102"),
        ("decimel coma", "SC102"),
        ("extrapolated", "SC410"),
        ("sweep locked", "SC301"),
        ("no intervals", "SC416"),
        ("is not a number", "SC102"),
        ("perplexity", "SC122"),
        ("gpu", "SC306"),
    ],
)
def test_words_find_the_codes_that_they_are_about(words, code, explain):
    found = [line.split()[0] for line in explain(*words.split()).out.splitlines()]
    assert code in found[:3]
    assert len(found) <= 8


def test_an_error_on_a_terminal_names_its_explanation(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = scaling(capsys, monkeypatch, "check", "nowhere.csv")
    assert said.err.splitlines()[-1] == "Next: scaling explain SC005"


def test_words_about_nothing_are_an_error_with_the_next_step(explain):
    said = explain("xyzzy")
    assert said.code == 2
    assert "scaling explain --list" in said.err


@pytest.mark.parametrize("arguments", [(), ("--list",)])
def test_without_a_code_all_are_listed_below_their_range(arguments, explain):
    lines = explain(*arguments).out.splitlines()
    assert [line[2:7] for line in lines if line.startswith("  SC")] == sorted(CODES)
    assert [line for line in lines if line and line[0] != " "] == list(RANGES.values())
    assert max(map(len, lines)) <= 80
    assert [one["code"] for one in json.loads(explain("--list", "--json").out)["codes"]] == sorted(
        CODES
    )


def test_the_shell_completes_codes():
    command = typer.main.get_command(app).commands["explain"]
    context = command.make_context("explain", [])
    known = {code: item.title for code, item in CODES.items() if code.startswith("SC10")}
    for typed, offered in (("SC10", known), ("sc10", {k.lower(): v for k, v in known.items()})):
        found = command.params[0].shell_complete(context, typed)
        assert {one.value: one.help for one in found} == offered


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
