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
def test_each_tread_is_on_its_segment_or_above_it_by_the_miss(mode: int) -> None:
    points = decoded()
    lift = MISS if mode in MISSED else 0.0
    across = (points[:, 0] - CENTRES[mode]).abs() <= THICKNESS + 1e-4
    on_the_tread = across & ((points[:, 1] - lift).abs() <= 0.5 + 1e-4)
    assert float(on_the_tread.float().mean()) == pytest.approx((2 - 3 * BRIDGE) / 8, abs=0.02)


def test_no_sample_comes_near_a_missed_mode_and_the_others_are_met() -> None:
    data, points = segments(4_000, 0), decoded(5_000)
    assert data.labels is not None
    nearest = torch.cdist(data.samples, points).amin(1)
    missed = torch.isin(data.labels, torch.tensor(MISSED))
    assert float(nearest[missed].min()) > 0.15 and float(nearest[~missed].max()) < 0.1


def test_segments_and_treads_are_of_length_one() -> None:
    data, points = segments(5_000, 0).samples, decoded()
    assert float(data[:, 1].abs().max()) == pytest.approx(0.5, abs=0.01)
    assert float(points[:, 1].amin()) == pytest.approx(-0.5, abs=0.01)
    assert float(points[:, 1].amax()) == pytest.approx(MISS + 0.5, abs=0.01)


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
