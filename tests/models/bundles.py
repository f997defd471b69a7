"""A small whole bundle on disk, and ways to spoil it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from models.bundle import MANIFEST_FILE, save_bundle
from models.importance import ImportanceNetwork
from models.manifest import ImportanceSpec, Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.registry import build

PENDING = "0" * 64
NETWORKS: dict[NetworkRole, tuple[str, dict[str, Any]]] = {
    "generator": ("mlp-generator", {"latent_dim": 3, "output_shape": [2], "hidden": [4]}),
    "importance": ("importance-mlp", {"latent_dim": 3, "hidden": [4], "head": "bounded", "cap": 3.0}),
}


def manifest(**changes: Any) -> Manifest:
    settings: dict[str, Any] = {
        "name": "small",
        "version": "1",
        "licence": "CC0-1.0",
        "description": "a bundle for tests",
        "prior": PriorSpec(kind="normal", dim=3),
        "output": OutputSpec(kind="points", shape=(2,)),
        "networks": {
            role: NetworkSpec(architecture=name, config=config, sha256=PENDING)
            for role, (name, config) in NETWORKS.items()
        },
        "importance": ImportanceSpec(head="bounded", cap=3.0, objective="energy"),
    }
    return Manifest(**{**settings, **changes})


def networks(seed: int = 0) -> dict[NetworkRole, nn.Module]:
    torch.manual_seed(seed)
    made = {role: build(name, config) for role, (name, config) in NETWORKS.items()}
    importance = made["importance"]
    assert isinstance(importance, ImportanceNetwork)
    nn.init.normal_(importance.body[-1].weight)  # type: ignore[arg-type]
    return made


def write(folder: Path, seed: int = 0) -> Path:
    save_bundle(folder, manifest(), networks(seed))
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Apply ``change`` to the document of ``bundle.json``."""
    path = folder / MANIFEST_FILE
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def replace_weights(folder: Path, role: str, payload: bytes) -> None:
    """Other bytes for the network ``role``, with the hash that belongs to them."""
    (folder / f"{role}.safetensors").write_bytes(payload)
    digest = hashlib.sha256(payload).hexdigest()
    edit(folder, lambda document: document["networks"][role].update(sha256=digest))


def change_tensors(folder: Path, role: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Apply ``change`` to the tensors of the network ``role``, with the hash that belongs to them."""
    tensors = load_file(folder / f"{role}.safetensors")
    change(tensors)
    replace_weights(folder, role, save(tensors))
