"""Bundles in memory around generators with a known answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.bundle import Bundle, save_bundle
from models.importance import ImportanceNetwork
from models.manifest import Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.priors import PriorKind
from models.registry import build
from training.evaluation.blocks import Rows
from training.pipeline import NO_HASH, with_weights


def bundle_around(generator: nn.Module, dim: int, latent_dim: int, kind: PriorKind = "normal") -> Bundle:
    """A generator of points [n, dim] from ``latent_dim`` numbers, without weights."""
    spec = NetworkSpec(architecture="mlp-generator", config={}, sha256=NO_HASH)
    manifest = Manifest(
        name="constructed",
        version="1",
        licence="CC0-1.0",
        description="for tests",
        prior=PriorSpec(kind=kind, dim=latent_dim),
        output=OutputSpec(kind="points", shape=(dim,)),
        networks={"generator": spec},
    )
    return Bundle(manifest, {"generator": generator.eval()}, NO_HASH)


def weigh_by(bundle: Bundle, coordinate: int, slope: float) -> Bundle:
    """With a w that falls or rises along one latent coordinate, and sees nothing else; E[w] is about 1."""
    network = ImportanceNetwork(bundle.prior.dim, (4,), "bounded", 3.0, negative_slope=1.0)
    first, last = network.body[0], network.body[-1]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    with torch.no_grad():
        first.weight.zero_()
        first.bias.zero_()
        first.weight[0, coordinate] = 1.0
        last.weight.zero_()
        last.weight[0, 0] = slope
    return with_weights(bundle, network.requires_grad_(False), "by hand")


def write_bundle(folder: Path, output: OutputSpec, weights: bool = True) -> Path:
    """A bundle on disk with random networks."""
    torch.manual_seed(0)
    generator = {"latent_dim": 3, "output_shape": list(output.shape), "hidden": [8], "tanh": output.kind == "image"}
    configs: dict[NetworkRole, tuple[str, dict[str, Any]]] = {"generator": ("mlp-generator", generator)}
    specs = {role: NetworkSpec(architecture=n, config=c, sha256=NO_HASH) for role, (n, c) in configs.items()}
    manifest = Manifest(
        name="small",
        version="1",
        licence="CC0-1.0",
        description="for tests",
        prior=PriorSpec(kind="normal", dim=3),
        output=output,
        networks=specs,
    )
    bundle = Bundle(manifest, {role: build(name, dict(config)) for role, (name, config) in configs.items()}, NO_HASH)
    if weights:
        network = ImportanceNetwork(3, (8,))
        nn.init.normal_(network.body[-1].weight)  # type: ignore[arg-type]
        bundle = with_weights(bundle, network, "by hand")
    save_bundle(folder, bundle.manifest, bundle.networks)
    return folder


def mean_instead_of_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric becomes the mean of the generated rows: all of a draw's noise, in no time."""
    names = ("fid", "energy_distance", "kid", "recall", "emd", "precision", "emd_squared")

    def mean(_: Rows, fake: Rows, _dense: int) -> dict[str, float]:
        return dict.fromkeys(names, float(fake.features.mean()))

    monkeypatch.setattr("training.evaluation.compare.measure", mean)
