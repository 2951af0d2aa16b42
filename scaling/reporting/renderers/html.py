"""HTML of a document: one file, no network, readable without scripts."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scaling.errors import ConfigError, Fault
from scaling.reporting.document import Document, Figure, Tip, checked, csv_of, printable

PACKAGE = "scaling.reporting.renderers"
SAFE = ",;:.!*()+-=@/$~'[]{}|^"


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
    context = {
        "d": document,
        "checks": next((s.key for s in document.sections if s.heading == "Checks"), "answer"),
        "points": _json(_points(document)),
        "css": _file(environment, "report.css"),
        "js": _file(environment, "report.js"),
        "kind": lambda block: type(block).__name__.lower(),
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
    return environment


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
