"""HTML of a document: one file, no network, readable without scripts."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scaling.errors import ConfigError, Fault
from scaling.reporting.document import (
    Align,
    Document,
    Figure,
    Table,
    Tip,
    Verdict,
    checked,
    csv_of,
    printable,
)

PACKAGE = "scaling.reporting.renderers"
SAFE = ",;:.!*()+-=@/$~'[]{}|^"
MOST_VERDICTS = 3  # that are not folded
MOST_CSV = 20_000  # letters of data in a link that are not packed
MOST_PACKED = 500_000  # letters of data in a link at all
MOST_TIPS = 5_000
NUMBERED = re.compile(r' data-i="(\d+)"')
LONGEST_WORD = 30  # letters that are never broken
LONGEST_LINE = 28  # letters of a cell that is never broken on a screen


def render(document: Document, template: str | Path | None = None) -> str:
    """Render a document as one self-contained page; the same bytes every time.

    Parameters
    ----------
    document : Document
    template : str or Path, optional
        A Jinja template that extends ``report.html.j2`` and overrides its blocks ``style``,
        ``header``, ``answer``, ``section`` (of each ``s``) or ``footer``.

    Raises
    ------
    ConfigError
        SC005 or SC004 if the template cannot be read or used.
    """
    environment = _environment()
    sides, kept = _sides(document), _kept(document)
    context = {
        "d": document,
        "checks": next((s.key for s in document.sections if s.heading == "Checks"), "answer"),
        "points": _json(_points(document, kept)),
        "pointed": lambda figure: any(tip in kept for tip in figure.tips),
        "css": _file(environment, "report.css"),
        "js": _file(environment, "report.js"),
        "kind": lambda block: type(block).__name__.lower(),
        "named": _namer(),
        "shown": MOST_VERDICTS,
        "sides": lambda table: f"a{sides[_ways(table)]}",
        "aligned": "\n".join(_set(ways, place) for ways, place in sides.items()),
        "svg": lambda figure: _drawn(figure, kept),
        "csv": _csv_uri,
        "zipped": _zipped_uri,
    }
    if template is None:
        return str(environment.get_template("report.html.j2").render(context))
    return _by_template(environment, Path(template), context)


def _by_template(environment: Any, path: Path, context: dict[str, Any]) -> str:
    import jinja2

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = f"cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        raise ConfigError(Fault("SC005", str(path), found)) from None
    try:
        return str(environment.from_string(text).render(context))
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        place = f"{path}:{line}" if line else str(path)
        expected = 'a template that starts with {% extends "report.html.j2" %}'
        raise ConfigError(Fault("SC004", place, str(error), expected)) from None


@cache
def _environment() -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.PackageLoader(PACKAGE, "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["clean"] = printable
    environment.filters["checked"] = checked
    environment.filters["counted"] = _counted
    return environment


def _counted(verdicts: Sequence[Verdict]) -> str:
    """Say what is folded: ``2 more answers: 1 supported, 1 weak``."""
    levels = Counter(verdict.level for verdict in verdicts)
    word = "answer" if len(verdicts) == 1 else "answers"
    parts = ", ".join(f"{count} {level}" for level, count in levels.items())
    return f"{len(verdicts)} more {word}: {parts}"


def _namer() -> Callable[[str], str]:
    """Return a function that numbers a name from its second use on, as labels must differ."""
    seen: Counter[str] = Counter()

    def named(text: str) -> str:
        seen[text] += 1
        return text if seen[text] == 1 else f"{text} ({seen[text]})"

    return named


def _sides(document: Document) -> dict[tuple[str, ...], int]:
    """Number the ways in which columns are set, so that no cell has to say it."""
    tables: Iterable[Table] = (block for block in document.blocks if isinstance(block, Table))
    return {ways: k for k, ways in enumerate(dict.fromkeys(_ways(table) for table in tables))}


def _ways(table: Table) -> tuple[str, ...]:
    """Say of each column how it is set: any of right, wide, breaks, words."""
    columns = ([head, *cells] for head, *cells in zip(table.columns, *table.rows, strict=True))
    return tuple(_way(align, cells) for align, cells in zip(table.align, columns, strict=True))


def _way(align: Align, cells: Sequence[str]) -> str:
    longest = max(len(cell) for cell in cells[1:] or cells)
    word = max(len(word) for cell in cells for word in cell.split() or [""])
    found = ["right"] * (align == "right") + ["breaks"] * (word > LONGEST_WORD)
    return " ".join([*found, "wide" if longest > LONGEST_LINE else "narrow"])


def _set(ways: tuple[str, ...], place: int) -> str:
    """Return the style of the columns of a table."""
    styles = {
        "right": "text-align:right",
        "narrow": "white-space:nowrap",
        "breaks": "overflow-wrap:anywhere",
        "wide": "min-width:14rem",
    }
    rules = []
    for way, style in styles.items():
        places = [j for j, said in enumerate(ways, 1) if way in said.split()]
        cells = ",".join(f".a{place} :is(td,th):nth-child({j})" for j in places)
        rules += [f"{cells}{{{style}}}"] if places else []
    return "".join(rules)


def _file(environment: Any, name: str) -> str:
    """Text of a file that stands beside the templates."""
    text: str = environment.loader.get_source(environment, name)[0]
    return text.strip()


def _points(document: Document, kept: Set[Tip]) -> dict[str, Any]:
    """Return each tip once, and for every figure the tips of its markers in order."""
    places = {tip: place for place, tip in enumerate(kept)}
    told = {f.key: [places[tip] for tip in f.tips if tip in places] for f in document.figures}
    drawn = {key: tips for key, tips in told.items() if tips}
    return {"tips": [[printable(tip.text), tip.anchor] for tip in places], "figures": drawn}


def _kept(document: Document) -> Set[Tip]:
    """Return the tips of a page: all, or of very many those whose run has a row in a table."""
    tips = dict.fromkeys(tip for figure in document.figures for tip in figure.tips)
    if len(tips) <= MOST_TIPS:
        return tips.keys()
    rows = {row for b in document.blocks if isinstance(b, Table) for row in b.anchors}
    return {tip: None for tip in tips if tip.anchor in rows}.keys()


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _drawn(figure: Figure, kept: Set[Tip]) -> str:
    """Return the SVG of a figure, in which only the markers whose tips are kept have a number."""
    heard = (str(k) for k, tip in enumerate(figure.tips) if tip in kept)
    numbers = {old: f' data-i="{new}"' for new, old in enumerate(heard)}
    drawn = printable(figure.svg)
    if len(numbers) == len(figure.tips):
        return drawn
    return NUMBERED.sub(lambda found: numbers.get(found[1], ""), drawn)


def _csv_uri(figure: Figure) -> tuple[str, str]:
    """Return the data of a figure as a link that needs no script and no file, and its ending.

    Data that would outweigh the page are not in it: the report as JSON has them.
    """
    text = csv_of(figure.data)
    if len(text) > MOST_PACKED:
        return "", ""
    if len(text) > MOST_CSV:
        return _zipped_uri(text), "csv.gz"
    return "data:text/csv;charset=utf-8," + quote(text, safe=SAFE), "csv"


def _zipped_uri(text: str) -> str:
    packed = gzip.compress(text.encode(), 9, mtime=0)
    return "data:application/gzip;base64," + base64.b64encode(packed).decode()
