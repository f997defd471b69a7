"""The one multilayer perceptron that generators, critics and importance networks are built from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import nn

LEAKY_SLOPE = 0.2


def mlp(input_dim: int, hidden: tuple[int, ...], output_dim: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers with ``activation`` between them and a linear output: [n, input_dim] -> [n, output_dim]."""
    widths = (input_dim, *hidden, output_dim)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def leaky_mlp(input_dim: int, hidden: tuple[int, ...], output_dim: int) -> nn.Sequential:
    """With LeakyReLU(0.2) between the layers."""
    return mlp(input_dim, hidden, output_dim, partial(nn.LeakyReLU, LEAKY_SLOPE))


def initialise(network: nn.Module) -> None:
    """Kaiming weights for LeakyReLU(0.2), zero biases.

    PyTorch's default shrinks the signal in every layer: a generator of table A.3's depth then starts as
    a constant image whatever the latent, and the critic saturates its tanh before it can learn.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(layer.weight, a=LEAKY_SLOPE, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
