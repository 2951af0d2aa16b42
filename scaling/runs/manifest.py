"""Training data as a manifest: what they are, counted and hashed, without torch.

A manifest names a *source*. Two sources are always there: the text of Python's own standard
library, and a Markov chain whose entropy rate is known exactly. A third, ``external``, stands for
data that another trainer reads: its sizes are enough for a plan.
"""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault, TrainingError

Tokens = NDArray[np.uint8]
SOURCES = ("stdlib", "markov", "external")
_SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
)
_VALIDATION_SHARE = 16  # of 256: one file in sixteen is held out
_SEPARATOR = b"\0"


@dataclass(frozen=True)
class Manifest:
    """What training reads.

    Attributes
    ----------
    source : {"stdlib", "markov", "external"}
    hash : str
        sha256 over the training and validation tokens; of its options for ``external``.
    vocabulary : int
        Number of distinct token values.
    train_tokens, validation_tokens : int
        Lengths of the two parts [tokens].
    detail : str
        One line for readers.
    entropy : float or None
        Exact entropy rate [nats per token], where it is known.
    options : mapping
        What the source needs to be made again.
    """

    source: str
    hash: str
    vocabulary: int
    train_tokens: int
    validation_tokens: int
    detail: str
    entropy: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form that stands in every point of a plan."""
        return asdict(self)


def resolve(source: str, options: Mapping[str, Any] | None = None) -> Manifest:
    """Make the manifest of a source on this machine.

    Parameters
    ----------
    source : {"stdlib", "markov", "external"}
    options : mapping, optional
        For ``markov``: ``symbols``, ``concentration``, ``seed``, ``tokens``,
        ``validation_tokens``; for ``external``: ``tokens``, ``validation_tokens``, ``vocabulary``.

    Raises
    ------
    ConfigError
        SC012 for an unknown source or option.
    """
    chosen = _checked_options(source, options or {})
    if source == "external":
        return _external(chosen)
    train, validation = _tokens(source, tuple(sorted(chosen.items())))
    digest = hashlib.sha256(train.tobytes() + b"|" + validation.tobytes()).hexdigest()
    if source == "markov":
        chain = transition_matrix(chosen)
        entropy: float | None = entropy_rate(chain)
        vocabulary = int(chosen["symbols"])
        detail = f"order-1 Markov chain of {vocabulary} symbols, entropy rate {entropy:.5f} nats"
    else:
        entropy, vocabulary = None, 256
        detail = "bytes of the Python standard library's source, tests left out, split by file"
    return Manifest(
        source, digest, vocabulary, len(train), len(validation), detail, entropy, chosen
    )


def load(manifest: Mapping[str, Any]) -> tuple[Tokens, Tokens]:
    """Return the training and validation tokens of a manifest, checked against its hash.

    Raises
    ------
    TrainingError
        SC305 if this machine's data differ from those planned, SC308 for ``external`` data.
    """
    if manifest["source"] == "external":
        raise TrainingError(
            Fault(
                "SC308",
                "[data] source",
                '"external" data belong to another trainer',
                "a source that this trainer reads: stdlib or markov",
                "train the points of plan.jsonl with your own program and fit its results",
            )
        )
    options = tuple(sorted(_checked_options(manifest["source"], manifest["options"]).items()))
    train, validation = _tokens(manifest["source"], options)
    digest = hashlib.sha256(train.tobytes() + b"|" + validation.tobytes()).hexdigest()
    if digest != manifest["hash"]:
        raise TrainingError(
            Fault(
                "SC305",
                f"data source {manifest['source']}",
                f"hash {digest[:12]} on this machine",
                f"{manifest['hash'][:12]} as planned",
                "plan again here, or use the Python version that planned it",
            )
        )
    return train, validation


def _external(options: Mapping[str, Any]) -> Manifest:
    """Describe data that another trainer reads."""
    text = ",".join(f"{name}={value}" for name, value in sorted(options.items()))
    return Manifest(
        "external",
        hashlib.sha256(text.encode()).hexdigest(),
        options["vocabulary"],
        options["tokens"],
        options["validation_tokens"],
        f"data of another trainer: {options['tokens']:.4g} units, "
        f"{options['validation_tokens']:.4g} held out",
        None,
        options,
    )


_MARKOV_DEFAULTS: dict[str, float | int] = {
    "symbols": 64,
    "concentration": 0.3,
    "seed": 0,
    "tokens": 20_000_000,
    "validation_tokens": 400_000,
}

_EXTERNAL_DEFAULTS: dict[str, float | int] = {
    "tokens": 10**12,
    "validation_tokens": 10**7,
    "vocabulary": 50_304,
}
_DEFAULTS = {"markov": _MARKOV_DEFAULTS, "external": _EXTERNAL_DEFAULTS}

_RANGES: dict[str, tuple[float, float]] = {
    "symbols": (2, 256),
    "concentration": (1e-3, 1e3),
    "seed": (0, 2**32),
    "vocabulary": (1, 10**7),
}
_MOST_TOKENS = {"markov": 10**10, "external": 10**16}


def _checked_options(source: str, options: Mapping[str, Any]) -> dict[str, Any]:
    if source not in SOURCES:
        raise ConfigError(
            Fault("SC012", "[data] source", f'"{source}"', "one of " + ", ".join(SOURCES))
        )
    known = _DEFAULTS.get(source, {})
    for name in options:
        if name not in known:
            raise ConfigError(
                Fault(
                    "SC011",
                    f"[data] {name}",
                    f'not an option of source "{source}"',
                    "one of " + ", ".join(known) if known else "no options",
                )
            )
    merged = {**known, **options}
    return {name: _checked_number(source, name, value) for name, value in merged.items()}


def _checked_number(source: str, name: str, value: Any) -> float | int:
    """Return an option in its own type, so that 8 and 8.0 hash alike."""
    low, high = _RANGES.get(name) or (1, _MOST_TOKENS[source])
    whole = isinstance(_DEFAULTS[source][name], int)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        expected = f"{kind} from {low:.15g} to {high:.15g}"
        raise ConfigError(Fault("SC012", f"[data] {name}", repr(value), expected))
    return int(value) if whole else float(value)


@lru_cache(maxsize=2)
def _tokens(source: str, options: tuple[tuple[str, Any], ...]) -> tuple[Tokens, Tokens]:
    return _markov(dict(options)) if source == "markov" else _stdlib()


# ------------------------------------------------------------------------------ standard library


def _stdlib() -> tuple[Tokens, Tokens]:
    """Concatenate the library's files in the order of their paths; each file once.

    A file goes to validation if the first byte of its path's hash is small, so that the split does
    not depend on which other files exist.
    """
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    seen: set[bytes] = set()
    for name, text in _stdlib_files():
        digest = hashlib.sha256(text).digest()
        if digest in seen:
            continue
        seen.add(digest)
        held_out = hashlib.sha256(name.encode()).digest()[0] < _VALIDATION_SHARE
        parts[held_out].append(text + _SEPARATOR)
    train, validation = (np.frombuffer(b"".join(part), dtype=np.uint8) for part in parts)
    if len(train) < 1_000_000 or len(validation) < 50_000:
        raise TrainingError(
            Fault(
                "SC305",
                "data source stdlib",
                f"only {len(train) + len(validation)} bytes of source files",
                "about 10 MB",
                "use a full Python installation",
            )
        )
    return train, validation


def _stdlib_files() -> Iterator[tuple[str, bytes]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        generated = path.name.startswith("_sysconfigdata")  # differs from build to build
        if not generated and not _SKIPPED_FOLDERS.intersection(parts) and path.is_file():
            found["/".join(parts)] = path
    for name in sorted(found):
        yield name, found[name].read_bytes()


# ---------------------------------------------------------------------------------- Markov chain


def transition_matrix(options: Mapping[str, Any]) -> NDArray[np.float64]:
    """Rows of the chain, each drawn from a symmetric Dirichlet; shape (symbols, symbols)."""
    rng = np.random.default_rng([int(options["seed"]), 1])
    symbols = int(options["symbols"])
    return rng.dirichlet(np.full(symbols, float(options["concentration"])), size=symbols)


def stationary(chain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stationary distribution of a chain, shape (symbols,)."""
    k = len(chain)
    system = np.vstack([chain.T - np.eye(k), np.ones(k)])
    solution = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0), rcond=None)[0]
    return np.asarray(np.clip(solution, 0.0, None) / solution.sum())


