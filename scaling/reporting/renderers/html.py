"""HTML of a document: one file, no network, readable without scripts."""

from __future__ import annotations

import base64
import csv
import io
import json
from functools import cache
from typing import Any

from scaling.reporting.document import Document, Figure, Tip, printable


def render(document: Document) -> str:
    """Render a document as one self-contained page; the same bytes every time."""
    template = _environment().get_template("report.html.j2")
    return str(
        template.render(
            d=document,
            points=_json(_points(document)),
            kind=lambda b: type(b).__name__.lower(),
            csv=_csv_uri,
            svg_uri=_svg_uri,
        )
    )


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scaling.reporting.renderers", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["clean"] = printable
    return environment


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
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _csv_uri(figure: Figure) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(figure.data.keys())
    writer.writerows(zip(*figure.data.values(), strict=False))
    return "data:text/csv;base64," + base64.b64encode(out.getvalue().encode()).decode()


def _svg_uri(figure: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg_html.encode()).decode()
