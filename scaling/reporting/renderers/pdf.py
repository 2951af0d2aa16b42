"""PDF of a document through Typst: tagged, without fonts or packages from elsewhere."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scaling.errors import MissingExtraError
from scaling.reporting.document import (
    Block,
    Checklist,
    Document,
    Fact,
    Figure,
    Formula,
    Listing,
    Note,
    Paragraph,
    Table,
    checked,
    printable,
)

HEAD = """#set document(title: {title}, date: {date})
#set page(paper: "a4", margin: (x: 1.9cm, y: 2cm),
  footer: context text(size: 7.5pt, fill: luma(90), grid(columns: (1fr, auto), {footer},
    counter(page).display("1 / 1", both: true))))
#set text(size: 9.5pt, lang: "en")
#set par(justify: false)
#set heading(numbering: none)
#show heading: set block(above: 1.3em, below: 0.6em, sticky: true)
#show heading.where(level: 2): set text(size: 12pt)
#show table: set text(size: 7.6pt)
#set table(stroke: (x, y) => (bottom: 0.4pt + luma(200)), inset: (x: 3pt, y: 2.2pt))
#let note(colour, body) = block(stroke: (left: 2pt + colour), inset: (left: 6pt, y: 2pt), body)
"""
COLOURS = {"info": "luma(150)", "warning": 'rgb("#8a4b00")', "error": 'rgb("#a4262c")'}
LEVELS = {"supported": "#00674a", "weak": "#8a4b00", "not identified": "#a4262c"}
HEADS = {"name": "item", "text": "found", "wanted": "wanted", "code": "code"}
WIDTHS = {"name": "1fr", "text": "2fr", "wanted": "1fr", "code": "auto"}
STATES = {
    "pass": "#00674a",
    "given": "#00674a",
    "warn": "#8a4b00",
    "fail": "#a4262c",
    "missing": "#8a4b00",
}
LONG_WORD = re.compile(r"\S{70}(?=\S)")
ROWS_TOGETHER = 15  # a table this short is never split over pages
SIZES = (7.6, 7.0, 6.4)  # of the text of tables [pt], the largest that fits
LEAST = 4.6
UPRIGHT, TURNED = 487.0, 734.0  # width of the text on an A4 page inside its margins [pt]
LETTER, INSET = 0.5, 6.0  # width of a character [em], and of a cell's margins [pt]
LONG, SHARE = 26, 9  # characters from which a column wraps, and those it needs at least
SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
FIGURE = "88%"  # of the width of the text: two figures fit a page


def source(document: Document) -> tuple[str, dict[str, str]]:
    """Return the Typst source and the SVG files that it reads.

    User text enters only as string literals, which Typst does not interpret.
    """
    out = [HEAD.format(title=_text(document.title), date=_date(), footer=_text(document.footer))]
    out.append(f"#heading(level: 1, {_text(document.title)})")
    out.append(f"#text(fill: luma(90), {_text(document.subtitle)})")
    if document.question:
        out.append(f"#par(emph({_text(document.question)}))")
    for v in document.verdicts:
        label = v.level + (f" ({v.subject})" if v.subject else "")
        lines = [
            f'#strong(text(fill: rgb("{LEVELS[v.level]}"), {_text(label)}))',
            f"#par(strong(text(size: 11pt, {_text(v.headline)})))",
            f"#par({_text(v.sure)})",
        ]
        lines += [_facts(v.facts)] if v.facts else []
        if v.reasons or v.cautions:
            lines.append(f"#par(strong({_text('Why not to trust it:')}))")
            said = [*(f"{n.text} [{n.code}]" for n in v.reasons), *v.cautions]
            items = ", ".join(f"[#text({_text(text)})]" for text in said)
            lines.append(f"#list({items})")
        lines += [f"#par(text(size: 8pt, {_text(checked(v.checks))}))"] if v.checks else []
        body = "\n".join(lines)
        out.append(
            f'#block(fill: luma(245), stroke: (left: 3pt + rgb("{LEVELS[v.level]}")), '
            f"inset: 8pt, width: 100%)[\n{body}\n]"
        )
    files: dict[str, str] = {}
    appendix: list[Table | Listing] = []
    for section in document.sections:
        out.append(f"#heading(level: {section.level + 1}, {_text(section.heading)})")
        for block in section.blocks:
            if isinstance(block, Table) and block.long and len(block.rows) > ROWS_TOGETHER:
                appendix.append(block)
                told = f"{block.caption}: {len(block.rows)} rows, in the appendix."
                out.append(f"#par({_text(told)})")
            elif isinstance(block, Listing) and block.long:
                appendix.append(block)
                out.append(f"#par({_text(f'{block.caption}: in the appendix.')})")
            else:
                out.append(_block(block, files))
    if appendix:
        out += ['#heading(level: 2, "Appendix")', *_appendix(appendix)]
    return "\n\n".join(out) + "\n", files


def _appendix(blocks: Sequence[Table | Listing]) -> list[str]:
    """Set what is long: upright, then what is too wide for that on pages turned sideways."""
    wide = [b for b in blocks if isinstance(b, Table) and _needed(b, SIZES[-1]) > UPRIGHT]
    rest = [b for b in blocks if b not in wide]
    out = [_table(b) if isinstance(b, Table) else _columns(b) for b in rest]
    if wide:
        turned = "\n\n".join(_table(b, TURNED) for b in wide)
        out.append(f"#page(flipped: true)[\n{turned}\n]")
    return out


def render(document: Document) -> bytes:
    """Compile a document to PDF/UA-1; the same bytes every time.

    Raises
    ------
    MissingExtraError
        If typst or pikepdf is not installed.
    """
    try:
        import pikepdf  # noqa: F401 (before the work, not after it)
        import typst
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(str(error.name), "pdf", "render PDF") from None
    from scaling.reporting.figures.style import font_folder

    text, files = source(document)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "report.typ").write_text(text, encoding="utf-8")
        for name, svg in files.items():
            (root / name).write_text(svg, encoding="utf-8")
        made: bytes = typst.compile(
            str(root / "report.typ"),
            root=folder,
            ignore_system_fonts=True,
            font_paths=[font_folder()],  # texts of figures stay text
            pdf_standards="ua-1",
        )
    return _packed(made)


def _packed(made: bytes) -> bytes:
    """Pack the objects of a PDF: Typst writes the tags of every cell of a table out in full."""
    import pikepdf

    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(made)) as pdf:
        packed = pikepdf.ObjectStreamMode.generate
        pdf.save(out, object_stream_mode=packed, deterministic_id=True)
    return out.getvalue()


def _facts(facts: Sequence[Fact]) -> str:
    """Lay the numbers of an answer out, each over its intervals."""
    cells = ", ".join(
        f"[#text(size: 7.5pt, fill: luma(80), {_text(f.name)}) \\ "
        f"#strong({_text(f.value)}) \\ #text(size: 7.5pt, {_text(f.sure)})]"
        for f in facts
    )
    return f"#grid(columns: (1fr, 1fr, 1fr), gutter: 8pt, {cells})"


def _text(text: str, breaks: bool = True) -> str:
    """Return a Typst string literal; JSON's escapes are Typst's, but for code points.

    Words that would leave the page may break, except where the text is to be copied.
    """
    plain = LONG_WORD.sub("\\g<0>\u200b", printable(text)) if breaks else printable(text)
    return json.dumps(plain, ensure_ascii=False)


def _date() -> str:
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    if not stamp or not stamp.isdigit():
        return "none"
    day = datetime.fromtimestamp(int(stamp), tz=UTC)
    return f"datetime(year: {day.year}, month: {day.month}, day: {day.day})"


def _block(block: Block, files: dict[str, str]) -> str:
    match block:
        case Paragraph():
            return f"#par({_text(block.text)})"
        case Note():
            label = f"{block.severity} [{block.code}]"
            colour = COLOURS[block.severity]
            return f"#note({colour})[#strong({_text(label)}) #text({_text(block.text)})]"
        case Formula():
            return f"#math.equation(block: true, alt: {_text(block.plain)}, $ {block.typst} $)"
        case Listing():
            listing = f"#block(breakable: true, raw(block: true, {_text(block.text, False)}))"
            return f"#par({_text(block.caption)})\n#text(size: 8pt)[{listing}]"
        case Figure():
            name = f"{block.key}.svg"
            files[name] = block.svg
            image = f"image({_text(name)}, width: {FIGURE}, alt: {_text(block.alt)})"
            caption = f"{block.caption} Good looks like this: {block.good}"
            caption = f"caption: text(size: 8pt, {_text(caption)})"
            placed = "placement: auto, " if _tall(block.svg) else ""
            return f"#figure({image}, {caption}, {placed}supplement: none, numbering: none)"
        case Checklist():
            return _checklist(block)
        case Table():
            return _table(block)


def _tall(svg: str) -> bool:
    """Whether a figure is higher than wide; it goes to where there is room, and text goes on."""
    found = SIZE.search(svg)
    return found is not None and float(found[2]) > float(found[1])


def _columns(listing: Listing) -> str:
    """Set a long listing small, in two columns."""
    caption = f"#block(sticky: true, strong(text(size: 8.5pt, {_text(listing.caption)})))"
    text = f"raw(block: true, {_text(listing.text)})"
    return f"{caption}\n#text(size: 6pt, columns(2, gutter: 8pt, {text}))"


def _checklist(block: Checklist) -> str:
    said = [name for name in ("wanted", "code") if any(getattr(i, name) for i in block.items)]
    names = ("name", "text", *said)
    rows = "\n".join(
        f'  text(fill: rgb("{STATES[item.state]}"), strong({_text(item.state)})), '
        + "".join(f"{_text(getattr(item, name))}, " for name in names)
        for item in block.items
    )
    head = ", ".join(f"strong({_text(h)})" for h in ("state", *(HEADS[name] for name in names)))
    widths = ", ".join(WIDTHS[name] for name in names)
    return f"#table(columns: (auto, {widths},), align: left,\n  table.header({head},),\n{rows}\n)"


def _table(table: Table, room: float = UPRIGHT) -> str:
    size = _size(table, room)
    widths = ", ".join(_width(table, j) for j in range(len(table.columns)))
    align = ", ".join(table.align)
    head = ", ".join(f"strong({_text(c)})" for c in table.columns)
    rows = "\n".join("  " + ", ".join(_text(c) for c in row) + "," for row in table.rows)
    caption = f"strong(text(size: 8.5pt, {_text(table.caption)}))"
    body = (
        f"#block(sticky: true, above: 1em, below: 0.4em, {caption})\n"
        f"#[#show table: set text(size: {size:g}pt)\n"
        f"#table(columns: ({widths},), align: ({align},),\n"
        f"  table.header({head},),\n{rows}\n)]"
    )
    if table.note:
        body += f"\n#text(size: 7.6pt, fill: luma(90), {_text(table.note)})"
    together = not table.long and len(table.rows) <= ROWS_TOGETHER
    return f"#block(breakable: false, width: 100%)[{body}]" if together else body


def _longest(table: Table, j: int) -> int:
    return max((len(row[j]) for row in table.rows), default=0)


def _word(table: Table, j: int) -> int:
    """Return the length of the longest word in a column, where no line breaks."""
    words = (len(word) for row in table.rows for word in row[j].split(" "))
    return max(words, default=0)


def _width(table: Table, j: int) -> str:
    """Columns of long texts share what is left; the others take what they need."""
    return "1fr" if _longest(table, j) > LONG >= _word(table, j) else "auto"


def _needed(table: Table, size: float) -> float:
    """Return how wide a table is at a size of text [pt].

    Typst narrows columns that do not fit, and a word without a place to break at, such as a hash,
    then runs into the next column.
    """
    letters = 0
    for j, name in enumerate(table.columns):
        longest = _longest(table, j)
        own = max(SHARE, _word(table, j)) if longest > LONG else longest
        letters += max(own, *(len(word) for word in name.split()), 1)
    return LETTER * size * letters + INSET * len(table.columns)


def _size(table: Table, room: float) -> float:
    """Return the largest size of text at which a table fits, down to the least."""
    for size in SIZES:
        if _needed(table, size) <= room:
            return size
    margins = INSET * len(table.columns)
    smaller = SIZES[-1] * (room - margins) / (_needed(table, SIZES[-1]) - margins)
    return max(LEAST, int(10.0 * smaller) / 10.0)
