"""``scaling bench``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaling.cli.app import app
from scaling.cli.common import DryRun, follow_up, print_json, talk
from scaling.errors import wrapped

if TYPE_CHECKING:
    from scaling.planning.sections import Study

TOLD = ("width", "layers", "depth", "heads")


@app.command()
def bench(
    file: Annotated[Path, typer.Argument(help="Study file whose shapes are measured.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Calibration file to write, or to add shapes to.")
    ] = Path("calibration.json"),
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda; the study's by default.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes at once; as many as a sweep by default."),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Time a shape.")] = 1.0,
    shapes: Annotated[
        int, typer.Option("--shapes", min=1, help="Shapes to measure at most, spread over FLOP.")
    ] = 40,
    force: Annotated[bool, typer.Option("--force", help="Measure everything anew.")] = False,
    coordinates: Annotated[
        bool,
        typer.Option(
            "--coordinates",
            help="Instead check whether one rate serves all widths (muP); writes nothing.",
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was measured, machine-readable.")
    ] = False,
) -> None:
    """Measure on this machine what a step of every shape of a study costs.

    scaling bench sweeps/isoflop-text.toml -o calibration.json

    scaling bench sweeps/isoflop-text.toml --coordinates
    """
    from scaling.errors import ConfigError, Fault
    from scaling.planning.costing.calibration import Calibration
    from scaling.planning.study import read_study
    from scaling.plans import plan_of
    from scaling.runs.files import check_writable, write_atomic
    from scaling.training.bench import measure
    from scaling.training.driver import refuse_unknown

    if device not in (None, "auto", "cpu", "cuda"):
        raise ConfigError(Fault("SC004", "--device", f'"{device}"', "auto, cpu or cuda"))
    if coordinates:
        from scaling.cli.coordinates import coordinates as check

        check(file, device, as_json=as_json, dry_run=dry_run)
        return
    known: dict[str, Any] | None = None
    if out.exists() and not force:
        Calibration.read(out)  # refuses what is not ours
        known = json.loads(out.read_text(encoding="utf-8"))
    study = read_study(file)
    planned = plan_of(_unpriced(study), file.parent)
    wanted = _one_of_each(planned)
    if dry_run:
        talk(f"{min(shapes, len(wanted))} of {len(wanted)} shapes would be measured into {out}")
        return
    refuse_unknown(wanted)
    _refuse_computed(wanted, file.parent)
    check_writable(out)
    with TemporaryDirectory() as folder:
        planned.write_code(folder)
        result = measure(
            wanted,
            device or study.engine.device,
            seconds,
            workers=workers or study.engine.workers,
            shapes=shapes,
            known=known,
            listener=_say,
            folder=Path(folder),
        )
    if result == known:
        talk(f"{out} holds these shapes; --force measures them anew")
    else:
        write_atomic(out, json.dumps(result, indent=1) + "\n")
        talk(f"wrote {out}: {len(result['shapes'])} shapes, {result['workers']} at once")
    if as_json:
        print_json(result)
    else:
        typer.echo("\n".join(_table(result, wanted)))
    follow_up(f"scaling sweep plan {file} --calibration {out}")


def _unpriced(study: Study) -> Study:
    """The study without what a calibration is needed for: it is being made."""
    engine = study.engine.model_copy(update={"calibration": None})
    design = study.design
    if design is not None and design.budget_gpu_hours is not None:
        most = design.box.C[1] if design.box is not None and design.box.C is not None else None
        flops = (4.0 * most if most else 1e15) if design.kind == "optimal" else None
        changes = {"budget_gpu_hours": None, "budget_flops": flops}
        design = design.model_copy(update=changes)
    return study.model_copy(update={"engine": engine, "design": design})


def _one_of_each(points: Any) -> list[dict[str, Any]]:
    """One point of each shape: a plan may hold 100,000 points of a few hundred.

    What a point starts from changes nothing of its speed, and is not there yet.
    """
    from dataclasses import asdict

    found: dict[Any, Any] = {}
    for p in points:
        found.setdefault((p.family, tuple(sorted(p.shape.items())), p.sequences), p)
    afresh = [{k: v for k, v in p.init.items() if k != "from"} for p in found.values()]
    return [{**asdict(p), "init": init} for p, init in zip(found.values(), afresh, strict=True)]


def _refuse_computed(points: Sequence[Mapping[str, Any]], base: Path) -> None:
    """Refuse tasks whose losses are computed: they take no steps."""
    from scaling.errors import ConfigError, Fault
    from scaling.training.tasks.base import Computed
    from scaling.training.tasks.registry import class_of

    for task in sorted({str(p["task"]) for p in points}):
        if issubclass(class_of(task, base), Computed):
            found = f'"{task}" computes its losses without steps'
            raise ConfigError(Fault("SC012", "[data] task", found, "a task that is trained"))


def _say(key: str, entry: Mapping[str, Any] | None, done: int, count: int) -> None:
    """Talk of one shape: the time of a step, its range, and what shapes of a study differ in."""
    point = json.loads(key)
    told = [f"{name} {point['shape'][name]}" for name in TOLD if name in point["shape"]]
    shape = " ".join(told) or f"dial {point['shape'].get('dial', '')}".strip()
    cost = "out of memory".rjust(24)
    if entry is not None:
        median, low, high = (1e3 * entry[n] for n in ("seconds_per_step", "low", "high"))
        cost = f"{median:9.4g} ms ({low:.4g}-{high:.4g})"
    talk(f"{done:>4}/{count} {cost}  {shape}, {point['sequences']} sequences")


def _table(calibration: Mapping[str, Any], points: list[dict[str, Any]]) -> list[str]:
    """The measured shapes of this study in 80 columns, and what their MFU is of."""
    from scaling.training.bench import distinct

    rows: list[tuple[str, ...]] = [_head(points)]
    for key, point in distinct(points).items():
        entry = calibration["shapes"].get(key)
        if entry is not None:
            rows.append(_cells(point, entry))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [*lines, *wrapped(_of_what(calibration), "  ")]


def _head(points: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the columns: D counts tokens, or images, or examples."""
    from scaling import count
    from scaling.count.tasks import LANGUAGE

    family, task = str(points[0]["family"]), str(points[0]["task"])
    unit = "token" if task in LANGUAGE else "unit"
    unit = count.FAMILIES[family].unit if family in count.FAMILIES else unit
    return ("shape", "N", "sequences", "ms/step", f"{unit}s/s", "MFU", "memory")


