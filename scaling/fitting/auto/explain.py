"""What a weighted forecast rests on, in words: who carries it, what is open, what would decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Message
from scaling.fitting.auto.mixture import Mixture

Array = NDArray[np.float64]
FACTOR = 10.0  # beyond the data, where futures are compared
OPEN = 0.05  # weight of a future that is not ruled out
CLEAR = 2.0  # standard deviations that tell two futures apart
FURTHEST = 1e4
DRAWS = 200  # of each future
MEANING = {
    "saturating": "levels off towards a floor",
    "straight": "goes on along a power law to zero",
    "broken": "bends away from its trend",
}


def explained(law: Mixture, found: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
    """Return messages, and what the result keeps of how it came about.

    Returns
    -------
    messages : list of Message
    said : dict
        ``members`` (law, weight, params), ``futures`` (future, weight, doubt: the weight in the
        intervals, factor, forecast), ``decides`` (the factor beyond the data at which a run would
        tell the two heaviest apart, or None), ``evidence_factor``, ``origins`` and ``text``.
    """
    scale = "compute" if law.scale is not None else law.variables[0]
    members = _members(law)
    futures = _futures(law, found)
    decides = _decides(law, found) if len(futures) > 1 else None
    factor = float(np.exp(found["reach"]))
    carried = " and ".join(
        f"{m['law']} {m['weight']:.0%}" for m in members[:2] if m["weight"] > OPEN
    )
    text = [f"Weight is carried by {carried}."]
    messages: list[Message] = []
    if len(futures) > 1:
        parts = [
            f"{f['future']} ({MEANING[f['future']]}) {f['weight']:.0%}, "
            f"{law.response} {f['forecast']:.4g}"
            for f in futures
        ]
        between = f"At {FACTOR:g} times the largest {scale}: {'; '.join(parts)}."
        tell = (
            f"A run at about {_times(decides)} times the largest {scale} would tell the first two "
            "apart."
            if decides
            else f"No single run up to {FURTHEST:,.0f} times the largest {scale} would."
        )
        text += [between, tell]
        if _apart(law, found, FACTOR):
            text_of = f"The runs leave more than one future open. {between} {tell}"
            messages.append(Message("SC449", text_of))
    else:
        text.append(
            f"Every law with {OPEN:.0%} of the weight or more {MEANING[futures[0]['future']]}."
        )
    text.append(
        f"Forecasts were checked up to a factor {factor:.3g} beyond what they were fitted to; "
        "further out the intervals grow by rule."
    )
    said = {
        "members": members,
        "futures": futures,
        "decides": decides,
        "evidence_factor": factor,
        "origins": found["origins"],
        "text": text,
    }
    return messages, said


def _times(factor: float) -> str:
    """A factor in two digits, written out."""
    return f"{float(f'{factor:.2g}'):g}"


def _members(law: Mixture) -> list[dict[str, Any]]:
    """One entry a law: its weight over all departures, and the parameters of its heaviest."""
    out: dict[str, dict[str, Any]] = {}
    for part in law.parts:
        entry = out.setdefault(
            part.law.name, {"law": part.law.name, "weight": 0.0, "params": dict(part.params)}
        )
        entry["weight"] += part.weight
    return sorted(out.values(), key=lambda entry: -entry["weight"])


def _ahead(law: Mixture, factor: float) -> dict[str, Array]:
    """A point `factor` beyond the data: the one variable, or N and D of the best large run."""
    end = law.points.along[-1]
    if law.scale is None:
        return {law.variables[0]: np.array([factor * np.exp(end)])}
    large = np.flatnonzero(law.points.along >= end - 0.1)
    best = large[law.points.y[large].argmin()]
    each = np.sqrt(factor * np.exp(end - law.points.along[best]))
    return {v: law.points.x[v][best : best + 1] * each for v in law.variables}


def _futures(law: Mixture, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The futures that are open, heaviest first, and what each of them forecasts."""
    at = _ahead(law, FACTOR)
    doubt = dict.fromkeys(found["futures"], 0.0)
    for part in law.parts:
        name = found["future_of"][part.law.name]
        doubt[name] = doubt.get(name, 0.0) + part.share
    out = [
        {
            "future": name,
            "weight": weight,
            "doubt": doubt[name],
            "factor": FACTOR,
            "forecast": float(own.loss({}, at)[0]),
        }
        for name, (weight, own) in found["futures"].items()
    ]
    out.sort(key=lambda f: -f["weight"])
    return [f for f in out if f["weight"] >= OPEN] or out[:1]


def _two(found: Mapping[str, Any]) -> list[Mixture]:
    """The two heaviest futures."""
    return [own for _, own in sorted(found["futures"].values(), key=lambda item: -item[0])[:2]]


def _noise(law: Mixture) -> float:
    return float(np.sqrt(sum(p.weight * p.variance for p in law.parts)))


def _apart(law: Mixture, found: Mapping[str, Any], factor: float) -> bool:
    """Whether the two heaviest futures forecast runs at a factor that one could tell apart."""
    at = _ahead(law, factor)
    one, other = (np.log(own.loss({}, at)[0]) for own in _two(found))
    return bool(abs(one - other) > CLEAR * np.sqrt(2.0) * _noise(law))


def _decides(law: Mixture, found: Mapping[str, Any]) -> float | None:
    """The least factor beyond the data at which a run would tell the heaviest futures apart.

    What each of them leaves open counts as well as the noise of the run.
    """
    futures = [(own, own.draw(DRAWS, 0)) for own in _two(found)]
    columns = [{k: v[:, None] for k, v in draws.items()} for _, draws in futures]
    for factor in np.geomspace(1.0, FURTHEST, 41):
        at = _ahead(law, float(factor))
        drawn = [np.log(own.loss(c, at)) for (own, _), c in zip(futures, columns, strict=True)]
        middle = [float(np.median(d)) for d in drawn]
        spread = [float(np.subtract(*np.percentile(d, [84.0, 16.0]))) / 2.0 for d in drawn]
        sd = np.sqrt(_noise(law) ** 2 + spread[0] ** 2 + spread[1] ** 2)
        if abs(middle[0] - middle[1]) > CLEAR * sd:
            return float(factor)
    return None
