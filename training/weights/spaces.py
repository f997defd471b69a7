"""The feature spaces that importance training takes distances in: one, or several side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from training.errors import TrainingRefused
from training.features import features_of
from training.weights.config import SpaceName
from training.weights.problem import Problem

WIDEST = 512
PROJECTED = 256
PROJECTION_SEED = 11
"""A wider space is seen through a fixed Gaussian matrix onto 256 columns: distances change by about 1 / sqrt(2 * 256),
4%, and a pool of 200,000 rows takes 0.2 GB instead of what 28 x 28 or 7 x 7 x 64 values would."""
SCALE_ROWS = 2_000


class CriticFeatures(nn.Module):
    """Samples -> what the critic's last linear layer reads, [n, f]."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        layers = [layer for layer in critic.modules() if isinstance(layer, nn.Linear)]
        if not layers:
            raise TrainingRefused("the critic has no linear layer to read features from: leave critic out of --spaces")
        self.critic, self.last = critic, len(layers) - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = [layer for layer in self.critic.modules() if isinstance(layer, nn.Linear)]
        read: list[torch.Tensor] = []

        def keep(_: nn.Module, arguments: Any) -> None:
            read.append(arguments[0])

        handle = layers[self.last].register_forward_pre_hook(keep)
        try:
            self.critic(x)
        finally:
            handle.remove()
        return read[0].flatten(1)


class Space(nn.Module):
    """Samples -> the columns of one space, in the unit of their mean distance between real rows."""

    scale: torch.Tensor
    projection: torch.Tensor

    def __init__(self, network: nn.Module, real: torch.Tensor) -> None:
        """``real`` [n, ...]: real rows as the networks see them."""
        super().__init__()
        self.network = network
        with torch.no_grad():
            columns = network(real)
            width = columns.shape[1]
            rng = torch.Generator().manual_seed(PROJECTION_SEED)
            matrix = torch.randn(width, PROJECTED, generator=rng) / PROJECTED**0.5 if width > WIDEST else torch.eye(0)
            self.register_buffer("projection", matrix.to(real.device))
            self.register_buffer("scale", torch.ones((), device=real.device))
            distance = torch.pdist(self(real)).mean()
        if not torch.isfinite(distance) or distance <= 0:
            raise TrainingRefused("a feature space gives NaN, or the same features for all data: check its network")
        self.scale = distance

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns: torch.Tensor = self.network(x)
        return (columns @ self.projection if self.projection.numel() else columns) / self.scale


class SideBySide(nn.Module):
    """Samples [n, ...] -> the columns of several spaces, [n, sum of widths]."""

    def __init__(self, names: tuple[SpaceName, ...], spaces: list[Space]) -> None:
        super().__init__()
        self.spaces = nn.ModuleDict(dict(zip(names, spaces, strict=True)))  # names enter the pool's digest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([space(x) for space in self.spaces.values()], dim=1)


def feature_space(problem: Problem, names: tuple[SpaceName, ...]) -> tuple[nn.Module | None, tuple[int, ...]]:
    """The network that maps samples to the columns of ``names``, and each one's width; the problem's own for features.

    Raises TrainingRefused for a name twice, and for what the problem does not have.
    """
    if not names or len(set(names)) < len(names):
        raise TrainingRefused("--spaces: name one or more of features, samples and critic, each once")
    if names == ("features",):
        return problem.features, ()
    if problem.features is None and {"features", "samples"} <= set(names):
        raise TrainingRefused("--spaces: without a feature network features are the samples themselves; name one")
    real = problem.real.batch(torch.arange(min(SCALE_ROWS, len(problem.real)))).to(problem.device)
    spaces = [Space(_network(problem, name), real) for name in names]
    widths = tuple(features_of(space, real[:2], problem.device).shape[1] for space in spaces)
    return SideBySide(names, spaces).eval(), widths


def _network(problem: Problem, name: SpaceName) -> nn.Module:
    if name == "samples" or (name == "features" and problem.features is None):
        return nn.Flatten()
    if name == "features":
        assert problem.features is not None
        return problem.features
    if problem.critic is None:
        raise TrainingRefused("the bundle has no critic: leave critic out of --spaces")
    return CriticFeatures(problem.critic)
