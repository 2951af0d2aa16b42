"""What the parts of `worker.py` share: points by hand, our training loop, and timing in turns."""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from scaling.count.decoder import DECODER
from scaling.runs.manifest import resolve
from scaling.training import trials
from scaling.training.desk import Desk
from scaling.training.loop import advance
from scaling.training.setup import Setup
from scaling.training.stack import Stack
from scaling.training.trainer import Trainer
from scaling.training.watch import CHECK_EVERY

ROOT = Path(__file__).resolve().parents[1]
ENDLESS = 10**7  # steps, so that no rate decays while it is timed
NOTED = range(0, ENDLESS, 50)  # rows of the learning curve, as of a run of 2,500 steps
LR, WEIGHT_DECAY, BETAS, CLIP, WARM_UP = 1e-3, 0.1, (0.9, 0.99), 1.0, 100


@dataclass
class Context:
    """What a part is asked for.

    ``rounds`` is None where a part may choose; ``until`` is when no further item is begun.
    """

    device: torch.device
    nanogpt: Path | None = None
    rounds: int | None = None
    until: float = float("inf")

    @property
    def cuda(self):
        return self.device.type == "cuda"

    def clock(self):
        return "wall time" if self.cuda else "processor time of the one process"

    def late(self):
        return time.monotonic() > self.until

    def name(self):
        if not self.cuda:
            return "CPU, one thread, float32"
        return f"{torch.cuda.get_device_name(self.device)}, bfloat16"


@dataclass(frozen=True)
class Size:
    """A shape and its batch; `name` is about how many parameters it has."""

    name: str
    layers: int
    width: int
    heads: int
    context: int = 128
    sequences: int = 8
    vocabulary: int = 256

    @property
    def shape(self):
        return {"vocabulary": self.vocabulary, "context": self.context, "layers": self.layers,
                "width": self.width, "heads": self.heads, "ffn": 4 * self.width}  # fmt: skip

    @property
    def tokens(self):
        """Tokens a step."""
        return self.sequences * self.context

    @property
    def parameters(self):
        """N, the head included and the embedding not."""
        counts = DECODER.counts(self.shape)
        return counts.body + counts.head

    @property
    def flops(self):
        """FLOP a step, full attention counted."""
        return 3.0 * DECODER.counts(self.shape).forward * self.tokens

    def __str__(self):
        return f"{self.name} ({self.layers} x {self.width})"


# 4k to 2M parameters on bytes: the range of studies on a CPU, and of stacks anywhere.
SMALL = {
    size.name: size
    for size in (
        Size("4k", 1, 12, 2, 32),
        Size("10k", 2, 16, 2, 32),
        Size("30k", 2, 32, 2, 64),
        Size("0.1M", 2, 64, 4),
        Size("0.5M", 4, 96, 6),
        Size("1M", 5, 128, 4),
        Size("2M", 6, 160, 5),
        Size("10M", 6, 368, 8),
    )
}
# Parameters of the blocks alone up to 50M, all of them from there on.
LARGE = {
    size.name: size
    for size in (
        Size("1M", 4, 144, 4, 1024, 32, 50304),
        Size("10M", 6, 384, 6, 1024, 32, 50304),
        Size("50M", 8, 704, 11, 1024, 16, 50304),
        Size("124M", 12, 768, 12, 1024, 16, 50304),
        Size("350M", 24, 1024, 16, 1024, 8, 50304),
    )
}


@cache
def data():
    return resolve("stdlib").as_dict()


def point_of(size, *, seed=0, lr=LR):
    """A point of a size that trains for ever at a constant rate."""
    counts = DECODER.counts(size.shape)
    return {
        "id": f"{seed:02x}{size.width:06x}{int(lr * 1e7):08x}", "family": "decoder",
        "shape": size.shape, "data": data(), "seed": seed, "sequences": size.sequences,
        "batch": size.tokens, "steps": ENDLESS, "evaluation": {"sequences": 64}, "trunk": "",
        "N": size.parameters, "N_embedding": counts.embedding, "D": ENDLESS * size.tokens,
        "C": size.flops * ENDLESS, "init": {"embedding_sd": 0.5},
        "optimizer": {"name": "adamw", "lr": lr, "beta1": BETAS[0], "beta2": BETAS[1],
                      "weight_decay": WEIGHT_DECAY, "clip": CLIP, "warmup_steps": WARM_UP,
                      "decay_steps": 0},
    }  # fmt: skip


class Ours:
    """Our training loop: steps, looks at the loss, learning curve and progress, as in a sweep."""

    def __init__(self, points, device):
        setup = Setup(compile="off")
        several = len(points) > 1
        self.trainer = (
            Stack(points, device, setup) if several else Trainer(points[0], device, setup)
        )
        self.folder = tempfile.TemporaryDirectory()
        self.control = Desk(Path(self.folder.name), device, setup).control()
        self.ways = {}

    def way(self, choice):
        """Return the loop with passes that run as `choice` says; later choices may undo it."""
        trials.use(self.trainer, choice)
        kept = self.trainer.compiled, self.trainer.passed

        def run(steps):
            self.trainer.compiled, self.trainer.passed = kept
            advance(self.trainer, self.trainer.step + steps, _unkept, self.control,
                    noted=NOTED, ended=_diverged)  # fmt: skip

        return run


def _unkept(_trainer):
    """Checkpoints are not timed: there is one a minute."""


def _diverged(model, cause):
    raise RuntimeError(f"model {model} diverged: {cause}")


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def turns(loops, device, *, rounds, seconds, least=1):
    """Time loops in turns.

    Parameters
    ----------
    loops : mapping of str to callable
        Each takes a number of steps.
    device : torch.device
    rounds : int
    seconds : float
        Of each loop in each round, about.
    least : int
        Steps of each loop in each round.

    Returns
    -------
    seconds : dict of str to list
        Of a step, round by round.
    memory : dict of str to float
        Most that was allocated meanwhile, the other loops' weights included [bytes]; 0 on a CPU.
    """
    blocks, found, memory = {}, {name: [] for name in loops}, dict.fromkeys(loops, 0.0)
    for name, loop in loops.items():
        loop(3)  # compiles, fills caches
        spent = _timed(loop, 2, device) / 2
        steps = max(least, round(seconds / spent), 1)
        whole = round(steps / CHECK_EVERY) * CHECK_EVERY  # as many looks in every round
        blocks[name] = whole or steps
    names = list(loops)
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            found[name].append(_timed(loops[name], blocks[name], device) / blocks[name])
            if device.type == "cuda":
                memory[name] = max(memory[name], torch.cuda.max_memory_allocated(device))
    return found, memory


def _timed(loop, steps, device):
    """Seconds of steps: on a CPU those of this process alone, so that neighbours count little."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    synchronize(device)
    began = clock()
    loop(steps)
    synchronize(device)
    return clock() - began


def ratio(slow, fast):
    """Median over rounds of how many times faster `fast` is, and its quartiles as text."""
    each = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return statistics.median(each), f"{each[len(each) // 4]:.2f}-{each[-1 - len(each) // 4]:.2f}"


def median(values):
    return statistics.median(values)


def environment(**more):
    """Environment of processes that import this package from here."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def device_name(text):
    if text == "cuda" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("no CUDA device on this machine")
    return torch.device(text)
