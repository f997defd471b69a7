"""Data that comes without splits gets two that share no row; a missing split is named, never made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.data.files import grey_images, write_images
from training.data.catalog import load
from training.data.dataset import DataError, Dataset
from training.data.splits import sixth

ROWS = 26


def points_file(folder: Path) -> Path:
    np.savez(folder / "cloud.npz", points=np.arange(ROWS * 2.0).reshape(ROWS, 2), labels=np.arange(ROWS))
    return folder / "cloud.npz"


def images_file(folder: Path) -> Path:
    np.savez(folder / "pictures.npz", images=grey_images(ROWS), labels=np.arange(ROWS))
    return folder / "pictures.npz"


def images_folder(folder: Path) -> Path:
    write_images(folder / "flat" / "a", grey_images(ROWS // 2))
    write_images(folder / "flat" / "b", grey_images(ROWS - ROWS // 2, seed=1))
    return folder / "flat"


def rows_of(data: Dataset) -> list[tuple[float, ...]]:
    return [tuple(row) for row in data.samples.flatten(1).tolist()]


@pytest.mark.parametrize("make", [points_file, images_file, images_folder])
def test_train_and_test_share_no_row_and_together_are_everything(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = str(make(tmp_path))
    train, test = load(path, "train"), load(path, "test")
    assert (len(train), len(test)) == (ROWS - ROWS // 6, ROWS // 6)
    assert not set(rows_of(train)) & set(rows_of(test))
    assert len(set(rows_of(train)) | set(rows_of(test))) == ROWS
    assert rows_of(load(path, "train")) == rows_of(train) and rows_of(load(path, "test")) == rows_of(test)


def test_labels_stay_with_their_rows(tmp_path: Path) -> None:
    for split in ("train", "test"):
        data = load(str(points_file(tmp_path)), split)
        assert data.labels is not None
        assert (data.samples[:, 0] / 2).tolist() == data.labels.tolist()


def test_the_test_rows_come_from_everywhere() -> None:
    """Files are often sorted by class: a test split off the end would hold one class only."""
    data = Dataset("sorted", torch.arange(6_000.0)[:, None])
    test = sixth(data, "test").samples
    counts = torch.histc(test, bins=10, min=0, max=6_000)
    assert len(test) == 1_000 and counts.min() > 60 and counts.max() < 140
    assert 2_500 < float(test[:100].mean()) < 3_500  # in any block of it: reports are made of blocks


@pytest.mark.parametrize(("rows", "test_rows"), [(4, 2), (5, 2), (12, 2), (18, 3)])
def test_each_side_has_two_rows_at_least(rows: int, test_rows: int) -> None:
    data = Dataset("few", torch.arange(float(rows))[:, None])
    assert (len(sixth(data, "train")), len(sixth(data, "test"))) == (rows - test_rows, test_rows)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("rows", [2, 3])
def test_too_few_rows_to_split_are_refused(rows: int, split: str) -> None:
    with pytest.raises(DataError, match=f"few: {rows} samples without a test split.*at least 4.*add samples"):
        sixth(Dataset("few", torch.zeros(rows, 1)), split)


@pytest.mark.parametrize(("given", "missing"), [("train", "test"), ("test", "train")])
def test_a_folder_with_one_split_has_no_rows_for_the_other(tmp_path: Path, given: str, missing: str) -> None:
    write_images(tmp_path / "set" / given, grey_images(12))
    assert len(load(str(tmp_path / "set"), given)) == 12
    with pytest.raises(DataError, match=f"set: has {given}/ but no {missing}/; put the {missing} images into"):
        load(str(tmp_path / "set"), missing)


@pytest.mark.parametrize("kind", ["images", "points"])
@pytest.mark.parametrize(("given", "missing"), [("train", "test"), ("test", "train")])
def test_an_npz_with_one_split_has_no_rows_for_the_other(tmp_path: Path, given: str, missing: str, kind: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **{f"{given}_{kind}": grey_images(12) if kind == "images" else np.eye(12)})
    assert len(load(str(path), given)) == 12
    with pytest.raises(DataError, match=f"but no {missing}_images or {missing}_points; add the missing array"):
        load(str(path), missing)


@pytest.mark.parametrize("stray", ["images", "labels"])
def test_an_npz_that_is_split_and_not_split_is_refused(tmp_path: Path, stray: str) -> None:
    """Which rows would ``images`` be, beside ``train_images``? Perhaps the same ones."""
    arrays = {"train_images": grey_images(12), stray: grey_images(12)}
    np.savez(tmp_path / "mine.npz", **arrays)
    for split in ("train", "test"):
        with pytest.raises(DataError, match=f"{stray} beside arrays of a split; name it train_{stray} or test_{stray}"):
            load(str(tmp_path / "mine.npz"), split)


def test_an_empty_name_is_not_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, grey_images(12))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="the name of the data is empty; give a path or one of: fashion-mnist"):
        load("", "train")


def test_a_class_has_the_same_label_in_both_splits_even_where_one_lacks_a_class(tmp_path: Path) -> None:
    for split, names in (("train", ("bag", "shirt", "shoe")), ("test", ("bag", "shoe"))):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / split / name / "a.png")
    train, test = (load(str(tmp_path), split) for split in ("train", "test"))
    assert train.labels is not None and test.labels is not None
    assert train.labels.tolist() == [0, 1, 2]
    assert test.labels.tolist() == [0, 2]
