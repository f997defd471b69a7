"""Data sets by name or path; ``winnow data`` prints where they were found or how to get them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.data.dataset import DataError, Dataset, image_dataset
from training.data.files import class_folders, idx_folder, image_folder, is_idx_folder, npz_file
from training.data.splits import sixth
from training.data.synthetic import gaussian_grid, stacked, swiss_roll, wide_mixture

SYNTHETIC_TRAIN_ROWS = 60_000
SYNTHETIC_TEST_ROWS = 20_000
"""With half as many the interval of a change of recall was as wide as the loss that the quality gate allows."""
DIGITS_TRAIN_ROWS = 1_297  # of 1,797; the last 500 are the test split
SPLIT_SEEDS = {"train": 0, "test": 2}


@dataclass(frozen=True)
class FileSource:
    """A data set that lives in files: the usual places, and how to get it where it is missing."""

    places: tuple[Path, ...]
    advice: str


FILE_SOURCES = {
    "fashion-mnist": FileSource(
        (Path("data/fashion-mnist"), Path("/usr/share/datasets/fashion-mnist")),
        "on Debian or Ubuntu: apt-get install dataset-fashion-mnist; elsewhere: put the four IDX files of "
        "github.com/zalandoresearch/fashion-mnist into data/fashion-mnist",
    ),
    "mnist": FileSource(
        (Path("data/mnist"), Path("data/mnist.npz")),
        "put the four IDX files of MNIST into data/mnist, or an .npz with train_images, train_labels, "
        "test_images, test_labels at data/mnist.npz",
    ),
}
MIXTURES = {"gaussians": gaussian_grid, "mixture": wide_mixture}
STACKED = "stacked-mnist"
STACKED_ROWS = {"train": 60_000, "test": 10_000}
SYNTHETIC = ("digits", *(f"{kind}-{modes}" for kind in MIXTURES for modes in (4, 9, 16, 25)), "swiss-roll")


def load(source: str, split: str) -> Dataset:
    """The data set called ``source`` (a name of ``names()`` or a path), ``split`` "train" or "test".

    A folder may hold IDX files, images, or sub-folders ``train`` and ``test`` of images. The splits never share a
    row: images or arrays that come without splits have a fixed random sixth as their test split, and data with one
    split only has no rows for the other. Raises DataError.
    """
    if split not in SPLIT_SEEDS:
        raise DataError(f"unknown split {split!r}; use train or test")
    if source in SYNTHETIC:
        return _synthetic(source, split)
    if source in FILE_SOURCES:
        return _from_path(find(source), source, split)
    if source == STACKED:
        return stacked(load("mnist", split), STACKED_ROWS[split], SPLIT_SEEDS[split])
    if not source:
        raise DataError(f"the name of the data is empty; give a path or one of: {', '.join(names())}")
    path = Path(source)
    if not path.exists():
        raise DataError(f"{source!r} is neither a file or folder nor one of: {', '.join(names())}")
    return _from_path(path, path.stem, split)


def names() -> tuple[str, ...]:
    return (*FILE_SOURCES, STACKED, *SYNTHETIC)


def find(name: str) -> Path:
    """Where the files of ``name`` are: ``$WINNOW_DATA/<name>[.npz]`` first, then the usual places."""
    places = list(FILE_SOURCES[name].places)
    if root := os.environ.get("WINNOW_DATA"):
        places = [Path(root) / name, Path(root) / f"{name}.npz", *places]
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(str(p) for p in places)
    raise DataError(f"{name} was not found (looked at {looked}); {FILE_SOURCES[name].advice}")


def _synthetic(name: str, split: str) -> Dataset:
    if name == "digits":
        return _digits(split)
    rows = SYNTHETIC_TRAIN_ROWS if split == "train" else SYNTHETIC_TEST_ROWS
    return points(name, rows, SPLIT_SEEDS[split])


def points(name: str, rows: int, seed: int) -> Dataset:
    """``rows`` of the planar data set ``name``, as many as wanted; ``seed``: any but those of the splits. Raises
    DataError for data that no formula makes."""
    if name == "swiss-roll":
        return swiss_roll(rows, seed)
    kind, _, modes = name.partition("-")
    if name not in SYNTHETIC or kind not in MIXTURES:
        raise DataError(f"{name}: only data sets in the plane are made from a formula, in any number of rows")
    return MIXTURES[kind](int(modes), rows, seed)


def _digits(split: str) -> Dataset:
    """scikit-learn's 8x8 digits, values 0-16 stretched to 0-255, in one fixed shuffled order."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    part = order[:DIGITS_TRAIN_ROWS] if split == "train" else order[DIGITS_TRAIN_ROWS:]
    images = np.round(bunch.images[part] * (255 / 16)).astype(np.uint8)
    return image_dataset("digits", images, bunch.target[part])


def _from_path(path: Path, name: str, split: str) -> Dataset:
    if path.is_file():
        if path.suffix != ".npz":
            raise DataError(f"{path}: a data file must be .npz; IDX files and images are read from their folder")
        return npz_file(path, split)
    if is_idx_folder(path):
        return idx_folder(path, name, split)
    return _images(path, split)


def _images(folder: Path, split: str) -> Dataset:
    """Images of the sub-folder ``split``; of ``folder`` itself, cut in two, where it has neither train/ nor test/."""
    found = [name for name in SPLIT_SEEDS if (folder / name).is_dir()]
    if not found:
        return sixth(image_folder(folder), split)
    if split not in found:
        raise DataError(f"{folder}: has {found[0]}/ but no {split}/; put the {split} images into {folder / split}")
    classes = {name for part in found for name in class_folders(folder / part)}
    return image_folder(folder / split, tuple(sorted(classes)))


def fixed_split(data: Dataset, rows: int, seed: int) -> tuple[Dataset, Dataset]:
    """``data`` cut into a random part of ``rows`` and the rest, the same cut for the same seed."""
    if not 0 < rows < len(data):
        raise DataError(f"{data.name}: cannot hold out {rows} of {len(data)} samples")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.subset(order[:rows]), data.subset(order[rows:])
