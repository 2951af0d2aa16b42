"""``scaling predict``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.cli.app import app
from scaling.cli.common import number, numbers, pairs, print_json, tell

if TYPE_CHECKING:
    from scaling.fitting.answers import Answer

Texts = list[str] | None


@app.command()
def predict(
    source: Annotated[Path, typer.Argument(help="fit.json, or a study's output folder.")],
    flops: Annotated[
        str | None, typer.Option("--flops", help="Compute: 1e21, 1e20,1e21 or LOW:HIGH:COUNT.")
    ] = None,
    params: Annotated[str | None, typer.Option("--params", help="Sizes N, same forms.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Tokens D, same forms.")] = None,
    target_loss: Annotated[
        str | None, typer.Option("--target-loss", help="Losses to reach, same forms.")
    ] = None,
    off: Annotated[
        str | None, typer.Option("--off", help="Price of models 0.5,2 times the best size.")
    ] = None,
    inference_tokens: Annotated[
        float, typer.Option("--inference-tokens", help="Tokens served later, at 2N FLOP each.")
    ] = 0.0,
    unique_data: Annotated[
        float | None,
        typer.Option("--unique-data", help="Distinct tokens: read by the law, else a cap on D."),
    ] = None,
    cost: Annotated[
        str | None, typer.Option("--cost", help="C as a formula of N and D; the fit's by default.")
    ] = None,
    held: Annotated[
        Texts, typer.Option("--set", help="Another variable of the law: experts=8; repeatable.")
    ] = None,
    law: Annotated[
        Texts, typer.Option("--law", help="Only this law or approach; repeatable.")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="Only this group.")] = None,
    interval: Annotated[
        float | None, typer.Option("--interval", help="Level; that of the fit by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print machine-readable output.")] = False,
) -> None:
    """Predict from a fit: what to train, at what loss, and how sure.

    scaling predict fit.json --flops 1e21

    scaling predict fit.json --params 7e9 --data 2e12

    scaling predict fit.json --target-loss 2.1

    scaling predict fit.json --target-loss 2.1 --params 7e9

    scaling predict fit.json --flops 1e21 --off 0.5,2
    """
    from scaling.fitting.answers import Question, answers, select
    from scaling.fitting.stored import load

    fits = select(load(source / "fit.json" if source.is_dir() else source), law or [], group)

    def amounts(option: str, text: str | None) -> tuple[float, ...]:
        return tuple(numbers(option, text)) if text is not None else ()

    question = Question(
        C=amounts("--flops", flops),
        N=amounts("--params", params),
        D=amounts("--data", data),
        loss=amounts("--target-loss", target_loss),
        off=amounts("--off", off),
        inference_tokens=inference_tokens,
        unique_data=unique_data,
        cost=cost,
        held={k: number(f"--set {k}", v) for k, v in pairs("--set", held or []).items()},
        level=interval,
    )
    found, messages = answers(fits, question)
    if as_json:
        rows = [row for answer in found for row in answer.rows()]
        told = [m.as_dict() for m in messages]
        print_json({"schema": "scaling/predict@1", "rows": rows, "messages": told})
        return
    for answer in found:
        typer.echo("\n".join(_lines(answer)))
    tell(messages)


WIDTH = 80
TITLES = {
    "optimum": "what to train",
    "loss": "what to expect",
    "cheapest": "least compute for a loss",
    "data": "data needed for a loss",
    "size": "size needed for a loss",
    "price": "price of a size off the best",
}
COLUMNS = {
    "off": "× N*",
    "C": "C [FLOP]",
    "N": "N",
    "D": "D",
    "ratio": "D/N",
    "loss": "loss",
    "excess": "excess loss",
    "compute_factor": "× compute",
}
BESIDE = {
    "optimum": ("C", "N", "D", "ratio", "loss"),
    "cheapest": ("loss", "C", "N", "D"),
    "price": ("C", "off", "N", "excess", "compute_factor"),
}


def _lines(answer: Answer) -> list[str]:
    """A heading, then a line a row with a line of intervals under it."""
    from scaling.laws.cost import rounded

    group = f"   group {answer.group}" if answer.group else ""
    lines = [f"{answer.law}: {TITLES[answer.kind]}{group}"]
    if answer.cost:
        lines.append(f"  C: {rounded(answer.cost)}")
    if answer.how:
        text = f"  {answer.level:.0%} intervals: {answer.how}"
        lines += (
            [text] if len(text) <= WIDTH else [text[: text.index(":") + 1], f"    {answer.how}"]
        )
    frame = answer.frame
    others = tuple(str(name) for name in frame if name in answer.variables)
    known = BESIDE.get(answer.kind, (*others, "C", "N", "D", "loss"))
    names = list(dict.fromkeys(known))
    names = [name for name in names if name in frame]
    lines.append("  " + "".join(f"{COLUMNS.get(n, n):>14}" for n in names))
    for row in frame.to_dict("records"):
        what = answer.variables[0] if len(answer.variables) == 1 else ""
        factor = f"{row['factor']:.3g}× the largest {what or 'run'}"
        if what == "loss":
            factor = "inside the fitted losses"
            if row["factor"] > 1.0:
                factor = f"{row['factor']:.3g}× beyond the fitted losses"
        if row.get("inside_hull") is not None:
            factor += ", inside the runs" if row["inside_hull"] else ", outside the runs"
        if row.get("capped"):
            factor += ", all data used"
        lines.append("  " + "".join(f"{_short(n, row[n]):>14}" for n in names))
        ends = {n: ("lo", "hi") if n == "loss" else (f"{n}_lo", f"{n}_hi") for n in names}
        shown = {
            n: (row[lo], row[hi])
            for n, (lo, hi) in ends.items()
            if lo in row and not math.isnan(row[lo])
        }
        for k, name in ((0, "from"), (1, "to")):
            if shown:
                cells = (f"{_short(n, shown[n][k]) if n in shown else '':>14}" for n in names)
                lines.append(f"  {name:<4}" + "".join(cells)[4:])
        if answer.kind == "loss" and not math.isnan(row.get("run_lo", math.nan)):
            for end, name in (("run_lo", "new run from"), ("run_hi", "to")):
                cells = (f"{row[end]:.4f}" if n == "loss" else "" for n in names)
                lines.append(f"  {name:<12}" + "".join(f"{cell:>14}" for cell in cells)[12:])
        lines.append(f"      {factor}")
    return lines


def _short(name: str, value: float) -> str:
    if name in ("loss", "excess"):
        return f"{value:.4f}"
    return f"{value:.3g}"
