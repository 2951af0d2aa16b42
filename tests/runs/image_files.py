"""Small image data sets as files, for tests."""

import gzip
import pickle
import struct

import numpy as np
from PIL import Image


def some(count, classes=4, side=8, seed=0, channels=1):
    """Return images (count, channels, side, side) and labels with every class."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, channels, side, side), dtype=np.uint8)
    return images, np.arange(count) % classes


def write_idx(path, array):
    """Write bytes as an idx file, compressed where the name says so."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(head + array.astype(np.uint8).tobytes())


def idx_folder(folder, train=40, held_out=12, classes=10, ending=".gz"):
    """Write the four files of an MNIST-like data set."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate((("train", train), ("t10k", held_out))):
        images, labels = some(count, classes, seed=seed)
        write_idx(folder / f"{name}-images-idx3-ubyte{ending}", images[:, 0])
        write_idx(folder / f"{name}-labels-idx1-ubyte{ending}", labels)
    return folder


def cifar_folder(folder, fine=False, protocol=2):
    """Write batches of CIFAR-10, or of CIFAR-100."""
    folder.mkdir(parents=True)
    files = ["train", "test"] if fine else [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    classes = 100 if fine else 10
    for seed, name in enumerate(files):
        images, labels = some(classes, classes, 32, seed, 3)
        key = "fine_labels" if fine else "labels"
        batch = {"data": images.reshape(len(images), -1), key: labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    names = {("fine_label_names" if fine else "label_names"): [f"n{k}" for k in range(classes)]}
    (folder / ("meta" if fine else "batches.meta")).write_bytes(pickle.dumps(names))
    return folder


def class_folders(folder, counts, ending="png", seed=0, size=(12, 10)):
    """Write `counts` images of each class into a folder a class."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{k:03d}.{ending}")
    return folder
