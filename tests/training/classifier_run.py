"""A small classifier run; as a program it trains in a folder, announces steps and waits to be killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.pilot import Pilot
from tests.training.ratio_bundles import gaussian_data, write_identity
from training.classifier import ClassifierConfig, classifier_bundle
from training.finetune import FinetuneRun

STEPS, VALIDATE_EVERY, PARKED_AT = 60, 7, 50
DATA = gaussian_data(2_000)
CPU = torch.device("cpu")


def config(**changes: Any) -> ClassifierConfig:
    settings: dict[str, Any] = {
        "steps": STEPS,
        "critic_steps": STEPS,
        "batch": 64,
        "lr": 2e-3,
        "held_out_rows": 200,
        "validate_every": VALIDATE_EVERY,
        "patience": 100,
    }
    return ClassifierConfig(**{**settings, **changes})


def train(folder: Path, on_step: Callable[[FinetuneRun], None] | None = None, **changes: Any) -> Pilot:
    source = folder.parent / "source"
    if not source.exists():
        write_identity(source, hidden=(16,))
    return classifier_bundle(config(**changes), source, DATA, folder, CPU, on_step)


def announce(run: FinetuneRun) -> None:
    sys.stdout.write(f"{run.config.loss} {run.done}\n")
    sys.stdout.flush()
    if run.config.loss == sys.argv[2] and run.done == PARKED_AT:
        sys.stdin.read()  # in case the reader is slow: never come to the end by oneself


if __name__ == "__main__":
    train(Path(sys.argv[1]), announce)
