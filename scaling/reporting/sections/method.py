"""What was done, in words, with the study file and the works that it rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scaling.fitting.citations import citations
from scaling.fitting.result import Fit
from scaling.laws import references
from scaling.laws.literature import LITERATURE
from scaling.reporting.context import Context
from scaling.reporting.document import Block, Listing, Paragraph, Section, Table
from scaling.reporting.members import told_of


def method_sections(context: Context) -> list[Section]:
    """Say in words what was done, give the study, and cite what both rest on."""
    blocks: list[Block] = [Paragraph(text) for text in _told(context)]
    if context.study:
        blocks.append(Listing(_settings(context.study), "The study"))
    out = [Section("Method", tuple(blocks))]
    keys = _keys(context)
    if keys:
        cited = Table(
            "What this report rests on",
            ("work",),
            tuple((work.text,) for work in references.works(keys)),
            ("left",),
        )
        entries = Listing(references.bibtex(keys).strip(), "BibTeX", long=True)
        out.append(Section("Works cited", (cited, entries), level=2))
    return out


def _told(context: Context) -> list[str]:
    """What was done, a paragraph each."""
    fits = context.fits
    out = []
    for fit in {fit.law.name: fit for fit in fits.fits}.values():
        o = fit.objective
        delta = "" if o.delta is None else f" (delta {o.delta:g})"
        if fit.members:
            out.append(_weighed(fit))
            continue
        text = (
            f"The law {fit.law.name} was fitted by the {o.reduction} of {o.name}{delta}, by "
            "variable projection over a grid of exponents, followed by damped Newton refinement "
            "of several starts with analytic derivatives (Golub and Pereyra 1973)."
        )
        if fit.interval is not None:
            text += (
                f" Intervals: {fit.interval.kind}, {fit.interval.draws} replicates of "
                f"{fit.interval.clusters} clusters ({fit.interval.cluster}), each searched and "
                "refined afresh."
            )
            if fit.interval.factor < 1.0:
                text += (
                    " They are widened for few clusters and drawn in for the narrow Huber "
                    f"threshold: in all times {fit.interval.factor:.2f}."
                )
        out.append(text)
    methods = dict.fromkeys(a.method for a in fits.allocations if a.approach == "isoflop")
    if methods:
        out.append(
            f"IsoFLOP minima are those of a curve at each budget ({'; '.join(methods)}); those "
            "that are not bracketed by the sizes are refused, unless the remark at a minimum says "
            "otherwise. The intervals repeat the procedure on replicates of every budget."
        )
    if any(a.approach == "envelope" for a in fits.allocations):
        out.append(
            "The envelope joins the runs that are best at their compute; the power laws go through "
            "those between the smallest and the largest size."
        )
    if fits.laws:
        out.append(
            "Held-out error: each law was fitted to the runs up to some compute and scored on all "
            "larger ones, from several such origins (Tashman 2000); no run is drawn at random, "
            "since laws are asked about larger runs."
        )
    return out


def _weighed(fit: Fit) -> str:
    """How the fit of several weighted laws was made."""
    count, origins = len(fit.members), len(told_of(fit).get("origins", ()))
    text = (
        f"The law {fit.law.name} weighs laws by what they forecast. Each candidate was fitted by "
        "its most probable parameters under weak priors, with and without a smooth departure from "
        f"its formula, to all runs and to those up to each of {origins} rolling origins (Tashman "
        "2000). Its score is the log density that it gave to the runs beyond the origins (Yao et "
        "al. 2018) with the log probability of all runs by Laplace's approximation; weights are "
        f"the exponentials of the scores. {count} law{'s' * (count != 1)} kept a weight. The "
        f"estimate is the weighted mean of their forecasts of ln {fit.response}."
    )
    if fit.interval is not None:
        text += (
            f" Intervals: {fit.interval.draws} draws, each of one law, chosen by the root of its "
            "weight, with parameters and a departure drawn; their spread beyond the runs is "
            "widened by how far weighted forecasts from the origins missed, in units of what they "
            "promised, and past the farthest of them by a fixed rule."
        )
    return text


def _keys(context: Context) -> tuple[str, ...]:
    """Keys of the works that the laws, the methods and the published values cite."""
    fits = context.fits
    keys = list(citations(fits)) if fits.fits or fits.allocations else []
    keys += references.of_methods(["backtest"]) if fits.laws else ()
    if any(fit.law.frontier is not None for fit in fits.fits):
        keys += [key for item in LITERATURE for key in references.of_reference(item)]
    return tuple(dict.fromkeys(keys))


def _settings(study: Mapping[str, Any]) -> str:
    """Write what a study sets, as its TOML file would."""
    lines: list[str] = []

    def add(head: str, table: Mapping[str, Any] | None) -> None:
        given = {k: v for k, v in (table or {}).items() if not _empty(v)}
        if given:
            lines.extend([head, *(f"{k} = {_toml(v)}" for k, v in given.items()), ""])

    for name in ("data", "task", "model", "design", "recipe", "tuning", "pretrain", "machine"):
        add(f"[{name}]", study.get(name))
    for variant in study.get("variant") or []:
        add("[[variant]]", variant)
    return "\n".join(lines).strip()


def _empty(value: Any) -> bool:
    """Whether a key says nothing: a table of nothing says as much as none."""
    if isinstance(value, Mapping):
        return all(_empty(v) for v in value.values())
    return value is None or value == []


def _toml(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        own = ", ".join(f"{k} = {_toml(v)}" for k, v in value.items() if not _empty(v))
        return f"{{ {own} }}"
    return json.dumps(value, ensure_ascii=False)
