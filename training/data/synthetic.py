"""Data sets made from a formula: 2-D mixtures, the Swiss roll, Gaussians."""

from __future__ import annotations

from math import isqrt

import torch
from sklearn.datasets import make_swiss_roll

from training.data.dataset import DataError, Dataset

GRID_SPACING = 2.0
GRID_STD = 0.05
GRID_SCALE = 2.828  # DOT's setting: centres {-4, .., 4}^2, std 0.05, everything divided by 2.828
MIXTURE_SPACING = 5.0
MIXTURE_STD = 0.025**0.5  # the ICLR 2021 submission's mixtures: variance 0.025, neighbours 5 apart
SWISS_NOISE = 0.25
SWISS_SCALE = 7.5  # DOT's setting: sklearn noise 0.25, dimensions 0 and 2, divided by 7.5


def gaussian_grid(modes: int, n: int, seed: int) -> Dataset:
    """``modes`` (a square number) Gaussians on a centred grid; labels are the modes (Tanaka 2019)."""
    return _mixture(f"gaussians-{modes}", gaussian_grid_centres(modes), GRID_STD, GRID_SCALE, n, seed)


def gaussian_grid_centres(modes: int) -> torch.Tensor:
    """Centres of ``gaussian_grid``, float32 [modes, 2]."""
    return _grid(f"gaussians-{modes}", modes, GRID_SPACING, GRID_SCALE)


def wide_mixture(modes: int, n: int, seed: int) -> Dataset:
    """The same grid with neighbours 5 apart and variance 0.025; labels are the modes (the ICLR 2021 submission)."""
    name = f"mixture-{modes}"
    return _mixture(name, _grid(name, modes, MIXTURE_SPACING, 1.0), MIXTURE_STD, 1.0, n, seed)


def _mixture(name: str, centres: torch.Tensor, std: float, scale: float, n: int, seed: int) -> Dataset:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(centres), (n,), generator=rng)
    return Dataset(name, centres[labels] + torch.randn(n, 2, generator=rng) * std / scale, labels)


def _grid(name: str, modes: int, spacing: float, scale: float) -> torch.Tensor:
    side = isqrt(modes)
    if side * side != modes or side < 2:
        raise DataError(f"{name}: the number of modes must be a square of 2 or more")
    axis = (torch.arange(side) - (side - 1) / 2) * spacing / scale
    return torch.cartesian_prod(axis, axis)


def swiss_roll(n: int, seed: int) -> Dataset:
    """The 2-D Swiss roll of Tanaka 2019."""
    points, _ = make_swiss_roll(n, noise=SWISS_NOISE, random_state=seed)
    return Dataset("swiss-roll", torch.from_numpy(points[:, [0, 2]]).float() / SWISS_SCALE)


def standard_normal(dim: int, n: int, seed: int) -> Dataset:
    """N(0, I_dim): the data of the perfect generator."""
    rng = torch.Generator().manual_seed(seed)
    return Dataset(f"normal-{dim}", torch.randn(n, dim, generator=rng))


def stacked(digits: Dataset, rows: int, seed: int) -> Dataset:
    """Stacked MNIST (Metz et al. 2016): three random grey images as channels, uint8 [rows, 3, h, w]; the label is the
    number that their ten classes spell. Raises DataError without labels."""
    if digits.labels is None or digits.is_points:
        raise DataError(f"{digits.name}: stacking takes labelled grey images")
    index = torch.randint(len(digits), (rows, 3), generator=torch.Generator().manual_seed(seed))
    labels = digits.labels[index] @ torch.tensor([100, 10, 1])
    return Dataset("stacked-mnist", digits.samples[index].squeeze(2), labels)
