"""Generators to time samplers on. Cost does not depend on weights, so random ones stand for large models."""

from __future__ import annotations

import torch
from torch import nn

from models.bundle import Bundle
from models.importance import ImportanceNetwork
from models.manifest import Calibration, ImportanceSpec, Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.placement import place

LATENT_DIM, SIDE, FIRST_SIDE = 512, 128, 4
CHANNELS = (352, 352, 176, 88, 44)  # 4, 8, 16, 32, 64 pixels a side: over 10 ms an image on two CPU cores
HIDDEN = (512, 512, 512, 512)  # the papers' w for ProGAN at 128 pixels (Issenhuth et al. 2022, appendix E)
CAP = 3.0
NO_HASH = "0" * 64


class Convolutions128(nn.Module):
    """Latents [n, 512] -> images [n, 3, 128, 128]: two 3x3 convolutions a level, nearest up-sampling, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(LATENT_DIM, CHANNELS[0] * FIRST_SIDE**2)
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(CHANNELS, (*CHANNELS[1:], 16), strict=True):
            layers += [nn.Conv2d(fan_in, fan_in, 3, padding=1), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2)]
            layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(16, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        maps = self.project(z).view(-1, CHANNELS[0], FIRST_SIDE, FIRST_SIDE)
        images: torch.Tensor = self.body(maps.contiguous(memory_format=torch.channels_last))
        return images


def random_bundle(device: torch.device | str = "cpu") -> Bundle:
    """A 128x128x3 bundle with random weights and w = 1 everywhere, so that latentRS accepts one in three."""
    torch.manual_seed(0)
    generator, importance = Convolutions128(), ImportanceNetwork(LATENT_DIM, HIDDEN, cap=CAP)
    manifest = Manifest(
        name="random-128",
        version="1",
        licence="Apache-2.0",
        description="Random weights, for timing only.",
        prior=PriorSpec(kind="normal", dim=LATENT_DIM),
        output=OutputSpec(kind="image", shape=(3, SIDE, SIDE), range=(-1.0, 1.0)),
        networks={
            "generator": NetworkSpec(architecture="convolutions-128", config={}, sha256=NO_HASH),
            "importance": NetworkSpec(architecture="importance-mlp", config={}, sha256=NO_HASH),
        },
        importance=ImportanceSpec(head="bounded", cap=CAP, objective="none"),
        calibration=Calibration(
            rows=2, seed=0, mean_weight=1.0, share_above_cap=0.0, acceptance_rate=1 / CAP,
            effective_sample_size=1.0, weight_quantiles=(1.0, 1.0),
        ),
    )  # fmt: skip
    networks: dict[NetworkRole, nn.Module] = {"generator": generator, "importance": importance}
    for network in networks.values():
        place(network.eval().requires_grad_(False), device)
    return Bundle(manifest, networks, NO_HASH)
