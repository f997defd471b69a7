"""What importance training starts from: a frozen generator, data, a feature space; and pools made of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from models.priors import Prior
from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.data.catalog import fixed_split
from training.data.dataset import Dataset
from training.errors import TrainingRefused
from training.features import features_of
from training.randomness import step_generator

POOL_BLOCK = 1_000
SPLIT_SEED = 7


@dataclass(frozen=True)
class Problem:
    """Frozen networks in eval mode on ``device``; ``features`` None means the samples themselves."""

    prior: Prior
    generator: nn.Module
    features: nn.Module | None
    real: Dataset
    device: torch.device
    critic: nn.Module | None = None

    @torch.no_grad()
    def generate(self, z: torch.Tensor) -> torch.Tensor:
        samples: torch.Tensor = self.generator(z)
        return samples

    def split_real(self, held_out: int) -> tuple[Dataset, Dataset]:
        """(held out, rest) of the training data, always the same cut. The test split plays no part in training."""
        return fixed_split(self.real, held_out, SPLIT_SEED)


@dataclass(frozen=True)
class Pool:
    """Latents [n, d] and the features [n, f] of what they decode to, on the CPU."""

    latents: torch.Tensor
    features: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> Pool:
        return Pool(self.latents.to(device), self.features.to(device))


def make_pool(problem: Problem, rows: int, seed: int, cache: Path | None = None, title: str = "pool") -> Pool:
    """``rows`` fresh latents with their features, the same for the same seed; read from ``cache`` when it fits."""
    key = f"{digest(problem.generator)}-{digest(problem.features)}-{rows}-{seed}"
    if cache is not None and cache.exists():
        try:
            state, meta = load_checkpoint(cache)
            if meta.get("key") == key:
                return Pool(state["latents"], state["features"])
        except CheckpointError:
            pass  # a damaged cache is only a slow start: it is made again and replaced below
    pool = _draw_pool(problem, rows, seed, title)
    if not torch.isfinite(pool.features).all():
        raise TrainingRefused("the generator or the feature network gives NaN or infinity: check both before training")
    if cache is not None:
        save_checkpoint(cache, {"latents": pool.latents, "features": pool.features}, {"key": key})
    return pool


def _draw_pool(problem: Problem, rows: int, seed: int, title: str) -> Pool:
    latents, features = [], []
    for block in tqdm(range(-(-rows // POOL_BLOCK)), desc=title, unit="k latents", dynamic_ncols=True):
        z = problem.prior.sample(POOL_BLOCK, step_generator(seed, block))
        samples = problem.generate(z.to(problem.device))
        latents.append(z)
        features.append(features_of(problem.features, samples, problem.device))
    return Pool(torch.cat(latents)[:rows], torch.cat(features)[:rows])


def digest(network: nn.Module | None) -> str:
    """Short hash of a network's weights."""
    if network is None:
        return "none"
    sha = hashlib.sha256()
    for key, value in network.state_dict().items():
        sha.update(key.encode())
        sha.update(value.cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]
