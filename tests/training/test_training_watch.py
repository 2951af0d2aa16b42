"""What is seen of training: exact to the step, however the steps are grouped in looks."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scaling.training.watch import MARGIN, SMOOTHING, SPIKE, WINDOW, Watch  # noqa: E402

GROUPS = [1, 7, 20, 128, 1000]
MODELS = 3


def history(steps=700, seed=0):
    """Losses and norms of three models that spike now and then; far from zero, as losses are."""
    rng = np.random.default_rng(seed)
    losses = 9.0 + 0.05 * rng.standard_normal((steps, MODELS))
    for step, model, height in [(40, 0, 2.0), (200, 0, 1.0), (201, 0, 1.0), (300, 1, 0.5),
                                (450, 1, 5.0), (460, 1, 0.4), (699, 2, 1.0)]:  # fmt: skip
        losses[step, model] += height
    return losses, rng.uniform(0.1, 2.0, (steps, MODELS))


def seen(losses, norms, group, watch=None):
    """Let a watch look after every `group` steps."""
    watch = watch or Watch(losses.shape[1])
    for step, (loss, norm) in enumerate(zip(losses, norms, strict=True), start=1):
        watch.add(torch.tensor(loss), torch.tensor(norm))
        if step % group == 0:
            watch.look()
    watch.look()
    return watch


def spikes_of(losses):
    """Count them as one would by hand."""
    found = np.zeros(losses.shape[1], dtype=int)
    for step in range(WINDOW, len(losses)):
        before = losses[step - WINDOW : step]
        found += losses[step] > before.mean(axis=0) + SPIKE * before.std(axis=0)
    return found


def running_of(losses):
    mean = losses[0]
    for row in losses[1:]:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * row
    return mean


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_seen_is_what_a_plain_loop_finds(group):
    losses, norms = history()
    watch = seen(losses, norms, group)
    assert watch.seen == len(losses)
    assert watch.running.tolist() == running_of(losses).tolist()
    assert watch.largest.tolist() == norms.max(axis=0).tolist()
    assert watch.loss.tolist() == losses[-1].tolist()
    assert watch.norm.tolist() == norms[-1].tolist()
    assert watch.first_bad.tolist() == [0, 0, 0]
    expected = spikes_of(losses)
    assert watch.spikes.tolist() == expected.tolist()
    assert expected.min() >= 1  # or the test says nothing


@pytest.mark.parametrize("seed", range(5))
def test_spikes_of_noise_are_those_of_a_plain_loop(seed):
    """Heavy tails, so that many lie near the threshold."""
    rng = np.random.default_rng(seed)
    losses = 3.0 + 0.1 * rng.standard_t(3, (900, MODELS))
    found = {tuple(seen(losses, np.ones_like(losses), group).spikes) for group in GROUPS}
    assert found == {tuple(spikes_of(losses))}
    assert sum(next(iter(found))) > 0


def test_equal_losses_are_no_spikes():
    losses = np.full((400, 1), 2.302585092994046)
    assert seen(losses, losses, 20).spikes.tolist() == [0]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("where", ["loss", "norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_step_that_is_not_finite_is_exact(group, where, value):
    losses, norms = history()
    for step, model in ((0, 0), (1, 0), (349, 2), (350, 2)):
        (losses if where == "loss" else norms)[step, model] = value
    watch = seen(losses, norms, group)
    assert watch.first_bad.tolist() == [1, 0, 350]
    assert watch.trouble(0, 700, 10, 9.0) == "loss or gradient not finite at step 1"
    assert watch.trouble(2, 700, 10, 9.0) == "loss or gradient not finite at step 350"
    # nothing of it is seen of the other model
    other = seen(*history(), group)
    for name in ("running", "largest", "spikes", "loss", "norm"):
        assert getattr(watch, name)[1] == getattr(other, name)[1]


def test_a_loss_above_that_of_chance_is_trouble_after_the_warm_up():
    losses = np.full((30, 2), 5.0)
    losses[:, 1] = 4.0 + MARGIN
    watch = seen(losses, losses, 20)
    assert watch.trouble(0, 30, 15, 4.0) is None  # not before twice the warm-up
    assert watch.trouble(0, 31, 15, 4.0) == "training loss 5.000 above 4.500 at step 31"
    assert watch.trouble(1, 31, 15, 4.0) is None


@pytest.mark.parametrize(("cut", "group"), list(itertools.product([1, 60, 130, 203], [7, 20])))
def test_a_state_goes_on_in_the_same_numbers(cut, group):
    """Restored in mid-window, and one by one, as points of a stack are."""
    losses, norms = history()
    whole = seen(losses, norms, group)
    first = seen(losses[:cut], norms[:cut], group)
    second = Watch(MODELS)
    second.add(torch.zeros(MODELS), torch.zeros(MODELS))  # forgotten
    second.restore([first.state(model) for model in range(MODELS)])
    seen(losses[cut:], norms[cut:], group, second)
    singles = []
    for model in range(MODELS):
        single = Watch(1)
        single.restore([first.state(model)])
        part = slice(model, model + 1)
        singles.append(seen(losses[cut:, part], norms[cut:, part], group, single))
    for name in ("running", "largest", "spikes", "first_bad", "loss", "norm"):
        expected = getattr(whole, name).tolist()
        assert getattr(second, name).tolist() == expected
        assert [getattr(single, name)[0] for single in singles] == expected
    assert second.seen == whole.seen
    assert second.window.tolist() == whole.window.tolist()


def test_a_state_before_the_first_step_is_a_new_watch():
    watch, fresh = Watch(2), Watch(2)
    watch.restore([fresh.state(0), fresh.state(1)])
    losses, norms = history()
    found = seen(losses[:, :2], norms[:, :2], 20, watch)
    assert found.running.tolist() == running_of(losses[:, :2]).tolist()
    assert found.spikes.tolist() == spikes_of(losses[:, :2]).tolist()
