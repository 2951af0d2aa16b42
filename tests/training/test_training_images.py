"""The task on images: subsets, augmentation, models and reports, and points trained on it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from scaling import api, count  # noqa: E402
from scaling.cli.app import app  # noqa: E402
from scaling.errors import ConfigError, PlanError, TrainingError  # noqa: E402
from scaling.runs.manifest import arrays, resolve  # noqa: E402
from scaling.runs.records import load_plan, read_record  # noqa: E402
from scaling.training.job import run_point  # noqa: E402
from scaling.training.setup import Setup  # noqa: E402
from scaling.training.tasks import classes  # noqa: E402
from scaling.training.tasks import images as task  # noqa: E402
from scaling.training.tasks.augment import Augment  # noqa: E402
from scaling.training.tasks.pictures import Balanced, Pictures, balanced, channels_last  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402
from tests.training.conftest import timeless  # noqa: E402

CPU = torch.device("cpu")
SHAPES = {"images": 200, "validation_images": 60, "image": 32}
FAMILIES = {
    "vit": {"patch": 8, "layers": 1, "head_width": 8},
    "resnet": {"depth": "18", "stem": "imagenet"},
    "vgg": {"depth": "11"},
    "mobilenet": {},
}
KINDS = ("none", "crop-flip", "randaugment", "mixup")
OPTIMIZER = {
    "name": "adamw", "lr": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1, "clip": 1.0,
    "warmup_steps": 3, "decay_steps": 20,
}  # fmt: skip
STUDY = {
    "schema": 1,
    "data": {"task": "images", "source": "shapes", "options": SHAPES},
    "model": {"family": "vgg", "options": {"depth": "11"}},
    "design": {"kind": "grid", "params": [3.7e4], "data": [480, 640], "epochs": 4},
    "recipe": {"name": "images-small", "overrides": {"sequences": 16}},
}


def point_of(family="vgg", sequences=12, settings=None, unique=None, options=None, **more):
    """Return a small point of a family."""
    manifest = resolve("shapes", {**SHAPES, **(options or {})})
    chosen = {**FAMILIES[family], **manifest.facts}
    known = count.get(family)
    shape = known.shape(count.nearest(known, 3e3, chosen)[0].dial, chosen)
    counts = known.counts(shape)
    return {
        "id": "0" * 16,
        "family": family,
        "shape": shape,
        "N": counts.N,
        "N_embedding": counts.embedding,
        "task": "images",
        "data": manifest.as_dict() | ({"unique": unique} if unique else {}),
        "settings": settings or {},
        "seed": 3,
        "sequences": sequences,
        "init": {},
        "evaluation": {"sequences": 60},
        **more,
    }


def made(**more):
    return task.Images(point_of(**more), CPU)


# -- subsets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_subsets_are_balanced_and_nested(seed):
    labels = np.repeat(np.arange(5), 40)
    seen = {}
    for unique in (5, 12, 50, 200):
        numbers = Balanced(seed, labels, unique)(0, unique)
        assert len(set(numbers.tolist())) == unique
        counts = np.bincount(labels[numbers], minlength=5)
        assert counts.max() - counts.min() <= 1
        seen[unique] = numbers.tolist()
    for small, large in ((5, 12), (12, 50), (50, 200)):
        assert seen[large][:small] == seen[small]


def test_epochs_see_the_same_images_in_another_order():
    labels = np.arange(60) % 3
    stream = Balanced(1, labels, 30)
    epochs = [stream(30 * k, 30).tolist() for k in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == 1
    assert stream(25, 10).tolist() == epochs[0][25:] + epochs[1][:5]
    assert Balanced(2, labels, 30)(0, 30).tolist() != epochs[0]


def test_a_rare_class_is_used_up_and_in_every_subset():
    labels = np.array([0] * 50 + [1] * 3)
    order = balanced(0, labels)
    assert sorted(order.tolist()) == list(range(53))
    assert set(labels[order[:2]]) == {0, 1}
    assert (labels[order[:6]] == 1).sum() == 3


def test_a_subset_smaller_than_the_classes_is_refused():
    with pytest.raises(TrainingError) as caught:
        made(unique=9)
    assert caught.value.code == "SC333"
    assert made(unique=10).order.windows == 10


def test_such_a_subset_is_refused_by_the_plan():
    study = {**STUDY, "data": {**STUDY["data"], "unique": 9}}
    with pytest.raises(PlanError) as caught:
        api.plan(study)
    assert caught.value.code == "SC333"
    few = {**STUDY["design"], "data": [400, 640], "epochs": 50}
    dropped = api.plan({**STUDY, "design": few}).dropped
    assert "cannot show all 10 classes" in dropped[0]["why"]


# -- batches -----------------------------------------------------------------------------------


def test_normalised_by_the_training_part():
    pictures = Pictures(resolve("shapes", SHAPES).as_dict(), CPU)
    images = pictures.normal(pictures.gather(np.arange(200))[0])
    assert float(images.mean()) == pytest.approx(0, abs=1e-4)
    assert float(images.std()) == pytest.approx(1, abs=1e-3)
    colour = {**SHAPES, "channels": "colour"}
    pictures = Pictures(resolve("shapes", colour).as_dict(), CPU)
    images = pictures.normal(pictures.gather(np.arange(200))[0])
    assert images.mean(dim=(0, 2, 3)).abs().max() < 1e-4


def test_without_augmentation_a_batch_is_the_images_of_the_order():
    one = made()
    images, labels = one.batch(2)
    train, _ = arrays(one.point["data"])
    numbers = one.order(24, 12)
    np.testing.assert_array_equal(labels.numpy(), train["labels"][numbers])
    expected = one.pictures.normal(torch.from_numpy(train["images"][numbers]))
    assert torch.equal(images, expected)
    assert images.stride()[1] == 1  # channels lie last in memory


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_depend_on_the_number_of_processes(kind, ranks):
    """The shares of several processes, whoever makes them and in whatever order, are the batch."""
    settings = {"augment": kind}
    whole = made(settings=settings).batch(5)
    shares = [made(settings=settings).batch(5, rank, ranks) for rank in reversed(range(ranks))]
    for part, pieces in zip(whole, zip(*reversed(shares), strict=True), strict=True):
        assert torch.equal(part, torch.cat(pieces))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_augmentation_is_a_function_of_seed_and_step(kind):
    one, again = made(settings={"augment": kind}), made(settings={"augment": kind})
    first = one.batch(0)[0]
    for step in (4, 1):
        one.batch(step)  # what came before does not matter
    assert torch.equal(one.batch(0)[0], first)
    assert torch.equal(again.batch(0)[0], first)
    plain = made().batch(0)[0]
    assert not torch.equal(plain, first)
    # of the second epoch, the same images are seen in another form
    other = made(settings={"augment": kind}, seed=4).batch(0)[0]
    assert not torch.equal(other, first)


def test_images_on_the_host_give_the_same_batches(monkeypatch):
    """Where the training part does not lie on the device, it is gathered on the host."""
    settings = {"augment": "crop-flip"}
    expected = made(settings=settings).batch(3)
    one = made(settings=settings)
    monkeypatch.setattr(one, "pictures", Pictures(one.point["data"], CPU, resident=False))
    assert not one.resident
    for part, other in zip(expected, one.batch(3), strict=True):
        assert torch.equal(part, other)


def test_folders_beyond_memory_train_alike(tmp_path):
    """Images that are decoded when they are needed give the batches of images that are kept."""
    from tests.runs.image_files import class_folders

    class_folders(tmp_path / "train", {"cat": 12, "dog": 12})
    class_folders(tmp_path / "val", {"cat": 3, "dog": 3}, seed=1)
    found = []
    for memory in (2048.0, 0.0):
        options = {"path": str(tmp_path), "image": 32, "memory": memory}
        point = point_of(settings={"augment": "crop-flip"})
        point["data"] = resolve("image-folder", options).as_dict()
        one = task.Images(point, CPU)
        assert one.resident == (memory > 0)
        found.append((*one.batch(3), *one.validation(torch.tensor([5, 1]))))
    for kept, decoded in zip(*found, strict=True):
        assert torch.equal(kept, decoded)


def test_mixup_mixes_images_and_labels_alike():
    one = made(settings={"augment": "mixup", "crops": False, "alpha": 1.0}, sequences=200)
    plain = made(sequences=200)
    images, labels, others, share = one.batch(0)
    source, own = plain.batch(0)
    partner = one.augment.draw(3, 0, 200).partner
    assert torch.equal(labels, own)
    assert torch.equal(others, own[torch.from_numpy(partner)])
    weight = share.view(-1, 1, 1, 1)
    expected = source * weight + source[torch.from_numpy(partner)] * (1 - weight)
    assert torch.allclose(images, expected, atol=1e-6)
    # Beta(1, 1) is uniform: mean 1/2, variance 1/12
    assert float(share.mean()) == pytest.approx(0.5, abs=5 * (1 / 12 / 200) ** 0.5)


def test_the_loss_of_mixed_images():
    """The loss is the weighted mean of those under either label."""
    one = made(settings={"augment": "mixup"})
    model = one.model().eval()
    images, labels, others, share = one.batch(0)
    found = one.each(model, (images, labels, others, share))
    first, second = one.each(model, (images, labels)), one.each(model, (images, others))
    assert torch.allclose(found, share * first + (1 - share) * second, rtol=1e-5)


def test_validation_is_never_augmented():
    which = torch.tensor([4, 0, 59])
    plain, _ = made().validation(which)
    for kind in KINDS[1:]:
        assert torch.equal(made(settings={"augment": kind}).validation(which)[0], plain)


def test_a_smaller_evaluation_is_balanced():
    one = made(evaluation={"sequences": 30})
    labels = one.validation(torch.arange(one.checks))[1]
    assert np.bincount(labels.numpy()).tolist() == [3] * 10


def test_channels_last_changes_strides_and_no_value():
    for channels in (1, 3):
        images = torch.arange(2 * channels * 20.0).view(2, channels, 4, 5)
        found = channels_last(images)
        assert torch.equal(found, images)
        assert found.stride() == (channels * 20, 1, channels * 5, channels)


# -- crops and flips ---------------------------------------------------------------------------


def test_crops_and_flips_are_shifts_and_mirrors():
    """Each image is one of the 2 x 5 x 5 forms that it may take, and all of these occur."""
    image = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6)
    augment = Augment("crop-flip", padding=2)
    draws = augment.draw(0, 0, 3000)
    out = augment.apply(image.expand(3000, 1, 6, 6), draws, np.arange(3000))
    padded = torch.nn.functional.pad(image.float(), (2, 2, 2, 2), mode="replicate").to(torch.uint8)
    forms = {}
    for y in range(5):
        for x in range(5):
            crop = padded[0, 0, y : y + 6, x : x + 6]
            forms[crop.numpy().tobytes()] = forms[crop.flip(1).numpy().tobytes()] = 0
    for one in out:
        forms[one.numpy().tobytes()] += 1
    assert len(forms) == 50
    expected = 3000 / 50
    assert sum((n - expected) ** 2 / expected for n in forms.values()) < 100  # chi², 49 degrees


def test_no_flips_and_no_padding_change_nothing():
    images = torch.randint(0, 256, (20, 3, 6, 6), dtype=torch.uint8)
    augment = Augment("crop-flip", padding=0, flips=False)
    assert torch.equal(augment.apply(images, augment.draw(0, 0, 20), np.arange(20)), images)


# -- models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_families_learn(family):
    """Some steps on a few images bring the loss well below that of a blind guess."""
    one = made(family=family, unique=20, sequences=20)
    model = one.model()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    model.train()
    for _ in range(30):
        batch = one.batch(0)
        optimizer.zero_grad()
        loss = one.loss(model, batch)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.7 * one.ceiling
    assert one.divisible == (family == "vit")


def test_a_start_of_equal_logits_is_the_ceiling():
    one = made(family="vit")
    model = one.model()
    assert one.evaluate(model)[0] == pytest.approx(np.log(10), rel=1e-5)
    assert one.ceiling == pytest.approx(np.log(10))


# -- metrics -----------------------------------------------------------------------------------


def test_the_report_of_classes_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 0, 0])
    first, second, third, fourth = classes.report(labels, predicted, 4, ("a", "b"))
    assert first["name"] == "a"
    assert first["precision"] == pytest.approx(2 / 4)
    assert first["recall"] == pytest.approx(2 / 3)
    assert first["f1"] == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    assert (second["precision"], second["recall"], second["f1"]) == (0.5, 0.5, 0.5)
    assert third == {
        "class": 2, "name": "2", "precision": None, "recall": 0.0, "f1": 0.0, "support": 1,
    }  # fmt: skip
    assert [fourth[name] for name in ("precision", "recall", "f1")] == [None, None, None]
    assert [row["support"] for row in (first, second, third, fourth)] == [3, 2, 1, 0]


def test_metrics_agree_with_their_report():
    one = made()
    seen = one.examined(one.model().eval(), torch.arange(one.checks))
    found = one.metrics(seen)
    assert found["accuracy"] + found["error"] == pytest.approx(1)
    assert found["error_se"] == pytest.approx((found["accuracy"] * found["error"] / 60) ** 0.5)
    right = sum(row["recall"] * row["support"] for row in found["classes"])
    assert right / 60 == pytest.approx(found["accuracy"])
    assert [row["name"] for row in found["classes"]][:2] == ["disc", "triangle"]


# -- points ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Plan and train a small study."""
    out = tmp_path_factory.mktemp("images")
    api.plan(STUDY).write(out)
    for point in load_plan(out):
        run_point(out, point, CPU)
    return out


