"""One model on several devices: replicated (DDP) or sharded (FSDP2), by torch's own means.

Every process takes its part of each batch, so a step sees the same sequences however many there
are; results are those of one device up to the order of additions. Only the first process writes
records; what all of them must decide alike, it decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from scaling.errors import Fault, TrainingError
from scaling.training import optimizers
from scaling.training.checkpoint import MOMENTS, Checkpoints
from scaling.training.setup import Setup
from scaling.training.sharded import read_parts, write_parts
from scaling.training.trainer import Point, Trainer, copied

STATE = 16  # bytes a parameter: weight, gradient and two moments
FULL = 0.6  # share of a device that weights and their kin may take before they are sharded


def trainer_of(point: Point, device: torch.device, setup: Setup) -> Replicated:
    """Build the trainer of this process, one of several."""
    return (Sharded if _sharded(point, device, setup) else Replicated)(point, device, setup)


def _sharded(point: Point, device: torch.device, setup: Setup) -> bool:
    if setup.sharding != "auto" or device.type != "cuda":
        return setup.sharding == "fsdp"
    total = torch.cuda.get_device_properties(device).total_memory
    return bool(STATE * (point["N"] + point["N_embedding"]) > FULL * total)


class Replicated(Trainer):
    """A point whose model lies on every device.

    Parameters
    ----------
    point : mapping
    device : torch.device
        Of this process.
    setup : Setup
    """

    def __init__(self, point: Point, device: torch.device, setup: Setup) -> None:
        self.ranks, self.rank = dist.get_world_size(), dist.get_rank()
        super().__init__(point, device, setup)
        self.micro = int(point["sequences"]) // self.ranks

    def _build(self) -> None:
        super()._build()
        ids = None if self.device.type == "cpu" else [self.device]
        # Gradients stay views of one vector, so the buckets of DDP cannot take their place. The
        # tables of rotary positions are the same everywhere; torch 2.13 renamed what says so.
        known = inspect.signature(DistributedDataParallel).parameters
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {name: False}
        self.called = DistributedDataParallel(self.model, device_ids=ids, **options)

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients in the last pass only."""
        if last:
            return nullcontext()
        assert isinstance(self.called, DistributedDataParallel)
        found: AbstractContextManager[None] = self.called.no_sync()
        return found

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Leave the gradient of the whole batch; return its loss and norm, the same everywhere."""
        total, norm = super().gradient()
        dist.all_reduce(total)
        return total / self.ranks, norm

    def agree(self, *answers: bool) -> tuple[bool, ...]:
        """Let the first process decide for all."""
        said = torch.tensor(answers, dtype=torch.uint8, device=self.device)
        dist.broadcast(said, 0)
        return tuple(bool(x) for x in said.tolist())

    @torch.no_grad()
    def seen(self) -> list[dict[str, Tensor]]:
        """What is seen of all validation examples, of which this process takes a part."""
        count = -(-self.task.checks // self.ranks)
        every = torch.arange(self.rank * count, (self.rank + 1) * count)
        own = self.task.examined(self.called, every.clamp(max=self.task.checks - 1))
        whole = {}
        for name, value in own.items():
            here = value.to(self.device)
            found = [torch.zeros_like(here) for _ in range(self.ranks)]
            dist.all_gather(found, here)
            whole[name] = torch.cat(found).cpu()[: self.task.checks]
        return [whole]

    def write(self, kept: Checkpoints, step: int, state: dict[str, Any]) -> None:
        """Keep a state, by the first process; all go on when it is safe."""
        if self.rank == 0:
            kept.save(step, state)
        dist.barrier()


class Sharded(Replicated):
    """A point whose weights, gradients and moments are divided over the devices."""

    def _build(self) -> None:
        o = self.point["optimizer"]
        if o["name"] == "muon":
            found, mend = "muon needs whole matrices", '[engine] sharding = "ddp"'
            raise TrainingError(Fault("SC312", f"point {self.point['id']}", found, mend=mend))
        model = self.task.model().to(self.weight_dtype)
        mesh = init_device_mesh(self.device.type, (self.ranks,))
        blocks = getattr(model, "blocks", None)
        for block in blocks if isinstance(blocks, nn.ModuleList) else ():
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        self.model = self.called = model
        parts = optimizers.parts_of(model, o)
        self.names = {p: name for name, p in model.named_parameters()}
        self.flats = [p for part in parts for p in part.parameters]
        factors = [part.factor for part in parts for _ in part.parameters]
        self.optimizer = optimizers.AdamW(self.flats, factors, o)
        self.gradients = []
        self.function, self.passed = self.task.function, self.eager

    def gradient(self) -> tuple[Tensor, Tensor]:
        """Leave the gradient of the whole batch; return its loss and norm, the same everywhere."""
        for flat in self.flats:
            flat.grad = None
        return super().gradient()

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients in the last pass only."""
        assert isinstance(self.model, FSDPModule)
        self.model.set_requires_gradient_sync(last)
        return nullcontext()

    def _norm(self) -> Tensor:
        norm = nn.utils.get_total_norm([p.grad for p in self.flats if p.grad is not None])
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _clip(self, norm: Tensor) -> None:
        nn.utils.clip_grads_with_norm_(self.flats, self.point["optimizer"]["clip"], norm)

    # ------------------------------------------------------------------------------------- state

    def _state(self, model: int) -> dict[str, Any]:
        return {**super()._state(model), "names": [self.names[p] for p in self.flats]}

    def write(self, kept: Checkpoints, step: int, state: dict[str, Any]) -> None:
        """Keep a state; every process writes its own part."""
        write_parts(kept, step, state)

    def read(self, kept: Checkpoints, step: int) -> dict[str, Any]:
        """Read a checkpoint: this process's parts of a sharded one, else all of it."""
        if not kept.sharded(step):
            return kept.load(step, torch.device("cpu"))
        like = {self.names[p]: p.detach() for p in self.flats}
        return read_parts(kept.sharded_path(step), like)

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Continue from a state of this trainer, or of one that was not sharded."""
        (state,) = states
        if "names" not in state:
            state = self._divided(state)
        super().restore([state])

    def snapshot(self) -> list[dict[str, Any]]:
        """Copy this process's part of the state, where it is."""
        found: list[dict[str, Any]] = copied(self.states())
        return found

    def renewed(self) -> None:
        """Drop weights that were gathered before they were changed in place."""
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def weights(self, model: int) -> dict[str, Tensor]:
        """Weights by name, gathered from all processes."""
        del model
        values = self.averaged or [p.detach() for p in self.flats]
        found = {self.names[p]: value for p, value in zip(self.flats, values, strict=True)}
        whole = {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in found.items()}
        return {name: value.cpu() for name, value in whole.items()}

    def flattened(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing is flat here: a tensor for each name is what this trainer has."""
        return state

    def _divided(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Divide the vectors of a state that was not sharded over the devices."""
        parts = optimizers.parts_of(self.model, self.point["optimizer"])

        def shard(vectors: Sequence[Tensor]) -> list[Tensor]:
            found: list[Tensor] = []
            for part, vector in zip(parts, vectors, strict=True):
                pieces = torch.split(vector, [p.numel() for p in part.parameters])
                for p, piece in zip(part.parameters, pieces, strict=True):
                    assert isinstance(p, DTensor)
                    whole = piece.view(p.shape).to(self.device)
                    found.append(distribute_tensor(whole, p.device_mesh, p.placements))
            return found

        moments = {k: shard([m[k] for m in state["adamw"]]) for k in MOMENTS}
        step = state["adamw"][0]["step"]
        adamw = [
            {"step": step.clone(), **{k: moments[k][i] for k in MOMENTS}}
            for i in range(len(self.flats))
        ]
        averaged = shard(state["averaged"]) if state["averaged"] else []
        return {**state, "weights": shard(state["weights"]), "averaged": averaged, "adamw": adamw}
