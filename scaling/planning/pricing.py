"""What the points of a plan cost, where they are trained as the study says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.errors import Fault, Message, PlanError
from scaling.planning import cost, devices
from scaling.planning.calibration import Calibration, Times, shape_key
from scaling.planning.memory import Precision, fits, largest_size, memory, too_large
from scaling.planning.resolve import Asked, Laid
from scaling.planning.sections import EngineSection

Array = NDArray[np.float64]
GIB = 2**30


@dataclass(frozen=True)
class Pricing:
    """Prices of a study.

    Attributes
    ----------
    asked : Asked
    engine : EngineSection
        Workers, device, price, memory.
    calibration : Calibration or None
        What was measured.
    trunks : bool
        Whether runs of one size and seed branch off a trunk that is trained once.
    """

    asked: Asked
    engine: EngineSection
    calibration: Calibration | None
    trunks: bool

    @cached_property
    def device(self) -> devices.Device | None:
        """The accelerator that the study names.

        Raises
        ------
        ConfigError
            SC012 for an unknown one.
        """
        name = self.engine.accelerator
        return None if name is None else devices.get(name, "[engine] accelerator")

    def compute(self, laid: Laid) -> Array:
        """FLOP that each point adds, shape (k,): less than its C where trunks are shared."""
        if not self.trunks or laid.settings is None:
            return laid.C
        decay = laid.settings.decay_steps[laid.rows] / laid.settings.steps[laid.rows]
        own = np.stack([laid.members.of[laid.rows], laid.cells.seed], axis=1)
        _, trunk = np.unique(own, axis=0, return_inverse=True)
        return cost.shared_compute(trunk, laid.D, decay, laid.C / laid.D)

    def times(self, laid: Laid) -> Times | None:
        """Seconds of each point on one worker; None if nothing says how fast it is."""
        if laid.settings is None:
            return None
        steps = laid.settings.steps[laid.rows]
        if self.calibration is not None:
            times = self._measured(self.calibration, laid, steps)
        elif self.device is not None:
            times = devices.device_times(self.device, laid.C, laid.N, steps, self.engine.mfu)
        else:
            return None
        if not self.trunks:
            return times
        share = self.compute(laid) / laid.C
        return Times(share * times.seconds, share * times.low, share * times.high, times.how)

    def _measured(self, calibration: Calibration, laid: Laid, steps: NDArray[np.int64]) -> Times:
        assert laid.settings is not None
        member, sequences = laid.members.of[laid.rows], laid.settings.sequences[laid.rows]
        kinds, which = np.unique(np.stack([member, sequences], axis=1), axis=0, return_inverse=True)
        family = self.asked.sizes.family
        shapes, counts = laid.members.shapes, laid.members.counts
        keys = [shape_key(family.name, shapes[k], int(s)) for k, s in kinds]
        flops = [counts[k].training * int(s) * family.per_sequence(shapes[k]) for k, s in kinds]
        rates = calibration.rates(keys, [family.name] * len(keys), flops)
        return rates.times(which.ravel(), steps, self.asked.recipe.evaluation_sequences)

    # ------------------------------------------------------------------------------------ memory

    @property
    def _precision(self) -> Precision:
        on_gpu = self.device is not None or self.engine.device == "cuda"
        on_gpu |= self.calibration is not None and self.calibration.kind == "cuda"
        return "bf16-mixed" if on_gpu else "float32"

    @property
    def limit(self) -> tuple[float, str] | None:
        """Memory that a point may fill [bytes], and its name; None if none is named."""
        if self.engine.memory_gib is not None:
            return self.engine.memory_gib * GIB, f"[engine] memory_gib = {self.engine.memory_gib:g}"
        return None if self.device is None else (self.device.usable, self.device.title)

    def memory(self, laid: Laid, *, whole: bool = True) -> NDArray[np.int64]:
        """Bytes of each point: with its whole batch at once, or with one sequence at a time."""
        if laid.settings is None:
            return np.zeros(0, dtype=np.int64)
        member = laid.members.of[laid.rows]
        sequences = laid.settings.sequences[laid.rows] if whole else np.ones_like(member)
        kinds, which = np.unique(np.stack([member, sequences], axis=1), axis=0, return_inverse=True)
        family, members = self.asked.sizes.family.name, laid.members
        found = [
            memory(
                family,
                members.shapes[k],
                members.counts[k].N + members.counts[k].embedding,
                int(s),
                precision=self._precision,
            ).total
            for k, s in kinds
        ]
        bytes_: NDArray[np.int64] = np.rint(np.array(found)).astype(np.int64)
        return bytes_[which.ravel()]

    def without_too_large(self, laid: Laid) -> tuple[Laid, list[Message]]:
        """Leave out the points that do not fit even with one sequence at a time; say so.

        Raises
        ------
        PlanError
            SC224 if none fits.
        """
        if self.limit is None or not len(laid):
            return laid, []
        bytes_, where = self.limit
        need = self.memory(laid, whole=False)
        good = need <= bytes_ if self.device is None else fits(need, self.device)
        if good.all():
            return laid, []
        sizes = self.asked.sizes
        largest = largest_size(sizes.family, sizes.options, bytes_, precision=self._precision)
        message = too_large(laid.N, need, bytes_, largest, where)
        assert message is not None
        if not good.any():
            raise PlanError(Fault("SC224", "[design]", message.text, mend=message.mend))
        why = f"needs {need.max() / GIB:.3g} GiB, more than {where}"
        return laid.only(good, why), [message]

    # ------------------------------------------------------------------------------------- total

    def total(self, laid: Laid, workers: int) -> cost.Total:
        """Add everything up."""
        used = int(self.memory(laid).max()) if len(laid) else None
        return cost.total(
            self.times(laid),
            self.compute(laid),
            workers,
            calibration=self.calibration,
            device=self.device,
            price_per_hour=self.engine.price_per_hour,
            memory=used,
        )

    def hours(self, laid: Laid) -> Array:
        """Device hours of each point, shape (k,); on a CPU those of its worker.

        Raises
        ------
        PlanError
            SC236 if nothing says how long a step takes.
        """
        times = self.times(laid)
        if times is None or not np.isfinite(times.seconds).all():
            raise PlanError(
                Fault(
                    "SC236",
                    "a budget of hours",
                    "nothing says how long a step takes",
                    'a calibration, or [engine] accelerator = "h100-sxm"',
                    "scaling bench FILE.toml measures this machine; --budget-flops needs neither",
                )
            )
        shared = 1 if self.calibration is None else self.calibration.workers
        on_gpu = self.device is not None or self._precision == "bf16-mixed"
        return times.seconds / (3600.0 * (shared if on_gpu else 1))

    def spent(self, laid: Laid, unit: str) -> float:
        """What a layout costs in ``flops`` or ``hours``."""
        each = self.compute(laid) if unit == "flops" else self.hours(laid)
        return float(each.sum()) if len(laid) else 0.0