def entropy_rate(chain: NDArray[np.float64]) -> float:
    """Entropy rate -Σ_i π_i Σ_j P_ij ln P_ij [nats per token] (Shannon 1948)."""
    safe = np.where(chain > 0, chain, 1.0)
    rows = -(chain * np.log(safe)).sum(axis=1)
    return float(stationary(chain) @ rows)


def _markov(options: Mapping[str, Any]) -> tuple[Tokens, Tokens]:
    """Sample many parallel chains at once; each validation token has the chain's own history."""
    chain = transition_matrix(options)
    rng = np.random.default_rng([int(options["seed"]), 2])
    return (
        _sample(chain, int(options["tokens"]), rng),
        _sample(chain, int(options["validation_tokens"]), rng),
    )


def _sample(chain: NDArray[np.float64], tokens: int, rng: np.random.Generator) -> Tokens:
    """Draw `tokens` symbols as long parallel chains laid end to end.

    Chains are thousands of tokens long, so the few joins between them do not move the loss.
    """
    k = len(chain)
    length = 4096
    chains = -(-tokens // length)
    cumulative = chain.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]
    flat = (cumulative + np.arange(k)[:, None]).ravel()
    state = np.searchsorted(stationary(chain).cumsum(), rng.random(chains)).clip(0, k - 1)
    out = np.empty((chains, length), dtype=np.uint8)
    for t in range(length):
        out[:, t] = state
        position = np.searchsorted(flat, state + rng.random(chains), side="right")
        state = np.clip(position - state * k, 0, k - 1)
    return out.reshape(-1)[:tokens]
