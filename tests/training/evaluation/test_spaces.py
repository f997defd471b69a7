"""Spaces that weights are judged in: the bundle's own, or networks of the user's in their place; never raw faces."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, load_bundle
from models.manifest import OutputSpec
from tests.training.evaluation.constructed import write_bundle
from tests.training.test_extractor import exported
from training.data.dataset import Dataset
from training.evaluation.report import spaces_of
from training.extractor import load_extractor
from winnow.cli import main

SMALL, FACES = ((3, side, side) for side in (4, 32))
CPU = torch.device("cpu")
WEIGHTS = ("train", "weights", "--steps", "2", "--pool-rows", "500", "--hidden", "8", "--device", "cpu")


def bundle_of(folder: Path, shape: tuple[int, ...]) -> Bundle:
    return load_bundle(write_bundle(folder, OutputSpec(kind="image", shape=shape, range=(-1.0, 1.0))))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of small colour images, another of larger ones, data for both, two exported networks."""
    folder, rng = tmp_path_factory.mktemp("spaces"), np.random.default_rng(0)
    for name, shape, rows in (("small", SMALL, 1_200), ("faces", FACES, 1_200)):
        write_bundle(folder / "bundles" / name, OutputSpec(kind="image", shape=shape, range=(-1.0, 1.0)), False)
        images = rng.integers(0, 256, (rows, *shape[1:], shape[0]), dtype=np.uint8)
        np.savez(folder / f"{name}.npz", train_images=images, test_images=images[:100])
    exported(folder / "one.pt2")
    exported(folder / "two.pt2", seed=1)
    return folder


def name_of(path: Path) -> str:
    return f"{path.name} {sha256(path.read_bytes()).hexdigest()[:12]}"


def train(place: Path, out: Path, *more: str, data: str = "small") -> int:
    where = ("--bundle", str(place / "bundles" / data), "--data", str(place / f"{data}.npz"), "--out", str(out))
    return main([*WEIGHTS, *where, *more])


def test_weights_are_judged_in_the_space_of_the_network_that_was_given(place: Path, tmp_path: Path) -> None:
    one, two = place / "one.pt2", place / "two.pt2"
    assert train(place, tmp_path, "--features", str(one)) in (0, 1)
    record = json.loads((tmp_path / "weights.json").read_text())
    assert (record["gate"]["space"], record["gate"]["role"]) == (name_of(one), "training")
    assert record["features"] == {"file": "one.pt2", "sha256": sha256(one.read_bytes()).hexdigest()}
    assert train(place, tmp_path, "--features", str(one), "--independent-features", str(two)) in (0, 1)
    record = json.loads((tmp_path / "weights.json").read_text())
    assert (record["gate"]["space"], record["gate"]["role"]) == (name_of(two), "independent")


def test_a_report_measures_in_the_networks_that_were_given(place: Path, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "small", OutputSpec(kind="image", shape=SMALL, range=(-1.0, 1.0)))
    one, two = place / "one.pt2", place / "two.pt2"
    given = ["--features", str(one), "--independent-features", str(two), "--latent-geometry", "--geometry-rows", "200"]
    assert main(["evaluate", str(folder), "--data", str(place / "small.npz"), "--device", "cpu", *given]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert [(space["name"], space["role"]) for space in report["spaces"]] == [
        (name_of(one), "training"),
        (name_of(two), "independent"),
    ]
    assert report["gate"]["space"] == report["quoted_space"] == name_of(two)
    assert report["latent_geometry"]["jacobian"]["space"] == name_of(two)


def test_larger_images_without_a_network_are_refused_before_anything_is_trained_or_measured(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(place, tmp_path / "run", "--spaces", "samples", data="faces") == 2
    error = capsys.readouterr().err
    assert "has no feature network to judge them in: give --features PATH" in error and "--no-gate" in error
    assert not (tmp_path / "run").exists()
    bundle = write_bundle(tmp_path / "faces", OutputSpec(kind="image", shape=FACES, range=(-1.0, 1.0)))
    assert main(["evaluate", str(bundle), "--data", str(place / "faces.npz"), "--device", "cpu"]) == 2
    assert "no feature network to judge them in" in capsys.readouterr().err
    assert spaces_of(bundle_of(tmp_path / "small", SMALL))[0].name == "raw"


def test_one_network_is_not_independent_of_itself(place: Path, tmp_path: Path) -> None:
    bundle, data = bundle_of(tmp_path / "small", SMALL), torch.zeros(4, *SMALL, dtype=torch.uint8)
    extractor = load_extractor(place / "one.pt2", Dataset("black", data), CPU)
    with pytest.raises(ValueError, match="give one that training did not see"):
        spaces_of(bundle, extractor, extractor)
