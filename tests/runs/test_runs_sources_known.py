"""Sampled sources against what is known of them: frequencies, entropies, and what a counter learns.

A learner that counts with one pseudo-count a cell has an excess loss of about parameters/(2n).
"""

import math
from collections import Counter

import numpy as np
import pytest

from scaling.errors import ConfigError
from scaling.options import read
from scaling.runs.manifest import load, resolve
from scaling.runs.sources import hierarchy, hmm, walk, zipf
from scaling.runs.sources.drawing import Rows, paths
from scaling.runs.sources.markov import entropy_rate, transition_matrix
from scaling.runs.sources.registry import source_of

SMALL = {"tokens": 30_000, "validation_tokens": 3_000}
NAMES = ("zipf", "walk", "hmm", "hierarchy")


def tokens(name, **options):
    """Training tokens of a source and its manifest, made anew."""
    manifest = resolve(name, options)
    return load(manifest.as_dict())[0], manifest


def options_of(name, **given):
    return read(source_of(name).options, given)


def counted(train, states):
    """Transition counts of a stream, shape (states, states)."""
    pairs = train[:-1].astype(np.int64) * states + train[1:]
    return np.bincount(pairs, minlength=states**2).reshape(states, states)


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_functions_of_their_options(name):
    one, two = (source_of(name).make(options_of(name, **SMALL), None) for _ in range(2))
    other = source_of(name).make(options_of(name, **SMALL, seed=1), None)
    assert np.array_equal(one.train["tokens"], two.train["tokens"])
    assert np.array_equal(one.validation["tokens"], two.validation["tokens"])
    assert not np.array_equal(one.train["tokens"], other.train["tokens"])
    assert not np.array_equal(one.train["tokens"][:3000], one.validation["tokens"])
    assert (len(one.train["tokens"]), len(one.validation["tokens"])) == (30_000, 3_000)
    assert one.train["tokens"].max() < one.vocabulary


@pytest.mark.parametrize(
    ("symbols", "dtype"), [(256, "uint8"), (257, "uint16"), (70_000, "uint32")]
)
def test_tokens_are_as_small_as_the_vocabulary_allows(symbols, dtype):
    train, manifest = tokens("zipf", symbols=symbols, **SMALL)
    assert (train.dtype, manifest.vocabulary) == (dtype, symbols)


# -------------------------------------------------------------------------------------------- zipf


def test_zipf_frequencies_and_entropy():
    train, manifest = tokens("zipf", symbols=50, exponent=1.2, tokens=400_000)
    p = np.arange(1, 51) ** -1.2
    p /= p.sum()
    seen = np.bincount(train, minlength=50) / len(train)
    assert (np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / len(train))).all()
    assert manifest.entropy == pytest.approx(-(p @ np.log(p)), rel=1e-12)
    surprise = -np.log(p[train])
    error = surprise.std() / math.sqrt(len(train))
    assert abs(surprise.mean() - manifest.entropy) < 4 * error


def test_entropies_known_by_hand():
    assert resolve("zipf", {"symbols": 8, "exponent": 0.0, **SMALL}).entropy == pytest.approx(
        math.log(8)
    )
    assert zipf.entropy(np.array([0.5, 0.25, 0.25, 0.0])) == pytest.approx(1.5 * math.log(2))
    complete = resolve("walk", {"vertices": 20, "density": 1.0, **SMALL})
    assert complete.entropy == pytest.approx(math.log(19))
    star = walk.Graph(np.array([3, 1, 1, 1]), np.array([1, 2, 3, 0, 0, 0]))
    assert star.entropy_rate == pytest.approx(0.5 * math.log(3))
    # handbook: (8, 4, 2, 3) has 1.4729 nats a token
    assert hierarchy.entropy(options_of("hierarchy")) == pytest.approx(1.4729, abs=5e-5)


# -------------------------------------------------------------------------------------------- walk


