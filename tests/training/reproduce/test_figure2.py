"""The staircase stands where it is said to stand: two treads on segments, two beside them, bridges between."""

from __future__ import annotations

import pytest
import torch

from models.bundle import load_bundle
from training.reproduce import figure2
from training.reproduce.figure2 import BRIDGE, CENTRES, MISS, MISSED, THICKNESS, segments, shares, staircase
from training.reproduce.options import Options


def decoded(rows: int = 20_000) -> torch.Tensor:
    with torch.no_grad():
        points: torch.Tensor = staircase()(2 * torch.rand(rows, 2, generator=torch.Generator().manual_seed(0)) - 1)
    return points


@pytest.mark.parametrize("mode", range(4))
def test_each_tread_is_on_its_segment_or_beside_it_by_the_miss(mode: int) -> None:
    points = decoded()
    centre = CENTRES[mode] + (MISS if mode in MISSED else 0.0)
    on_the_tread = (points[:, 0] - centre).abs() <= THICKNESS + 1e-4
    assert float(on_the_tread.float().mean()) == pytest.approx((2 - 3 * BRIDGE) / 8, abs=0.02)


def test_missed_modes_share_no_ground_with_the_data() -> None:
    data, points = segments(5_000, 0).samples, decoded()
    for mode in MISSED:
        beside = points[(points[:, 0] - CENTRES[mode] - MISS).abs() < 2 * THICKNESS]
        assert len(beside) > 1_000
        assert float(torch.cdist(beside[:500], data).min()) > MISS - 3 * THICKNESS


def test_samples_run_along_the_whole_segment() -> None:
    assert float(decoded()[:, 1].abs().max()) == pytest.approx(0.5, abs=0.01)
    assert float(segments(5_000, 0).samples[:, 1].abs().max()) == pytest.approx(0.5, abs=0.01)


def test_shares_are_of_modes_in_order_and_of_junk() -> None:
    points = torch.tensor([[-3.0, 0.0], [-3.3, 0.4], [1.4, 0.0], [3.5, 0.0], [0.0, 0.0], [9.0, 0.0], [-1.0, 0], [1, 0]])
    assert (shares(points) * 8).tolist() == [2, 1, 2, 1, 2]


def test_the_table_counts_the_modes_that_are_left() -> None:
    blocks = torch.tensor([[0.5, 0.4, 0.04, 0.04, 0.02], [0.5, 0.4, 0.04, 0.02, 0.04]])
    row = figure2.modes_table({"drs": blocks}).splitlines()[-1]
    assert row.startswith("| drs | 50.0 ± 0.0% |") and row.endswith("| 2 of 4 |")


def test_the_bundle_can_be_loaded_and_is_the_staircase(tiny: Options) -> None:
    bundle = load_bundle(figure2.base_bundle(tiny.keep / "staircase"))
    z = bundle.prior.sample(50, torch.Generator().manual_seed(1))
    torch.testing.assert_close(bundle.generator(z), staircase()(z))
