"""Classifiers whose penultimate layer is the feature space that distances are measured in."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn


class FeatureClassifier(nn.Module):
    """A classifier whose ``forward`` gives features [n, f] and ``logits_of`` the class scores of those."""

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores [n, classes] of features."""
        raise NotImplementedError

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores [n, classes] of samples."""
        return self.logits_of(self(x))


class LeNetFeatures(FeatureClassifier):
    """Images [n, 1, 28, 28] -> features [n, 128]; ``logits`` gives class scores."""

    feature_dim = 128

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 5 * 5, self.feature_dim), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(self.feature_dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.body(x)
        return features

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(features)
        return scores


class BranchedFeatures(FeatureClassifier):
    """Images [n, 1, 28, 28] -> features [n, 384] of four unlike classifiers side by side. The yardstick.

    A LeNet, an MLP, a strided CNN, and an all-convolutional network with global average pooling, each with a head of
    its own so that none leans on another. One classifier's features alone reward what only that classifier sees:
    weights fitted to them gain little in any other space. The first three keep where things are, the last one only
    how much of what there is, so it weighs as much as those three together.
    ``scale`` brings the branches to one unit, the spread of their features on the training data.
    """

    WEIGHTS = (1.0, 1.0, 1.0, 3.0)

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        strided = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.LeakyReLU(0.1),
            nn.Flatten(), nn.Linear(64 * 7 * 7, 64), nn.LeakyReLU(0.1),
        )  # fmt: skip
        dense = nn.Sequential(nn.Flatten(), nn.Linear(784, 192), nn.ReLU(), nn.Linear(192, 96), nn.ReLU())
        pooled = nn.Sequential(
            *_conv_norm(1, 24), nn.ReLU(), *_conv_norm(24, 48, stride=2), nn.ReLU(), *_conv_norm(48, 48), nn.ReLU(),
            *_conv_norm(48, 96, stride=2), nn.ReLU(), *_conv_norm(96, 96), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.branches = nn.ModuleList([LeNetFeatures(classes).body, dense, strided, pooled])
        widths = (LeNetFeatures.feature_dim, 96, 64, 96)
        self.heads = nn.ModuleList([nn.Linear(width, classes) for width in widths])
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.ones(len(widths)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) / scale for branch, scale in zip(self.branches, self.scale, strict=True)], dim=1)

    def all_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of each branch, [branches, n, classes]."""
        return torch.stack([head(branch(x)) for branch, head in zip(self.branches, self.heads, strict=True)])

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Mean class scores of the branches, [n, classes]."""
        return self.all_logits(x).mean(0)

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        """The same from the features [n, 384] that ``forward`` gave."""
        parts = features.split([head.in_features for head in self.heads], dim=1)
        return torch.stack([h(p * s) for h, p, s in zip(self.heads, parts, self.scale, strict=True)]).mean(0)

    @torch.no_grad()
    def set_scale(self, x: torch.Tensor) -> None:
        """Divide each branch by the mean distance of its features of ``x`` from their mean; squares add by WEIGHTS."""
        spreads = []
        for branch in self.branches:
            features = branch(x)
            spreads.append((features - features.mean(0)).norm(dim=1).mean())
        self.scale = torch.stack(spreads) / torch.tensor(self.WEIGHTS, device=x.device).sqrt()


class ResidualFeatures(FeatureClassifier):
    """Grey images [n, 1, h, w] of any size -> features [n, 96]; the independent space that no training ever sees.

    Unlike ``LeNetFeatures`` in every choice: residual 3x3 blocks, batch normalisation, SiLU, strides
    in place of max pooling, global average pooling.
    """

    feature_dim = 96

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = _conv_norm(1, 24)
        self.stages = nn.ModuleList([_Residual(24, 48), _Residual(48, self.feature_dim)])
        self.head = nn.Linear(self.feature_dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.silu(self.stem(x))
        for stage in self.stages:
            maps = stage(maps)
        return maps.mean(dim=(2, 3))

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(features)
        return scores


class DenseFeatures(FeatureClassifier):
    """Samples of ``input_dim`` values -> features [n, 64]: small images, too small to be pooled twice."""

    feature_dim = 64

    def __init__(self, input_dim: int, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(input_dim, 128), nn.ReLU(), nn.Linear(128, self.feature_dim), nn.ReLU()
        )
        self.head = nn.Linear(self.feature_dim, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.body(x)
        return features

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(features)
        return scores


class ChannelFeatures(FeatureClassifier):
    """One grey classifier on each of three channels, features side by side: Stacked MNIST [n, 3, 28, 28].

    The class is a number of three digits, one a channel; its score is the sum of theirs, so that cross-entropy trains
    the one classifier on all channels at once.
    """

    CHANNELS = 3
    BODIES: ClassVar[dict[str, type[LeNetFeatures] | type[ResidualFeatures]]] = {
        "lenet": LeNetFeatures,
        "residual": ResidualFeatures,
    }

    def __init__(self, body: str, classes: int = 1_000) -> None:
        super().__init__()
        each = round(classes ** (1 / self.CHANNELS))
        if each**self.CHANNELS != classes:
            raise ValueError(f"{classes} classes are not a number of digits to the power of {self.CHANNELS}")
        if body not in self.BODIES:
            raise ValueError(f"unknown body {body!r}; known: {', '.join(self.BODIES)}")
        self.body = self.BODIES[body](each)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.body(channel) for channel in x.split(1, dim=1)], dim=1)

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        first, second, third = (self.body.logits_of(part) for part in features.chunk(self.CHANNELS, dim=1))
        return (first[:, :, None, None] + second[:, None, :, None] + third[:, None, None, :]).flatten(1)


class _Residual(nn.Module):
    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.first = _conv_norm(fan_in, fan_out, stride=2)
        self.second = _conv_norm(fan_out, fan_out)
        self.shortcut = nn.Conv2d(fan_in, fan_out, 1, stride=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.second(nn.functional.silu(self.first(x)))
        return nn.functional.silu(inner + self.shortcut(x))


def _conv_norm(fan_in: int, fan_out: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(fan_out))
