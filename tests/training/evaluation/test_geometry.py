"""Before training: a generator that is torn between modes is told from one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.manifest import OutputSpec
from tests.training.evaluation.constructed import bundle_around, write_bundle
from training.data.dataset import Dataset
from training.data.synthetic import standard_normal
from training.evaluation.geometry import GeometryRows, latent_geometry
from training.evaluation.page.geometry import geometry
from winnow.cli import main

CPU = torch.device("cpu")
ROWS = GeometryRows(2_000, 2_000)
MODES, SPREAD = 4.0, 0.3


class Torn(nn.Module):
    """Two modes and the bridge between them, which a continuous map of one normal latent cannot avoid."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.stack([MODES * torch.tanh(4 * z[:, 0]) + SPREAD * z[:, 0], SPREAD * z[:, 1]], dim=1)


def two_modes(n: int) -> Dataset:
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(3))
    side = (z[:, 0] > 0).long()
    points = torch.stack([MODES * z[:, 0].sign() + SPREAD * z[:, 0], SPREAD * z[:, 1]], dim=1)
    return Dataset("two modes", points, side)


def test_filtering_can_pay_where_a_connected_latent_covers_separate_modes() -> None:
    found = latent_geometry(bundle_around(Torn(), 2, 2), two_modes(4_000), 0, CPU, ROWS)
    assert found["can_pay"] and found["sentence"].startswith("Filtering can pay")
    precisions = [row["precision"] for row in found["jacobian"]["deciles"]]
    assert precisions[-1] < 0.5 and min(precisions[:6]) > 0.9
    assert found["jacobian"]["ratio"] > 100 and found["jacobian"]["share_of_worst"] > 0.3


def test_it_cannot_pay_for_a_generator_that_makes_the_data() -> None:
    found = latent_geometry(bundle_around(nn.Identity(), 2, 2), standard_normal(2, 4_000, seed=1), 0, CPU, ROWS)
    assert not found["can_pay"] and "unlikely to pay" in found["sentence"]
    assert found["jacobian"]["ratio"] == pytest.approx(1, abs=1e-3)
    assert found["classes"] is None and "not known" in geometry(found)


def test_an_uneven_generator_without_bad_samples_is_not_said_to_pay() -> None:
    class Bent(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z + 0.2 * z**3

    z = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(4))
    data = Dataset("bent", Bent()(z))
    found = latent_geometry(bundle_around(Bent(), 2, 2), data, 0, CPU, ROWS)
    assert found["jacobian"]["ratio"] > 2 and not found["can_pay"]
    assert "not shown to pay" in found["sentence"]


def test_half_spaces_are_found_by_the_regression_and_are_convex_scattered_classes_are_not() -> None:
    found = latent_geometry(bundle_around(Torn(), 2, 2), two_modes(4_000), 0, CPU, ROWS)
    assert found["classes"]["count"] == 2
    assert found["classes"]["logistic_accuracy"] > 0.98 and found["classes"]["convexity"] == 1.0

    class Waves(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.stack([MODES * torch.sin(9 * z[:, 0]).sign(), SPREAD * z[:, 1]], dim=1)

    found = latent_geometry(bundle_around(Waves(), 2, 2), two_modes(4_000), 0, CPU, ROWS)
    assert found["classes"]["logistic_accuracy"] < 0.65 and found["classes"]["convexity"] < 0.8


def test_a_bundle_without_weights_gets_the_geometry_alone_and_the_test_split_stays_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_bundle(tmp_path / "small", OutputSpec(kind="points", shape=(2,)), weights=False)
    points = np.random.default_rng(0).normal(size=(400, 2))
    np.savez(tmp_path / "plane.npz", train_points=points, test_points=points[:2])  # too few for a report
    arguments = ["evaluate", str(folder), "--data", str(tmp_path / "plane.npz"), "--latent-geometry"]
    assert main([*arguments, "--geometry-rows", "200", "--device", "cpu"]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["latent_geometry"]["sentence"] in capsys.readouterr().out
    assert "spaces" not in report and 'id="geometry"' in (folder / "report.html").read_text()
