"""Memory of a point in training: weights, their optimiser, activations, and the data beside them.

Weights, gradients and AdamW's two moments are kept in 32 bits: 16 bytes a parameter (Rajbhandari et
al. 2020, section 3.1, with master weights only). Activations are what autograd saves for the
backward pass, counted for our own blocks in the manner of Korthikanti et al. (2022, section 4): the
inputs of products, norms and nonlinearities. Fused attention keeps queries, keys, values, output
and one number a row, not the square of scores (Dao et al. 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scaling import count
from scaling.count.accelerators import Device
from scaling.errors import Message

Precision = Literal["float32", "bf16-mixed"]
STATE = 16  # bytes a parameter
COPY = 2  # bytes a parameter of the 16-bit copies that mixed precision multiplies with
EVALUATION_BATCH, EVALUATION_LOGITS = 256, 2**21  # most at once, as our text task evaluates


@dataclass(frozen=True)
class Saved:
    """What one sequence keeps for the backward pass.

    Attributes
    ----------
    wide : float
        Numbers kept in 32 bits under either precision [count].
    narrow : float
        Numbers kept in 16 bits under mixed precision [count].
    outputs : float
        Logits of the sequence [count].
    inputs : float
        Bytes of integers: tokens and targets.
    backward : float
        Numbers alive at once beside them while gradients pass through a block [count].
    hidden : float
        Numbers alive at once inside a block that is only evaluated [count].
    """

    wide: float
    narrow: float
    outputs: float
    inputs: float
    backward: float
    hidden: float


@dataclass(frozen=True)
class Memory:
    """Bytes of a point in training, at their highest.

    Attributes
    ----------
    state : float
        Weights, gradients, moments, and 16-bit copies of weights.
    activations : float or None
        Saved for the backward pass; None for a family whose activations are not known.
    working : float
        Gradients of activations, or what the evaluation takes, if more than all of training.
    data : float
        Data that lie on the device.
    """

    state: float
    activations: float | None
    working: float
    data: float

    @property
    def total(self) -> float:
        """Sum of what is known [bytes]."""
        return self.state + (self.activations or 0.0) + self.working + self.data


def memory(
    family: str,
    shape: Mapping[str, int],
    parameters: int,
    sequences: int,
    *,
    data: float = 0.0,
    precision: Precision = "float32",
) -> Memory:
    """Memory of a point.

    Parameters
    ----------
    family : str
    shape : mapping of str to int
    parameters : int
        All parameters, embeddings included [count].
    sequences : int
        Sequences that pass through the model at once (the micro-batch).
    data : float
        Data on the device [bytes].
    precision : {"float32", "bf16-mixed"}
        32 bits throughout, as on a CPU, or 16-bit products under 32-bit weights, as on a GPU.

    Returns
    -------
    Memory
        Activations are exact for the decoder that we train, and within 10% of torch's own
        transformer encoder and of residual networks; 16-bit figures follow the same list with the
        products' operands halved. Workspaces of libraries and fragmentation come on top.
    """
    key = tuple(sorted(shape.items()))
    return _memory(family, key, parameters, sequences, float(data), precision)


@lru_cache(maxsize=100_000)
def _memory(
    family: str,
    shape: tuple[tuple[str, int], ...],
    parameters: int,
    sequences: int,
    data: float,
    precision: Precision,
) -> Memory:
    mixed = precision == "bf16-mixed"
    state = float(parameters * (STATE + (COPY if mixed else 0)))
    if family not in SAVED:
        return Memory(state, None, 0.0, data)
    saved = SAVED[family](dict(shape))
    each = 4 * saved.wide + (2 if mixed else 4) * saved.narrow + saved.inputs
    activations = sequences * each
    # Two arrays as large as the logits, or the gradients inside the last block.
    training = sequences * 4 * max(2 * saved.outputs, saved.backward)
    # The hidden layers, or the logits and their log probabilities; nothing of the batch before.
    most = max(saved.hidden, 2 * saved.outputs)
    at_once = max(1.0, min(EVALUATION_BATCH, EVALUATION_LOGITS // max(1.0, saved.outputs)))
    evaluation = at_once * 4 * most
    return Memory(state, activations, max(training, evaluation - activations), data)


# -------------------------------------------------------------------------------------- families


def _blocks(s: Mapping[str, int], length: int, *, rotary: bool) -> dict[str, float]:
    """What pre-norm blocks save of a sequence, and what is alive inside one.

    Per token and layer, with width d, key width k, feed-forward width f and h heads: inputs of both
    norms 2 d (32 bits), four statistics and h sums of attention; in 16 bits the norms' outputs 2 d;
    queries, keys and values d + 2 k; with rotary positions queries and keys d + k again, else the
    output of attention once more in the order of tokens, d; that output, d; the feed-forward before
    and after its nonlinearity 2 f, with a gate 3 f. A block that is only evaluated holds, at its
    end, the stream twice, both outputs of its halves, and the feed-forward, or in attention the
    stream, queries, keys and values, and what turns them, if that is more; going back, the
    gradients of the stream 2 d and of the feed-forward 2 f.
    """
    d, f, h, n = s["width"], s["ffn"], s["heads"], s["layers"]
    k = d // h * (s.get("kv_heads", 0) or h)
    again = d + k if rotary else d
    forward = (3 if s.get("gated") else 2) * f
    attention = (d + 2 * k) + again + d
    return {
        "wide": length * n * (2 * d + 4 + h),
        "narrow": length * n * (2 * d + attention + forward),
        "backward": length * (2 * d + forward),
        "hidden": length * max(4 * d + forward, 2 * d + 2 * k + 3 * again),
    }


def _decoder(s: Mapping[str, int]) -> Saved:
    """Blocks, then per token the last norm 2 d + 2 and the log probabilities V."""
    length, d, vocabulary = s["context"], s["width"], s["vocabulary"]
    b = _blocks(s, length, rotary=not s.get("positions"))
    return Saved(
        wide=b["wide"] + length * (d + 2 + vocabulary),
        narrow=b["narrow"] + length * d,
        outputs=length * vocabulary,
        inputs=8 * (2 * length + 1),
        backward=b["backward"],
        hidden=b["hidden"],
    )


def _encoder(s: Mapping[str, int]) -> Saved:
    """Blocks, the last norm, the head's square layer with its nonlinearity and norm 3 d, V."""
    length, d, vocabulary = s["context"], s["width"], s["vocabulary"]
    b = _blocks(s, length, rotary=False)
    transform = s["transform"] * d
    return Saved(
        wide=b["wide"] + length * (d + 2 + transform + vocabulary),
        narrow=b["narrow"] + length * (d + 2 * transform),
        outputs=length * vocabulary,
        inputs=8 * 2 * length,
        backward=b["backward"],
        hidden=b["hidden"],
    )


