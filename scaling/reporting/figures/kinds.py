"""Every kind of figure, in the order in which a report shows them."""

from __future__ import annotations

from scaling.reporting.figures.allocation import ALLOCATION
from scaling.reporting.figures.effective import EFFECTIVE
from scaling.reporting.figures.frontier import FRONTIER
from scaling.reporting.figures.frontiers import FRONTIERS
from scaling.reporting.figures.isoflop import ISOFLOP
from scaling.reporting.figures.kind import Kind
from scaling.reporting.figures.multiplier import MULTIPLIER
from scaling.reporting.figures.residuals import RESIDUALS

KINDS: tuple[Kind, ...] = (
    FRONTIER,
    ISOFLOP,
    ALLOCATION,
    RESIDUALS,
    EFFECTIVE,
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
