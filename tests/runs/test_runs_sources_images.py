"""Sources of images: what they give, and every fault of their files before training."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import cifar_folder, class_folders, idx_folder, some, write_idx
from PIL import Image

from scaling.errors import ConfigError
from scaling.runs.manifest import arrays, resolve
from scaling.runs.sources.decoding import Decoded, decoded

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FEW = {"images": 600, "validation_images": 50}


@pytest.fixture
def fashion():
    """Skip without Debian's package, except in CI, which installs it."""
    if not DEBIAN.is_dir():
        missing = "apt-get install dataset-fashion-mnist"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return DEBIAN


def read(source, path, **options):
    manifest = resolve(source, {"path": str(path), **options}).as_dict()
    return (manifest, *arrays(manifest))


def refused(source, path, **options):
    with pytest.raises(ConfigError) as caught:
        resolve(source, {"path": str(path), **options})
    return caught.value


# -- idx ---------------------------------------------------------------------------------------


def test_fashion_mnist_from_debian(fashion):
    manifest = resolve("fashion-mnist")
    assert (manifest.train_tokens, manifest.validation_tokens) == (60_000, 10_000)
    assert (manifest.vocabulary, manifest.where) == (10, None)
    assert manifest.facts == {"image": 28, "channels": 1, "classes": 10}
    train, validation = arrays(manifest.as_dict())
    assert train["images"].shape == (60_000, 1, 28, 28)
    assert np.bincount(train["labels"]).tolist() == [6000] * 10
    assert np.bincount(validation["labels"]).tolist() == [1000] * 10
    # the mean of the training pixels as it is often printed
    assert train["images"].mean() / 255 == pytest.approx(0.2860, abs=5e-4)


def test_a_users_folder_is_the_same_data(fashion, tmp_path):
    inside = tmp_path / "FashionMNIST" / "raw"  # as torchvision lays it
    inside.mkdir(parents=True)
    for file in fashion.iterdir():
        shutil.copy(file, inside)
    assert resolve("fashion-mnist", {"path": str(tmp_path)}).hash == resolve("fashion-mnist").hash


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_as_written(tmp_path, ending):
    idx_folder(tmp_path / "MNIST" / "raw", ending=ending)
    manifest, train, validation = read("mnist", tmp_path)
    images, labels = some(40, 10)
    np.testing.assert_array_equal(train["images"], images)
    np.testing.assert_array_equal(train["labels"], labels)
    assert validation["images"].shape == (12, 1, 8, 8)
    assert manifest["facts"] == {"image": 8, "channels": 1, "classes": 10}


def test_a_missing_folder_names_the_package(tmp_path):
    error = refused("fashion-mnist", tmp_path / "none")
    assert error.code == "SC330"
    assert "dataset-fashion-mnist" in str(error)
    assert "none" in str(error)


