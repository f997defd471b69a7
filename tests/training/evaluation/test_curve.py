"""The generator's curve: what was measured of a snapshot stands until snapshot, spaces or data change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.registry import build
from training.data.dataset import Dataset
from training.evaluation import curve as curve_module
from training.evaluation.blocks import Space
from training.evaluation.curve import generator_curve
from training.gan import GanConfig

CONFIG = GanConfig(
    data="plane", latent_dim=2, generator="mlp-generator", generator_config={"output_shape": [2], "hidden": [4]}
)
SPACES = [Space("raw", "training", None)]


@pytest.fixture
def snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Path]:
    monkeypatch.setattr(curve_module, "ROWS", 1_000)
    found = {}
    for step in (10, 20):
        torch.manual_seed(step)
        found[step] = tmp_path / f"step-{step}.safetensors"
        save_file(build("mlp-generator", {"latent_dim": 2, **CONFIG.generator_config}).state_dict(), found[step])
    return found


def points(seed: int, rows: int = 300) -> Dataset:
    return Dataset("plane", torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed)))


def test_points_are_measured_once_and_again_when_what_they_are_of_changes(
    snapshots: dict[int, Path], tmp_path: Path
) -> None:
    kept = tmp_path / "curve.json"
    first = generator_curve(CONFIG, snapshots, SPACES, points(1), points(2), kept)
    assert [point["step"] for point in first] == [10, 20]
    assert first == generator_curve(CONFIG, snapshots, SPACES, points(1), points(2))
    record = json.loads(kept.read_text())
    record["points"]["10"]["spaces"]["raw"]["test"]["fid"] = -1.0
    kept.write_text(json.dumps(record))
    again = generator_curve(CONFIG, snapshots, SPACES, points(1), points(2), kept)
    assert again[0]["spaces"]["raw"]["test"]["fid"] == -1.0 and again[1] == first[1]
    snapshots[10].write_bytes(snapshots[20].read_bytes())
    changed = generator_curve(CONFIG, snapshots, SPACES, points(1), points(2), kept)
    assert changed[0]["spaces"] == first[1]["spaces"]
    other = generator_curve(CONFIG, snapshots, SPACES, points(1), points(3), kept)
    assert other == generator_curve(CONFIG, snapshots, SPACES, points(1), points(3)) != changed


@pytest.mark.parametrize("text", ["", "[]", '{"about": 1}', '{"points": 3}', "{"])
def test_a_damaged_file_of_points_is_measured_anew(snapshots: dict[int, Path], tmp_path: Path, text: str) -> None:
    kept = tmp_path / "curve.json"
    kept.write_text(text)
    assert len(generator_curve(CONFIG, snapshots, SPACES, points(1), points(2), kept)) == 2
    assert len(json.loads(kept.read_text())["points"]) == 2
