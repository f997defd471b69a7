"""Bundles on disk: a directory with ``bundle.json`` and one ``.safetensors`` a network. No pickle is ever read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import nn

from models.importance import ImportanceNetwork
from models.manifest import SCHEMA_VERSION, Manifest, NetworkRole, NetworkSpec
from models.placement import place
from models.priors import Prior
from models.registry import ArchitectureError, build

MANIFEST_FILE = "bundle.json"
PROBE_ROWS = 2
PROBE_SEED = 0


class BundleError(ValueError):
    """A bundle that cannot be used; the message is one sentence that says what is wrong."""


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: manifest and networks, in eval mode and without gradients, on one device.

    ``withheld``: networks that lie in the bundle but are not to be used, each with the reason.
    """

    manifest: Manifest
    networks: dict[NetworkRole, nn.Module]
    digest: str
    withheld: Mapping[NetworkRole, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def prior(self) -> Prior:
        return Prior(self.manifest.prior.kind, self.manifest.prior.dim)

    @property
    def generator(self) -> nn.Module:
        return self.networks["generator"]

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        return next(self.generator.parameters()).device

    @property
    def importance(self) -> ImportanceNetwork | None:
        network = self.networks.get("importance")
        return network if isinstance(network, ImportanceNetwork) else None

    def without(self, role: NetworkRole, reason: str) -> Bundle:
        """The bundle with a network withheld. Another digest: not everything it makes is the same."""
        digest = hashlib.sha256(f"{self.digest} without {role}".encode()).hexdigest()
        networks = {name: network for name, network in self.networks.items() if name != role}
        return Bundle(self.manifest, networks, digest, {**self.withheld, role: reason})


def load_bundle(folder: Path, device: torch.device | str = "cpu") -> Bundle:
    """Load and verify everything: schema, hashes, shapes, finite values, a probe batch. Raises BundleError."""
    manifest, raw = _read(folder)
    networks = {role: _load_network(folder, role, spec) for role, spec in manifest.networks.items()}
    bundle = Bundle(manifest, networks, hashlib.sha256(raw).hexdigest())
    _check_consistency(folder, bundle)
    _probe(folder, bundle)
    for network in networks.values():
        place(network, device)
    return bundle


def save_bundle(folder: Path, manifest: Manifest, networks: dict[NetworkRole, nn.Module]) -> Manifest:
    """Write a bundle; each hash in ``manifest`` is replaced by the one of the weights as written.

    Every file is written beside the old one first, then all are renamed, ``bundle.json`` last: a bundle that could not
    be written leaves the old one. Raises BundleError.
    """
    if set(networks) != set(manifest.networks):
        raise BundleError(f"networks {sorted(networks)} do not match the manifest's {sorted(manifest.networks)}")
    specs: dict[NetworkRole, NetworkSpec] = {}
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for role, network in networks.items():
            tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
            payload = dump_tensors(tensors)
            _write_beside(folder / f"{role}.safetensors", payload, written)
            specs[role] = manifest.networks[role].model_copy(update={"sha256": hashlib.sha256(payload).hexdigest()})
        final = manifest.model_copy(update={"networks": specs})
        _write_beside(folder / MANIFEST_FILE, (final.model_dump_json(indent=2) + "\n").encode(), written)
        for path in written:
            _partial(path).replace(path)
    except OSError as error:
        for path in written:
            _partial(path).unlink(missing_ok=True)
        raise BundleError(f"{folder} could not be written ({error.strerror}); free space and start again.") from error
    return final


def read_manifest(folder: Path) -> Manifest:
    """``bundle.json`` alone, validated. Raises BundleError."""
    return _read(folder)[0]


def _read(folder: Path) -> tuple[Manifest, bytes]:
    path = folder / MANIFEST_FILE
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{folder} is not a bundle: {MANIFEST_FILE} cannot be read ({error.strerror}).") from error
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not valid JSON ({error}).") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(f"{path} has schema version {version}, this Winnow reads up to {SCHEMA_VERSION}; upgrade it.")
    try:
        return Manifest.model_validate(document), raw
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{path}: {where}: {first['msg']}.") from error


def _load_network(folder: Path, role: NetworkRole, spec: NetworkSpec) -> nn.Module:
    path = folder / f"{role}.safetensors"
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}); {MANIFEST_FILE} promises it.") from error
    if hashlib.sha256(payload).hexdigest() != spec.sha256:
        raise BundleError(f"{path} does not match the sha256 in {MANIFEST_FILE}: it is damaged or was replaced.")
    try:
        network = build(spec.architecture, spec.config)
        tensors = load_tensors(payload)
    except (ArchitectureError, SafetensorError) as error:
        raise BundleError(f"{path}: {error}.") from error
    _check_tensors(path, network, tensors)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _check_tensors(path: Path, network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    expected = network.state_dict()
    if missing := sorted(set(expected) ^ set(tensors)):
        raise BundleError(f"{path}: tensor {missing[0]} is missing or does not belong to the architecture.")
    for key in sorted(tensors):  # the file gives them in no fixed order
        tensor = tensors[key]
        if tensor.shape != expected[key].shape:
            want, got = list(expected[key].shape), list(tensor.shape)
            raise BundleError(f"{path}: tensor {key} has shape {got}, the architecture needs {want}.")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BundleError(f"{path}: tensor {key} holds NaN or infinite values.")


def _check_consistency(folder: Path, bundle: Bundle) -> None:
    manifest = bundle.manifest
    if "generator" not in manifest.networks:
        raise BundleError(f"{folder}: the bundle has no generator.")
    simplicial = manifest.pilot.simplicial
    if simplicial is not None and len(simplicial.seeds[0]) != manifest.prior.dim:
        got, want = len(simplicial.seeds[0]), manifest.prior.dim
        raise BundleError(f"{folder}: the pilot's simplicial seeds have dimension {got}, the prior {want}.")
    if ("importance" in manifest.networks) != (manifest.importance is not None):
        raise BundleError(f"{folder}: an importance network and its 'importance' entry must come together.")
    if manifest.importance is None:
        return
    network = bundle.importance
    if network is None:
        raise BundleError(f"{folder}: the importance network is a {manifest.networks['importance'].architecture}.")
    if (network.head, network.cap) != (manifest.importance.head, manifest.importance.cap):
        raise BundleError(f"{folder}: head or cap of the importance network differ from the 'importance' entry.")


@torch.no_grad()
def _probe(folder: Path, bundle: Bundle) -> None:
    z = bundle.prior.sample(PROBE_ROWS, torch.Generator().manual_seed(PROBE_SEED))
    try:
        samples = bundle.generator(z)
        weights = bundle.networks["importance"](z) if "importance" in bundle.networks else torch.ones(PROBE_ROWS)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(f"{folder}: a probe batch of {bundle.prior.dim}-d latents fails ({reason}).") from error
    want = (PROBE_ROWS, *bundle.manifest.output.shape)
    if samples.shape != want or weights.shape != (PROBE_ROWS,):
        raise BundleError(f"{folder}: a probe batch has shape {tuple(samples.shape)}, bundle.json promises {want}.")
    if not (torch.isfinite(samples).all() and torch.isfinite(weights).all()):
        raise BundleError(f"{folder}: a probe batch gives NaN or infinite values.")


def _write_beside(path: Path, payload: bytes, written: list[Path]) -> None:
    written.append(path)
    with _partial(path).open("wb") as handle:
        handle.write(payload)
        handle.flush()
        os.fsync(handle.fileno())


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
