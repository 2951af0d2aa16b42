"""What matplotlib's SVG lacks: ids that do not collide, a title, a description and tooltips."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

HEAD = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
OPENING = re.compile(r"<svg [^>]*>")
NUMBERS = re.compile(r'\b(d|x|y|points)="([^"]*)"')
DECIMALS = re.compile(r"(\d+\.\d{2})\d+")
SINGLES = re.compile(r'</g>\s*<g clip-path="[^"]*">\s*(?=<use )')
CLIPPED = re.compile(r'<g( clip-path="[^"]*")>((?:\s*<use [^>]*/>)+\s*)</g>')
STYLED = re.compile(r' style="([^"]*)"')
ID = re.compile(r' id="([^"]*)"')
IDS = re.compile(r'( id="|href="#|url\(#)([^")]*)')
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
    svg = _shorter(METADATA.sub("", HEAD.sub("", svg, count=1)))
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


def _shorter(svg: str) -> str:
    """Round places to a hundredth of a point, and say once how markers of a group are filled."""
    svg = NUMBERS.sub(lambda match: f'{match[1]}="{DECIMALS.sub(_cut, match[2])}"', svg)
    return CLIPPED.sub(_filled_once, SINGLES.sub("", svg)).replace(" xlink:href=", " href=")


def _cut(match: re.Match[str]) -> str:
    return match[1].rstrip("0").removesuffix(".")


def _filled_once(match: re.Match[str]) -> str:
    styles = set(STYLED.findall(match[2]))
    if len(styles) != 1 or match[2].count("<use ") < 2:
        return match[0]
    return f'<g{match[1]} style="{styles.pop()}">{STYLED.sub("", match[2])}</g>'


def _renamed(svg: str, key: str, kept: Iterable[str]) -> str:
    """Give every id a short name that no other figure has; names in `kept` stay readable."""
    names = {name: f"{key}-{k}" for k, name in enumerate(dict.fromkeys(ID.findall(svg)))}
    names |= {name: f"{key}-{name}" for name in kept}
    return IDS.sub(lambda match: match[1] + names.get(match[2], f"{key}-{match[2]}"), svg)


def _number_markers(svg: str, group: str, tips: Sequence[int]) -> str:
    """Give each marker of a group its tooltip and a place in the keyboard's order."""
    start = svg.find(f'<g id="{group}"')
    if start < 0:
        return svg
    pieces = [svg[:start]]
    rest = svg[start:]
    for tip in tips:
        before, found, rest = rest.partition("<use ")
        if not found:
            return svg
        pieces.append(f'{before}<use data-i="{tip}" tabindex="-1" ')
    return "".join(pieces) + rest
