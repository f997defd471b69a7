"""The one command for a GPU runs, in miniature, where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_check, gpu_serving
from benchmarks.workloads import ARCHITECTURE, SIZES, Convolutions, Size, random_bundle
from models.registry import ARCHITECTURES

TINY = Size((8, 8), 4, (16,), 2.0)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of 16x16 images in the place of the large ones."""
    monkeypatch.setitem(ARCHITECTURES, ARCHITECTURE, Convolutions)  # the check leaves it there
    monkeypatch.setitem(SIZES, "tiny", TINY)
    monkeypatch.setitem(gpu_serving.LARGE, "cpu", ("tiny",))


@pytest.mark.parametrize("name", ["random-128", "progan-128", "stylegan2-256"])
def test_the_sizes_are_what_their_names_say(name: str) -> None:
    assert SIZES[name].side == int(name.rpartition("-")[2])


@pytest.mark.usefixtures("tiny")
def test_a_random_bundle_makes_images_of_its_size() -> None:
    bundle = random_bundle("tiny")
    assert bundle.generator(torch.zeros(2, bundle.prior.dim)).shape == (2, 3, 16, 16)
    assert bundle.importance is not None
    assert bundle.importance.cap == TINY.cap


@pytest.mark.usefixtures("tiny")
def test_the_engine_is_compared_with_a_bare_loop_on_one_loop_and_on_two(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpu_serving.served([], torch.device("cpu"), 0.0)["tiny"]
    assert found["same_seed_same_bytes"]
    assert set(found["throughput"]) == {f"{m}, {n} loops" for m in ("prior", "latentrs") for n in (1, 2)}
    for each in found["throughput"].values():
        assert each["pairs"] == gpu_serving.LEAST_PAIRS
        assert 0 < each["low"] <= each["ratio"] <= each["high"]


@pytest.mark.usefixtures("tiny")
def test_the_whole_check_writes_a_dated_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "BUNDLES", [])
    monkeypatch.setattr("sys.argv", ["gpu_check", "--out", str(tmp_path), "--device", "cpu", "--scale", "0.001"])
    assert gpu_check.main() == 0
    (path,) = tmp_path.glob("gpu-check-*.json")
    result = json.loads(path.read_text())
    assert result["gan"]["finite"] and result["same_seed_same_latents"]
    assert result["engine"]["tiny"]["same_seed_same_bytes"]
    assert result["large_generators"]["tiny"]["ratio"] > 0
