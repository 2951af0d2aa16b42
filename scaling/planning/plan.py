"""Points, fully resolved: the plan, its ids, its totals and what was left out.

A plan is a pure function of its study, its data manifest and its calibration: it measures nothing
and does not look at the machine.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scaling import count
from scaling.errors import Fault, Message, OutputError, PlanError
from scaling.planning import cost, designs, recipes
from scaling.planning.study import Study
from scaling.runs.files import canonical_json, sha256_text, write_atomic
from scaling.runs.manifest import Manifest

SCHEMA = "scaling/plan@1"
MIN_STEPS = 20
FEW_STEPS = 200
BUDGET_TOLERANCE = 0.02


@dataclass(frozen=True)
class Point:
    """One planned training run; see the design of ``plan.jsonl`` for the meaning of each field."""

    id: str
    group: str
    budget: float | None
    N: int
    N_body: int
    N_embedding: int
    N_head: int
    D: int
    C: float
    C_6nd: float
    D_unique: int
    epochs: float
    family: str
    shape: Mapping[str, int]
    task: str
    data: Mapping[str, Any]
    recipe: str
    optimizer: Mapping[str, Any]
    init: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    batch: int
    sequences: int
    lr: float
    steps: int
    seed: int
    trunk: str
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """Every point of a study, in the order (group, budget, N, D, seed).

    Attributes
    ----------
    points : tuple of Point
    dropped : tuple of mapping
        Cells that were asked for and left out, each with ``why``.
    messages : tuple of Message
    rules : tuple of str
        The recipe in words.
    study : Study
    """

    points: tuple[Point, ...]
    dropped: tuple[Mapping[str, Any], ...]
    messages: tuple[Message, ...]
    rules: tuple[str, ...]
    study: Study = field(repr=False)

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def totals(self) -> dict[str, Any]:
        """Number of points, FLOP and seconds (null without a calibration)."""
        seconds = [p.seconds for p in self.points]
        known = None if None in seconds else sum(s for s in seconds if s is not None)
        return {"points": len(self.points), "C": sum(p.C for p in self.points), "seconds": known}

    def as_dict(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        return {
            "schema": SCHEMA,
            "points": [asdict(p) for p in self.points],
            "dropped": [dict(d) for d in self.dropped],
            "totals": self.totals,
            "messages": [m.as_dict() for m in self.messages],
        }

    def to_jsonl(self) -> str:
        """One canonical JSON line a point."""
        return "".join(canonical_json(asdict(p)) + "\n" for p in self.points)

    def to_csv(self) -> str:
        """A view for spreadsheets: scalars of each point, the shape flattened."""
        out = io.StringIO()
        names = [
            "id",
            "group",
            "budget",
            "N",
            "D",
            "C",
            "N_body",
            "N_embedding",
            "N_head",
            "C_6nd",
            "D_unique",
            "epochs",
            "batch",
            "lr",
            "steps",
            "seed",
            "trunk",
            "seconds",
        ]
        shapes = sorted({key for p in self.points for key in p.shape})
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*names, *shapes])
        for p in self.points:
            row = [getattr(p, name) for name in names] + [p.shape.get(key) for key in shapes]
            writer.writerow(["" if value is None else value for value in row])
        return out.getvalue()

    def write(self, out: str | Path) -> list[Message]:
        """Write ``plan.jsonl``, ``plan.csv`` and ``study.json`` under `out`.

        Returns
        -------
        list of Message
            SC304 if `out` held another plan; its points stay on disk.
        """
        folder = Path(out)
        path = folder / "plan.jsonl"
        text = self.to_jsonl()
        messages = _compare_with_old(path, {p.id for p in self.points})
        write_atomic(path, text)
        write_atomic(folder / "plan.csv", self.to_csv())
        study = self.study.model_dump(mode="json", by_alias=True)
        write_atomic(folder / "study.json", json.dumps(study, indent=1) + "\n")
        return messages


def make_plan(
    study: Study, manifest: Manifest, calibration: Mapping[str, Any] | None = None
) -> Plan:
    """Resolve a study into points.

    Parameters
    ----------
    study : Study
        With a design.
    manifest : Manifest
        Of the study's data source.
    calibration : mapping, optional
        What `scaling bench` wrote.

    Raises
    ------
    PlanError
        SC201 if no cell can be realised.
    """
    assert study.design is not None
    family = count.get(study.model.family)
    recipe = recipes.get(study.recipe.name, study.recipe.overrides)
    options = {
        "vocabulary": study.model.vocabulary or manifest.vocabulary,
        "context": study.model.context,
        "layers": study.model.layers,
        "ffn_ratio": study.model.ffn_ratio,
    }
    if options["vocabulary"] < manifest.vocabulary:
        raise PlanError(
            Fault(
                "SC012",
                "[model] vocabulary",
                str(options["vocabulary"]),
                f"at least {manifest.vocabulary}, as the data need",
            )
        )
    shortest = min(manifest.train_tokens, manifest.validation_tokens)
    if shortest <= options["context"]:
        found, expected = f"{shortest} tokens", f"more than one context of {options['context']}"
        raise PlanError(Fault("SC012", "[data] options tokens", found, expected))
    points: dict[str, Point] = {}
    dropped: list[Mapping[str, Any]] = []
    for cell in designs.cells(study.design):
        outcome = _resolve(cell, study, family, options, recipe, manifest, calibration)
        if isinstance(outcome, Point) and outcome.id not in points:
            points[outcome.id] = outcome
        else:
            why = outcome if isinstance(outcome, str) else "same shape and length as another cell"
            dropped.append({"why": why, **asdict(cell)})
    if not points:
        raise PlanError(
            Fault(
                "SC201",
                "[design]",
                f"none of {len(dropped)} cells can be realised: "
                f"{dropped[0]['why'] if dropped else 'the design is empty'}",
                _feasible(family, options, recipe),
                "move the budgets, the sizes or the centre",
            )
        )
    ordered = sorted(points.values(), key=lambda p: (p.group, p.budget or 0.0, p.N, p.D, p.seed))
    messages = _messages(ordered, dropped, calibration)
    return Plan(tuple(ordered), tuple(dropped), tuple(messages), tuple(recipe.rules()), study)


def _feasible(family: count.Family, options: Mapping[str, Any], recipe: recipes.Recipe) -> str:
    smallest = family.counts(family.shape(family.dial(options)[0], options))
    tokens = MIN_STEPS * recipe.sequences * int(options["context"])
    return (
        f"sizes from N = {smallest.N} and budgets from {smallest.training * tokens:.2g} FLOP "
        f"({MIN_STEPS} steps of the smallest model)"
    )


def _resolve(
    cell: designs.Cell,
    study: Study,
    family: count.Family,
    options: Mapping[str, Any],
    recipe: recipes.Recipe,
    manifest: Manifest,
    calibration: Mapping[str, Any] | None,
) -> Point | str:
    """Turn a cell into a point, or say why it cannot be one."""
    dial = count.solve_dial(family, cell.N, options)
    if dial is None:
        return f"no shape has N near {cell.N:.3g}"
    shape = family.shape(dial, options)
    counts = family.counts(shape)
    batch = recipe.sequences * int(options["context"])
    tokens = cell.D if cell.D is not None else (cell.budget or 0.0) / counts.training
    steps = round(tokens / batch)
    if steps < MIN_STEPS:
        return f"only {steps} steps of {batch} tokens (at least {MIN_STEPS})"
    optimizer = recipe.resolve(counts.N, steps)
    unique = (manifest.train_tokens - 1) // int(options["context"]) * int(options["context"])
    decides: dict[str, Any] = {
        "family": family.name,
        "shape": shape,
        "task": study.data.task,
        "data": manifest.as_dict(),
        "recipe": recipe.name,
        "optimizer": optimizer,
        "init": {"embedding_sd": recipe.embedding_sd},
        "evaluation": {"sequences": recipe.evaluation_sequences},
        "sequences": recipe.sequences,
        "steps": steps,
        "seed": cell.seed,
    }
    tokens_seen = steps * batch
    schedule_free = {k: v for k, v in optimizer.items() if k != "decay_steps"}
    trunk = {**decides, "optimizer": schedule_free}
    del trunk["steps"]
    return Point(
        id=sha256_text(canonical_json(decides))[:16],
        group=f"{manifest.source}/{recipe.name}",
        budget=cell.budget,
        N=counts.N,
        N_body=counts.body,
        N_embedding=counts.embedding,
        N_head=counts.head,
        D=tokens_seen,
        C=counts.training * tokens_seen,
        C_6nd=6.0 * counts.N * tokens_seen,
        D_unique=min(unique, tokens_seen),
        epochs=max(1.0, tokens_seen / unique),
        batch=batch,
        lr=optimizer["lr"],
        trunk=sha256_text(canonical_json(trunk))[:16],
        seconds=cost.seconds(shape, recipe.sequences, steps, calibration),
        **decides,
    )


def _messages(
    points: list[Point], dropped: list[Mapping[str, Any]], calibration: Mapping[str, Any] | None
) -> list[Message]:
    messages = []
    if dropped:
        text = f"{len(dropped)} cells left out; first: {dropped[0]['why']}."
        messages.append(Message("SC202", text))
    short = [p for p in points if p.steps < FEW_STEPS]
    if short:
        fewest = min(p.steps for p in short)
        text = f"{len(short)} points have fewer than {FEW_STEPS} steps; fewest {fewest}."
        messages.append(Message("SC203", text))
    repeated = [p for p in points if p.epochs > 1]
    if repeated:
        most = max(p.epochs for p in repeated)
        text = f"{len(repeated)} points repeat data, up to {most:.2g} epochs."
        messages.append(Message("SC204", text))
    sizes: dict[float, set[int]] = {}
    for p in points:
        if p.budget is not None:
            sizes.setdefault(p.budget, set()).add(p.N)
    few = [budget for budget, found in sizes.items() if len(found) < 5]
    if few:
        text = f"{len(few)} budgets have fewer than 5 sizes: " + ", ".join(f"{b:.3g}" for b in few)
        messages.append(Message("SC205", text + "."))
    off = [p for p in points if p.budget and abs(p.C / p.budget - 1) > BUDGET_TOLERANCE]
    if off:
        worst = max(abs(p.C / p.budget - 1) for p in off if p.budget)
        messages.append(
            Message(
                "SC207",
                f"{len(off)} points miss their budget by up to {worst:.1%} because D "
                "is a whole number of steps.",
            )
        )
    if calibration is None:
        text = "Seconds are unknown: `scaling bench` measures this machine."
        messages.append(Message("SC206", text, "info"))
    return messages


def _compare_with_old(path: Path, ids: set[str]) -> list[Message]:
    if not path.exists():
        return []
    try:
        old = {json.loads(line)["id"] for line in path.read_text().splitlines() if line.strip()}
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(
            Fault("SC002", str(path), "exists and is not a plan", mend="choose another -o")
        ) from None
    if old == ids or not old:
        return []
    shared, left = len(old & ids), len(old - ids)
    text = f"The folder held another plan: {shared} points are shared and kept, {left} of the old "
    text += "plan stay on disk but leave results.csv."
    return [Message("SC304", text)]
