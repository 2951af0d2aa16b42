"""Reading a ``fit.json`` back into the fits that were saved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scaling.errors import ConfigError, Fault, Message, clip
from scaling.fitting.auto.mixture import Mixture
from scaling.fitting.effective_result import Effective
from scaling.fitting.optima import Allocation, Minimum
from scaling.fitting.packed import restore
from scaling.fitting.parts import Check, Holdout, Interval, Objective
from scaling.fitting.recipes import Recipes
from scaling.fitting.result import SCHEMA, Fit, Fits, objective_label
from scaling.laws import LAWS, Law, Parameter, get


def load(path: str | Path) -> Fits:
    """Read a ``fit.json``.

    Raises
    ------
    ConfigError
        SC005 or SC101 if the file is missing or not a fit, or not with the columns it was
        written with.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(Fault("SC005", str(path), f"cannot be read: {error.strerror}")) from None
    except ValueError as error:
        raise ConfigError(Fault("SC101", str(path), f"is not JSON: {error}", SCHEMA)) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ConfigError(Fault("SC101", str(path), f"schema {found!r}", SCHEMA))
    try:
        restore(path, data)
        return from_dict(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = clip(f"{type(error).__name__} {error}")
        mend = "scaling fit RESULTS.csv -o FILE writes a whole one"
        raise ConfigError(
            Fault("SC101", str(path), f"is not a whole fit: {reason}", SCHEMA, mend)
        ) from None


def from_dict(data: Mapping[str, Any]) -> Fits:
    """Inverse of `Fits.as_dict` with ``full=True``."""
    table = data["table"]
    fits = tuple(_fit_from(item, table) for item in data["fits"])
    allocations = tuple(_allocation_from(item) for item in data["allocations"])
    agreement = tuple(data.get("agreement", []))
    effective = tuple(Effective.from_dict(item) for item in data.get("effective", []))
    laws = tuple(data.get("laws", []))
    return Fits(
        with_backtests(fits, laws),
        allocations,
        table,
        data.get("provenance", {}),
        agreement,
        effective,
        laws,
        data.get("curves", {}),
        tuple(Recipes.from_dict(item) for item in data.get("compared", [])),
    )


def with_backtests(fits: Sequence[Fit], laws: Sequence[Mapping[str, Any]]) -> tuple[Fit, ...]:
    """Give each fit its own row; none where two fits or rows cannot be told apart."""
    own = [(fit.group, fit.law.name, objective_label(fit), fit.n) for fit in fits]
    rows = [tuple(row[k] for k in ("group", "law", "objective", "n")) for row in laws]
    return tuple(
        replace(fit, backtest=laws[rows.index(key)])
        if rows.count(key) == own.count(key) == 1
        else fit
        for fit, key in zip(fits, own, strict=True)
    )


def _fit_from(item: Mapping[str, Any], table: Mapping[str, Any]) -> Fit:
    law = _law_from(item)
    interval = item["interval"]
    return Fit(
        group=item["group"],
        law=law,
        params=item["params"],
        objective=Objective(**item["objective"]),
        status=item["status"],
        n=item["n"],
        messages=tuple(Message.from_dict(m) for m in item["messages"]),
        interval=None
        if interval is None
        else Interval(
            **{**interval, "params": {k: (v[0], v[1]) for k, v in interval["params"].items()}}
        ),
        holdout=None if item["holdout"] is None else Holdout(**item["holdout"]),
        cost=item["cost"],
        checks=tuple(Check(**c) for c in item.get("checks", [])),
        rows=item.get("rows", {}),
        draws={k: np.asarray(v, dtype=np.float64) for k, v in item.get("draws", {}).items()},
        covariance=item.get("covariance", {}),
        certificate=item.get("certificate", {}),
        profiles=tuple(item.get("profiles", [])),
        response=item.get("response", law.response),
        table=table,
        sensitivity=item.get("sensitivity") or {},
    )


def _law_from(item: Mapping[str, Any]) -> Law:
    """The catalogue's law where it has the same formula, else the declaration in the file."""
    if item["law"] in LAWS and LAWS[item["law"]].formula == item["formula"]:
        return LAWS[item["law"]]
    found = item.get("declaration")
    if found is None:
        return get(item["law"])
    if "mixture" in found:
        return Mixture.from_declaration(item["law"], found)
    parts = tuple(
        Parameter(p["name"], p["role"], -np.inf, np.inf, meaning=p["meaning"])
        for p in found["parameters"]
    )
    return Law(
        name=item["law"],
        formula=item["formula"],
        parameters=parts,
        variables=tuple(found["variables"]),
        reference="as declared in the file",
        response=found["response"],
    )


def _allocation_from(item: Mapping[str, Any]) -> Allocation:
    return Allocation(
        group=item["group"],
        approach=item["approach"],
        a=item["a"],
        b=item["b"],
        interval=item["interval"],
        minima=tuple(Minimum(**m) for m in item["minima"]),
        line=item.get("line", {}),
        curves=tuple(item.get("curves", [])),
        cost=item["cost"],
        messages=tuple(Message.from_dict(m) for m in item.get("messages", [])),
        method=item.get("method", ""),
        draws=item.get("draws", {}),
        bias=item.get("bias", {}),
        left=item.get("left", {}),
    )
