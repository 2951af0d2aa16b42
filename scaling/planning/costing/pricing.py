"""What the points of a plan cost, where they are trained as the study says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.count import accelerators
from scaling.errors import Fault, Message, PlanError
from scaling.planning.costing import cost, devices
from scaling.planning.costing.calibration import Calibration, Times, shape_key
from scaling.planning.costing.memory import Precision, largest_size, memory, too_large
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
    def device(self) -> accelerators.Device | None:
        """The accelerator that the study names.

        Raises
        ------
        ConfigError
            SC012 for an unknown one.
        """
        name = self.engine.accelerator
        return None if name is None else accelerators.get(name, "[engine] accelerator")

    def compute(self, laid: Laid) -> Array:
        """FLOP that each point adds, shape (k,): less than its C where trunks are shared."""
        if not self.trunks or laid.settings is None:
            return laid.C
        decay = laid.settings.decay_steps[laid.rows] / laid.settings.steps[laid.rows]
        own = np.stack([laid.members.of[laid.rows], laid.cells.seed], axis=1)
        _, trunk = np.unique(own, axis=0, return_inverse=True)
        averaged = laid.settings.schedule == "average"
        return cost.shared_compute(trunk, laid.D, decay, laid.C / laid.D, averaged=averaged)

    def times(self, laid: Laid) -> Times | None:
        """Seconds of each point on one worker; None if nothing says how fast it is."""
        if laid.settings is None:
            return None
        share = self.compute(laid) / laid.C  # below 1 where a trunk is trained once
        steps = laid.settings.steps[laid.rows] * share
        if self.calibration is not None:
            return self._measured(self.calibration, laid, steps)
        if self.device is None:
            return None
        return devices.device_times(self.device, laid.C * share, laid.N, steps, self.engine.mfu)

    def _measured(self, calibration: Calibration, laid: Laid, steps: Array) -> Times:
        kinds, which = self._kinds(laid)
        rates = calibration.rates(*self._looked_up(laid, kinds))
        return rates.times(which, steps, self.asked.recipe.evaluation_sequences)

    def _looked_up(
        self, laid: Laid, kinds: list[tuple[int, int]]
    ) -> tuple[list[str], list[str], list[float]]:
        """Key, family and FLOP a step of each kind, as a calibration is asked for them."""
        family = self.asked.sizes.family
        shapes, counts = laid.members.shapes, laid.members.counts
        keys = [shape_key(family.name, shapes[k], s) for k, s in kinds]
        flops = [counts[k].training * s * family.per_sequence(shapes[k]) for k, s in kinds]
        return keys, [family.name] * len(keys), flops

    def use(self, laid: Laid) -> cost.Range | None:
        """MFU of all points together, and of the least and the most efficient shape.

        As measured, of the nearest measured shape where a point's own was not; None if not known.
        """
        if self.calibration is None or laid.settings is None or not len(laid):
            return None
        kinds, which = self._kinds(laid)
        found = self.calibration.uses(*self._looked_up(laid, kinds))
        if not np.isfinite(found).all():
            return None
        work = self.compute(laid)
        value = float(work.sum() / (work / found[which]).sum())
        return cost.Range(value, float(found.min()), float(found.max()))

    def _kinds(self, laid: Laid) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
        """Distinct (member, sequences a step), and which of them each point is."""
        assert laid.settings is not None
        both = np.stack([laid.members.of[laid.rows], laid.settings.sequences[laid.rows]], axis=1)
        kinds, which = np.unique(both, axis=0, return_inverse=True)
        return [(int(k), int(s)) for k, s in kinds], which.ravel()

    # ------------------------------------------------------------------------------------ memory

    @property
    def _on_gpu(self) -> bool:
        """Whether what is priced or measured is an accelerator."""
        if self.calibration is not None:
            return self.calibration.kind == "cuda"
        return self.device is not None or self.engine.device == "cuda"

    @property
    def _precision(self) -> Precision:
        return "bf16-mixed" if self._on_gpu or self.device is not None else "float32"

    @property
    def limit(self) -> tuple[float, str] | None:
        """Memory that a point may fill [bytes], and its name; None if none is named."""
        if self.engine.memory_gib is not None:
            return self.engine.memory_gib * GIB, f"[engine] memory_gib = {self.engine.memory_gib:g}"
        return None if self.device is None else (self.device.usable, self.device.title)

    def memory(self, laid: Laid) -> NDArray[np.int64]:
        """Bytes of each point: with the largest micro-batch that fits, or its whole batch."""
        return self._memory(laid)[0]

    def _memory(self, laid: Laid) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Bytes of each point, and whether they were measured."""
        if laid.settings is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
        kinds, which = self._kinds(laid)
        found = [self._fitting(laid, *kind) for kind in kinds]
        sizes = np.array([size for size, _ in found], dtype=np.int64)
        return sizes[which], np.array([measured for _, measured in found], dtype=bool)[which]

    def _fitting(self, laid: Laid, member: int, sequences: int) -> tuple[int, bool]:
        """Bytes with the largest divisor of the batch that fits; with one sequence if none does."""
        limit = np.inf if self.limit is None else self.limit[0]
        for micro in (d for d in range(sequences, 0, -1) if sequences % d == 0):
            need, measured = self._need(laid, member, micro)
            if need <= limit:
                break
        return need, measured

    @property
    def _data(self) -> float:
        """Bytes of data on the device: our own sources lie there, a byte a token."""
        manifest = self.asked.manifest
        own = manifest.source != "external"
        return float(manifest.train_tokens + manifest.validation_tokens) if own else 0.0

    def _need(self, laid: Laid, member: int, sequences: int) -> tuple[int, bool]:
        """Bytes with so many sequences at once, and whether they were measured.

        What was measured holds for its own shape alone: on a CPU much of it is the allocator's,
        and does not scale with anything that is counted.
        """
        name, shape = self.asked.sizes.family.name, laid.members.shapes[member]
        if self.calibration is not None and self._alike(self.calibration):
            entry = self.calibration.shapes.get(shape_key(name, shape, sequences))
            if entry is not None and entry.memory is not None:
                return round(entry.memory), True
        total = laid.members.counts[member].total
        found = memory(name, shape, total, sequences, data=self._data, precision=self._precision)
        return round(found.total), False

    def _alike(self, calibration: Calibration) -> bool:
        """Whether memory was measured where points will run: a CPU says nothing of a GPU's."""
        return (calibration.kind == "cuda") == (self._precision == "bf16-mixed")

    def fitting(self, laid: Laid) -> NDArray[np.bool_]:
        """Whether each point fits into memory, with one sequence at a time if it must."""
        if self.limit is None or not len(laid):
            return np.ones(len(laid), dtype=bool)
        return np.asarray(self.memory(laid) <= self.limit[0])

    def without_too_large(self, laid: Laid) -> tuple[Laid, list[Message]]:
        """Leave out the points that do not fit even with one sequence at a time; say so.

        Raises
        ------
        PlanError
            SC224 if none fits.
        """
        good = self.fitting(laid)
        if self.limit is None or good.all():
            return laid, []
        limit, where = self.limit
        need = self.memory(laid)
        sizes = self.asked.sizes
        largest = largest_size(
            sizes.family, sizes.options, limit, data=self._data, precision=self._precision
        )
        message = too_large(laid.N, need, limit, largest, where)
        assert message is not None
        if not good.any():
            raise PlanError(Fault("SC224", "[design]", message.text, mend=message.mend))
        why = f"needs up to {need.max() / GIB:.3g} GiB, more than {where}"
        return laid.only(good, why), [message]

    # ------------------------------------------------------------------------------------- total

    @property
    def workers(self) -> int:
        """Points that run at once: as the study says, else as was measured, else one."""
        measured = 1 if self.calibration is None else self.calibration.workers
        return self.engine.workers or measured

    def total(self, laid: Laid) -> cost.Total:
        """Add everything up."""
        sizes, measured = self._memory(laid)
        largest = int(sizes.argmax()) if len(laid) else None
        return cost.total(
            self.times(laid),
            self.compute(laid),
            self.workers,
            calibration=self.calibration,
            device=self.device,
            price_per_hour=self.engine.price_per_hour,
            mfu=self.engine.mfu,
            memory=None if largest is None else int(sizes[largest]),
            memory_measured=largest is not None and bool(measured[largest]),
            measured_use=self.use(laid),
            notes=_on_memory(measured),
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
        return times.seconds / (3600.0 * (shared if self._on_gpu else 1))

    def concerns(self) -> list[Message]:
        """In what a calibration is not of the conditions that are planned for."""
        if self.calibration is None:
            return []
        return cost.concerns(self.calibration, self.workers, self.device)

    def spent(self, laid: Laid, unit: str) -> float:
        """What the points of a layout cost in ``flops`` or ``hours``.

        Cells that come out as the same point are paid once, those that do not fit into memory
        not at all.
        """
        laid = laid.taken(np.flatnonzero(self.fitting(laid)))
        if laid.settings is not None:
            member, rate = laid.members.of[laid.rows], laid.settings.lr[laid.rows]
            cells = laid.cells
            same = np.stack([member, laid.D, cells.seed, rate * cells.factor], axis=1)
            laid = laid.taken(np.sort(np.unique(same, axis=0, return_index=True)[1]))
        if not len(laid):
            return 0.0
        each = self.compute(laid) if unit == "flops" else self.hours(laid)
        return float(each.sum()) if len(laid) else 0.0


def _on_memory(measured: NDArray[np.bool_]) -> tuple[str, ...]:
    """Say of how many points the memory was measured, if of any."""
    some, every = int(measured.sum()), len(measured)
    if not some:
        return ()
    rest = "" if some == every else "; that of the others is estimated"
    return (f"Memory of {some} of {every} points was measured{rest}.",)
