"""What matplotlib's SVG lacks: ids that do not collide, a title, a description and tooltips."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from scaling.runs.files import sha256_text

HEAD = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
OPENING = re.compile(r"<svg [^>]*>")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
PLACES = re.compile(r'( (?:x|y|d|points)="|translate\()([^")]*)')
FINE = re.compile(r"(\.\d\d)\d+")
DOT = re.compile(r"M (\S+ \S+) \nL \1 ?\n?")
SINGLES = re.compile(r'</g>\s*<g clip-path="[^"]*">\s*(?=<use )')
USE = re.compile(r'(<use [^>]*?) style="([^"]*)"/>')
ID = re.compile(r' id="([^"]*)"')
REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]*)')
REFERRED = re.compile(r'(href="#|url\(#)([^")]*)')
BLANKS = re.compile(r"\n\s*")


def finish(
    svg: str, key: str, title: str, description: str, marks: Mapping[str, Sequence[int]]
) -> str:
    """Make an SVG fit to stand inline beside others.

    Parameters
    ----------
    svg : str
        As matplotlib writes it.
    key : str
        Prefix of every id; letters, digits and hyphens.
    title, description : str
        Read aloud in place of the figure.
    marks : mapping of str to sequence of int
        For each group id, the tooltip of each of its markers in the order of drawing.
    """
    svg = _lean(METADATA.sub("", HEAD.sub("", svg, count=1)))
    for group, tips in marks.items():
        svg = _number_markers(svg, group, tips)
    svg = _renamed(svg, key, marks)
    found = OPENING.search(svg)
    if found is None:
        raise ValueError("not an SVG")
    opening = found[0][:-1] + (
        f' role="img" aria-labelledby="{key}-title {key}-desc" preserveAspectRatio="xMidYMid">'
    )
    spoken = (
        f'<title id="{key}-title">{html.escape(title)}</title>'
        f'<desc id="{key}-desc">{html.escape(description)}</desc>'
    )
    return BLANKS.sub("\n", svg[: found.start()] + opening + spoken + svg[found.end() :]).strip()


def _lean(svg: str) -> str:
    """Leave out what no eye can see: comments, repeated styles, places beyond a hundredth."""
    svg = PLACES.sub(lambda match: match[1] + FINE.sub(r"\1", match[2]), COMMENT.sub("", svg))
    svg = SINGLES.sub("", DOT.sub(r"M\1h0", svg)).replace(" xlink:href=", " href=")
    return "</g>".join(_with_one_style(part) for part in svg.split("</g>"))


def _with_one_style(part: str) -> str:
    """Move the style of a group's markers to the group, where they share one."""
    opening = part.rfind("<g")
    found = USE.findall(part, opening) if opening >= 0 else []
    if len(found) < 2 or len({style for _, style in found}) > 1:
        return part
    end = part.index(">", opening)
    if " style=" in part[opening:end]:
        return part
    head, inside = part[:end], part[end:]
    return f'{head} style="{found[0][1]}"' + USE.sub(r"\1/>", inside)


def _renamed(svg: str, key: str, kept: Iterable[str]) -> str:
    """Give ids that are referred to short names that no other figure has; leave out the others.

    Names in `kept` stay readable.
    """
    short = "s" + sha256_text(key)[:5]
    used = dict.fromkeys(REFERENCE.findall(svg))
    names = {name: f"{short}{k}" for k, name in enumerate(used)}
    names |= {name: f"{key}-{name}" for name in kept}
    svg = ID.sub(lambda match: f' id="{names[match[1]]}"' if match[1] in names else "", svg)
    return REFERRED.sub(lambda match: match[1] + names[match[2]], svg)


def _number_markers(svg: str, group: str, tips: Sequence[int]) -> str:
    """Give each marker of a group its tooltip and a place in the keyboard's order."""
    start = svg.find(f'<g id="{group}"')
    if start < 0:
        return svg
    end = svg.find('<g id="', start + 1)  # of the next artist: a group may have no marker at all
    own, after = (svg[start:end], svg[end:]) if end >= 0 else (svg[start:], "")
    pieces = own.split("<use ")
    if len(pieces) != len(tips) + 1:
        return svg
    marked = (f'<use data-i="{t}" {p}' for t, p in zip(tips, pieces[1:], strict=True))
    return "".join((svg[:start], pieces[0], *marked, after))