def test_a_walk_goes_along_edges_as_often_as_it_should():
    options = {"vertices": 30, "density": 0.15, "seed": 4, "tokens": 300_000}
    train, manifest = tokens("walk", **options)
    graph = walk.random_graph(options_of("walk", **options))
    n = len(graph.degree)
    allowed = np.zeros((n, n))
    for i, start in enumerate(graph.first):
        allowed[i, graph.neighbours[start : start + graph.degree[i]]] = 1
    assert (allowed == allowed.T).all()
    assert allowed.trace() == 0
    counts = counted(train, n)
    joins = len(train) // 16_000 + 1
    assert counts[allowed == 0].sum() <= joins
    expected = counts.sum(axis=1, keepdims=True) * allowed / graph.degree[:, None]
    assert (np.abs(counts - expected)[allowed > 0] < 5 * np.sqrt(expected[allowed > 0])).all()
    k = graph.degree / graph.degree.sum()
    exact = math.log(graph.degree.sum()) + (k @ np.log(k))
    assert manifest.entropy == pytest.approx(exact, rel=1e-12)


def test_isolated_vertices_are_left_out():
    options = {"vertices": 200, "density": 0.004, "seed": 1, **SMALL}
    train, manifest = tokens("walk", **options)
    graph = walk.random_graph(options_of("walk", **options))
    assert manifest.vocabulary == len(graph.degree) < 200
    assert graph.degree.min() >= 1
    assert train.max() < manifest.vocabulary


def test_the_walk_of_the_handbook():
    """Random graphs of n = 1000, p = .01 have h near 2.348."""
    found = [resolve("walk", {"seed": s, **SMALL}).entropy for s in range(3)]
    assert found == pytest.approx([2.348] * 3, abs=0.02)


# ------------------------------------------------------------------- what a counting model reaches


@pytest.mark.parametrize(
    ("name", "options"),
    [("walk", {"vertices": 200, "density": 0.05}), ("markov", {"symbols": 64})],
)
def test_bigram_counts_reach_the_entropy_rate(name, options):
    options = options | {"tokens": 4_000_000, "validation_tokens": 400_000}
    manifest = resolve(name, options)
    train, held_out = load(manifest.as_dict())
    n = manifest.vocabulary
    counts = counted(train, n) + 1e-3
    p = counts / counts.sum(axis=1, keepdims=True)
    loss = -np.log(p[held_out[:-1], held_out[1:]]).mean()
    assert loss == pytest.approx(manifest.entropy, rel=0.01)


def test_the_excess_of_a_counter_is_that_of_theory():
    """Add-half counts of V(V-1) free parameters lose V(V-1)/(2n) nats a token."""
    options = {"symbols": 8, "concentration": 5.0, "tokens": 1, "validation_tokens": 1}
    excess = []
    for seed in range(40):
        chain = transition_matrix(options | {"seed": seed})
        rng, n = np.random.default_rng(seed), 4000
        rows = Rows(chain)
        stream = paths(
            lambda count, rng=rng: rng.integers(8, size=count),
            lambda state, rng=rng, rows=rows: rows.draw(state, rng),
            n,
            np.uint8,
        )
        counts = counted(stream, 8) + 0.5
        p = counts / counts.sum(axis=1, keepdims=True)
        pi = np.linalg.matrix_power(chain, 1000)[0]
        excess.append(-(pi[:, None] * chain * np.log(p)).sum() - entropy_rate(chain))
    error = np.std(excess) / math.sqrt(40)
    assert np.mean(excess) == pytest.approx(8 * 7 / (2 * 4000), abs=4 * error + 2e-4)
    assert error < 5e-4


# --------------------------------------------------------------------------------------------- hmm

HIDDEN = {"states": 4, "symbols": 5, "concentration": 0.4, "emission": 0.3, "seed": 2}


def test_entropy_rate_of_a_chain_that_is_seen():
    """With one symbol for each state nothing is hidden."""
    chain = transition_matrix({"symbols": 4, "concentration": 0.4, "seed": 2})
    losses = list(hmm._filtered(chain, np.eye(4), 20_000, 3, np.random.default_rng(0)))
    assert losses[2].mean() == pytest.approx(entropy_rate(chain), abs=0.02)


