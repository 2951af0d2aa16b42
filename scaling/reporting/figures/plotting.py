"""One figure by itself: for ``scaling plot`` and for ``fit.plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling.errors import ConfigError, Fault
from scaling.fitting.result import Fit, Fits
from scaling.reporting.context import Context
from scaling.reporting.figures.kind import Drawn, Kind, Subject
from scaling.reporting.figures.kinds import KINDS, kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Plot:
    """A figure that can be drawn: its kind, whose it is, and its data."""

    kind: Kind
    subject: Subject
    name: str
    data: Drawn


def plots_of(context: Context, kind: Kind | None = None) -> list[Plot]:
    """Return every figure that the fits have data for, of one kind or of all."""
    found = []
    for one in KINDS if kind is None else (kind,):
        for subject in one.subjects(context):
            data = one.data(context, subject)
            if data is not None:
                found.append(Plot(one, subject, context.subject_name(one.per, subject), data))
    return found


class Plots:
    """Figures of a fit: ``fit.plot.frontier()``, ``fit.plot.isoflop(ax)``.

    Each draws on new axes, or on those given (one a panel), and returns the axes, or a list of
    them where there are several panels. ``target_flops`` marks a compute of interest [FLOP]. A
    figure that the fit has no data for raises `ConfigError` with SC004; ``dir(fit.plot)`` lists
    those that it has.

    Parameters
    ----------
    of : Fit or Fits

    Notes
    -----
    ``frontier``
        Loss against compute.
    ``forecast``
        What each law forecasts.
    ``surface``
        The fitted law over size and data.
    ``excess``
        Loss above the irreducible part.
    ``isoflop``
        Loss against size at each budget.
    ``allocation``
        Optimal size and data against compute.
    ``overtraining``
        The price of a smaller model.
    ``holdout``
        Error of held-out larger runs.
    ``residuals``
        Residuals.
    ``curves``
        Learning curves.
    ``noise``
        Noise between seeds.
    ``bootstrap``
        Bootstrap replicates of the parameters.
    ``profiles``
        Profiles of the parameters.
    ``effective``
        Effective data.
    ``laws``
        Laws compared by held-out error.
    ``sensitivity``
        Choices of method beside the interval.
    ``literature``
        Exponents beside published ones.
    ``frontiers``
        Frontiers overlaid.
    ``multiplier``
        Difference against compute.

    Examples
    --------
    >>> axes = fit.plot.frontier(target_flops=1e21)
    >>> axes.get_xscale()
    'log'
    """

    def __init__(self, of: Fit | Fits) -> None:
        self._fits = of if isinstance(of, Fits) else Fits((of,), table=of.table)

    def __dir__(self) -> list[str]:
        return sorted({plot.kind.name for plot in plots_of(Context(self._fits))})

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            kind = kind_of(name)
        except ConfigError as error:
            raise AttributeError(str(error)) from None

        def draw(ax: Any = None, *, target_flops: float | None = None) -> Any:
            return self._draw(kind, ax, target_flops)

        draw.__name__, draw.__doc__ = name, f"Draw {kind.title.lower()}; return the axes."
        return draw

    def _draw(self, kind: Kind, ax: Any, target: float | None) -> Axes | Sequence[Axes]:
        """Draw the first figure of a kind on new axes, or on those given, one a panel."""
        import numpy as np

        found = plots_of(Context(self._fits, target), kind)
        if not found:
            raise ConfigError(Fault("SC004", f"plot.{kind.name}", "no data for it", mend=NO_DATA))
        plot = found[0]
        rows, columns = kind.shape(plot.data)
        if ax is None:
            axes = _new_axes(kind, plot.data)
        else:
            axes = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(axes) != rows * columns:
            expected = f"{rows * columns}, one a panel"
            raise ConfigError(Fault("SC004", f"plot.{kind.name}", f"{len(axes)} axes", expected))
        kind.draw(plot.data, axes)
        return axes[0] if len(axes) == 1 else axes


NO_DATA = "dir(fit.plot) lists what can be drawn"


def _new_axes(kind: Kind, data: Drawn) -> list[Axes]:
    """Axes in a figure that a notebook shows; nothing is shown or closed here."""
    from matplotlib import pyplot

    from scaling.reporting.figures.render import MARGIN
    from scaling.reporting.figures.style import PAGE

    rows, columns = kind.shape(data)
    size = (PAGE, MARGIN + rows * kind.row_height(data))
    figure, axes = pyplot.subplots(rows, columns, squeeze=False, figsize=size, layout="constrained")
    del figure
    return list(axes.ravel())
