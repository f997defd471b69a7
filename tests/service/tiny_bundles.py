"""Bundles small enough to make a thousand samples in a blink."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.bundle import save_bundle
from models.manifest import ImportanceSpec, Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.registry import build

IMAGE = OutputSpec(kind="image", shape=(1, 28, 28), range=(-1, 1))
POINTS = OutputSpec(kind="points", shape=(2,))
IMAGE_GENERATOR = ("cnn28-generator", {"latent_dim": 16, "channels": [8, 8, 8, 4]})
POINT_GENERATOR = ("mlp-generator", {"latent_dim": 2, "output_shape": [2], "hidden": [16]})
BATCH = 8
BLOCK = 64


def write_bundle(
    root: Path,
    name: str,
    output: OutputSpec,
    generator: tuple[str, dict[str, Any]],
    shape_weights: Callable[[torch.nn.Linear], None] | None,
) -> Path:
    """A bundle with seeded random networks; ``shape_weights`` sets the last layer of w (None: no w)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dim = generator[1]["latent_dim"]
        networks: dict[NetworkRole, torch.nn.Module] = {"generator": build(*generator)}
        configs: dict[NetworkRole, tuple[str, dict[str, Any]]] = {"generator": generator}
        if shape_weights is not None:
            configs["importance"] = ("importance-mlp", {"latent_dim": dim, "hidden": [16], "cap": 3.0})
            networks["importance"] = w = build(*configs["importance"])
            last = w.body[-1]
            assert isinstance(last, torch.nn.Linear)
            with torch.no_grad():
                shape_weights(last)
    specs = {role: NetworkSpec(architecture=a, config=c, sha256="0" * 64) for role, (a, c) in configs.items()}
    importance = ImportanceSpec(head="bounded", cap=3.0, objective="none") if shape_weights else None
    manifest = Manifest(
        name=name, version="1", licence="CC0-1.0", description=f"{name} for tests",
        prior=PriorSpec(kind="normal", dim=dim), output=output, networks=specs, importance=importance,
    )  # fmt: skip
    save_bundle(root / name, manifest, networks)
    return root / name


def uneven(last: torch.nn.Linear) -> None:
    torch.nn.init.normal_(last.weight, std=2.0)


def never(last: torch.nn.Linear) -> None:
    """w is so small that nothing passes."""
    torch.nn.init.constant_(last.bias, -60.0)
