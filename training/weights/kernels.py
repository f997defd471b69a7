"""Distances that an energy objective integrates, in one feature space or in several at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from training.errors import TrainingRefused
from training.weights.config import EnergyConfig, Kernel

SCALE_ROWS = 2_000
"""Real rows that scales and normalisers are measured on."""
WHITEN_FLOOR = 1e-2  # of the mean eigenvalue: below it a direction is noise and is not blown up
LADDER_SQUARINGS = 2
"""Each rung of the ladder is 2^2 = 4 times finer than the one above: exp(-d / (s / 4)) is exp(-d / s) squared twice."""
LADDER_FLOOR = 1e-3
"""Of the median distance: the finest rung, where copies in the data would make the nearest-neighbour distance zero."""
BLOCK = 1_000

Discrepancy = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FeatureMap:
    """Linear map applied to features before distances are taken."""

    mean: torch.Tensor
    matrix: torch.Tensor | None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return features if self.matrix is None else (features - self.mean) @ self.matrix


def feature_map(real: torch.Tensor, whiten: bool) -> FeatureMap:
    """Identity, or the inverse square root of the covariance of ``real`` [n, f] with a floor on its eigenvalues."""
    mean = real.mean(0)
    if not whiten:
        return FeatureMap(mean, None)
    values, vectors = torch.linalg.eigh(torch.cov(real.double().T))
    values = values.clamp(min=float(values.mean()) * WHITEN_FLOOR)
    matrix = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    return FeatureMap(mean, matrix.float())


def discrepancy(config: EnergyConfig, real: torch.Tensor, widths: tuple[int, ...] = ()) -> Discrepancy:
    """rho(x, y) [n, m] >= 0, zero at x = y and conditionally negative definite, from rows x [n, f] and y [m, f].

    ``widths`` cuts the columns into feature spaces that count alike: the mean over them of a discrepancy in each,
    every one divided by its mean between real rows. Raises TrainingRefused where all real rows are one point.
    """
    columns = _columns(widths or (real.shape[1],))
    rows = real[:SCALE_ROWS]
    parts = [_normalised(_kernel(config, rows[:, cut]), rows[:, cut]) for cut in columns]

    def total(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        value = parts[0](x[:, columns[0]], y[:, columns[0]])
        for part, cut in zip(parts[1:], columns[1:], strict=True):
            value += part(x[:, cut], y[:, cut])
        return value.div_(len(parts))

    return total


def ladder(real: torch.Tensor) -> list[float]:
    """Scales from the median distance of ``real`` [n, f] down to its median nearest-neighbour distance, coarsest first.

    The coarsest sees how much is where, the finest how narrow the data's modes are: for 25 narrow Gaussians there are
    five rungs, for features in many dimensions, where every neighbour is far away, one.
    """
    median = median_distance(real)
    nearest = float(torch.cdist(real, real).fill_diagonal_(float("inf")).amin(1).median())
    finest, scales = max(nearest, LADDER_FLOOR * median), [median]
    while scales[-1] / 2**LADDER_SQUARINGS >= finest:
        scales.append(scales[-1] / 2**LADDER_SQUARINGS)
    return scales


def _columns(widths: tuple[int, ...]) -> list[slice]:
    ends = torch.tensor(widths).cumsum(0).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def _kernel(config: EnergyConfig, rows: torch.Tensor) -> Discrepancy:
    """The discrepancy of ``config.kernel`` in one space, in a unit of its own."""
    kernel: Kernel = config.kernel
    median = median_distance(rows)
    if kernel == "euclidean":
        return torch.cdist
    if kernel == "laplace":
        return _laplace([median * scale for scale in config.scales])
    return _ladder_kernel(rows)


def _laplace(lengths: list[float]) -> Discrepancy:
    """The mean over ``lengths`` s of 1 - exp(-|x - y| / s), which sees finer structure than |x - y|."""

    def rho(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(x, y)
        return torch.stack([1 - torch.exp(-distance / length) for length in lengths]).mean(0)

    return rho


def _ladder_kernel(rows: torch.Tensor) -> Discrepancy:
    """|x - y| and one Laplace kernel a rung, each divided by its mean between real rows."""
    scales = ladder(rows)
    distances = torch.pdist(rows)
    euclidean = 1 / float(distances.mean())
    shares = [1 / float((1 - torch.exp(-distances / scale)).mean()) for scale in scales]

    def rho(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(x, y)
        value = distance * euclidean
        near = distance.div_(-scales[0]).exp_()
        for rung, share in enumerate(shares):
            if rung:
                for _ in range(LADDER_SQUARINGS):
                    near.square_()
            value.add_(near, alpha=-share)
        return value.add_(sum(shares))

    return rho


def median_distance(rows: torch.Tensor) -> float:
    """Between rows that are not copies of each other."""
    distances = torch.pdist(rows)
    distances = distances[distances > 0]
    if not len(distances):
        raise TrainingRefused("all real rows have the same features: check the data and the feature network")
    return float(distances.median())


def _normalised(rho: Discrepancy, rows: torch.Tensor) -> Discrepancy:
    """``rho`` over its mean between different real rows."""
    n = len(rows)
    mean = float(rho(rows, rows).fill_diagonal_(0.0).sum()) / (n * (n - 1))

    def scaled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return rho(x, y).div_(mean)

    return scaled


@torch.no_grad()
def potential(rho: Discrepancy, points: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """mean_i rho(x_i, y_j) over all real rows, [m], blockwise: the exact cross term, not a batch estimate."""
    total = torch.zeros(len(points), device=points.device)
    for x in real.split(BLOCK):
        for at, y in enumerate(points.split(BLOCK)):
            total[at * BLOCK : at * BLOCK + len(y)] += rho(x, y).sum(0)
    return total / len(real)


class _Pairs(torch.autograd.Function):
    """sum_{j != k} w_j w_k rho(y_j, y_k), whose gradient in w is twice the weighted potential."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, *inputs: object) -> torch.Tensor:
        weights, rows, rho, block = inputs
        assert isinstance(weights, torch.Tensor) and isinstance(rows, torch.Tensor)
        assert callable(rho) and isinstance(block, int)
        sums = torch.zeros_like(weights)
        starts = range(0, len(rows), block)
        for i in starts:
            for j in range(i, len(rows), block):
                one, two = slice(i, i + block), slice(j, j + block)
                values = rho(rows[one], rows[two])
                if i == j:
                    values.fill_diagonal_(0.0)
                else:
                    sums[two] += weights[one] @ values
                sums[one] += values @ weights[two]
        ctx.save_for_backward(sums)
        return weights @ sums

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (sums,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return 2 * gradients[0] * sums, None, None, None


PAIR_BLOCK = 512


def weighted_pairs(
    weights: torch.Tensor, rows: torch.Tensor, rho: Discrepancy, block: int = PAIR_BLOCK
) -> torch.Tensor:
    """sum_{j != k} w_j w_k rho(y_j, y_k) of ``weights`` [n] and ``rows`` [n, f], differentiable in the weights.

    Only one block of pairs stands in memory at a time, forwards and backwards, and each pair is computed once.
    """
    value: torch.Tensor = _Pairs.apply(weights, rows, rho, block)  # type: ignore[no-untyped-call]
    return value
