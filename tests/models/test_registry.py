"""Architectures by name."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from models.generators.mlp import MlpGenerator
from models.registry import ARCHITECTURES, ArchitectureError, build


def test_lists_of_json_become_tuples() -> None:
    network = build("mlp-generator", {"latent_dim": 2, "output_shape": [1, 8, 8], "hidden": [4]})
    assert isinstance(network, MlpGenerator) and network.output_shape == (1, 8, 8)


def test_every_name_builds_a_network() -> None:
    needed: dict[str, dict[str, Any]] = {
        "mlp-generator": {"latent_dim": 2, "output_shape": [2]},
        "mlp-critic": {"input_dim": 2},
        "importance-mlp": {"latent_dim": 2},
        "channel-features": {"body": "lenet"},
        "dense-features": {"input_dim": 4},
    }
    for name in ARCHITECTURES:
        assert isinstance(build(name, needed.get(name, {})), nn.Module)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ArchitectureError, match=r"unknown architecture 'resnet'; known: branched-features, channel-features, "
    ):
        build("resnet", {})


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("mlp-generator", {}),
        ("mlp-generator", {"latent_dim": 2, "output_shape": [2], "colour": True}),
        ("mlp-generator", {"latent_dim": "two", "output_shape": [2]}),
        ("mlp-generator", {"latent_dim": -2, "output_shape": [2]}),
        ("cnn28-generator", {"channels": [4, 4]}),
        ("importance-mlp", {"latent_dim": 2, "head": "tanh"}),
        ("importance-mlp", {"latent_dim": 2, "cap": 0.5}),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(architecture: str, config: dict[str, Any]) -> None:
    with pytest.raises(ArchitectureError, match=f"{architecture} does not take the configuration"):
        build(architecture, config)
