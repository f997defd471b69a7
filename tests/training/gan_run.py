"""A tiny GAN run; as a program it trains in the folder of its argument, announces steps and waits to be killed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from training.data.synthetic import gaussian_grid
from training.gan import GanConfig, GanRun, train_gan

STEPS, CHECKPOINT_EVERY, PARKED_AT = 120, 7, 100
DATA = gaussian_grid(25, 500, seed=0)
CPU = torch.device("cpu")


def config(**changes: Any) -> GanConfig:
    settings: dict[str, Any] = {
        "data": "gaussians-25",
        "latent_dim": 2,
        "generator": "mlp-generator",
        "generator_config": {"output_shape": (2,), "hidden": (16, 16)},
        "critic": "mlp-critic",
        "critic_config": {"input_dim": 2, "hidden": (16, 16)},
        "steps": STEPS,
        "batch": 32,
        "n_critic": 2,
        "lr_generator": 1e-3,
        "lr_critic": 1e-3,
    }
    return GanConfig(**{**settings, **changes})


def train(folder: Path, steps: int = STEPS, **arguments: Any) -> GanRun:
    return train_gan(config(steps=steps), DATA, folder, CPU, checkpoint_every=CHECKPOINT_EVERY, **arguments)


def announce(run: GanRun) -> None:
    sys.stdout.write(f"{run.done}\n")
    sys.stdout.flush()
    if run.done == PARKED_AT:
        sys.stdin.read()  # in case the reader is slow: never come to the end by oneself


if __name__ == "__main__":
    train(Path(sys.argv[1]), snapshot_every=1, on_snapshot=announce)
