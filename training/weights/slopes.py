"""How a target changes with the latent: d numbers more about it than its value, for the price of a backward pass.

Czarnecki et al. 2017, Sobolev training for neural networks. A ratio of densities is a rough function of the latent (on
Fashion-MNIST the mean of |slope|^2 is a hundred times its variance, half of that from a few latents at an edge), and
least squares would see those few alone: longer slopes than ``steepest`` are shortened to that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.data.dataset import as_network_input
from training.errors import TrainingRefused
from training.weights.problem import Problem, digest

BLOCK = 250
Target = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Slopes:
    """Of targets that the features of ``problem`` have, by the latent; kept in the file ``cache``. ``seed``: of the
    run, on which latents and target depend."""

    problem: Problem
    seed: int
    cache: Path

    def __call__(self, target: Target, latents: torch.Tensor, cap: float, steepest: float, made: str) -> torch.Tensor:
        """d clip(target, 0, cap) / dz [n, d] at ``latents`` [n, d], none longer than ``steepest``.

        ``made``: how the target is made of ``problem`` and seed. Raises TrainingRefused for networks that have no
        gradients, or none that are finite.
        """
        networks = f"{digest(self.problem.generator)}-{digest(self.problem.features)}"
        key = f"{networks}-{self.problem.real.digest}-{self.seed}-{len(latents)}-{cap}-{steepest}-{made}"
        if (found := self._cached(key)) is None:
            blocks = tqdm(latents.split(BLOCK), desc="slopes", unit="blocks", dynamic_ncols=True)
            found = torch.cat([self._block(target, block, cap, steepest) for block in blocks])
            save_checkpoint(self.cache, {"slopes": found.cpu()}, {"key": key})
        return found.to(latents)

    def _cached(self, key: str) -> torch.Tensor | None:
        try:
            state, meta = load_checkpoint(self.cache)
        except CheckpointError:
            return None  # there is none; or it is damaged, then it is made again and replaced, as a pool is
        return state["slopes"] if meta.get("key") == key else None

    def _block(self, target: Target, latents: torch.Tensor, cap: float, steepest: float) -> torch.Tensor:
        with torch.enable_grad():
            z = latents.detach().requires_grad_()
            features = as_network_input(self.problem.generator(z))
            if self.problem.features is not None:
                features = self.problem.features(features)
            total = target(features.flatten(1)).clamp(0, cap).sum()
            if not total.requires_grad:
                raise TrainingRefused(
                    "the generator or the feature network has no gradients, which the slopes of a target need: "
                    "set slope_weight to 0"
                )
            (slopes,) = torch.autograd.grad(total, z)
        if not torch.isfinite(slopes).all():
            raise TrainingRefused(
                "the gradients of the generator or the feature network are not finite: set slope_weight to 0"
            )
        shortened: torch.Tensor = slopes * (steepest / slopes.norm(dim=1, keepdim=True).clamp(min=steepest))
        return shortened
