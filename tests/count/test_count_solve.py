"""The solver against a search over all sizes, in exact arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from scaling.count import DECODER, FAMILIES, UserFamily, nearest, sizes, solve, solve_dial
from scaling.errors import ConfigError

SMALL = {"vocabulary": 256, "context": 32}
PORIAN = {"rule": "porian-2024", "vocabulary": 50432, "context": 2048}
CASES = [(DECODER, SMALL), (DECODER, PORIAN), (FAMILIES["resnet"], {"depth": "50"}),
         (FAMILIES["vit"], {"rule": "vit-2021"})]  # fmt: skip


def counted(family, options):
    return [family.counts(family.shape(dial, options)).N for dial in family.dial(options)]


def searched(found, target, tolerance):
    """Index of the size whose ratio to the target is nearest to 1; ties go to the smaller.

    Under a tolerance it is the one that is off by the smallest fraction.
    """
    exact = Fraction(target)
    off = [max(Fraction(n) / exact, exact / n) for n in found]
    if tolerance is not None:
        off = [abs(Fraction(n) / exact - 1) for n in found]
    index = off.index(min(off))
    if tolerance is not None:
        return index if abs(Fraction(found[index]) / exact - 1) <= Fraction(tolerance) else -1
    below = (exact / found[0]) ** 2 >= Fraction(found[0], found[1])
    above = (exact / found[-1]) ** 2 <= Fraction(found[-1], found[-2])
    return index if below and above else -1


@pytest.mark.parametrize("tolerance", [None, 0.01, 0.25])
@pytest.mark.parametrize(("family", "options"), CASES)
def test_the_nearest_size_is_found(family, options, tolerance):
    found = counted(family, options)[:60]
    rng = np.random.default_rng(1)
    targets = np.exp(rng.uniform(math.log(found[0] / 3), math.log(found[-1]), 400))
    if len(counted(family, options)) > 60:
        found.append(counted(family, options)[60])  # so that the last size is not an end
        targets = targets[targets < found[-2]]
    expected = [searched(found, target, tolerance) for target in targets.tolist()]
    indices = solve(family, targets, options, tolerance)
    assert indices.tolist() == expected
    assert -1 in expected
    assert max(expected) > 0


@pytest.mark.parametrize("tolerance", [None, 0.0])
def test_sizes_meet_themselves(tolerance):
    for family, options in CASES:
        found = sizes(family, options).N
        assert solve(family, found, options, tolerance).tolist() == list(range(len(found)))


def test_half_way_the_smaller_one_is_taken():
    family = UserFamily("mine", "token", 8, [row(1, 100), row(2, 400)])
    targets = [199.99, 200.0, 200.01]
    assert solve(family, targets, {}).tolist() == [0, 0, 1]


def test_beyond_the_ends():
    family = UserFamily("mine", "token", 8, [row(1, 100), row(2, 400)])
    targets = [49.9, 50.0, 799.9, 800.1]
    assert solve(family, targets, {}).tolist() == [-1, 0, 1, -1]
    assert solve(family, [80.0, 90.0, 110.0, 500.0], {}, 0.12).tolist() == [-1, 0, 0, -1]


def test_a_single_size_has_no_step():
    family = UserFamily("mine", "token", 8, [row(1, 100)])
    assert solve(family, [99.0, 100.0, 101.0], {}).tolist() == [-1, 0, -1]
    assert solve(family, [99.0, 100.0, 101.0], {}, 0.02).tolist() == [0, 0, 0]


@pytest.mark.parametrize("tolerance", [None, 0.5])
def test_targets_that_are_no_sizes(tolerance):
    targets = np.array([[0.0, -5.0, math.nan], [math.inf, -math.inf, 1e4]])
    found = solve(DECODER, targets, SMALL, tolerance)
    assert found.shape == (2, 3)
    assert found.dtype == np.int64
    assert (found.ravel()[:5] == -1).all()
    assert found[1, 2] >= 0


def test_many_targets_are_as_good_as_one():
    targets = np.exp(np.linspace(8, 20, 100_000))
    found = solve(DECODER, targets, SMALL, 0.02)
    for i in range(0, 100_000, 9_973):
        assert solve(DECODER, targets[i], SMALL, 0.02) == found[i]


def test_the_table_is_kept_and_cannot_be_changed():
    table = sizes(DECODER, SMALL)
    assert sizes(DECODER, dict(reversed(SMALL.items()))) is table
    with pytest.raises(ValueError, match="read-only"):
        table.N[0] = 1
    other = sizes(DECODER, {**SMALL, "layers": 3})
    assert (other.N > table.N).all()


def test_what_was_counted_does_not_vouch_for_bad_options():
    sizes(DECODER, {**SMALL, "layers": 1})
    for bad in ({"layers": True}, {"layers": [1]}, {"layer": 1}):
        with pytest.raises(ConfigError):
            sizes(DECODER, {**SMALL, **bad})


def test_a_family_whose_dial_is_out_of_order_is_sorted():
    """Shared heads may make a wider model smaller; the order is that of N."""

    class Shuffled(type(DECODER)):
        def dial(self, options):
            return list(reversed(super().dial(options)))

    found, straight = sizes(Shuffled(), SMALL), sizes(DECODER, SMALL)
    assert found.N.tolist() == straight.N.tolist()
    assert found.dials == straight.dials
    for heads in (1, 2, 3, 4, 8):
        assert (np.diff(sizes(DECODER, {**SMALL, "kv_heads": heads}).N) > 0).all()


@pytest.mark.parametrize(("target", "dials"), [
    (5e6, [0]), (5173248, [0, 1]), (5173249, [0, 1]), (8e6, [1, 2]), (901726208, [15]),
    (1e10, [15]),
])  # fmt: skip
def test_the_sizes_around_a_target(target, dials):
    found = nearest(DECODER, target, PORIAN)
    assert [size.dial for size in found] == dials
    for size in found:
        assert size.shape == DECODER.shape(size.dial, PORIAN)
        assert DECODER.counts(size.shape).N == size.N
    assert [size.N <= target for size in found] == sorted(
        (s.N <= target for s in found), reverse=True
    )


@pytest.mark.parametrize("target", [3584, 1.23e4, 1e6, 3e-3])
def test_the_dial_of_one_target(target):
    index = int(solve(DECODER, target, SMALL))
    expected = None if index < 0 else DECODER.dial(SMALL)[index]
    assert solve_dial(DECODER, target, SMALL) == expected


def row(dial, body):
    return {"dial": dial, "body": body, "head": 0, "embedding": 0, "forward": 2.0 * body}
