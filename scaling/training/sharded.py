"""Checkpoints that several processes write together, each its part of every tensor."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from scaling.runs.files import fsync_folder
from scaling.training.checkpoint import MOMENTS, Checkpoints, save_to

REST = "rest.pt"  # what is no tensor of the model
State = dict[str, Any]


def write_parts(kept: Checkpoints, step: int, state: Mapping[str, Any]) -> None:
    """Write a state of which every process holds a part; all of them call this together.

    The folder gets its name when everything is in it, so one that has its name is whole.
    """
    tensors, rest = _apart(state)
    path = kept.sharded_path(step)
    run = os.environ.get("TORCHELASTIC_RUN_ID", "")  # a cut-off group may still write its own
    temporary = path.with_suffix(f".{run[:8]}.tmp")
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    dist.barrier()
    save(tensors, checkpoint_id=temporary)
    if first:
        save_to(temporary / REST, rest)
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
        fsync_folder(kept.folder)
        kept.tidy(step)
    dist.barrier()


def read_parts(path: Path, like: Mapping[str, torch.Tensor]) -> State:
    """Read this process's part of a checkpoint; all of them call this together.

    Parameters
    ----------
    path : Path
    like : mapping of str to Tensor
        The weights by name, for their shapes and how they are divided.
    """
    rest = _rest(path)
    kinds = ["weights", *MOMENTS, *(["averaged"] if rest["averaged"] else [])]
    tensors = {f"{k}/{name}": torch.empty_like(v) for k in kinds for name, v in like.items()}
    load(tensors, checkpoint_id=path)
    return _together(rest, tensors)


def read_whole(path: Path, device: torch.device) -> State:
    """Read all parts of a checkpoint in one process, however many wrote it."""
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "whole.pt"
        dcp_to_torch_save(path, one)
        tensors = torch.load(one, map_location=device, weights_only=True)
    return _together(_rest(path), tensors)


def _rest(path: Path) -> State:
    found: State = torch.load(path / REST, map_location="cpu", weights_only=True)
    return found


def _apart(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], State]:
    """Tensors of a state by kind and name, and the rest."""
    rest = {k: v for k, v in state.items() if k not in ("weights", "averaged", "adamw")}
    rest["averaged"] = bool(state["averaged"])
    rest["adam_step"] = state["adamw"][0]["step"]
    lists = {"weights": state["weights"], "averaged": state["averaged"]}
    lists |= {k: [moments[k] for moments in state["adamw"]] for k in MOMENTS}
    tensors = {
        f"{kind}/{name}": value
        for kind, values in lists.items()
        if values
        for name, value in zip(state["names"], values, strict=True)
    }
    return tensors, rest


def _together(rest: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> State:
    """State with a tensor for each name."""

    def of(kind: str) -> Sequence[torch.Tensor]:
        return [tensors[f"{kind}/{name}"] for name in rest["names"]]

    moments = zip(*(of(kind) for kind in MOMENTS), strict=True)
    step = rest["adam_step"]
    return {
        **{k: v for k, v in rest.items() if k not in ("averaged", "adam_step")},
        "weights": of("weights"),
        "averaged": of("averaged") if rest["averaged"] else [],
        "adamw": [{"step": step.clone(), **dict(zip(MOMENTS, m, strict=True))} for m in moments],
    }