def test_a_point_keeps_its_report(swept):
    from scaling.runs.records import write_results

    points = load_plan(swept)
    assert [p["D_unique"] for p in points] == [120, 160]
    assert [p["data"]["unique"] for p in points] == [120, 160]
    for point in points:
        record = read_record(swept, point["id"])
        assert record["status"] == "done"
        assert len(record["metrics"]["classes"]) == 10
    write_results(swept, points)
    columns = (swept / "results.csv").read_text().splitlines()[0].split(",")
    assert {"accuracy", "error", "error_se"} <= set(columns)
    assert "classes" not in columns


def test_classes_are_shown(swept):
    runner = CliRunner()
    records = [read_record(swept, p["id"]) for p in load_plan(swept)]
    best = min(records, key=lambda record: record["loss"])
    shown = runner.invoke(app, ["sweep", "classes", str(swept), "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert (found["schema"], found["id"]) == ("scaling/classes@1", best["id"])
    assert found["classes"] == best["metrics"]["classes"]
    other = max(records, key=lambda record: record["loss"])["id"]
    shown = runner.invoke(app, ["sweep", "classes", str(swept), other[:9]])
    assert shown.exit_code == 0, shown.output
    assert "hollow triangle" in shown.stdout
    assert other in shown.output
    for wrong in ("", "zzzz"):
        failed = runner.invoke(app, ["sweep", "classes", str(swept), wrong])
        assert isinstance(failed.exception, ConfigError)


def test_a_sweep_without_classes_has_none_to_show(planned):
    failed = CliRunner().invoke(app, ["sweep", "classes", str(planned())])
    assert isinstance(failed.exception, ConfigError)
    assert failed.exception.code == "SC004"


def test_a_point_goes_on_where_it_was_cut_off(swept, tmp_path):
    """Statistics of batch norm and the order of augmented images are those of one run."""
    out = tmp_path / "cut"
    study = {**STUDY, "task": {"augment": "mixup"}}
    api.plan(study).write(out)
    point = load_plan(out)[0]
    whole = run_point(out, point, CPU)
    trainer, other = (Trainer(point, CPU, Setup()) for _ in range(2))
    for _ in range(17):
        trainer.train_step()
    other.restore(trainer.snapshot())
    while other.step < point["steps"]:
        other.train_step()
    ((loss, _),) = other.evaluate()
    assert loss == whole["loss"]
    assert timeless(whole)["metrics"] == other.measured[0]


def test_batch_norm_is_not_divided_over_devices(tmp_path):
    """Its statistics are those of the images that one device sees."""
    from scaling.training import driver

    api.plan(STUDY).write(tmp_path)
    with pytest.raises(TrainingError) as caught:
        driver.run(tmp_path, engine="local", device="cpu", setup={"devices": 2})
    assert caught.value.code == "SC312"
    assert "batch norm" in str(caught.value)


def test_batch_norm_is_not_passed_in_parts():
    """Where memory runs out a point of such a network is too big, and is not shrunk."""
    from scaling.training import loop

    one = point_of(steps=30, optimizer={**OPTIMIZER}, batch=12)
    with pytest.raises(loop.TooBig):
        loop.shrink(Trainer(one, CPU, Setup()))
    vit = point_of(family="vit", steps=30, optimizer={**OPTIMIZER}, batch=12)
    trainer = Trainer(vit, CPU, Setup())
    loop.shrink(trainer)
    assert trainer.micro == 6


def test_averaged_weights_have_statistics_of_their_own(cpu):
    from scaling.training.setup import Setup

    study = {
        "schema": 1,
        "data": {
            "task": "images",
            "source": "shapes",
            "options": {"images": 640, "validation_images": 100},
        },
        "model": {"family": "resnet"},
        "design": {"kind": "grid", "params": [4.5e4], "data": [800]},
        "recipe": {
            "name": "adamw-plain",
            "schedule": "average",
            "overrides": {"sequences": 32, "lr": 0.003, "warmup_steps": 5},
        },
    }
    (point,) = api.plan(study)
    trainer = Trainer(point.as_dict(), cpu, Setup())
    for _ in range(point.steps):
        trainer.train_step()
    flats = [flat.detach().clone() for flat in trainer.flats]
    buffers = {name: value.clone() for name, value in trainer.buffers().items()}
    found = trainer.evaluate()
    kept = trainer.weights(0)
    assert all(torch.equal(a, b) for a, b in zip(flats, trainer.flats, strict=True))
    assert all(torch.equal(buffers[name], value) for name, value in trainer.buffers().items())
    # the weights that are kept give the loss that was found, with the statistics they carry
    name = next(name for name in buffers if name.endswith("running_mean"))
    assert not torch.equal(kept[name], buffers[name])
    trainer.model.load_state_dict(kept)
    trainer.averaged = []
    assert trainer.evaluate() == found
    # statistics are means over batches: those of one batch alone differ
    first = next(m for m in trainer.model.modules() if isinstance(m, torch.nn.Conv2d))
    outs = []
    hook = first.register_forward_hook(lambda _m, _i, out: outs.append(out.mean(dim=(0, 2, 3))))
    with torch.no_grad():
        for step in range(point.steps):
            trainer.model(trainer.task.batch(step)[0])
    hook.remove()
    torch.testing.assert_close(kept[name], torch.stack(outs).mean(dim=0), rtol=1e-4, atol=1e-5)