def _cells(point: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[str, ...]:
    """One shape; what is not known is a dash, as in files of version 2."""
    shape, use, size = point["shape"], entry.get("mfu"), entry["memory_bytes"]
    layers = shape.get("layers") or shape.get("depth")
    name = str(shape.get("width", shape.get("dial", ""))) + (f"x{layers}" if layers else "")
    pace = entry.get("tokens_per_second")
    return (
        name,
        f"{point['N']:.5g}",
        f"{point['sequences']}",
        f"{1e3 * entry['seconds_per_step']:.4g}",
        "-" if pace is None else f"{pace:,.0f}",
        "-" if use is None else f"{100 * use:#.3g}%",
        "-" if size is None else f"{size / 2**20:,.0f} MiB",
    )


def _of_what(calibration: Mapping[str, Any]) -> str:
    """Say what MFU is a share of, and what its FLOPs count."""
    peak, workers = calibration.get("peak_flops"), calibration["workers"]
    if peak is None and calibration["schema"].endswith("@2"):
        return "MFU: this file is of version 2, without it; --force measures everything anew."
    if peak is None:
        return f"MFU: no peak is known of {calibration['device']} for 16-bit products (bf16)."
    whose = f"the {peak:.4g} FLOP/s of {calibration['peak_source']}"
    if calibration["kind"] == "cpu":
        whose = f"this core's measured matmul rate ({peak:.3g} FLOP/s, float32)"
    elif workers > 1:
        whose += f"; {workers} processes shared the device, this is the share of each"
    return f"MFU: C a second of {whose}. C = 3 x forward, head and full attention included."
