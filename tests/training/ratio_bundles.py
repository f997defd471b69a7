"""A bundle whose generator is the identity on N(0, I): the density ratio of Gaussian data is then a formula."""

from __future__ import annotations

from pathlib import Path

import torch

from models.bundle import Bundle, load_bundle, save_bundle
from models.manifest import Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.registry import build
from training.data.dataset import Dataset

SHIFT = torch.tensor([1.0, -0.5])


def gaussian_data(rows: int, seed: int = 0) -> Dataset:
    """N(SHIFT, I)."""
    return Dataset("shifted", torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed)) + SHIFT)


def analytic_log_ratio(x: torch.Tensor) -> torch.Tensor:
    """log N(x; SHIFT, I) - log N(x; 0, I)."""
    return x @ SHIFT - SHIFT.square().sum() / 2


def write_identity(folder: Path, critic: bool = True, hidden: tuple[int, ...] = (32, 32)) -> Path:
    configs: dict[NetworkRole, tuple[str, dict[str, object]]] = {
        "generator": ("mlp-generator", {"latent_dim": 2, "output_shape": [2], "hidden": []}),
    }
    if critic:
        configs["critic"] = ("mlp-critic", {"input_dim": 2, "hidden": list(hidden)})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {role: build(*config) for role, config in configs.items()}
    networks["generator"].load_state_dict({"body.0.weight": torch.eye(2), "body.0.bias": torch.zeros(2)})
    manifest = Manifest(
        name="identity", version="1", licence="CC0-1.0", description="the identity",
        prior=PriorSpec(kind="normal", dim=2), output=OutputSpec(kind="points", shape=(2,)),
        networks={role: NetworkSpec(architecture=a, config=c, sha256="0" * 64) for role, (a, c) in configs.items()},
    )  # fmt: skip
    save_bundle(folder, manifest, networks)
    return folder


def linear_bundle(folder: Path, scale: float = 0.5, offset: float = 3.0) -> Bundle:
    """Classifier and Wasserstein critic score ``scale`` * analytic log ratio + ``offset``."""
    bundle = load_bundle(write_identity(folder, hidden=()))
    networks = dict(bundle.networks)
    roles: tuple[NetworkRole, ...] = ("critic", "classifier", "wasserstein_critic")
    for role in roles:
        networks[role] = build("mlp-critic", {"input_dim": 2, "hidden": []})
        bias = scale * analytic_log_ratio(torch.zeros(1, 2)) + offset
        networks[role].load_state_dict({"body.0.weight": scale * SHIFT[None], "body.0.bias": bias})
    specs = {**bundle.manifest.networks, **dict.fromkeys(roles, bundle.manifest.networks["critic"])}
    save_bundle(folder, bundle.manifest.model_copy(update={"networks": specs}), networks)
    return load_bundle(folder)
