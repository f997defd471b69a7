"""Data sets by name or path: where they are looked for, and what a missing one says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.data.files import ROWS, SIDE, grey_images, write_idx_folder, write_images
from training.data import catalog
from training.data.dataset import DataError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, no WINNOW_DATA, and no Fashion-MNIST installed by the system."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WINNOW_DATA", raising=False)
    source = catalog.FILE_SOURCES["fashion-mnist"]
    here = replace(source, places=tuple(place for place in source.places if not place.is_absolute()))
    monkeypatch.setitem(catalog.FILE_SOURCES, "fashion-mnist", here)
    return tmp_path


def test_a_missing_data_set_says_where_it_looked_and_how_to_get_it(nowhere: Path) -> None:
    with pytest.raises(DataError, match=r"not found \(looked at data/fashion-mnist\).*apt-get install dataset-fashion"):
        catalog.load("fashion-mnist", "train")
    with pytest.raises(DataError, match=r"mnist was not found.*put the four IDX files of MNIST into data/mnist, or an"):
        catalog.load("mnist", "train")


def test_the_usual_place_is_the_data_folder(nowhere: Path) -> None:
    write_idx_folder(nowhere / "data" / "fashion-mnist")
    assert catalog.find("fashion-mnist") == Path("data/fashion-mnist")
    assert len(catalog.load("fashion-mnist", "test")) == ROWS["t10k"]


def test_winnow_data_comes_before_the_usual_places(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_folder(nowhere / "data" / "mnist")
    monkeypatch.setenv("WINNOW_DATA", str(nowhere / "elsewhere"))
    assert catalog.find("mnist") == Path("data/mnist")
    (nowhere / "elsewhere").mkdir()
    np.savez(nowhere / "elsewhere" / "mnist.npz", train_images=grey_images(9))
    assert len(catalog.load("mnist", "train")) == 9
    write_idx_folder(nowhere / "elsewhere" / "mnist")
    assert len(catalog.load("mnist", "train")) == ROWS["train"]


def test_a_missing_data_set_also_names_winnow_data(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_DATA", "/no/such/place")
    with pytest.raises(DataError, match=r"looked at /no/such/place/mnist, /no/such/place/mnist.npz, data/mnist"):
        catalog.load("mnist", "train")


def test_an_unknown_name_lists_the_known_ones(nowhere: Path) -> None:
    with pytest.raises(DataError, match="'cifar' is neither a file or folder nor one of: fashion-mnist, mnist, stacked-mnist, digits"):
        catalog.load("cifar", "train")


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match="unknown split 'valid'; use train or test"):
        catalog.load("digits", "valid")


def test_a_path_may_be_any_kind_of_data(nowhere: Path) -> None:
    write_idx_folder(nowhere / "idx")
    np.savez(nowhere / "points.npz", points=np.eye(4))
    write_images(nowhere / "flat", grey_images(9))
    write_images(nowhere / "split" / "train", grey_images(4))
    write_images(nowhere / "split" / "test", grey_images(2))
    sizes = {(path, part): len(catalog.load(path, part)) for path in ("idx", "split") for part in ("train", "test")}
    assert sizes == {("idx", "train"): 5, ("idx", "test"): 3, ("split", "train"): 4, ("split", "test"): 2}
    assert len(catalog.load("flat", "train")) == 7
    assert catalog.load(str(nowhere / "points.npz"), "train").is_points


def test_a_file_of_another_kind_is_refused(nowhere: Path) -> None:
    (nowhere / "data.csv").write_text("1,2")
    with pytest.raises(DataError, match=r"data.csv: a data file must be .npz"):
        catalog.load("data.csv", "train")


def test_digits_are_images_over_the_whole_range_in_two_disjoint_parts() -> None:
    train, test = catalog.load("digits", "train"), catalog.load("digits", "test")
    assert (len(train), len(test)) == (1_297, 500)
    assert train.samples.shape[1:] == (1, 8, 8) and train.samples.dtype == torch.uint8
    assert (int(train.samples.min()), int(train.samples.max())) == (0, 255)
    assert train.labels is not None and set(train.labels.tolist()) == set(range(10))
    shared = set(map(tuple, train.samples.flatten(1).tolist())) & set(map(tuple, test.samples.flatten(1).tolist()))
    assert not shared


def test_every_synthetic_name_loads_and_its_splits_differ() -> None:
    for name in catalog.SYNTHETIC:
        train, test = catalog.load(name, "train"), catalog.load(name, "test")
        assert train.name == name
        assert len(train) > len(test) and not torch.equal(train.samples[: len(test)], test.samples)
        assert torch.equal(catalog.load(name, "test").samples, test.samples)


def test_a_fixed_split_is_the_same_cut_each_time_and_loses_nothing(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    data = catalog.load(str(tmp_path), "train")
    part, rest = catalog.fixed_split(data, 2, seed=3)
    again, _ = catalog.fixed_split(data, 2, seed=3)
    assert part.labels is not None and rest.labels is not None and again.labels is not None
    assert part.labels.tolist() == again.labels.tolist()
    assert sorted(part.labels.tolist() + rest.labels.tolist()) == [0, 1, 2, 3, 4]
    assert part.samples.shape == (2, 1, SIDE, SIDE)
    for rows in (0, 5):
        with pytest.raises(DataError, match=f"cannot hold out {rows} of 5 samples"):
            catalog.fixed_split(data, rows, seed=3)
