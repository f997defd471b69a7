"""Data sets made from a formula have the law that the formula says."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest
import torch

from training.data.dataset import DataError, Dataset
from training.data.synthetic import (
    GRID_SCALE,
    GRID_STD,
    gaussian_grid,
    gaussian_grid_centres,
    stacked,
    standard_normal,
    swiss_roll,
    wide_mixture,
)


@pytest.mark.parametrize("modes", [4, 9, 16, 25])
def test_every_mode_has_its_share_and_its_deviation(modes: int) -> None:
    rows = 40_000
    data = gaussian_grid(modes, rows, seed=0)
    assert data.labels is not None and data.is_points
    share = 1 / modes
    offsets = data.samples - gaussian_grid_centres(modes)[data.labels]
    counts = torch.bincount(data.labels, minlength=modes)
    assert (counts / rows - share).abs().max() < 4 * sqrt(share * (1 - share) / rows)
    std = GRID_STD / GRID_SCALE
    assert float(offsets.std()) == pytest.approx(std, rel=0.02)
    assert float(offsets.mean(dim=0).norm()) < 5 * std / sqrt(rows)


def test_the_25_centres_are_those_of_the_literature() -> None:
    """Tanaka 2019: {-4, -2, 0, 2, 4}^2, all divided by 2.828."""
    centres = gaussian_grid_centres(25)
    assert sorted({round(value * GRID_SCALE, 4) for value in centres.flatten().tolist()}) == [-4, -2, 0, 2, 4]
    assert len({tuple(row) for row in centres.tolist()}) == 25


@pytest.mark.parametrize("modes", [4, 25])
def test_the_wide_mixture_has_the_submissions_spacing_and_variance(modes: int) -> None:
    data = wide_mixture(modes, 40_000, seed=0)
    assert data.labels is not None
    means = torch.stack([data.samples[data.labels == mode].mean(0) for mode in range(modes)])
    gaps = torch.cdist(means, means).fill_diagonal_(torch.inf).amin(1)
    assert float((gaps - 5).abs().max()) < 0.05
    assert float((data.samples - means[data.labels]).var()) == pytest.approx(0.025, rel=0.02)


def test_stacked_digits_are_three_images_as_channels_and_their_classes_one_number() -> None:
    grey = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 1, 2, 2)
    data = stacked(Dataset("digits", grey, torch.arange(10)), 200, seed=0)
    assert data.samples.shape == (200, 3, 2, 2) and data.labels is not None
    spelt = data.samples[:, :, 0, 0].long() @ torch.tensor([100, 10, 1])
    assert torch.equal(spelt, data.labels) and len(data.labels.unique()) > 150
    with pytest.raises(DataError, match="labelled grey images"):
        stacked(Dataset("plain", grey), 10, seed=0)


@pytest.mark.parametrize("modes", [1, 5, 24])
def test_only_square_numbers_of_modes_make_a_grid(modes: int) -> None:
    with pytest.raises(DataError, match=f"gaussians-{modes}: the number of modes must be a square"):
        gaussian_grid(modes, 10, seed=0)


def test_the_swiss_roll_is_a_spiral_of_the_stated_size() -> None:
    """Radius t / 7.5 at angle t for t in 1.5 pi .. 4.5 pi, noise 0.25 / 7.5."""
    points = swiss_roll(5_000, seed=0).samples
    radius, angle = points.norm(dim=1) * 7.5, torch.atan2(points[:, 1], points[:, 0])
    turns = ((radius - angle) / (2 * torch.pi)).round()
    off_the_spiral = radius - angle - turns * 2 * torch.pi
    assert points.shape == (5_000, 2) and points.dtype == torch.float32
    assert 1.5 * torch.pi - 1.2 < float(radius.min()) and float(radius.max()) < 4.5 * torch.pi + 1.2
    assert float(off_the_spiral.std()) == pytest.approx(0.25, rel=0.1)


def test_standard_normal_is_standard_normal() -> None:
    points = standard_normal(8, 20_000, seed=0).samples
    assert points.shape == (20_000, 8)
    torch.testing.assert_close(points.T.cov(), torch.eye(8), atol=0.05, rtol=0)


@pytest.mark.parametrize("make", [lambda s: gaussian_grid(9, 50, s), lambda s: swiss_roll(50, s)])
def test_the_seed_decides(make: Callable[[int], Dataset]) -> None:
    first, again, other = (make(seed).samples for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
