"""How good the base generator was at each snapshot of its training."""

from __future__ import annotations

import hashlib
import json
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
from training.weights.problem import digest
from training.writing import write_json

ROWS = 10_000
NEIGHBOUR_ROWS = 2_048  # of the published tables
SEED = 3_000_001
BLOCK = 500


def generator_curve(
    config: GanConfig,
    snapshots: dict[int, Path],
    spaces: list[Space],
    selection: Dataset,
    test: Dataset,
    kept: Path | None = None,
) -> list[dict[str, Any]]:
    """Per snapshot and space: FID on 10,000 rows, precision and recall on 2,048. CPU only, a minute a snapshot.

    Against ``selection``, training rows on which stopping is decided (the generator has seen them), and ``test``,
    which is reported. ``kept``: a file of points, written after each one; those of the same snapshot, spaces and data
    are not measured again.
    """
    about = {
        "rows": [ROWS, NEIGHBOUR_ROWS, len(selection), len(test)],
        "data": [selection.digest, test.digest],
        "spaces": {space.name: digest(space.network) for space in spaces},
    }
    hashes = {str(step): hashlib.sha256(path.read_bytes()).hexdigest() for step, path in snapshots.items()}
    points = {step: point for step, point in _read(kept, about).items() if point["sha256"] == hashes.get(step)}
    if missing := {step: path for step, path in snapshots.items() if str(step) not in points}:
        cpu = torch.device("cpu")
        references = {"selection": selection, "test": test}
        real = {
            (space.name, split): space.features(data.samples, cpu)
            for space in spaces
            for split, data in references.items()
        }
        for step, path in missing.items():
            samples = _generate(config, path, Prior(config.prior, config.latent_dim))
            found = {}
            for space in spaces:
                fake = space.features(samples, cpu)
                found[space.name] = {split: _quality(real[space.name, split], fake) for split in references}
            points[str(step)] = {"sha256": hashes[str(step)], "spaces": found}
            if kept is not None:
                write_json(kept, {"about": about, "points": points})
    return [{"step": step, "spaces": points[str(step)]["spaces"]} for step in snapshots]


def _read(kept: Path | None, about: dict[str, Any]) -> dict[str, Any]:
    """Points of an earlier call about the same; none when the file cannot be read."""
    try:
        record = json.loads(kept.read_text()) if kept is not None else {}
        return dict(record["points"]) if record.get("about") == about else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _quality(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    neighbours = precision_recall(real[:NEIGHBOUR_ROWS], fake[:NEIGHBOUR_ROWS])
    return {"fid": fid(real, fake), "precision": neighbours.precision, "recall": neighbours.recall}


@torch.no_grad()
def _generate(config: GanConfig, path: Path, prior: Prior) -> torch.Tensor:
    generator = build(config.generator, {"latent_dim": config.latent_dim, **config.generator_config})
    generator.load_state_dict(load_file(path))
    generator.eval()
    return torch.cat([generator(prior.sample(BLOCK, step_generator(SEED, block))) for block in range(ROWS // BLOCK)])
