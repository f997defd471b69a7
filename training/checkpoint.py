"""Checkpoints of a training run: nested tensors in one .safetensors file, replaced atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

SEPARATOR = "/"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message says why."""


class OtherRunError(CheckpointError):
    """A checkpoint of other settings, networks or data."""


def save_checkpoint(path: Path, state: dict[str, Any], meta: dict[str, Any]) -> None:
    """Write ``state`` (nested dicts of tensors) and ``meta`` (JSON) so that a crash leaves the old file or the new.

    Raises CheckpointError where the disk is full; the old file is then as it was.
    """
    tensors = {k: v.detach().contiguous().cpu() for k, v in _flatten(state).items()}
    save_tensors(path, tensors, {"meta": json.dumps(meta)})


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """A .safetensors file, written as ``save_checkpoint`` does. Raises CheckpointError."""
    partial = path.with_suffix(".partial")
    try:
        save_file(tensors, partial, metadata=metadata)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"{path} could not be written ({error}); free space and start again") from error


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and meta as ``save_checkpoint`` got them. Raises CheckpointError."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})["meta"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a usable checkpoint ({error}); delete it to start over") from error
    return _unflatten(tensors), meta


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The per-parameter tensors of an optimizer (its settings come from the run's configuration)."""
    return {str(index): dict(slots) for index, slots in optimizer.state_dict()["state"].items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    state = {int(index): slots for index, slots in saved.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _flatten(state: dict[str, Any], prefix: str = "") -> dict[str, torch.Tensor]:
    flat: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        name = f"{prefix}{key}"
        if isinstance(value, torch.Tensor):
            flat[name] = value
        else:
            flat |= _flatten(value, name + SEPARATOR)
    return flat


def _unflatten(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, tensor in tensors.items():
        *parents, leaf = name.split(SEPARATOR)
        node = state
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = tensor
    return state
