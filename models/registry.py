"""Architectures by name: what ``bundle.json`` may call for."""

from __future__ import annotations

from typing import Any

from torch import nn

from models.critics import Cnn28Critic, MlpCritic
from models.features import BranchedFeatures, ChannelFeatures, DenseFeatures, LeNetFeatures, ResidualFeatures
from models.generators.cnn28 import Cnn28Generator
from models.generators.mlp import MlpGenerator
from models.importance import ImportanceNetwork

ARCHITECTURES: dict[str, type[nn.Module]] = {
    "cnn28-generator": Cnn28Generator,
    "mlp-generator": MlpGenerator,
    "cnn28-critic": Cnn28Critic,
    "mlp-critic": MlpCritic,
    "importance-mlp": ImportanceNetwork,
    "branched-features": BranchedFeatures,
    "channel-features": ChannelFeatures,
    "dense-features": DenseFeatures,
    "lenet-features": LeNetFeatures,
    "residual-features": ResidualFeatures,
}


class ArchitectureError(ValueError):
    """An architecture name or configuration this version does not know."""


def build(architecture: str, config: dict[str, Any]) -> nn.Module:
    """A fresh network of the named architecture. Raises ArchitectureError."""
    if architecture not in ARCHITECTURES:
        raise ArchitectureError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    try:
        return ARCHITECTURES[architecture](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArchitectureError(f"{architecture} does not take the configuration {config}: {error}") from error
