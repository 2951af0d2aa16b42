"""Our training loop beside nanoGPT's: the same model in both, and each with its own.

nanoGPT's model is imported from a checkout; its loop is written anew from its ``train.py``: memory-
mapped tokens at random offsets, the next batch drawn between the passes, its optimiser, a clipped
gradient, gradients set to none, and the loss read at every iteration, without its printing.
"""

import contextlib
import gc
import importlib.util
import io
import math
import sys
import tempfile
from pathlib import Path

import common
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from worker_common import (
    BETAS,
    CLIP,
    LARGE,
    LR,
    SMALL,
    WARM_UP,
    WEIGHT_DECAY,
    Ours,
    data,
    median,
    point_of,
    ratio,
    turns,
)

from scaling.runs.manifest import load
from scaling.training.device import peak_flops
from scaling.training.tasks.text import Text, full
from scaling.training.watch import CHECK_EVERY

CPU_SIZES, CUDA_SIZES = ("0.1M", "0.5M", "2M"), ("124M", "10M", "1M", "350M", "50M")
FLOOR = 1.0  # ours over theirs, with the same model
MOST_GRAPHS = 60e6  # parameters above which a graph cannot pay: steps take much longer than 5 ms


def model_module(folder):
    """Import ``model.py`` of a checkout."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", Path(folder) / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class WithLoss(nn.Module):
    """Our decoder as nanoGPT's loop calls a model: with targets, to logits and a loss."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens, targets):
        logits = self.decoder(tokens)
        return logits, F.cross_entropy(full(logits).flatten(0, 1), targets.flatten())


class Theirs:
    """nanoGPT's training loop around a model.

    Parameters
    ----------
    model : Module
        Called with tokens and targets, returns logits and loss.
    nano : module
        nanoGPT's ``model.py``.
    path : Path
        Tokens as unsigned 16-bit integers.
    size : Size
    device : torch.device
    """

    def __init__(self, model, nano, path, size, device):
        self.model, self.path, self.size, self.device = model, path, size, device
        with contextlib.redirect_stdout(io.StringIO()):
            self.optimizer = nano.GPT.configure_optimizers(
                model, WEIGHT_DECAY, LR, BETAS, device.type
            )
        cuda = device.type == "cuda"
        self.precision = (
            torch.autocast("cuda", torch.bfloat16) if cuda else contextlib.nullcontext()
        )
        self.called = torch.compile(model) if cuda else model
        self.iteration = 0
        self.next = self._batch()

    def _batch(self):
        tokens = np.memmap(self.path, dtype=np.uint16, mode="r")
        length = self.size.context
        starts = torch.randint(len(tokens) - length, (self.size.sequences,))
        pair = [
            torch.stack(
                [torch.from_numpy(tokens[i + k : i + k + length].astype(np.int64)) for i in starts]
            )
            for k in (0, 1)
        ]
        if self.device.type != "cuda":
            return pair
        return [part.pin_memory().to(self.device, non_blocking=True) for part in pair]

    def _rate(self):
        """Warm-up, then a cosine whose end is far away."""
        if self.iteration < WARM_UP:
            return LR * (self.iteration + 1) / (WARM_UP + 1)
        share = (self.iteration - WARM_UP) / 600_000
        return 0.1 * LR + 0.45 * LR * (1.0 + math.cos(math.pi * share))

    def __call__(self, steps):
        for _ in range(steps):
            rate = self._rate()
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            with self.precision:
                _, loss = self.called(*self.next)
            self.next = self._batch()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.last = loss.item()
            self.iteration += 1


