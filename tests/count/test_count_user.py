"""A family given as a table of sizes."""

import math
import pickle

import pytest

from scaling.count import UserFamily, sizes
from scaling.errors import ConfigError

ROWS = [
    {"dial": 64, "body": 4000, "head": 1000, "embedding": 1000, "forward": 11000.5},
    {"dial": 16, "body": 250, "head": 50, "embedding": 7, "forward": 700},
    {"dial": 32, "body": 1000, "head": 500, "embedding": 500, "forward": 3100.0},
]


def test_it_is_the_table_in_order_of_size():
    family = UserFamily("mine", "token", 24, ROWS)
    assert (family.name, family.unit) == ("mine", "token")
    assert family.dial({}) == (16, 32, 64)
    assert sizes(family, {}).N.tolist() == [300, 1500, 5000]
    shape = family.shape(64, {})
    assert shape == {"dial": 64}
    assert family.per_sequence(shape) == 24
    counts = family.counts(shape)
    assert (counts.body, counts.head, counts.embedding) == (4000, 1000, 1000)
    assert (counts.N, counts.total, counts.training) == (5000, 6000, 33001.5)
    assert sum(counts.groups.values()) == counts.total


def test_only_conventions_that_the_table_knows():
    """Nothing is known of attention, so that nothing is said of it."""
    counts = UserFamily("mine", "example", 1, ROWS).counts({"dial": 64})
    assert counts.conventions() == {"6n": 30000.0, "6n_body": 24000.0, "full": 33001.5}


def test_of_equal_sizes_the_lower_dial_stays():
    rows = [*ROWS, {"dial": 20, "body": 300, "head": 0, "embedding": 0, "forward": 1.0}]
    assert UserFamily("mine", "token", 1, rows).dial({}) == (16, 32, 64)


def test_the_callers_rows_are_copied():
    rows = [dict(row) for row in ROWS]
    family = UserFamily("mine", "token", 1, rows)
    rows[0]["body"] = 1
    assert family.counts({"dial": 64}).body == 4000


def test_it_travels_to_other_processes():
    family = pickle.loads(pickle.dumps(UserFamily("mine", "token", 24, ROWS)))
    assert family.dial({}) == (16, 32, 64)


def changed(**values):
    return [ROWS[0], {**ROWS[1], **values}]


@pytest.mark.parametrize(
    ("rows", "where", "found"),
    [
        ([], "sizes", "empty"),
        ([ROWS[0], {"dial": 1}], "sizes, row 1", "instead of dial, body"),
        ([ROWS[0], {**ROWS[1], "extra": 1}], "sizes, row 1", "extra"),
        ([ROWS[0], 7], "sizes, row 1", "7"),
        (changed(body=-1), "sizes, row 1", "body is negative"),
        (changed(body=2.5), "sizes, row 1", "body is 2.5"),
        (changed(head=True), "sizes, row 1", "head is True"),
        (changed(dial="a"), "sizes, row 1", "dial is 'a'"),
        (changed(body=10**30), "sizes, row 1", "not a count"),
        (changed(body=0, head=0), "sizes, row 1", "must hold parameters"),
        (changed(forward=0.0), "sizes, row 1", "forward is 0.0"),
        (changed(forward=math.nan), "sizes, row 1", "forward is nan"),
        (changed(forward=math.inf), "sizes, row 1", "forward is inf"),
        (changed(forward=True), "sizes, row 1", "forward is True"),
        (changed(forward=10**400), "sizes, row 1", "forward is 1000"),
        (changed(dial=64), "sizes, row 1", "dial 64 stands in row 0 too"),
    ],
)
def test_bad_rows(rows, where, found):
    with pytest.raises(ConfigError) as caught:
        UserFamily("mine", "token", 1, rows)
    assert caught.value.code == "SC012"
    assert [fault.where for fault in caught.value.faults] == [where]
    assert found in caught.value.faults[0].found


def test_all_faults_at_once():
    with pytest.raises(ConfigError) as caught:
        UserFamily("mine", "word", 0, [{**ROWS[0], "forward": -1}, *changed(body="x")])
    assert [fault.where for fault in caught.value.faults] == [
        "unit", "per_sequence", "sizes, row 0", "sizes, row 2",
    ]  # fmt: skip


def test_it_takes_no_options_and_no_other_dial():
    family = UserFamily("mine", "token", 1, ROWS)
    with pytest.raises(ConfigError, match="SC011"):
        family.dial({"layers": 2})
    with pytest.raises(ConfigError, match="dial 17"):
        family.shape(17, {})