def _vit(s: Mapping[str, int]) -> Saved:
    """The image, blocks over patches and class token, the last norm, the classes."""
    length = (s["image"] // s["patch"]) ** 2 + s["class_token"]
    b = _blocks(s, length, rotary=False)
    pixels = s["channels"] * s["image"] ** 2
    return Saved(
        wide=b["wide"] + length * (s["width"] + 2) + s["classes"],
        narrow=b["narrow"] + pixels + length * s["width"],
        outputs=s["classes"],
        inputs=8,
        backward=b["backward"],
        hidden=b["hidden"] + pixels,
    )


def _resnet(s: Mapping[str, int]) -> Saved:
    """The image, each convolution's output, each rectified output, the pooled stem, the classes.

    A batch norm keeps its input, the rectifier its output, which is what the next convolution
    keeps; a shortcut's output is kept by its norm alone.
    """
    layers = list(count.ResNetShape(**s).convolutions())
    sizes = [out * side**2 for _, out, _, side in layers]
    pixels = s["channels"] * s["image"] ** 2
    kept = float(pixels)
    for i, (size, (_, out, kernel, _)) in enumerate(zip(sizes, layers, strict=True)):
        shortcut = i > 0 and kernel == 1 and out == layers[i - 1][1]
        kept += size if shortcut else 2 * size
    indices = 0.0
    if not s["cifar_stem"]:
        pooled = s["width"] * ((layers[0][3] + 1) // 2) ** 2
        kept, indices = kept + pooled, 8.0 * pooled
    return Saved(
        wide=float(s["classes"] + layers[-1][1]),
        narrow=kept,
        outputs=s["classes"],
        inputs=8 + indices,
        backward=2.0 * max(sizes),
        hidden=pixels + 3 * max(sizes),
    )


SAVED: Mapping[str, Callable[[Mapping[str, int]], Saved]] = {
    "decoder": _decoder,
    "encoder": _encoder,
    "vit": _vit,
    "resnet": _resnet,
}


# --------------------------------------------------------------------------------------- devices


def fits(size: ArrayLike, device: Device) -> Any:
    """Whether `size` bytes fit into a device; a boolean or an array of them."""
    return np.asarray(size, dtype=np.float64) <= device.usable


def largest_size(
    family: count.Family,
    options: Mapping[str, Any],
    limit: float,
    *,
    data: float = 0.0,
    precision: Precision = "float32",
) -> int | None:
    """Largest N of a family that trains within `limit` bytes, one sequence at a time.

    Parameters
    ----------
    family : Family
    options : mapping
        As for `Family.shape`.
    limit : float
        [bytes].
    data, precision
        As in `memory`.

    Returns
    -------
    int or None
        N [count]; None if not even the smallest fits.
    """
    dials = list(family.dial(options))
    low, high = 0, len(dials)  # all before `low` fit, none from `high` on
    best = None
    while low < high:
        middle = (low + high) // 2
        shape = family.shape(dials[middle], options)
        counts = family.counts(shape)
        every = counts.N + counts.embedding
        need = memory(family.name, shape, every, 1, data=data, precision=precision).total
        if need <= limit:
            best, low = counts.N, middle + 1
        else:
            high = middle
    return best


def too_large(
    N: ArrayLike, size: ArrayLike, limit: float, largest: int | None, where: str
) -> Message | None:
    """SC224 if points do not fit into memory even with one sequence at a time.

    Parameters
    ----------
    N : array_like
        Of each point [count], shape (n,).
    size : array_like
        `memory` of each point with one sequence at a time [bytes], shape (n,).
    limit : float
        Memory that can be filled [bytes].
    largest : int or None
        What `largest_size` found.
    where : str
        Name of the memory, for the message.
    """
    bytes_, sizes = np.asarray(size, dtype=np.float64), np.asarray(N, dtype=np.float64)
    over = bytes_ > limit
    if not over.any():
        return None
    text = (
        f"{over.sum()} of {len(over)} points need more than the {limit / 2**30:.3g} GiB of {where} "
        f"(up to {bytes_.max() / 2**30:.3g} GiB, N {sizes[over].max():.4g})."
    )
    mend = "a device with more memory"
    if largest is not None:
        mend = f"sizes up to N = {largest:.4g}, the largest that fits, or {mend}"
    return Message("SC224", text, mend=mend)
