"""Every kind of figure, in the order in which a report shows them."""

from __future__ import annotations

from scaling.reporting.figures.allocation import ALLOCATION
from scaling.reporting.figures.bootstrap import BOOTSTRAP
from scaling.reporting.figures.curves import CURVES
from scaling.reporting.figures.effective import EFFECTIVE
from scaling.reporting.figures.excess import EXCESS
from scaling.reporting.figures.forecast import FORECAST
from scaling.reporting.figures.frontier import FRONTIER
from scaling.reporting.figures.frontiers import FRONTIERS
from scaling.reporting.figures.holdout import HOLDOUT
from scaling.reporting.figures.isoflop import ISOFLOP
from scaling.reporting.figures.kind import Kind
from scaling.reporting.figures.laws import LAWS
from scaling.reporting.figures.literature import LITERATURE
from scaling.reporting.figures.multiplier import MULTIPLIER
from scaling.reporting.figures.noise import NOISE
from scaling.reporting.figures.overtraining import OVERTRAINING
from scaling.reporting.figures.profiles import PROFILES
from scaling.reporting.figures.residuals import RESIDUALS
from scaling.reporting.figures.sensitivity import SENSITIVITY
from scaling.reporting.figures.surface import SURFACE

KINDS: tuple[Kind, ...] = (
    FRONTIER,
    FORECAST,
    SURFACE,
    EXCESS,
    ISOFLOP,
    ALLOCATION,
    OVERTRAINING,
    HOLDOUT,
    RESIDUALS,
    CURVES,
    NOISE,
    BOOTSTRAP,
    PROFILES,
    EFFECTIVE,
    LAWS,
    SENSITIVITY,
    LITERATURE,
    FRONTIERS,
    MULTIPLIER,
)


def kind_of(name: str) -> Kind:
    """Return the kind of a name.

    Raises
    ------
    ConfigError
        SC004 for an unknown one.
    """
    from scaling.errors import ConfigError, Fault

    for kind in KINDS:
        if kind.name == name:
            return kind
    expected = ", ".join(kind.name for kind in KINDS)
    raise ConfigError(Fault("SC004", "figure", f'"{name}"', expected))
