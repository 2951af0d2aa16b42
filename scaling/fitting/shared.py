"""Groups fitted together: some parameters are the same in all, the others each group's own.

The joint problem is a law like any other: the sum over groups of an indicator times the law with
its own parameters renamed. So the solver, the draws and their clusters need to know nothing of it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, Message
from scaling.fitting.data import Data
from scaling.fitting.estimate import estimate
from scaling.fitting.fit import assemble, prepare
from scaling.fitting.inputs import weights_of
from scaling.fitting.options import Options
from scaling.fitting.result import Fit
from scaling.fitting.seeds import Seeds
from scaling.fitting.solve import refine
from scaling.fitting.verdict import best_of
from scaling.laws import Law
from scaling.runs.table import RunsTable, clusters

Array = NDArray[np.float64]
Groups = Sequence[tuple[str | None, NDArray[np.bool_]]]


def fit_shared(table: RunsTable, law: Law, options: Options, groups: Groups) -> list[Fit]:
    """Fit `law` to several groups that share the parameters ``options.share``.

    Returns
    -------
    list of Fit
        One a group; the objective is that of all of them together.

    Raises
    ------
    ConfigError
        SC004 if a parameter is not the law's, or there is only one group.
    """
    _check(law, options, groups)
    parts = [prepare(table, law, options, name, member) for name, member in groups]
    trains = [train for _, train, _ in parts]
    rows = np.concatenate([np.flatnonzero(train) for train in trains])
    joint = _joint_data(law, [data for _, _, data in parts], options.share)
    weights = weights_of(table, options)[rows]
    label, labels = clusters(table.frame.iloc[rows])
    found = estimate(joint, weights, label, labels, options)
    draws = found.columns()
    names = ", ".join(str(name) for name, _ in groups)
    told = Message("SC422", f"{', '.join(options.share)} shared by {names}.", "info")
    fits = []
    for i, ((name, member), (held, _, data)) in enumerate(zip(groups, parts, strict=True)):
        own = {p: _name(p, i, options.share) for p in law.names}
        bound = [p for p, joint_name in own.items() if joint_name in found.certificate["at_bound"]]
        fits.append(
            assemble(
                table,
                options,
                replace(found, certificate={**found.certificate, "at_bound": bound}),
                group=name,
                member=member,
                held=held,
                data=replace(data, loss=found.data.loss),
                params={p: found.params[own[p]] for p in law.names},
                draws={p: draws[own[p]] for p in law.names} if draws else {},
                weight=float(weights.sum()),
                notes=(told,),
            )
        )
    return fits


def _check(law: Law, options: Options, groups: Groups) -> None:
    unknown = [p for p in options.share if p not in law.names]
    if unknown:
        known = "of " + ", ".join(law.names)
        raise ConfigError(Fault("SC004", "--share", f'law {law.name} has no "{unknown[0]}"', known))
    if len(groups) < 2:
        mend = "name the column that tells groups apart: --group COLUMN"
        raise ConfigError(Fault("SC004", "--share", "one group", "two or more", mend))
    if options.holdout is not None or options.profile:
        found = "together with a hold-out or profiles"
        raise ConfigError(Fault("SC004", "--share", found, "one of them"))


def _name(parameter: str, group: int, share: Sequence[str]) -> str:
    return parameter if parameter in share else f"{parameter}__{group}"


def _joint_data(law: Law, parts: Sequence[Data], share: Sequence[str]) -> Data:
    """Lay the groups' rows end to end under the joint law."""
    sizes = [data.n for data in parts]
    owner = np.repeat(np.arange(len(parts)), sizes)
    x = {v: np.concatenate([data.x[v] for data in parts]) for v in law.variables}
    x |= {f"group__{i}": (owner == i).astype(np.float64) for i in range(len(parts))}
    first = parts[0]
    fixed: dict[str, float] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for i in range(len(parts)):
        fixed |= {_name(p, i, share): v for p, v in first.fixed.items()}
        bounds |= {_name(p, i, share): v for p, v in first.bounds.items()}
    joint = _joint_law(law, parts, share)
    y = np.concatenate([data.y for data in parts])
    return Data(joint, x, y, first.loss, fixed, bounds)


class _Rename(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.names.get(node.id, node.id))


def _joint_law(law: Law, parts: Sequence[Data], share: Sequence[str]) -> Law:
    """Write the joint law; its candidates are the separate fits, each with every group's share."""
    terms, parameters = [], {}
    for i in range(len(parts)):
        own = {p: _name(p, i, share) for p in law.names}
        tree = _Rename(own).visit(ast.parse(law.formula, mode="eval").body)
        terms.append(f"group__{i}*({ast.unparse(ast.fix_missing_locations(tree))})")
        for p in law.parameters:
            parameters[own[p.name]] = replace(p, name=own[p.name])

    def candidates(_x: Mapping[str, Array], _y: Array) -> dict[str, Array]:
        separate = [_alone(data) for data in parts]
        columns: dict[str, list[float]] = {name: [] for name in parameters}
        for donor in [*separate, _middle(separate)]:
            for i, mine in enumerate(separate):
                for p in law.names:
                    if p not in share or i == 0:
                        source = donor if p in share else mine
                        columns[_name(p, i, share)].append(source[p])
        return {name: np.array(values) for name, values in columns.items()}

    return Law(
        name=f"{law.name}, shared",
        formula=" + ".join(terms),
        parameters=tuple(parameters.values()),
        variables=(*law.variables, *(f"group__{i}" for i in range(len(parts)))),
        reference=law.reference,
        title=law.title,
        response=law.response,
        candidates=candidates,
    )


def _alone(data: Data) -> dict[str, float]:
    """Parameters of one group fitted by itself."""
    weights = np.ones((1, data.n))
    starts = Seeds(data, weights[0]).best(weights, 8)[0]
    solution = refine(data, starts, weights, per=len(starts))
    z = solution.z[best_of(solution)]
    return {name: float(v[0]) for name, v in data.params(z[None, :]).items()}


def _middle(separate: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {p: float(np.median([one[p] for one in separate])) for p in separate[0]}
