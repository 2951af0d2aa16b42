"""The page of laws is in step. ``python tests/laws/test_laws_page.py`` writes it."""

from pathlib import Path

from scaling.fitting.auto.listing import candidates_of
from scaling.laws import LAWS, PROCEDURES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "laws.md"
INTRODUCTION = """# Laws

Each law is declared by its formula. `scaling fit FILE --law NAME` fits it, `scaling laws show NAME`
prints its parameters with bounds, meanings and published values. [A law of your
own](../how-to/own-law.md) needs no package. The loss curve under any schedule is
`scaling.laws.schedules.MultiPowerLaw`, which needs the schedule itself.

Functions: `exp expm1 log log10 sqrt abs minimum maximum softplus`.
"""
AUTO = """## auto

A procedure, not a law: it has no formula of its own. `scaling fit FILE --law auto` fits each of the
laws below from several origins, and weighs them by how well they forecast the runs beyond and by
their evidence. It reads N and D where both take three values or more, else the one that varies,
and C where N and D go up together. {others} force a curve in that variable.
The fit answers what any fit answers; its estimate is the weighted mean of ln of the forecasts.

| reads | law | beyond the data |
|---|---|---|
{rows}
"""


def page():
    """Return docs/reference/laws.md."""
    rows = "\n".join(
        f"| {reads} | `{c.law.name}` | {c.future} |"
        for reads, some in candidates_of("auto").items()
        for c in some
    )
    forced = [f"`{name}`" for name in PROCEDURES if name != "auto"]
    others = f"{', '.join(forced[:-1])} and {forced[-1]}"
    parts = [INTRODUCTION, AUTO.format(rows=rows, others=others)]
    for law in LAWS.values():
        parts.append(
            f"## {law.name}\n\n{law.title}. Gives `{law.response}`; reads "
            f"{', '.join(f'`{v}`' for v in law.variables)}.\n\n```\n{law.formula}\n```\n\n"
            f"{law.reference}.\n"
        )
    return "\n".join(parts)


def test_the_page_is_in_step():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/laws/test_laws_page.py"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
