"""From fits to comparisons and reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.api.words import with_keywords

if TYPE_CHECKING:
    from scaling.fitting.comparison import Comparison
    from scaling.fitting.result import Fit, Fits
    from scaling.reporting import Report


@with_keywords
def compare(
    fits: Fit | Fits | Sequence[Fit],
    *,
    interval: float = 0.95,
    at: Sequence[float] = (),
    reference: str | None = None,
) -> Comparison:
    """Compare laws on the same runs, recipes on the same grid, and all with published values.

    Parameters
    ----------
    fits : Fit, Fits or sequence of Fit
        Fits of one table by several laws are ranked; fits of several groups or tables are compared
        as recipes, the first being the reference.
    interval : float
        Level of the intervals, between 0 and 1.
    at : sequence of float
        Compute at which recipes are compared beside that of their grid [FLOP].
    reference : str, optional
        Group that is the reference.

    Returns
    -------
    Comparison
        ``.to_frame()``, ``.summary()`` and ``.as_dict()`` show it.

    Raises
    ------
    ConfigError
        SC004 without fits, or for an unknown reference.
    QuestionError
        SC433 if two recipes have nothing in common.

    Examples
    --------
    >>> worse = runs.assign(loss=1.03 * runs["loss"])
    >>> both = pd.concat([runs.assign(group="new"), worse.assign(group="old")])
    >>> found = sc.compare(sc.fit(both, bootstrap=50), reference="old")
    >>> bool((found.to_frame()["multiplier"] > 1).all())  # of compute that the old one needs
    True
    """
    from scaling.fitting.comparison import compare_fits
    from scaling.fitting.result import Fit as One
    from scaling.fitting.result import Fits as Content

    several = (fits,) if isinstance(fits, One) else fits
    chosen = list(several.fits) if isinstance(several, Content) else list(several)
    return compare_fits(chosen, level=interval, at=at, reference=reference)


@with_keywords
def report(
    fits: Fit | Fits | Comparison | Sequence[Fit],
    *,
    title: str | None = None,
    target_flops: float | None = None,
) -> Report:
    """Lay out fits as a document; nothing is fitted.

    Parameters
    ----------
    fits : Fit, Fits, Comparison or sequence of Fit
        Fits of several tables, and what `compare` returned, give a comparison report.
    title : str, optional
        Heading of the report.
    target_flops : float, optional
        Compute that the question is about [FLOP]; the answer is given there.

    Returns
    -------
    Report
        ``.write("report.html")`` renders it by the file's ending: HTML, PDF, Markdown, text or
        JSON. A notebook shows its answer.

    Examples
    --------
    >>> found = sc.report(fit, title="Thirty-five runs", target_flops=1e21)
    >>> found.write("report.md")
    >>> found.text().splitlines()[0]
    'Thirty-five runs'
    """
    from scaling.errors import ConfigError, Fault
    from scaling.fitting.comparison import Comparison as Compared
    from scaling.fitting.fit import surface_allocation
    from scaling.fitting.parties import compare_parts, of_fits
    from scaling.fitting.result import Fit as One
    from scaling.fitting.result import Fits as Content
    from scaling.reporting import Report, build
    from scaling.reporting.comparison import build_comparison

    if isinstance(fits, Compared):
        return Report(build_comparison(fits, title=title, target_flops=target_flops))
    if not isinstance(fits, Content):
        several = (fits,) if isinstance(fits, One) else tuple(fits)
        if not several:
            raise ConfigError(Fault("SC004", "report", "no fits", "one fit or more"))
        if any(fit.table != several[0].table for fit in several[1:]):
            parts = of_fits(several)
            at = () if target_flops is None or len(parts) < 2 else (target_flops,)
            found = compare_parts(parts, at=at)
            return Report(build_comparison(found, parts, title=title, target_flops=target_flops))
        made = [surface_allocation(item) for item in several]
        laws = tuple(item.backtest for item in several if item.backtest)
        shown = tuple(a for a in made if a)
        fits = Content(several, shown, several[0].table, laws=laws)
    return Report(build(fits, title=title, target_flops=target_flops))
