"""Checkpoints: what was saved comes back, and a broken file says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from training import checkpoint
from training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    optimizer_state,
    restore_optimizer,
    save_checkpoint,
)

STATE = {
    "net": {"0.weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(3)},
    "top": torch.ones(1, dtype=torch.bool),
}
META = {"step": 12, "config": {"betas": [0.5, 0.9], "name": "a/b"}}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, STATE, META)
    state, meta = load_checkpoint(path)
    assert meta == META
    assert state.keys() == STATE.keys() and state["net"].keys() == STATE["net"].keys()
    assert torch.equal(state["net"]["0.weight"], STATE["net"]["0.weight"])
    assert state["net"]["count"].dtype == torch.int64 and state["top"].dtype == torch.bool
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_crash_while_saving_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, STATE, META)

    def half_written(tensors: object, target: Path, metadata: object) -> None:
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", half_written)
    with pytest.raises(CheckpointError, match=r"No space.*free space and start again"):
        save_checkpoint(path, {"net": torch.zeros(1)}, {"step": 13})
    assert load_checkpoint(path)[1] == META


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, STATE, META)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"not a usable checkpoint.*delete it to start over") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_file_without_meta_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a usable checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match=r"foreign.safetensors: not a usable checkpoint"):
        load_checkpoint(tmp_path / "foreign.safetensors")


def stepped(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    network(x).square().mean().backward()
    optimizer.step()


def test_a_restored_optimizer_takes_the_same_next_step(tmp_path: Path) -> None:
    first = nn.Linear(3, 2)
    adam = torch.optim.Adam(first.parameters(), lr=0.1, betas=(0.5, 0.9))
    for seed in range(3):
        stepped(first, adam, seed)
    save_checkpoint(tmp_path / "c.safetensors", {"net": first.state_dict(), "adam": optimizer_state(adam)}, {})
    stepped(first, adam, seed=3)

    state, _ = load_checkpoint(tmp_path / "c.safetensors")
    second, forgetful = nn.Linear(3, 2), nn.Linear(3, 2)
    second.load_state_dict(state["net"])
    forgetful.load_state_dict(state["net"])
    restored = torch.optim.Adam(second.parameters(), lr=0.1, betas=(0.5, 0.9))
    restore_optimizer(restored, state["adam"])
    stepped(second, restored, seed=3)
    stepped(forgetful, torch.optim.Adam(forgetful.parameters(), lr=0.1, betas=(0.5, 0.9)), seed=3)
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)
    assert not torch.equal(first.weight, forgetful.weight)
