"""State of an importance training run: the network, its average, and the best average so far."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.importance import ImportanceNetwork
from training.averaging import follow, is_best, is_stale
from training.checkpoint import (
    OtherRunError,
    load_checkpoint,
    optimizer_state,
    restore_optimizer,
    save_checkpoint,
)
from training.weights.config import WeightsConfig


class WeightsRun:
    """``score`` of a network is its held-out energy distance: lower is better."""

    def __init__(self, network: ImportanceNetwork, config: WeightsConfig, key: str) -> None:
        self.config, self.network, self.key = config, network, key
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay
        )
        self.done = 0
        self.history: list[tuple[int, float]] = []

    def adopt(self, network: ImportanceNetwork) -> None:
        """Go on from ``network``, which is of the same shape."""
        for own in (self.network, self.average):
            own.load_state_dict(network.state_dict())

    def descend(self, loss: torch.Tensor) -> None:
        """One optimizer step and one update of the average."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self._rate()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        follow(self.average, self.network, self.done, self.config.ema_decay)
        self.done += 1

    def _rate(self) -> float:
        """Of the next step, over the settings' own."""
        return 1.0 if self.config.schedule == "constant" else (1 + cos(pi * self.done / self.config.steps)) / 2

    def consider(self, score: float) -> None:
        """Keep the average if it is the best so far."""
        if is_best(self.history, score):
            self.best.load_state_dict(self.average.state_dict())
        self.history.append((self.done, score))

    @property
    def stale(self) -> bool:
        """No better score in the last ``patience`` validations; a falling rate is for the last steps to be the best."""
        return self.config.schedule == "constant" and is_stale(self.history, self.config.patience)

    def save(self, path: Path, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer]) -> None:
        ours = {"network": self.network, "average": self.average, "best": self.best, **modules}
        state: dict[str, Any] = {name: module.state_dict() for name, module in ours.items()}
        state |= {name: optimizer_state(opt) for name, opt in {"optimizer": self.optimizer, **optimizers}.items()}
        save_checkpoint(path, state, {"step": self.done, "history": self.history, **self._identity()})

    def restore(self, path: Path, modules: dict[str, nn.Module], optimizers: dict[str, torch.optim.Optimizer]) -> None:
        """Continue from ``path``; it must come from the same settings, generator, features and data."""
        state, meta = load_checkpoint(path)
        if any(meta.get(name) != value for name, value in self._identity().items()):
            raise OtherRunError(
                f"{path} belongs to other settings, networks or data; use another --out, or delete its folder"
            )
        ours = {"network": self.network, "average": self.average, "best": self.best, **modules}
        for name, module in ours.items():
            module.load_state_dict(state[name])
        for name, optimizer in {"optimizer": self.optimizer, **optimizers}.items():
            restore_optimizer(optimizer, state[name])
        self.done = int(meta["step"])
        self.history = [(int(step), float(score)) for step, score in meta["history"]]

    def _identity(self) -> dict[str, Any]:
        settings = json.loads(json.dumps(asdict(self.config)))
        del settings["steps"]
        return {"settings": settings, "key": self.key}
