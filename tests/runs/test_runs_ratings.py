"""Ratings: three file formats that give the same data, a split by time, and a known lowest loss."""

import numpy as np
import pytest

from scaling.errors import ConfigError
from scaling.runs.manifest import arrays, resolve
from scaling.runs.sources.movielens import split_time
from scaling.runs.sources.ratings import probability, truth

SMALL = {"users": 60, "items": 40, "rank": 8, "ratings": 20_000, "validation_ratings": 5_000}
HEADER = "userId,movieId,rating,timestamp"


def made(count=400, seed=0):
    """Rows of user, item, rating and time, in no order, with gaps between the ids."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(30 * 25)[:count]
    users, items = 7 * (pairs // 25) + 3, 11 * (pairs % 25) + 5
    ratings = rng.integers(1, 11, count) / 2
    times = 874_724_710 + rng.integers(0, 90, count) * 1000
    return list(zip(users, items, ratings, times, strict=True))


def written(folder, rows, form="csv"):
    """Write rows in one of the formats; return the file."""
    separator = {"u.data": "\t", "dat": "::", "csv": ","}[form]
    name = {"u.data": "u.data", "dat": "ratings.dat", "csv": "ratings.csv"}[form]
    lines = [HEADER] if form == "csv" else []
    lines += [separator.join(map(str, row)) for row in rows]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path, **options):
    """Return the manifest and both parts."""
    manifest = resolve("movielens", {"path": str(path), **options})
    return manifest, *arrays(manifest.as_dict())


def refused(path, **options):
    """Return the first fault."""
    with pytest.raises(ConfigError) as caught:
        read(path, **options)
    return caught.value.faults[0]


@pytest.mark.parametrize("form", ["u.data", "dat", "csv"])
def test_each_format_gives_what_was_written(tmp_path, form):
    rows = made()
    path = written(tmp_path, rows, form)
    manifest, train, held_out = read(path, unknown="keep")
    assert manifest.train_tokens + manifest.validation_tokens == len(rows)
    users = sorted({row[0] for row in rows if row[3] <= train["times"][-1]})
    items = sorted({row[1] for row in rows if row[3] <= train["times"][-1]})
    expected = sorted(
        (users.index(u) if u in users else len(users),
         items.index(i) if i in items else len(items), r, t)
        for u, i, r, t in rows
    )  # fmt: skip
    found = [
        row
        for part in (train, held_out)
        for row in zip(*(part[k].tolist() for k in ("users", "items", "ratings", "times")),
                       strict=True)
    ]  # fmt: skip
    assert sorted(found) == expected
    assert manifest.facts == {"users": len(users) + 1, "items": len(items) + 1}


def test_formats_folders_and_line_order_do_not_change_the_data(tmp_path):
    rows = made()
    hashes = set()
    for number, form in enumerate(("u.data", "dat", "csv")):
        folder = tmp_path / form
        folder.mkdir()
        path = written(folder, rows[::-1] if number == 1 else rows, form)
        hashes |= {read(path)[0].hash, read(folder)[0].hash}
    assert len(hashes) == 1


def test_columns_are_read_by_the_names_of_the_header(tmp_path):
    rows = made()
    plain = written(tmp_path, rows)
    moved = tmp_path / "moved.csv"
    lines = ["timestamp,movieId,note,rating,userId"]
    moved.write_text("\n".join(lines + [f"{t},{i},x,{r},{u}" for u, i, r, t in rows]))
    assert read(moved)[0].hash == read(plain)[0].hash


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_nothing_held_out_is_as_early_as_anything_trained_on(tmp_path, share):
    rows = made()
    _, train, held_out = read(written(tmp_path, rows), validation_share=share, unknown="keep")
    assert train["times"].max() < held_out["times"].min()
    assert (np.diff(train["times"]) >= 0).all()
    assert (np.diff(held_out["times"]) >= 0).all()
    # all of the time at the cut is held out, so a little more than the share
    assert share <= len(held_out["times"]) / len(rows) < share + 0.03


def test_the_split_of_times_that_are_alike():
    assert split_time(np.array([]), 0.1) is None
    assert split_time(np.full(5, 3.0), 0.1) is None
    assert split_time(np.array([1.0, 2, 2, 2]), 0.1) == 2.0
    assert split_time(np.array([1.0, 1, 1, 2]), 0.9) == 2.0  # the earliest are never held out


def test_of_a_pair_that_was_rated_twice_the_later_rating_stays(tmp_path):
    rows = made()
    user, item, _, time = rows[0]
    again = [*rows, (user, item, 0.5, time + 10**8), (user, item, 4.5, time - 10**7)]
    manifest, train, held_out = read(written(tmp_path, again), unknown="keep")
    assert manifest.train_tokens + manifest.validation_tokens == len(rows)
    assert "2 earlier ratings of the same user and item left out" in manifest.detail
    assert held_out["ratings"][-1] == 0.5
    pairs = [*zip(train["users"], train["items"], strict=True)]
    assert len(set(pairs)) == len(pairs)


def strange():
    """Rows with a late user and a late item that nobody knows."""
    late = max(row[3] for row in made()) + 10**6
    lone = [(900, 5, 3.0, late), (3, 901, 2.0, late + 1), (900, 901, 1.0, late + 2)]
    return [*made(), *lone]


def test_strangers_are_counted_and_left_out(tmp_path):
    manifest, train, held_out = read(written(tmp_path, strange()), validation_share=0.05)
    assert "3 held-out ratings of users or items unknown in training (2 and 2)" in manifest.detail
    users, items = manifest.facts["users"], manifest.facts["items"]
    assert set(train["users"]) == set(range(users))
    assert set(train["items"]) == set(range(items))
    assert held_out["users"].max() < users
    assert held_out["items"].max() < items
    assert held_out["ratings"][-1] not in (1.0, 2.0)


def test_strangers_are_kept_in_rows_of_their_own(tmp_path):
    path = written(tmp_path, strange())
    manifest, train, held_out = read(path, validation_share=0.05, unknown="keep")
    users, items = manifest.facts["users"] - 1, manifest.facts["items"] - 1
    assert list(held_out["users"][-3:] == users) == [True, False, True]
    assert list(held_out["items"][-3:] == items) == [False, True, True]
    assert train["users"].max() < users


def test_users_with_few_ratings_share_the_row_of_the_unknown(tmp_path):
    rows = [*made(), (901, 5, 3.0, 1), (902, 5, 4.0, 2)]
    path = written(tmp_path, rows)
    manifest, train, _ = read(path, least=2, unknown="keep")
    assert "(2 users with one training rating)" in manifest.detail
    assert list(train["users"][:2]) == [manifest.facts["users"] - 1] * 2
    dropped, train, _ = read(path, least=2)
    assert "2 training ratings below least = 2 left out" in dropped.detail
    assert dropped.train_tokens == manifest.train_tokens - 2
    assert train["times"][0] > 2


def test_a_file_that_is_missing(tmp_path):
    fault = refused(tmp_path / "nothing.csv")
    assert (fault.code, fault.found) == ("SC330", "does not exist")
    assert str(tmp_path / "nothing.csv") in fault.where
    assert refused(tmp_path).found == "holds no ratings file"
    (tmp_path / "u.data").write_text("")
    assert refused(tmp_path).found == "is empty"
    with pytest.raises(ConfigError) as caught:
        resolve("movielens")
    assert caught.value.code == "SC012"


BAD_LINES = [
    ("5,7,3.5", "SC330", "has 3 columns"),
    ("5,x,3.5,100", "SC330", "the item is no whole number"),
    ("5,7.5,3.5,100", "SC330", "the item is no whole number"),
    ("-5,7,3.5,100", "SC330", "the id of the user is negative"),
    ("5,7,good,100", "SC330", "the rating is no number"),
    ("5,7,nan,100", "SC330", "the rating is no number"),
    ("5,7,3.5,", "SC330", "the time is no number"),
    ("5,7,5.5,100", "SC331", "a rating of 5.5"),
    ("5,7,-1,100", "SC331", "a rating of -1"),
    ("99999999999999999999999,7,3,100", "SC330", "the user is no whole number"),
    ("\udcff\udcfe\0", "SC330", "has 1 columns"),
]


@pytest.mark.parametrize(("line", "code", "found"), BAD_LINES)
def test_a_line_that_cannot_be_used_is_shown(tmp_path, line, code, found):
    path = written(tmp_path, made())
    lines = path.read_text().splitlines()
    lines.insert(57, line)
    path.write_text("\n".join(lines), errors="surrogateescape")
    fault = refused(path)
    assert (fault.code, fault.found) == (code, found)
    assert fault.where == f"{path}:58"
    assert fault.excerpt


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ("userId,movieId,rating", "the header has no column for the time"),
        ("userId,rating,timestamp", "the header has no column for the item"),
        ("1\t2\t3", "has 3 columns (no time?)"),
        ("1::2::3::4::5", "has 5 columns"),
        ("some words", "is not a rating"),
    ],
)
def test_a_first_line_of_another_format(tmp_path, first, found):
    path = tmp_path / "ratings.csv"
    path.write_text(f"{first}\n1,2,3,4\n")
    fault = refused(path)
    assert (fault.code, fault.found, fault.where) == ("SC330", found, f"{path}:1")
    assert fault.excerpt == first.replace("\t", "  ")


def test_too_few_ratings_and_nothing_to_hold_out(tmp_path):
    assert refused(written(tmp_path, made(10))).found.startswith("leaves 9 ratings for training")
    same = [(u, i, r, 5) for u, i, r, _ in made()]
    assert "0 to be held out" in refused(written(tmp_path, same)).found
    apart = [(u, i, r, 5) for u, i, r, _ in made()] + [(900 + k, 5, 1.0, 9) for k in range(40)]
    path = written(tmp_path, apart)
    assert refused(path).found == "leaves 400 ratings for training and 0 to be held out"
    assert read(path, unknown="keep")[0].validation_tokens == 40
    fault = refused(path, lowest=6)
    assert (fault.code, fault.where) == ("SC012", "[data] options lowest")


def cross_entropy(p, clicks):
    """Loss of each example at these probabilities."""
    return -np.where(clicks > 0, np.log(p), np.log1p(-p))


@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_the_stated_entropy_is_reached_by_the_true_probabilities(drift):
    manifest = resolve("ratings", SMALL | {"validation_ratings": 200_000, "drift": drift})
    _, held_out = arrays(manifest.as_dict())
    scores = truth(manifest.options, *(held_out[k] for k in ("users", "items", "times")))
    clicks, n = held_out["ratings"], len(scores)
    assert set(np.unique(clicks)) == {0.0, 1.0}
    losses = cross_entropy(probability(scores), clicks)
    assert abs(losses.mean() - manifest.entropy) < 4 * losses.std() / np.sqrt(n)
    # nothing near them does better, and what forgets the pair does much worse
    assert cross_entropy(probability(1.2 * scores), clicks).mean() > losses.mean()
    assert cross_entropy(probability(0.8 * scores), clicks).mean() > losses.mean()
    base = cross_entropy(np.full(n, clicks.mean()), clicks).mean()
    assert base > manifest.entropy + 0.05


def test_the_lowest_squared_error_is_that_of_the_noise():
    options = SMALL | {"feedback": "ratings", "noise": 0.7, "validation_ratings": 200_000}
    manifest = resolve("ratings", options)
    _, held_out = arrays(manifest.as_dict())
    scores = truth(manifest.options, *(held_out[k] for k in ("users", "items", "times")))
    squares = (held_out["ratings"] - scores) ** 2
    assert manifest.entropy == pytest.approx(0.49)
    assert abs(squares.mean() - 0.49) < 4 * squares.std() / np.sqrt(len(squares))
    assert scores.std() > 1.0


def test_the_world_is_in_time_and_popular_things_are_popular():
    manifest = resolve("ratings", SMALL | {"user_popularity": 0.5, "item_popularity": 1.0})
    train, held_out = arrays(manifest.as_dict())
    assert train["times"].max() <= held_out["times"].min()
    assert (np.diff(train["times"]) >= 0).all()
    for name, power in (("users", 0.5), ("items", 1.0)):
        counts = np.bincount(train[name], minlength=SMALL[name])
        weights = np.arange(1, SMALL[name] + 1) ** -power
        expected = weights / weights.sum() * len(train[name])
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()


def test_tastes_turn_as_the_drift_says():
    options = dict(resolve("ratings", SMALL | {"drift": 1.0, "bias": 0.0, "base": 0.0}).options)
    users, items = np.divmod(np.arange(60 * 40), 40)
    at = [truth(options, users, items, np.full(2400, t)) for t in (0.0, 0.5, 1.0)]
    assert np.corrcoef(at[0], at[1])[0, 1] == pytest.approx(np.cos(0.5), abs=0.1)
    assert np.corrcoef(at[0], at[2])[0, 1] == pytest.approx(np.cos(1.0), abs=0.15)
    assert at[2].std() == pytest.approx(at[0].std(), rel=0.2)


def test_another_world_has_another_hash():
    base = resolve("ratings", SMALL).hash
    for change in ({"seed": 1}, {"drift": 0.5}, {"feedback": "ratings"}, {"users": 61}):
        assert resolve("ratings", SMALL | change).hash != base


@pytest.mark.parametrize(
    "options", [{"users": 1}, {"feedback": "likes"}, {"noise": -1.0}, {"ratings": 3}, {"user": 3}]
)
def test_options_that_cannot_be_meant(options):
    with pytest.raises(ConfigError) as caught:
        resolve("ratings", SMALL | options)
    assert caught.value.code in ("SC011", "SC012")