def test_conditional_entropies_of_short_contexts_by_enumeration():
    chain, emission = hmm.matrices(options_of("hmm", **HIDDEN))
    pi = np.linalg.matrix_power(chain, 4096)[0]

    def block(length):
        """Entropy of so many tokens, over all sequences."""
        total = 0.0
        for sequence in np.ndindex(*(5,) * length):
            alpha = pi * emission[:, sequence[0]]
            for symbol in sequence[1:]:
                alpha = (alpha @ chain) * emission[:, symbol]
            p = alpha.sum()
            total -= p * math.log(p) if p > 0 else 0.0
        return total

    blocks = [0.0, *(block(n) for n in range(1, 6))]
    loss, error, positions = hmm.bayes_loss(options_of("hmm", **HIDDEN), 4, windows=20_000)
    assert positions == pytest.approx(np.diff(blocks), abs=0.015)
    assert loss == pytest.approx((blocks[5] - blocks[1]) / 4, abs=4 * error)
    rate, own = hmm.entropy_rate(options_of("hmm", **HIDDEN))
    assert rate < blocks[5] - blocks[4] + 4 * own  # more context never hurts
    assert own < 0.002


def test_symbols_of_a_hidden_chain_have_its_pairs():
    train, manifest = tokens("hmm", **HIDDEN, tokens=400_000)
    chain, emission = hmm.matrices(options_of("hmm", **HIDDEN))
    pi = np.linalg.matrix_power(chain, 4096)[0]
    joint = emission.T @ (pi[:, None] * chain) @ emission
    seen = counted(train, 5) / (len(train) - 1)
    assert np.abs(seen - joint).max() < 0.006
    assert manifest.entropy == pytest.approx(hmm.entropy_rate(manifest.options)[0], abs=1e-6)
    assert "±" in manifest.detail


# --------------------------------------------------------------------------------------- hierarchy

TINY = {"symbols": 4, "productions": 2, "branching": 2, "levels": 2}


def test_every_sentence_of_a_small_grammar_is_as_likely():
    """There are v m^(nodes) = 4 * 2^3 sentences, so ln 32 / 4 nats a token."""
    train, manifest = tokens("hierarchy", **TINY, tokens=128_000)
    sentences = Counter(map(tuple, train.reshape(-1, 4).tolist()))
    assert len(sentences) == 32
    spread = np.array(list(sentences.values())) / 1000 - 1
    assert np.abs(spread).max() < 5 / math.sqrt(1000)
    assert manifest.entropy == pytest.approx(math.log(32) / 4, rel=1e-12)


def test_productions_are_unambiguous():
    for level in hierarchy.grammar(options_of("hierarchy", **TINY | {"productions": 4})):
        assert len(set(map(tuple, level.reshape(-1, 2).tolist()))) == 16


def test_the_floor_of_windows_of_a_hierarchy():
    """Windows that begin with a sentence, or just before it, reach the entropy; others do not.

    The loss of the best predictor of 4 tokens after one, from the frequencies of all windows of 5.
    """
    train, manifest = tokens("hierarchy", **TINY, tokens=1_000_000)

    def entropy(blocks):
        _, counts = np.unique(blocks @ 4 ** np.arange(blocks.shape[1]), return_counts=True)
        return zipf.entropy(counts / counts.sum()) + len(counts) / (2 * len(blocks))

    def lowest(offset):
        windows = np.lib.stride_tricks.sliding_window_view(train, 5)[offset::4].astype(np.int64)
        return (entropy(windows) - entropy(windows[:, :1])) / 4

    losses = [lowest(offset) for offset in range(4)]
    assert [losses[0], losses[3]] == pytest.approx([manifest.entropy] * 2, abs=2e-3)
    assert min(losses[1], losses[2]) > manifest.entropy + 0.02


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hierarchy", {"symbols": 4, "productions": 5}),
        ("hierarchy", {"symbols": 4096, "branching": 3}),
        ("hierarchy", {"branching": 16, "levels": 16}),
        ("walk", {"vertices": 2, "density": 1e-6}),
        ("zipf", {"symbols": 1}),
        ("hmm", {"states": 0}),
        ("oracle", {"law": "hoffmann-2022", "E": 2.0}),
        ("oracle", {"law": "nobody"}),
        ("additive", {"flips": 0.7}),
        ("parity-examples", {"bits": 2, "relevant": 3}),
        ("teacher", {"dimensions": 20, "inputs": 16}),
    ],
)
def test_options_that_cannot_be_meant(name, options):
    with pytest.raises(ConfigError) as caught:
        resolve(name, options)
    assert caught.value.code == "SC012"
