"""HTML of a document: one file, no network, readable without scripts."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
    sides = _sides(document)
    context = {
        "d": document,
        "checks": next((s.key for s in document.sections if s.heading == "Checks"), "answer"),
        "points": _json(_points(document)),
        "css": _file(environment, "report.css"),
        "js": _file(environment, "report.js"),
        "kind": lambda block: type(block).__name__.lower(),
        "named": _namer(),
        "shown": MOST_VERDICTS,
        "sides": lambda align: f"a{sides[align]}",
        "aligned": "\n".join(_aligned(align, place) for align, place in sides.items()),
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


def _sides(document: Document) -> dict[tuple[Align, ...], int]:
    """Number the ways in which columns are aligned, so that no cell has to say it."""
    tables: Iterable[Table] = (block for block in document.blocks if isinstance(block, Table))
    return {align: k for k, align in enumerate(dict.fromkeys(table.align for table in tables))}


def _aligned(align: tuple[Align, ...], place: int) -> str:
    right = [f".a{place} :nth-child({j})" for j, side in enumerate(align, 1) if side == "right"]
    cells = ",".join(f"{each}:is(td,th)" for each in right)
    return f"{cells}{{text-align:right;white-space:nowrap}}" if cells else ""


def _file(environment: Any, name: str) -> str:
    """Text of a file that stands beside the templates."""
    text: str = environment.loader.get_source(environment, name)[0]
    return text.strip()


def _points(document: Document) -> dict[str, Any]:
    """Return each tip once, and for every figure the tips of its markers in order."""
    places: dict[Tip, int] = {}
    drawn = {
        figure.key: [places.setdefault(tip, len(places)) for tip in figure.tips]
        for figure in document.figures
        if figure.tips
    }
    return {"tips": [[tip.text, tip.anchor] for tip in places], "figures": drawn}


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _csv_uri(figure: Figure) -> str:
    """Return the data of a figure as a link that needs no script and no file."""
    return "data:text/csv;charset=utf-8," + quote(csv_of(figure.data), safe=SAFE)


def _zipped_uri(text: str) -> str:
    packed = gzip.compress(text.encode(), 9, mtime=0)
    return "data:application/gzip;base64," + base64.b64encode(packed).decode()