def measure(context):
    """Title and blocks of the page."""
    nano = model_module(context.nanogpt)
    sizes = [LARGE[name] for name in CUDA_SIZES] if context.cuda else [SMALL[s] for s in CPU_SIZES]
    items = [(size, "same") for size in sizes]
    items += [(size, "own") for size in (sizes[:2] if context.cuda else sizes)]
    rows, least, skipped = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.bin"
        load(data())[0].astype(np.uint16).tofile(path)
        for size, model in items:
            if context.late():
                skipped.append(f"{size.name} ({model})")
                continue
            try:
                found = list(_compared(size, model, nano, path, context))
            except torch.OutOfMemoryError:
                skipped.append(f"{size.name} ({model}, out of memory)")
            else:
                rows += [row for row, _ in found]
                least += [(max(value for _, value in found), size.name)] * (model == "same")
            gc.collect()
    worst, where = min(least)
    header = ["size", "model", "ours", "tokens/s", "theirs, tokens/s", "ours/theirs", "quartiles"]
    header += ["ours, MFU", "ours, GB"] if context.cuda else []
    first = SMALL["0.1M"] if not context.cuda else LARGE["124M"]
    compiled = "compiled" if context.cuda else "not compiled"
    notes = [
        f"{context.name()}. Context {first.context}, vocabulary {first.vocabulary}, batch "
        f"{', '.join(f'{s.sequences} ({s.name})' for s in sizes)} sequences; medians over rounds, "
        f"both loops in turns; {context.clock()}.",
        f"Least ratio with the same model{' and our best way' if context.cuda else ''}: "
        f"{worst:.2f} at {where} (aim {FLOOR:g}: {'met' if worst >= FLOOR else 'not met'}).",
        "Same: our decoder in both loops. Own: at equal depth, width, heads, context and "
        "vocabulary nanoGPT's GPT has learned positions, norms with weights, GELU and a tied head; "
        "ours has rotary positions, norms without weights, squared ReLU and a head of its own.",
        f"nanoGPT's model is {compiled}; its optimiser is fused on a GPU only, as its code has it. "
        "Its printing is left out.",
    ]
    if context.cuda:
        peak, source = peak_flops(context.device)
        rated = "" if peak is None else f" ({peak:.3g} FLOP/s)"
        notes.append(f"MFU counts full attention, against the peak of {source}{rated}.")
        notes.append("GB: most that was allocated, the weights of both loops included.")
    if skipped:
        notes.append(f"Left out, for want of time unless said: {', '.join(skipped)}.")
    return "Our training loop beside nanoGPT's", [
        common.table(header, rows, text=3),
        common.bullets(notes),
    ]


def _compared(size, model, nano, path, context):
    """Rows of one size with their ratios: our ways of a pass in turns with nanoGPT's loop."""
    device, point = context.device, point_of(size)
    ours = Ours([point], device)
    own = model == "own"
    around = _own_model(size, nano).to(device) if own else WithLoss(Text(point, device).model())
    groups = [["off"]]
    if context.cuda:
        groups = [["off", "inductor"]]
        groups += [["graphs"]] if size.parameters < MOST_GRAPHS and not own else []
    for ways in groups:
        loops = {way: ours.way(way) for way in ways}
        loops["theirs"] = Theirs(around, nano, path, size, device)
        rounds = context.rounds or (5 if context.cuda else 11)
        spent, memory = turns(loops, device, rounds=rounds, seconds=1.0, least=CHECK_EVERY)
        for way in ways:
            value, quartiles = ratio(spent["theirs"], spent[way])
            pace = [f"{size.tokens / median(spent[w]):,.0f}" for w in (way, "theirs")]
            row = [str(size), model, _called(way), *pace, f"{value:.2f}", quartiles]
            if context.cuda:
                peak, _ = peak_flops(device)
                use = size.flops / median(spent[way]) / peak if peak else None
                row += ["" if use is None else f"{use:.1%}", f"{memory[way] / 1e9:.1f}"]
            yield row, value


def _called(way):
    return "eager" if way == "off" else way


def _own_model(size, nano):
    config = nano.GPTConfig(
        block_size=size.context, vocab_size=size.vocabulary, n_layer=size.layers,
        n_head=size.heads, n_embd=size.width, dropout=0.0, bias=False,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        return nano.GPT(config)
