"""Recommendation: what a step sees, what is measured, and the known lowest loss."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scaling import count  # noqa: E402
from scaling.count.tasks import TASKS  # noqa: E402
from scaling.errors import ConfigError  # noqa: E402
from scaling.options import read  # noqa: E402
from scaling.runs.manifest import arrays, resolve  # noqa: E402
from scaling.training.tasks.recommendation import Recommendation, auc, entropy  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from tests.runs.test_runs_ratings import made, strange, written  # noqa: E402

WORLD = {"users": 60, "items": 40, "rank": 4, "ratings": 40_000, "validation_ratings": 20_000}
CPU = torch.device("cpu")


def point(manifest, width=6, steps=20, sequences=64, seed=0, most=20_000, lr=0.02, **settings):
    """A point as a plan has it."""
    family = count.get("recommender")
    shape = family.shape(width, {name: manifest.facts[name] for name in ("users", "items")})
    counts = family.counts(shape)
    optimizer = {"name": "adamw", "lr": lr, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0,
                 "clip": 1.0, "warmup_steps": steps // 10, "decay_steps": steps // 2}  # fmt: skip
    return {
        "id": "0" * 16, "task": "recommendation", "family": "recommender", "shape": shape,
        "N": counts.N, "N_embedding": counts.embedding, "C": counts.training * steps * sequences,
        "settings": read(TASKS["recommendation"].options, settings), "data": manifest.as_dict(),
        "seed": seed, "init": {"embedding_sd": 0.1}, "evaluation": {"sequences": most},
        "sequences": sequences, "steps": steps, "optimizer": optimizer,
    }  # fmt: skip


@pytest.fixture(scope="module")
def clicks():
    return resolve("ratings", WORLD)


@pytest.fixture(scope="module")
def likes(tmp_path_factory):
    """A file of ratings, with held-out strangers kept as unknown."""
    path = written(tmp_path_factory.mktemp("likes"), strange())
    return resolve("movielens", {"path": str(path), "unknown": "keep", "validation_share": 0.2})


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("settings", [{}, {"negatives": 3}, {"order": "time", "negatives": 1}])
def test_a_step_is_a_function_of_the_seed_and_its_number(clicks, settings):
    task = Recommendation(point(clicks, **settings), CPU)
    again = Recommendation(point(clicks, **settings), CPU)
    steps = [0, 700, 3]  # of more than one epoch, in any order
    first = {step: task.batch(step) for step in steps}
    assert all(equal(first[step], again.batch(step)) for step in reversed(steps))
    for ranks in (2, 4):
        for step in steps:
            shares = [task.batch(step, rank, ranks) for rank in range(ranks)]
            whole = tuple(torch.cat(parts) for parts in zip(*shares, strict=True))
            assert equal(whole, first[step])
    other = Recommendation(point(clicks, seed=1, **settings), CPU)
    same = settings == {"order": "time", "negatives": 1}
    assert torch.equal(other.batch(0)[0], first[0][0]) == same  # users follow the order alone
    assert not equal(other.batch(0), first[0])


def test_gradients_do_not_depend_on_the_size_of_a_pass(clicks):
    found = []
    for micro in (64, 16, 4):
        trainer = Trainer(point(clicks, negatives=1), CPU)
        trainer.micro = micro
        for _ in range(3):
            trainer.train_step()
        found.append(torch.cat([flat.detach() for flat in trainer.flats]))
    assert torch.allclose(found[0], found[1], atol=1e-5)
    assert torch.allclose(found[0], found[2], atol=1e-5)
    assert not torch.allclose(found[0], torch.zeros_like(found[0]))


def test_an_epoch_sees_every_example_once(clicks):
    task = Recommendation(point(clicks), CPU)
    numbers = np.concatenate([task.numbers(step) for step in range(40_000 // 64)])
    assert sorted(numbers) == list(range(40_000))
    train, _ = arrays(clicks.as_dict())
    users, items, labels = task.batch(5)
    which = task.numbers(5)
    assert torch.equal(users, torch.from_numpy(train["users"][which]))
    assert torch.equal(items, torch.from_numpy(train["items"][which]))
    assert torch.equal(labels, torch.from_numpy(train["ratings"][which]))


def test_in_the_order_of_time_nothing_comes_before_what_is_earlier(clicks):
    task = Recommendation(point(clicks, order="time"), CPU)
    train, _ = arrays(clicks.as_dict())
    numbers = np.concatenate([task.numbers(step) for step in range(40_000 // 64)])
    assert (np.diff(train["times"][numbers]) >= 0).all()
    assert len(np.unique(numbers)) == len(numbers)


@pytest.mark.parametrize("negatives", [1, 4])
def test_negatives_have_their_share_and_known_items(likes, negatives):
    task = Recommendation(point(likes, negatives=negatives, sequences=100), CPU)
    train, _ = arrays(likes.as_dict())
    positives, items = 0, []
    for step in range(100):
        users, shown, labels = task.batch(step)
        which = task.numbers(step)
        assert torch.equal(users, torch.from_numpy(train["users"][which]))
        kept = labels > 0
        positives += int(kept.sum())
        assert torch.equal(shown[kept], torch.from_numpy(train["items"][which])[kept])
        items.append(shown[~kept])
    share, drawn = 1 / (negatives + 1), torch.cat(items)
    assert abs(positives - 10_000 * share) < 5 * math.sqrt(10_000 * share * (1 - share))
    unknown = likes.facts["items"] - 1
    assert set(drawn.tolist()) == set(range(unknown))  # the row of the unknown is never drawn


def test_popular_negatives_are_drawn_as_often_as_they_occur(clicks):
    train, _ = arrays(clicks.as_dict())
    expected = np.bincount(train["items"], minlength=40) / 40_000
    for drawn, shares in (("popular", expected), ("uniform", np.full(40, 1 / 40))):
        settings = {"negatives": 1000, "drawn": drawn, "sequences": 5000}
        task = Recommendation(point(clicks, **settings), CPU)
        counts = np.bincount(torch.cat([task.batch(s)[1] for s in range(4)]), minlength=40)
        assert (np.abs(counts - 20_000 * shares) < 6 * np.sqrt(20_000 * shares)).all()


def test_all_points_are_measured_on_the_same_held_out_pairs(likes):
    _, held_out = arrays(likes.as_dict())
    tasks = [Recommendation(point(likes, seed=s, width=w, negatives=2), CPU)
             for s, w in ((0, 4), (5, 9))]  # fmt: skip
    rows = len(held_out["users"])
    assert [task.checks for task in tasks] == [3 * rows] * 2
    every = torch.arange(3 * rows)
    assert equal(tasks[0].validation(every), tasks[1].validation(every))
    users, items, labels = tasks[0].validation(every)
    assert torch.equal(users[:rows], torch.from_numpy(held_out["users"]))
    assert torch.equal(items[:rows], torch.from_numpy(held_out["items"]))
    assert torch.equal(users[rows:], users[:rows].repeat_interleave(2))
    assert labels[:rows].min() == 1
    assert labels[rows:].max() == 0
    few = Recommendation(point(likes, negatives=2, most=30), CPU)
    assert few.checks == 30
    # fewer lie evenly over the held-out time
    at = np.arange(10) * rows // 10
    assert torch.equal(few.validation(torch.arange(10))[0], torch.from_numpy(held_out["users"][at]))


def test_ratings_become_labels_at_the_threshold(likes):
    _, held_out = arrays(likes.as_dict())
    task = Recommendation(point(likes, positive=3.5), CPU)
    labels = task.validation(torch.arange(task.checks))[2]
    assert torch.equal(labels, torch.from_numpy((held_out["ratings"] >= 3.5).astype(np.float32)))


@pytest.mark.parametrize("settings", [{}, {"negatives": 5}, {"target": "rating"}])
def test_a_model_that_has_learned_nothing_predicts_the_base(clicks, settings):
    task = Recommendation(point(clicks, **settings), CPU)
    seen = task.examined(task.model(), torch.arange(task.checks))
    assert float(seen["loss"].mean()) == pytest.approx(task.ceiling, rel=1e-5)
    figures = task.metrics(seen)
    forward = count.get("recommender").counts(task.point["shape"]).forward
    assert figures["gflop_per_example"] == pytest.approx(forward / 1e9)
    if settings.get("target") == "rating":
        assert figures["rmse"] == pytest.approx(math.sqrt(task.ceiling), rel=1e-5)
        assert figures["variance_left"] == pytest.approx(1.0, abs=0.01)
        return
    assert figures["normalised_entropy"] == pytest.approx(1.0, abs=0.01)
    assert figures["auc"] == 0.5  # all alike
    assert figures["calibration"] == pytest.approx(1.0, abs=0.05)


def test_the_area_under_the_curve_by_counting_pairs():
    rng = np.random.default_rng(3)
    scores, labels = rng.integers(0, 9, 200) / 4.0, rng.integers(0, 2, 200)
    wins = [(a > b) + (a == b) / 2 for a in scores[labels > 0] for b in scores[labels == 0]]
    found = auc(torch.tensor(scores), torch.tensor(labels))
    assert found == pytest.approx(np.mean(wins), rel=1e-12)
    assert auc(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])) == 1.0
    assert math.isnan(auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])))
    assert entropy(0.5) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("settings", "found"),
    [({}, "every example is a positive"), ({"positive": 6.0}, "no example is a positive"),
     ({"positive": 6.0, "negatives": 2}, "no example is a positive")],
)  # fmt: skip
def test_data_of_one_label_are_refused(tmp_path, settings, found):
    manifest = resolve("movielens", {"path": str(written(tmp_path, made())), "lowest": 0.5})
    with pytest.raises(ConfigError) as caught:
        Recommendation(point(manifest, **settings), CPU)
    assert (caught.value.code, caught.value.faults[0].found) == ("SC012", found)


def trained(manifest, **settings):
    """Train a point; return its task, and what it sees of the held-out part."""
    trainer = Trainer(point(manifest, **settings), CPU)
    for _ in range(trainer.point["steps"]):
        trainer.train_step()
    task = trainer.task
    return task, task.examined(trainer.model, torch.arange(task.checks))


@pytest.mark.parametrize("order", ["shuffled", "time"])
def test_training_goes_from_the_base_towards_the_lowest_loss(clicks, order):
    task, seen = trained(clicks, steps=600, sequences=64, lr=0.03, order=order)
    loss = float(seen["loss"].mean())
    error = float(seen["loss"].std()) / math.sqrt(task.checks)
    assert loss > clicks.entropy - 4 * error  # nothing beats what is known of the world
    assert loss - clicks.entropy < 0.5 * (task.ceiling - clicks.entropy)
    figures = task.metrics(seen)
    assert figures["auc"] > 0.7
    assert figures["normalised_entropy"] == pytest.approx(
        loss / entropy(figures["base_rate"]), rel=1e-9
    )


def test_ratings_go_towards_the_variance_of_the_noise():
    manifest = resolve("ratings", WORLD | {"feedback": "ratings", "noise": 0.7})
    task, seen = trained(manifest, steps=600, sequences=64, target="rating", lr=0.02)
    loss = float(seen["loss"].mean())
    error = float(seen["loss"].std()) / math.sqrt(task.checks)
    assert loss > manifest.entropy - 4 * error
    assert loss - manifest.entropy < 0.25 * (task.ceiling - manifest.entropy)
    assert task.metrics(seen)["rmse"] == pytest.approx(math.sqrt(loss))


def test_sampled_negatives_are_told_from_what_was_clicked(clicks):
    """Items are clicked by their popularity, and drawn evenly: that alone can be learned."""
    settings = {"negatives": 1, "positive": 0.0, "steps": 600, "lr": 0.02}
    task, seen = trained(clicks, **settings)
    train, _ = arrays(clicks.as_dict())
    shares = np.bincount(train["items"], minlength=40) / len(train["items"])
    _, items, labels = task.validation(torch.arange(task.checks))
    odds = np.log(shares * 40)[items.numpy()]  # of an item that was shown against one drawn
    best = np.logaddexp(0, np.where(labels.numpy() > 0, -odds, odds)).mean()
    assert task.ceiling == pytest.approx(math.log(2), rel=1e-6)
    assert float(seen["loss"].mean()) == pytest.approx(best, abs=0.01)
    assert best < 0.65
