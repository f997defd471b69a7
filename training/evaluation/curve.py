"""How good the base generator was at each snapshot of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from models.priors import Prior
from models.registry import build
from training.data.dataset import Dataset
from training.evaluation.blocks import Space
from training.gan import GanConfig
from training.metrics.fid import fid
from training.metrics.neighbours import precision_recall
from training.randomness import step_generator

ROWS = 10_000
NEIGHBOUR_ROWS = 2_048  # of the published tables
SEED = 3_000_001
BLOCK = 500


def generator_curve(
    config: GanConfig, snapshots: dict[int, Path], spaces: list[Space], selection: Dataset, test: Dataset
) -> list[dict[str, Any]]:
    """Per snapshot and space: FID on 10,000 rows, precision and recall on 2,048. CPU only.

    Against ``selection``, training rows on which stopping is decided (the generator has seen them), and ``test``,
    which is reported.
    """
    cpu = torch.device("cpu")
    references = {"selection": selection, "test": test}
    real = {
        (space.name, split): space.features(data.samples, cpu) for space in spaces for split, data in references.items()
    }
    prior = Prior(config.prior, config.latent_dim)
    points = []
    for step, path in snapshots.items():
        samples = _generate(config, path, prior)
        spaces_of_point = {}
        for space in spaces:
            fake = space.features(samples, cpu)
            spaces_of_point[space.name] = {split: _quality(real[space.name, split], fake) for split in references}
        points.append({"step": step, "spaces": spaces_of_point})
    return points


def _quality(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    neighbours = precision_recall(real[:NEIGHBOUR_ROWS], fake[:NEIGHBOUR_ROWS])
    return {"fid": fid(real, fake), "precision": neighbours.precision, "recall": neighbours.recall}


@torch.no_grad()
def _generate(config: GanConfig, path: Path, prior: Prior) -> torch.Tensor:
    generator = build(config.generator, {"latent_dim": config.latent_dim, **config.generator_config})
    generator.load_state_dict(load_file(path))
    generator.eval()
    return torch.cat([generator(prior.sample(BLOCK, step_generator(SEED, block))) for block in range(ROWS // BLOCK)])
