"""What reweighting could reach at most: the best capped weights of single samples, with held-out data as target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.bundle import Bundle
from training.data.dataset import Dataset
from training.draws import Shelf
from training.evaluation.blocks import rows_of
from training.evaluation.compare import Table, compare
from training.pilot.ratio import generated
from training.reproduce.measure import RAW, Measured, by_turns
from training.reproduce.options import Options

SCALES = (0.02, 0.1, 0.5)
"""Of the data's median distance: Laplace kernels that see single modes, neighbourhoods and the whole."""
POOL_ROWS_PER_KEPT = 4
"""Of three that w <= 3 accepts one: a quarter more than enough."""
SEED = 5_000_000
USUAL_CAP = 3.0
BISECTIONS = 50
POWER_STEPS = 20
ROWS = 5_000
"""Of the target at most: matrices of 5,000 x 4,000 fit everywhere."""


@dataclass(frozen=True)
class Attainable:
    """``table`` of the row "attainable", on the second half of the blocks of a measured table."""

    table: Table
    first_block: int

    def share(self, measured: Measured, row: str, metric: str) -> float | None:
        """What ``row`` gained over the prior, as a share of what the best weights gained; None where they gained
        nothing."""
        values = {name: measured.table.values[name][metric][self.first_block :] for name in ("prior", row)}
        best = self.table.values["attainable"][metric]
        reachable = sum(values["prior"]) - sum(best)
        return (sum(values["prior"]) - sum(values[row])) / reachable if reachable > 0 else None


def attainable(bundle: Bundle, test: Dataset, measured: Measured, options: Options) -> Attainable:
    """The best weights for the first half of the test rows in use, judged on the blocks of the second half; kept."""
    real = by_turns(test, measured.rows)
    size, blocks = measured.table.block_rows, measured.rows // measured.table.block_rows
    cap = bundle.manifest.importance.cap if bundle.manifest.importance else USUAL_CAP
    generator, steps = bundle.manifest.networks["generator"].sha256[:12], options.effort.attainable_steps
    name = f"{generator}-{Dataset('real', real).digest}-{cap:g}-{size}-{blocks}-{steps}"
    shelf = Shelf(options.keep / "attainable")
    kept = shelf.result(name)
    if kept is None:
        kept = _judge(bundle, real, (size, blocks), cap, options)
        shelf.keep_result(name, kept)
    return Attainable(Table({"attainable": kept}, size), blocks // 2)


def _judge(
    bundle: Bundle, samples: torch.Tensor, blocks: tuple[int, int], cap: float, options: Options
) -> dict[str, list[float]]:
    size, count = blocks
    first = count // 2
    target, parts = samples[: first * size][:ROWS], []
    for block in range(first, count):
        _, pool = generated(bundle, POOL_ROWS_PER_KEPT * size, SEED + block)
        weights = best_weights(pool, target, cap, options.effort.attainable_steps)
        parts.append(accepted(pool, weights, cap, size, SEED + block))
    real = rows_of(RAW, samples[first * size :], options.device)
    return compare(real, rows_of(RAW, torch.cat(parts), options.device), {}, count - first).values["floor"]


def best_weights(pool: torch.Tensor, target: torch.Tensor, cap: float, steps: int) -> torch.Tensor:
    """Weights [n] in [0, cap] of mean one that minimise a kernel distance of ``pool`` [n, d] to ``target`` [m, d].

    Accelerated projected gradient on a convex quadratic: no network, no latent, each sample is weighed by itself.
    """
    kernel = _kernel(target)
    within, cross = kernel(pool, pool) / len(pool), kernel(pool, target).mean(1)
    rate = 1.0 / _largest_eigenvalue(within)
    weights = momentum = torch.ones(len(pool))
    for step in range(steps):
        gradient = within @ momentum - cross
        following = project(momentum - rate * gradient, cap)
        momentum = following + step / (step + 3) * (following - weights)
        weights = following
    return weights


def project(weights: torch.Tensor, cap: float) -> torch.Tensor:
    """The nearest point of the weights in [0, cap] whose mean is one: a shift, clipped, by bisection."""
    low, high = float(-weights.max()), float(cap - weights.min())
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if float((weights + middle).clamp(0, cap).mean()) < 1 else (low, middle)
    return (weights + high).clamp(0, cap)


def accepted(pool: torch.Tensor, weights: torch.Tensor, cap: float, n: int, seed: int) -> torch.Tensor:
    """``n`` rows of ``pool`` by rejection with probability w / cap; the last rows of a scarce pool come again."""
    uniform = torch.rand(len(pool), generator=torch.Generator().manual_seed(seed))
    index = (uniform < weights / cap).nonzero().squeeze(1)
    return pool[index.repeat(-(-n // max(1, len(index))))[:n]]


def _kernel(target: torch.Tensor) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    median = float(torch.pdist(target[:2_000]).median())

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(x, y)
        return torch.stack([torch.exp(-distance / (scale * median)) for scale in SCALES]).mean(0)

    return kernel


def _largest_eigenvalue(matrix: torch.Tensor) -> float:
    vector = torch.ones(len(matrix)) / len(matrix) ** 0.5
    for _ in range(POWER_STEPS):
        vector = matrix @ vector
        vector = vector / vector.norm()
    return float(vector @ matrix @ vector) * 1.05
