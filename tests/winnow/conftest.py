"""A working directory with two bundles of 2-D points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from served import Server

from models.bundle import save_bundle
from models.manifest import ImportanceSpec, Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.registry import build


def write_points(root: Path, name: str) -> None:
    configs: dict[NetworkRole, tuple[str, dict[str, object]]] = {
        "generator": ("mlp-generator", {"latent_dim": 2, "output_shape": [2], "hidden": [16]}),
        "importance": ("importance-mlp", {"latent_dim": 2, "hidden": [16], "cap": 3.0}),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {role: build(*config) for role, config in configs.items()}
    manifest = Manifest(
        name=name, version="1", licence="CC0-1.0", description="points",
        prior=PriorSpec(kind="normal", dim=2), output=OutputSpec(kind="points", shape=(2,)),
        networks={role: NetworkSpec(architecture=a, config=c, sha256="0" * 64) for role, (a, c) in configs.items()},
        importance=ImportanceSpec(head="bounded", cap=3.0, objective="none"),
    )  # fmt: skip
    save_bundle(root / name, manifest, networks)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with bundles/points and bundles/other; whoever serves takes any free port."""
    monkeypatch.setenv("WINNOW_HTTP__BIND", "127.0.0.1:0")
    for name in ("points", "other"):
        write_points(tmp_path / "bundles", name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(workplace: Path) -> Iterator[Server]:
    with Server("--default-model", "points") as server:
        yield server
