"""What matplotlib's SVG lacks: ids that do not collide, a title, a description and tooltips."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

HEAD = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
OPENING = re.compile(r"<svg [^>]*>")
IDS = re.compile(r'( id="|href="#|url\(#)')
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
    svg = METADATA.sub("", HEAD.sub("", svg, count=1))
    for group, tips in marks.items():
        svg = _number_markers(svg, group, tips)
    svg = IDS.sub(lambda match: f"{match[1]}{key}-", svg)
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