def test_no_folder_named():
    for source in ("mnist", "cifar-10", "cifar-100", "image-folder"):
        with pytest.raises(ConfigError) as caught:
            resolve(source)
        assert caught.value.code == "SC330"
        assert "path" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    (idx_folder(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    error = refused("fashion-mnist", tmp_path)
    assert error.code == "SC330"
    assert "t10k-labels-idx1-ubyte.gz" in str(error)


@pytest.mark.parametrize("head", [b"\0\0\x08\x01", b"\0\0\x0d\x03", b"PK\x03\x04", b""])
def test_another_format_is_refused(tmp_path, head):
    file = idx_folder(tmp_path, ending="") / "train-images-idx3-ubyte"
    file.write_bytes(head + file.read_bytes()[4:] if head else b"")
    error = refused("mnist", tmp_path)
    assert error.code == "SC330"
    assert "train-images" in str(error)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("share", [0.0005, 0.5, 0.99])
def test_a_cut_off_file_is_named(tmp_path, ending, share):
    file = idx_folder(tmp_path, ending=ending) / f"train-images-idx3-ubyte{ending}"
    whole = file.read_bytes()
    file.write_bytes(whole[: max(10, int(share * len(whole)))])
    error = refused("mnist", tmp_path)
    assert error.code == "SC334"
    assert str(file) in str(error).replace("\n  ", "")


def test_a_damaged_file_is_named(tmp_path):
    file = idx_folder(tmp_path) / "train-images-idx3-ubyte.gz"
    stored = bytearray(file.read_bytes())
    stored[len(stored) // 2] ^= 0xFF
    file.write_bytes(stored)
    assert refused("mnist", tmp_path).code == "SC334"


def test_a_head_that_promises_too_much(tmp_path):
    """Only what is there is read, whatever size the head claims."""
    file = idx_folder(tmp_path, ending="") / "train-images-idx3-ubyte"
    file.write_bytes(b"\0\0\x08\x03" + b"\xff" * 12 + b"\0" * 100)
    assert refused("mnist", tmp_path).code == "SC334"


def test_labels_beyond_the_classes(tmp_path):
    file = idx_folder(tmp_path) / "train-labels-idx1-ubyte.gz"
    labels = np.arange(40) % 10
    labels[7] = 10
    write_idx(file, labels)
    error = refused("fashion-mnist", tmp_path)
    assert error.code == "SC331"
    assert "label 10 of image 7" in str(error)
    assert resolve("mnist", {"path": str(idx_folder(tmp_path)), "classes": 10}).vocabulary == 10


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_a_missing_class_is_named(tmp_path, part):
    count = 40 if part == "train" else 12
    write_idx(idx_folder(tmp_path) / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 9)
    error = refused("fashion-mnist", tmp_path)
    assert error.code == "SC333"
    assert "ankle boot" in str(error)
    assert f"{part}-labels" in str(error)


def test_more_labels_than_images(tmp_path):
    write_idx(idx_folder(tmp_path) / "train-labels-idx1-ubyte.gz", np.arange(41) % 10)
    assert refused("fashion-mnist", tmp_path).code == "SC330"


def test_two_data_sets_in_a_folder(tmp_path):
    folder = idx_folder(tmp_path)
    shutil.copy(folder / "train-images-idx3-ubyte.gz", folder / "b-train-images-idx3-ubyte.gz")
    assert refused("mnist", tmp_path).code == "SC330"


def test_copies_of_validation_images(tmp_path):
    folder = idx_folder(tmp_path)
    images, _ = some(40, 10)
    held_out, _ = some(12, 10, seed=1)
    images[30] = held_out[5]
    write_idx(folder / "train-images-idx3-ubyte.gz", images[:, 0])
    error = refused("mnist", tmp_path)
    assert error.code == "SC332"
    assert "1 of 12" in error.faults[0].found
    assert "image 5 is image 30" in error.faults[0].found
    manifest = resolve("mnist", {"path": str(folder), "duplicates": 0.084})
    assert manifest.validation_tokens == 12


# -- CIFAR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("source", "fine"), [("cifar-10", False), ("cifar-100", True)])
def test_cifar_is_read_as_written(tmp_path, source, fine, protocol):
    name = "cifar-100-python" if fine else "cifar-10-batches-py"
    cifar_folder(tmp_path / name, fine, protocol)
    classes = 100 if fine else 10
    manifest, train, _ = read(source, tmp_path)
    images, labels = some(classes, classes, 32, 0, 3)
    np.testing.assert_array_equal(train["images"][:classes], images)
    np.testing.assert_array_equal(train["labels"][:classes], labels)
    assert len(train["labels"]) == classes * (1 if fine else 5)
    assert manifest["facts"] == {"image": 32, "channels": 3, "classes": classes}
    assert read(source, tmp_path / name)[0]["hash"] == manifest["hash"]


class Trap:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("hidden", ["alone", "label"])
def test_a_pickle_that_would_run_code_does_not(tmp_path, hidden):
    folder = cifar_folder(tmp_path / "cifar-10-batches-py")
    trap = Trap(tmp_path / "sprung")
    content = trap if hidden == "alone" else {"data": np.zeros((1, 3072), np.uint8), "labels": trap}
    (folder / "data_batch_3").write_bytes(pickle.dumps(content, protocol=2))
    error = refused("cifar-10", folder)
    assert error.code == "SC330"
    assert "data_batch_3" in str(error)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("batch", "code"),
    [
        ({"data": np.zeros((1, 3072)), "labels": [0]}, "SC330"),
        ({"data": np.array([["x"] * 3072], dtype=object), "labels": [0]}, "SC330"),
        ({"data": np.zeros((1, 3071), np.uint8), "labels": [0]}, "SC330"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "SC330"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "SC330"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "SC331"),
        ({"images": []}, "SC330"),
        ([1, 2], "SC330"),
    ],
)
def test_batches_of_another_form(tmp_path, batch, code):
    folder = cifar_folder(tmp_path / "cifar-10-batches-py")
    (folder / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=2))
    assert refused("cifar-10", folder).code == code


def test_a_cut_off_batch_is_named(tmp_path):
    file = cifar_folder(tmp_path / "cifar-10-batches-py") / "data_batch_4"
    whole = file.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        error = refused("cifar-10", file.parent)
        assert error.code == "SC334"
        assert "data_batch_4" in str(error)


# -- folders -----------------------------------------------------------------------------------


def test_train_and_val_folders(tmp_path):
    class_folders(tmp_path / "train", {"cat": 5, "dog": 4})
    class_folders(tmp_path / "val", {"cat": 2, "dog": 3}, seed=1)
    manifest, train, validation = read("image-folder", tmp_path, image=8)
    assert train["labels"].tolist() == [0] * 5 + [1] * 4
    assert validation["images"].shape == (5, 3, 8, 8)
    assert manifest["facts"] == {"image": 8, "channels": 3, "classes": 2}


def test_one_folder_is_divided_by_names(tmp_path):
    class_folders(tmp_path, {"cat": 60, "dog": 60})
    _, train, validation = read("image-folder", tmp_path, image=8, held_out=0.2)
    count = len(validation["labels"])
    assert len(train["labels"]) + count == 120
    assert 12 <= count <= 36  # 24 and four standard errors are 6 to 42
    held_out = {image.tobytes() for image in validation["images"]}
    (tmp_path / "dog" / "000.png").unlink()  # the others stay where they are
    again = read("image-folder", tmp_path, image=8, held_out=0.2)[2]
    assert {image.tobytes() for image in again["images"]} <= held_out


def test_the_middle_of_a_resized_image(tmp_path):
    """A wide image of three bands keeps the middle one; grey stays grey."""
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for channels in (1, 3):
        found = decoded(tmp_path / "a.png", 5, channels)
        assert found.shape == (channels, 5, 5)
        assert (found[:, :, 1:4] == 200).all()


def test_folders_beyond_memory_are_decoded_on_demand(tmp_path):
    class_folders(tmp_path / "train", {"cat": 9, "dog": 9}, "jpg", size=(40, 30))
    class_folders(tmp_path / "val", {"cat": 2, "dog": 2}, "jpg", seed=1, size=(40, 30))
    _, kept, _ = read("image-folder", tmp_path, image=16)
    _, lazy, _ = read("image-folder", tmp_path, image=16, memory=0.0)
    assert isinstance(kept["images"], np.ndarray)
    assert isinstance(lazy["images"], Decoded)
    assert lazy["images"].shape == kept["images"].shape
    order = np.array([[3, 0], [17, 3]])
    for index in (order, 4, slice(2, 12), np.array([], np.int64)):
        np.testing.assert_array_equal(lazy["images"][index], kept["images"][index])


def test_a_class_that_is_only_in_one_part(tmp_path):
    class_folders(tmp_path / "train", {"cat": 3, "dog": 3})
    class_folders(tmp_path / "val", {"cat": 3, "emu": 3}, seed=1)
    error = refused("image-folder", tmp_path)
    assert {fault.code for fault in error.faults} == {"SC333"}
    assert "emu" in error.faults[0].found
    assert "dog" in error.faults[1].found


@pytest.mark.parametrize("memory", [0.0, 100.0])
@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("length", [0, 10, 300])
def test_a_cut_off_image_is_named(tmp_path, memory, ending, length):
    class_folders(tmp_path / "train", {"cat": 3, "dog": 3}, ending)
    class_folders(tmp_path / "val", {"cat": 3, "dog": 3}, ending, seed=1)
    file = tmp_path / "train" / "dog" / f"001.{ending}"
    file.write_bytes(file.read_bytes()[:length])
    error = refused("image-folder", tmp_path, memory=memory)
    assert error.code == "SC334"
    assert error.faults[0].where == str(file)


def test_every_damaged_image_is_told_at_once(tmp_path):
    class_folders(tmp_path / "train", {"cat": 3, "dog": 3})
    class_folders(tmp_path / "val", {"cat": 3, "dog": 3}, seed=1)
    for name in ("cat/000.png", "dog/002.png"):
        (tmp_path / "train" / name).write_text("no image")
    assert len(refused("image-folder", tmp_path).faults) == 2


def test_damage_that_only_decoding_finds(tmp_path):
    """With the images on demand it is found when they are asked for, with the file."""
    class_folders(tmp_path / "train", {"cat": 3, "dog": 3}, size=(64, 64))
    class_folders(tmp_path / "val", {"cat": 3, "dog": 3}, seed=1)
    file = tmp_path / "train" / "cat" / "000.png"
    stored = bytearray(file.read_bytes())
    stored[len(stored) // 2 :][:40] = b"\0" * 40
    stored = stored[: len(stored) // 2] + b"\0" * 40 + stored[len(stored) // 2 + 40 :]
    file.write_bytes(stored)
    assert refused("image-folder", tmp_path).faults[0].where == str(file)
    _, train, _ = read("image-folder", tmp_path, memory=0.0)
    with pytest.raises(ConfigError) as caught:
        train["images"][np.array([4, 0])]
    assert caught.value.faults[0].where == str(file)


def test_layouts_that_cannot_be_meant(tmp_path):
    class_folders(tmp_path / "a" / "train", {"cat": 3, "dog": 3})
    class_folders(tmp_path / "b", {"cat": 30})
    for name in ("a", "b"):
        assert refused("image-folder", tmp_path / name).code == "SC330"


def test_copies_in_folders_are_found(tmp_path):
    class_folders(tmp_path / "train", {"cat": 3, "dog": 3})
    class_folders(tmp_path / "val", {"cat": 3, "dog": 3}, seed=1)
    shutil.copy(tmp_path / "train" / "cat" / "000.png", tmp_path / "val" / "cat" / "copy.png")
    assert refused("image-folder", tmp_path).code == "SC332"


def test_content_decides_the_hash_and_the_place_does_not(tmp_path):
    class_folders(tmp_path / "a" / "train", {"cat": 3, "dog": 3})
    class_folders(tmp_path / "a" / "val", {"cat": 3, "dog": 3}, seed=1)
    for name in ("b", "c"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
    Image.new("RGB", (9, 9)).save(tmp_path / "c" / "train" / "cat" / "000.png")
    found = [resolve("image-folder", {"path": str(tmp_path / name)}).hash for name in "abc"]
    assert found[0] == found[1] != found[2]


# -- shapes ------------------------------------------------------------------------------------


def test_shapes_are_a_function_of_the_seed():
    first = arrays(resolve("shapes", FEW).as_dict())
    other = arrays(resolve("shapes", {**FEW, "seed": 1}).as_dict())
    longer = arrays(resolve("shapes", {**FEW, "images": 1100}).as_dict())
    assert (first[0]["images"] != other[0]["images"]).mean() > 0.9
    np.testing.assert_array_equal(first[0]["images"], longer[0]["images"][:600])
    np.testing.assert_array_equal(first[1]["images"], longer[1]["images"])
    assert not (first[0]["images"][:50] == first[1]["images"]).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("classes", [2, 7, 10])
def test_classes_of_shapes_are_balanced(classes):
    train, _ = arrays(resolve("shapes", {**FEW, "classes": classes}).as_dict())
    counts = np.bincount(train["labels"], minlength=classes)
    assert counts.max() - counts.min() <= 1


def test_what_differs_in_shapes_has_another_hash():
    changes = ({}, {"seed": 1}, {"difficulty": 0.6}, {"images": 601}, {"channels": "colour"})
    assert len({resolve("shapes", {**FEW, **change}).hash for change in changes}) == len(changes)


def test_areas_of_clean_shapes():
    """The outlines enclose what geometry says, in units of the square of their reach."""
    from scaling.runs.sources.shapes import BINS, INSIDE, NAMES, OUTLINES

    area = (OUTLINES.astype(float) ** 2).sum(axis=1) * np.pi / BINS
    known = {
        "disc": np.pi * 0.85**2,
        "triangle": 3 * np.sqrt(3) / 4,
        "square": 2.0,
        "hexagon": 0.95**2 * 3 * np.sqrt(3) / 2,
        "bar": 4 * 0.95 * 0.28,
        "cross": 2 * 4 * 0.95 * 0.3 - 4 * 0.3**2,
        "star": 5 * 0.42 * np.sin(np.pi / 5),
    }
    for name, value in known.items():
        assert area[NAMES.index(name)] == pytest.approx(value, rel=0.01), name
    assert (INSIDE > 0).tolist() == [name.startswith(("ring", "hollow")) for name in NAMES]


def test_shapes_lie_inside_and_can_be_told_apart():
    """Without noise and clutter the ground is flat where no shape is, the border included."""
    train, _ = arrays(resolve("shapes", {**FEW, "difficulty": 0.0, "image": 40}).as_dict())
    images, labels = train["images"][:, 0].astype(float), train["labels"]
    covered = np.abs(images - 127.5) > 30
    edge = covered.copy()
    edge[:, 1:-1, 1:-1] = False
    assert edge.mean() < 1e-4  # a corner may touch it
    share = np.array([covered[labels == k].mean() for k in range(10)])
    assert (share > 0.01).all()
    assert share[6] < share[0]  # a ring covers less than a disc
