"""Points whose loss is computed from a source that is known exactly, without gradient steps."""

from __future__ import annotations

from typing import Any

from scaling.training.tasks.base import Computed
from scaling.training.tasks.truth import loss, truth

UNITS = {
    "oracle": "",  # a law of language models
    "hutter": "error rate",
    "additive": "nats per example",
    "parity": "squared error",
    "regression": "squared error",
}


class Known(Computed):
    """The loss of a table of N entries that has seen D examples of a source of kind ``truth``."""

    @property
    def loss_unit(self) -> str:  # type: ignore[override]
        """Unit of the loss: that of the source."""
        found = UNITS[str(self.point["data"]["source"])]
        return "error rate" if self.options.get("measure") == "error" else found

    def outcome(self) -> dict[str, Any]:
        """Loss and its standard error; in the record also what is known of the source."""
        point = self.point
        source, size = str(point["data"]["source"]), int(point["shape"]["entries"])
        found, error = loss(source, self.options, size, int(point["D"]), int(point["seed"]))
        return {
            "loss": found,
            "loss_se": error or None,  # 0 where nothing is left to chance
            "metrics": {"truth": truth(source, self.options)},
        }
