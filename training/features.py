"""Train the classifiers whose penultimate layers are the feature spaces of the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from models.features import BranchedFeatures, FeatureClassifier
from models.registry import build
from training.data.dataset import DataError, Dataset, as_network_input
from training.randomness import step_generator

LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
BATCH = 128
EVAL_BATCH = 500
SCALE_ROWS = 5_000


def train_classifier(
    architecture: str,
    data: Dataset,
    epochs: int,
    seed: int,
    device: torch.device,
    config: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A network of ``architecture`` with ``logits``, trained on labelled ``data``; returned in eval mode, frozen.

    ``config``: of the architecture, beside the number of classes. Raises DataError for data without labels or
    with fewer rows than one batch.
    """
    if data.labels is None:
        raise DataError(f"{data.name}: a feature classifier needs labels; without labels leave this step out")
    if len(data) < BATCH:
        raise DataError(f"{data.name}: {len(data)} labelled rows; a feature classifier needs at least {BATCH}")
    torch.manual_seed(seed)
    network = build(architecture, {**(config or {}), "classes": int(data.labels.max()) + 1}).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * (len(data) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    network.train()
    for step in range(steps):
        index = torch.randint(len(data), (BATCH,), generator=step_generator(seed, step))
        loss = _loss(network, data.batch(index).to(device), data.labels[index].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    if isinstance(network, BranchedFeatures):
        network.eval().set_scale(data.batch(torch.arange(min(len(data), SCALE_ROWS))).to(device))
    return network.eval().requires_grad_(False)


@torch.no_grad()
def features_of(network: nn.Module | None, samples: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Features float32 [n, f] on the CPU of uint8 images, float images or points; without a network the raw values."""
    if network is None:
        return as_network_input(samples).flatten(1).cpu()
    parts = [network(as_network_input(rows).to(device)).cpu() for rows in samples.split(EVAL_BATCH)]
    return torch.cat(parts)


@torch.no_grad()
def classes_of(network: nn.Module, features: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Most likely class, int64 [n] on the CPU, of rows whose ``features`` [n, f] the network gave."""
    assert isinstance(network, FeatureClassifier)
    return torch.cat([network.logits_of(rows.to(device)).argmax(1).cpu() for rows in features.split(EVAL_BATCH)])


def predicted_classes(network: nn.Module, samples: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Most likely class, int64 [n] on the CPU, of samples."""
    return classes_of(network, features_of(network, samples, device), device)


def accuracy(network: nn.Module, data: Dataset, device: torch.device) -> float:
    """Share of ``data`` classified correctly."""
    assert data.labels is not None
    return float((predicted_classes(network, data.samples, device) == data.labels).float().mean())


def _logits(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    assert isinstance(network, FeatureClassifier)
    return network.logits(x)


def _loss(network: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy; branches are trained each for itself, side by side."""
    scores = network.all_logits(x) if isinstance(network, BranchedFeatures) else _logits(network, x)[None]
    return nn.functional.cross_entropy(scores.flatten(0, 1), labels.repeat(len(scores)))
