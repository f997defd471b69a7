"""Generators to time samplers on. Cost does not depend on weights, so random ones stand for large models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.bundle import Bundle, save_bundle
from models.importance import ImportanceNetwork
from models.manifest import Calibration, ImportanceSpec, Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.placement import place
from models.registry import ARCHITECTURES

LATENT_DIM, FIRST_SIDE = 512, 4
NO_HASH = "0" * 64
ARCHITECTURE = "convolutions"


@dataclass(frozen=True)
class Size:
    """``channels`` of each level, the first 4 pixels wide, each twice as wide as the one before it; ``last``: those of
    the full size. ``hidden`` and ``cap``: of w."""

    channels: tuple[int, ...]
    last: int
    hidden: tuple[int, ...]
    cap: float

    @property
    def side(self) -> int:
        """Pixels of an image."""
        return FIRST_SIDE << len(self.channels)


SIZES = {
    "random-128": Size((352, 352, 176, 88, 44), 16, (512, 512, 512, 512), 3.0),
    "progan-128": Size((512, 512, 512, 512, 256), 128, (512, 512, 512, 512), 3.0),
    "stylegan2-256": Size((512, 512, 512, 512, 512, 256), 128, (512, 512, 512), 2.0),
}
"""The first takes over 10 ms an image on two CPU cores. The others have the widths of Karras et al. 2018 and 2020 with
two 3x3 convolutions a level, no mapping network, and the papers' w (Issenhuth et al. 2022, appendix E)."""


class Convolutions(nn.Module):
    """Latents [n, 512] -> images [n, 3, side, side]: two 3x3 convolutions a level, nearest up-sampling, tanh."""

    def __init__(self, channels: tuple[int, ...], last: int) -> None:
        super().__init__()
        self.project = nn.Linear(LATENT_DIM, channels[0] * FIRST_SIDE**2)
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(channels, (*channels[1:], last), strict=True):
            layers += [nn.Conv2d(fan_in, fan_in, 3, padding=1), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2)]
            layers += [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(last, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        maps = self.project(z).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        images: torch.Tensor = self.body(maps.contiguous(memory_format=torch.channels_last))
        return images


def make_known() -> None:
    """From now on this process can load what ``write_random_bundle`` writes."""
    ARCHITECTURES[ARCHITECTURE] = Convolutions


def write_random_bundle(root: Path, name: str = "random-128") -> Path:
    """A bundle with random weights, below ``root``; its folder."""
    bundle = random_bundle(name)
    save_bundle(root / name, bundle.manifest, bundle.networks)
    return root / name


def random_bundle(name: str = "random-128", device: torch.device | str = "cpu") -> Bundle:
    """A bundle of one of ``SIZES`` with random weights and w = 1 everywhere: latentRS accepts one in the cap."""
    size = SIZES[name]
    torch.manual_seed(0)
    generator = Convolutions(size.channels, size.last)
    importance = ImportanceNetwork(LATENT_DIM, size.hidden, cap=size.cap)
    config = {"channels": list(size.channels), "last": size.last}
    manifest = Manifest(
        name=name,
        version="1",
        licence="Apache-2.0",
        description="Random weights, for timing only.",
        prior=PriorSpec(kind="normal", dim=LATENT_DIM),
        output=OutputSpec(kind="image", shape=(3, size.side, size.side), range=(-1.0, 1.0)),
        networks={
            "generator": NetworkSpec(architecture=ARCHITECTURE, config=config, sha256=NO_HASH),
            "importance": NetworkSpec(architecture="importance-mlp", config=importance.config, sha256=NO_HASH),
        },
        importance=ImportanceSpec(head="bounded", cap=size.cap, objective="none"),
        calibration=Calibration(
            rows=2, seed=0, mean_weight=1.0, share_above_cap=0.0, acceptance_rate=1 / size.cap,
            effective_sample_size=1.0, weight_quantiles=(1.0, 1.0),
        ),
    )  # fmt: skip
    networks: dict[NetworkRole, nn.Module] = {"generator": generator, "importance": importance}
    for network in networks.values():
        place(network.eval().requires_grad_(False), device)
    return Bundle(manifest, networks, NO_HASH)
