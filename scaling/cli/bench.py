"""``scaling bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import follow_up, talk


@app.command()
def bench(
    file: Annotated[Path, typer.Argument(help="Study file whose shapes are measured.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Calibration file to write.")] = Path(
        "calibration.json"
    ),
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Time a shape.")] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Measure on this machine what a step of every shape of a study costs."""
    from dataclasses import asdict

    from scaling.cli.sweep import planned_of
    from scaling.errors import ConfigError, Fault, MissingExtraError
    from scaling.planning.study import read_study
    from scaling.runs.files import refuse_existing, write_atomic

    refuse_existing(out, force)
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(Fault("SC004", "--device", f'"{device}"', "auto, cpu or cuda"))
    planned = planned_of(read_study(file))
    try:
        from scaling.training.bench import measure
    except ModuleNotFoundError:
        raise MissingExtraError.of("torch", "train", "train and measure") from None
    result = measure(
        [asdict(p) for p in planned],
        device,
        seconds,
        lambda key, s: talk(f"{1e3 * s:8.2f} ms a step  {key}"),
    )
    write_atomic(out, json.dumps(result, indent=1) + "\n")
    talk(f"wrote {out}")
    follow_up(f"scaling sweep plan {file} --calibration {out}")
