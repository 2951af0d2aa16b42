"""Cells to points: shapes, batches, rates and steps, all of them at once.

What decides a point's result is hashed as canonical JSON. The text is put together from parts that
many points share, since a plan may hold 100,000 of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling import count
from scaling.errors import Fault, PlanError
from scaling.planning.designs import Cells
from scaling.planning.point import OPTIONAL, Point
from scaling.planning.recipes.recipe import Recipe, Settings
from scaling.planning.sizes import Sizes
from scaling.runs.files import canonical_json, sha256_text
from scaling.runs.manifest import Manifest

Array = NDArray[np.float64]
MIN_STEPS = 25  # so that half a step is at most 2% of the compute
COOLDOWN = ("decay_steps", "shape", "floor")  # what a branch has and its trunk has not


@dataclass(frozen=True)
class Asked:
    """What all points of a plan share.

    Attributes
    ----------
    sizes : Sizes
    tolerance : float or None
        Largest relative deviation of N from what was asked; None takes the nearest shape.
    recipe : Recipe
    manifest : Manifest
    task : str
    max_epochs : float or None
        How often data may repeat at most.
    unique : float or None
        Units of data that runs may see before they see them again; None for all there are.
    epochs : float or None
        How often every run sees its own data: of D it sees D / epochs units that are different.
    settings : mapping
        Options of the task.
    machine : mapping
        What is asked of the machine, where that is compared.
    group : str or None
        Of all points; by data and recipe if None.
    starts : mapping of str to str
        Id of the point that a shape starts from, by the shape's canonical JSON.
    """

    sizes: Sizes
    tolerance: float | None
    recipe: Recipe
    manifest: Manifest
    task: str
    max_epochs: float | None = None
    unique: float | None = None
    epochs: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    starts: Mapping[str, str] = field(default_factory=dict)

    @property
    def most_epochs(self) -> float | None:
        """How often data repeat at most."""
        return self.max_epochs if self.epochs is None else self.epochs


@dataclass(frozen=True)
class Members:
    """Each member of the family that a plan uses: its shape, its counts, and their JSON.

    Attributes
    ----------
    of : ndarray of int
        Index of each cell's member, shape (k,).
    shapes, counts, texts : lists
    """

    of: NDArray[np.int64]
    shapes: list[Mapping[str, int]]
    counts: list[count.Counts]
    texts: list[str]

    @classmethod
    def chosen(cls, asked: Asked, index: NDArray[np.int64]) -> Members:
        """Shape and count the members at these places of the dial."""
        used, inverse = np.unique(index, return_inverse=True)
        family, options = asked.sizes.family, asked.sizes.options
        shapes: list[Mapping[str, int]] = [
            family.shape(asked.sizes.dials[i], options) for i in used
        ]
        counts = [family.counts(shape) for shape in shapes]
        return cls(inverse, shapes, counts, [canonical_json(s) for s in shapes])

    def column(self, values: list[float]) -> Array:
        """Spread a value of each member over the cells."""
        return np.array(values, dtype=np.float64)[self.of]


@dataclass(frozen=True)
class Laid:
    """Cells that can be points, as columns; all arrays have shape (k,).

    Attributes
    ----------
    cells : Cells
        Those that can be points.
    members : Members
    settings : Settings or None
        Of each; None without any.
    env : mapping
        Columns that the recipe was resolved with.
    rows : ndarray of int
        Row of `members`, `settings` and `env` of each.
    batch, D, C : ndarray
        Units a step, units seen, and training FLOP, as realised.
    left_out : tuple of mapping
        The others: ``why, N, budget, D, seed``, as they were asked for.
    """

    cells: Cells
    members: Members
    settings: Settings | None
    env: Mapping[str, Array]
    rows: NDArray[np.int64]
    batch: NDArray[np.int64]
    D: NDArray[np.int64]
    C: Array
    left_out: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, keep: NDArray[np.bool_], why: str) -> Laid:
        """Leave some out, all for one reason."""
        lost = [dropped(self.cells, int(i), why) for i in np.flatnonzero(~keep)]
        return replace(self.taken(np.flatnonzero(keep)), left_out=(*self.left_out, *lost))

    def taken(self, index: NDArray[np.int64]) -> Laid:
        """Return some of them, in a new order."""
        columns = {name: getattr(self, name)[index] for name in ("rows", "batch", "D", "C")}
        return replace(self, cells=self.cells.taken(index), **columns)

    @property
    def N(self) -> Array:
        """Body and head of each [count]."""
        return self.env["N"][self.rows]


def lay(asked: Asked, cells: Cells) -> Laid:
    """Find shape, batch and steps of every cell that can be realised, and say why others cannot."""
    index = asked.sizes.nearest(cells.N, asked.tolerance)
    placed = np.flatnonzero(index >= 0)
    lost = np.flatnonzero(index < 0)
    sizes, which = np.unique(cells.N[lost], return_inverse=True)
    said = [_no_shape(asked, size) for size in sizes.tolist()]
    why = {int(i): said[k] for i, k in zip(lost, which, strict=True)}
    members = Members.chosen(asked, index[placed])
    if not len(placed):
        none = np.zeros(0, dtype=np.int64)
        columns = (none, none, none, none.astype(np.float64))
        return Laid(cells.taken(none), members, None, {"N": columns[3]}, *columns, _all(cells, why))
    found = cells.taken(placed)
    env = _environment(asked, members, found)
    settings = asked.recipe.settings(env)
    batch = (settings.sequences * env["T"]).astype(np.int64)
    if asked.most_epochs is not None:
        env, settings = _within_data(asked, env, settings, batch)
    impossible = _reasons(asked, settings, batch)
    rows = np.array([i for i in range(len(found)) if i not in impossible], dtype=np.int64)
    why |= {int(placed[i]): reason for i, reason in impossible.items()}
    seen = (settings.steps * batch)[rows]
    flops = members.column([c.training for c in members.counts])[rows]
    good = found.taken(rows)
    left_out = _all(cells, why)
    return Laid(good, members, settings, env, rows, batch[rows], seen, flops * seen, left_out)


def _within_data(
    asked: Asked, env: dict[str, Array], settings: Settings, batch: NDArray[np.int64]
) -> tuple[dict[str, Array], Settings]:
    """Round down the steps of runs that ask for what the data allow and would round beyond it."""
    assert asked.most_epochs is not None
    most = asked.most_epochs * _unique(asked)
    there = asked.manifest.train_tokens
    allowed = asked.most_epochs * (there if asked.unique is None else min(there, asked.unique))
    over = (settings.steps * batch > most) & (env["D"] <= allowed * (1.0 + 1e-9))
    if not over.any():
        return env, settings
    env = {**env, "D": np.where(over, np.floor(most / batch) * batch, env["D"])}
    return env, asked.recipe.settings(env)


def _all(cells: Cells, why: Mapping[int, str]) -> tuple[Mapping[str, Any], ...]:
    return tuple(dropped(cells, i, why[i]) for i in sorted(why))


def dropped(cells: Cells, i: int, why: str) -> dict[str, Any]:
    """Describe a cell that is left out."""
    size, data, budget = (None if v != v else float(f"{v:.6g}")
                          for v in (cells.N[i], cells.D[i], cells.budget[i]))  # fmt: skip
    return {"why": why, "N": size, "budget": budget, "D": data,
            "seed": int(cells.seed[i])}  # fmt: skip


def _no_shape(asked: Asked, size: float) -> str:
    around = count.nearest(asked.sizes.family, size, asked.sizes.options)
    there = " and ".join(str(size.N) for size in around)
    limit = "" if asked.tolerance is None else f" within {asked.tolerance:.2%}"
    return f"no shape has N near {size:.3g}{limit}; the nearest have {there}"


def _environment(asked: Asked, members: Members, cells: Cells) -> dict[str, Array]:
    """Columns that recipes may use; see `scaling.planning.recipes.recipe`."""
    counts, shapes = members.counts, members.shapes
    flops = members.column([c.training for c in counts])
    with np.errstate(invalid="ignore"):
        tokens = np.where(np.isfinite(cells.budget), cells.budget / flops, cells.D)
    family = asked.sizes.family
    return {
        "N": members.column([c.N for c in counts]),
        "N_body": members.column([c.body for c in counts]),
        "N_head": members.column([c.head for c in counts]),
        "N_total": members.column([c.N + c.embedding for c in counts]),
        "D": tokens,
        "C": flops * tokens,
        "d": members.column([s.get("width", np.nan) for s in shapes]),
        "n": members.column([s.get("layers", np.nan) for s in shapes]),
        "T": members.column([family.per_sequence(s) for s in shapes]),
        "V": members.column([s.get("vocabulary", np.nan) for s in shapes]),
    }


def _unique(asked: Asked) -> int:
    """Units of data there are to see before any is seen again: whole sequences."""
    unit = _unit(asked)
    there = asked.manifest.train_tokens
    if asked.sizes.family.unit == "token":
        there -= 1  # the last one is only predicted
    if asked.unique is not None:
        if asked.unique < unit:
            expected = f"at least the {unit} of one sequence"
            raise PlanError(Fault("SC012", "[data] unique", f"{asked.unique:g}", expected))
        if asked.unique < _classes(asked):
            found = f"{asked.unique:g} images of {_classes(asked)} classes"
            raise PlanError(Fault("SC333", "[data] unique", found, "one image of each class"))
        there = min(there, round(asked.unique))
    return max(1, there // unit * unit)


def _classes(asked: Asked) -> int:
    """Classes of images, of each of which a run must see one; 0 for other data."""
    facts = asked.manifest.facts
    return int(facts["classes"]) if "image" in facts else 0


def _unit(asked: Asked) -> int:
    """Units of D that are seen together: those of a sequence."""
    of_tokens = asked.sizes.family.unit == "token"
    return int(asked.sizes.options.get("context", 1)) if of_tokens else 1


def _reasons(asked: Asked, settings: Settings, batch: NDArray[np.int64]) -> dict[int, str]:
    """Why cells that have a shape cannot be points."""
    steps, warmup = settings.steps, settings.warmup_steps
    unit, unique = asked.sizes.family.unit, _unique(asked)
    why = {
        int(i): f"only {steps[i]} steps of {batch[i]} {unit}s (at least {MIN_STEPS})"
        for i in np.flatnonzero(steps < MIN_STEPS)
    }
    for i in np.flatnonzero((warmup >= steps) & (steps >= MIN_STEPS)):
        why[int(i)] = f"warms up for {warmup[i]} of its {steps[i]} steps: {asked.recipe.name}"
    if asked.epochs is not None and _classes(asked):
        own = steps * batch / asked.epochs
        for i in np.flatnonzero((own < _classes(asked)) & (steps >= MIN_STEPS)):
            why[int(i)] = f"{own[i]:.3g} images cannot show all {_classes(asked)} classes"
    if asked.most_epochs is not None:
        most, name = asked.most_epochs * unique, "epochs" if asked.epochs else "max_epochs"
        for i in np.flatnonzero((steps * batch > most) & (steps >= MIN_STEPS)):
            epochs = steps[i] * batch[i] / unique
            why[int(i)] = (
                f"needs {epochs:.3g} epochs of the {unique:.4g} {unit}s there are; with "
                f"{name} = {asked.most_epochs:g} the largest D is {most:.4g}"
            )
    return why


def points(asked: Asked, laid: Laid) -> list[Point]:
    """Build the points of cells that were laid out."""
    if laid.settings is None:
        return []
    recipe, family = asked.recipe, asked.sizes.family
    evaluation = {"sequences": recipe.evaluation_sequences}
    more = {name: dict(v) for name in OPTIONAL if (v := getattr(asked, name))}
    own = {name: f',"{name}":{canonical_json(value)}' for name, value in more.items()}
    begin = f',"evaluation":{canonical_json(evaluation)},"family":{json.dumps(family.name)},"init":'
    spelt_data = _Data(asked, begin)
    before_rates = f'{own.get("machine", "")},"optimizer":'
    middle = f',"recipe":{json.dumps(recipe.name)},"seed":'
    before_shape = f'{own.get("settings", "")},"shape":'
    end = f',"task":{json.dumps(asked.task)}}}'
    conventions = [c.conventions() for c in laid.members.counts]
    text, spelt = _Cached(), _Optimizers()
    columns = (laid.rows, laid.batch, laid.D, laid.cells.seed, laid.cells.factor, laid.cells.budget)
    out = []
    for i, per_step, tokens, seed, factor, budget in zip(
        *(c.tolist() for c in columns), strict=True
    ):
        k = int(laid.members.of[i])
        counts, shape = laid.members.counts[k], laid.members.shapes[k]
        optimizer, init = laid.settings.optimizer(i), laid.settings.init(i)
        if asked.starts:
            init = dict[str, Any](init) | {"from": asked.starts[laid.members.texts[k]]}
        if factor != 1.0:
            optimizer["lr"] = float(f"{optimizer['lr'] * factor:.4g}")
        sequences, steps = int(laid.settings.sequences[i]), int(laid.settings.steps[i])
        data, begun, source, unique = spelt_data(tokens)
        before = f"{begun}{text(init)}{before_rates}"
        after = f'{middle}{seed},"sequences":{sequences}{before_shape}{laid.members.texts[k]}'
        whole, free = spelt(optimizer)
        decides = f'{before}{whole}{after},"steps":{steps}{end}'
        trunk = f"{before}{free}{after}{end}"
        out.append(
            Point(
                id=sha256_text(decides)[:16],
                group=asked.group or f"{source}/{recipe.name}",
                budget=budget if budget == budget else None,
                N=counts.N,
                N_body=counts.body,
                N_embedding=counts.embedding,
                N_head=counts.head,
                D=tokens,
                C=counts.training * tokens,
                C_6nd=6.0 * counts.N * tokens,
                flops_per_unit=conventions[k],
                D_unique=min(unique, tokens),
                epochs=max(1.0, tokens / unique),
                family=family.name,
                shape=shape,
                task=asked.task,
                data=data,
                recipe=recipe.name,
                optimizer=optimizer,
                init=init,
                evaluation=evaluation,
                batch=per_step,
                sequences=sequences,
                lr=optimizer["lr"],
                steps=steps,
                seed=seed,
                trunk=sha256_text(trunk)[:16],
                seconds=None,
                memory=None,
                settings=more.get("settings", {}),
                machine=more.get("machine", {}),
            )
        )
    return out


class _Data:
    """The data blocks of points: the manifest, with how much of it a point may see.

    The place of the data is no part of what they are, so it is left out of the text that is hashed.
    """

    def __init__(self, asked: Asked, after: str) -> None:
        self.asked, self.after = asked, after
        self.manifest = asked.manifest.as_dict()
        self.most, self.all = _unique(asked), _unique(replace(asked, unique=None))
        self.unit = _unit(asked)
        self.known: dict[int, tuple[dict[str, Any], str, str, int]] = {}

    def __call__(self, tokens: int) -> tuple[dict[str, Any], str, str, int]:
        """Block, how a point's text begins, name, and units to be seen, of a run that sees D."""
        unique = self.most
        if self.asked.epochs is not None:
            own = int(tokens / self.asked.epochs + 1e-9)
            unique = min(unique, max(self.unit, own // self.unit * self.unit))
        if unique not in self.known:
            data, source = dict(self.manifest), self.asked.manifest.source
            limited = self.asked.unique is not None or self.asked.epochs is not None
            if limited and unique < self.all:
                data["unique"] = unique
            if self.asked.unique is not None and unique < self.all:
                source += f"-{unique:.4g}"
            text = canonical_json({k: v for k, v in data.items() if k != "where"})
            self.known[unique] = (data, f'{{"data":{text}{self.after}', source, unique)
        return self.known[unique]


class _Cached:
    """Canonical JSON of objects that many points share."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Any, str]] = {}

    def __call__(self, value: Mapping[str, Any]) -> str:
        key = id(value)
        if key not in self._texts:
            self._texts[key] = (value, canonical_json(value))  # holds the object, so its id
        return self._texts[key][1]


class _Optimizers:
    """Canonical JSON of optimiser blocks, whole and as their trunk has it.

    Blocks of many points differ in the steps of their decay alone, so the rest is spelt once.
    """

    def __init__(self) -> None:
        self._texts: dict[Any, tuple[str, str, str]] = {}

    def __call__(self, block: Mapping[str, Any]) -> tuple[str, str]:
        key = repr([value for name, value in block.items() if name != "decay_steps"])
        found = self._texts.get(key)
        if found is None:
            before, after = ({k: block[k] for k in block if (k < "decay_steps") is side}
                             for side in (True, False))  # fmt: skip
            after.pop("decay_steps")
            free = {k: v for k, v in block.items() if k not in COOLDOWN}
            head, tail = canonical_json(before)[:-1], canonical_json(after)[1:]
            found = self._texts[key] = (f'{head},"decay_steps":', f",{tail}", canonical_json(free))
        return f"{found[0]}{block['decay_steps']}{found[1]}", found[2]


def decides(point: Point) -> dict[str, Any]:
    """What decides the result of a point: its id is the hash of this in canonical JSON."""
    names = ("family", "shape", "task", "data", "recipe", "optimizer", "init", "evaluation")
    fields = point.as_dict()
    fields["data"].pop("where", None)
    more = [name for name in OPTIONAL if name in fields]
    return {name: fields[name] for name in (*names, "sequences", "steps", "seed", *more)}
