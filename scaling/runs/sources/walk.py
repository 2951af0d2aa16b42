"""A random walk on a random graph: sequences without any power law, whose entropy is known.

After Barkeshli et al. (2026), who find that transformers scale on such data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ConfigError, Fault
from scaling.options import Option
from scaling.runs.sources.base import Made
from scaling.runs.sources.drawing import CHUNK, Ints, paths, sizes, smallest_type


class Walk:
    """Vertices that a walker visits, each neighbour being as likely as any other."""

    name = "walk"
    kind = "tokens"
    options = (
        Option("vertices", "integer", 1000, "of the graph", low=2, high=20_000),
        Option("density", "number", 0.01, "chance of each edge", low=1e-6, high=1),
        *sizes(),
    )

    def make(self, options: Mapping[str, Any], where: Path | None) -> Made:
        """Draw the graph, then both parts."""
        del where
        graph = random_graph(options)
        rng = np.random.default_rng([int(options["seed"]), 22])
        train, validation = (
            _sample(graph, int(options[name]), rng) for name in ("tokens", "validation_tokens")
        )
        floor, kinds = graph.entropy_rate, len(graph.degree)
        detail = (
            f"random walk on a random graph of {kinds} vertices and {graph.edges} edges, "
            f"entropy rate {floor:.5f} nats"
        )
        parts = ({"tokens": train}, {"tokens": validation})
        return Made(*parts, len(train), len(validation), kinds, detail, floor)


@dataclass(frozen=True)
class Graph:
    """An undirected graph without isolated vertices.

    Attributes
    ----------
    degree : ndarray
        Neighbours of each vertex, shape (vertices,).
    neighbours : ndarray
        Those of vertex 0, then of vertex 1, …; shape (2 edges,).
    """

    degree: Ints
    neighbours: Ints

    @property
    def edges(self) -> int:
        """How many there are."""
        return len(self.neighbours) // 2

    @property
    def first(self) -> Ints:
        """Where the neighbours of each vertex begin, shape (vertices,)."""
        return np.cumsum(self.degree) - self.degree

    @property
    def stationary(self) -> NDArray[np.float64]:
        """Share of the visits of each vertex, degree/2E; shape (vertices,)."""
        return np.asarray(self.degree / self.degree.sum())

    @property
    def entropy_rate(self) -> float:
        """Σ (k_i/2E) ln k_i = ln 2E - H(k/2E) [nats per step].

        It is that of a walk which starts in the stationary distribution, whether or not the graph
        hangs together.
        """
        return float(self.stationary @ np.log(self.degree))


def random_graph(options: Mapping[str, Any]) -> Graph:
    """Draw the graph of Erdős and Rényi; vertices without an edge are left out.

    Raises
    ------
    ConfigError
        SC012 if no edge is drawn.
    """
    n, density = int(options["vertices"]), float(options["density"])
    rng = np.random.default_rng([int(options["seed"]), 21])
    ends: list[NDArray[np.int64]] = []
    rows = max(1, CHUNK // n)
    for start in range(0, n, rows):
        chosen = rng.random((min(rows, n - start), n)) < density
        i, j = np.nonzero(chosen)
        above = j > i + start  # each pair once
        ends.append(np.stack([i[above] + start, j[above]]))
    pairs = np.concatenate(ends, axis=1)
    if not pairs.size:
        found = f"{density:g} left {n} vertices without any edge"
        raise ConfigError(Fault("SC012", "[data] density", found, f"about {10 / n:.2g} or more"))
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    kept, renumbered = np.unique(both, return_inverse=True)
    source, target = renumbered.reshape(both.shape)
    order = np.lexsort((target, source))
    return Graph(np.bincount(source, minlength=len(kept)), target[order])


def _sample(graph: Graph, tokens: int, rng: np.random.Generator) -> NDArray[Any]:
    first, degree = graph.first, graph.degree

    def start(count: int) -> Ints:
        # the end of an edge drawn at random is in the stationary distribution
        return graph.neighbours[rng.integers(len(graph.neighbours), size=count)]

    def step(state: Ints) -> Ints:
        return np.asarray(graph.neighbours[first[state] + rng.integers(degree[state])])

    return paths(start, step, tokens, smallest_type(len(degree)))


WALK = Walk()
