"""Tables at an effort of seconds: small networks, few steps, few rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.classifier import ClassifierConfig
from training.presets import GAN_PRESETS
from training.reproduce.options import QUICK, Options

TINY = replace(
    QUICK,
    folder="",
    block_rows=30,
    gan_steps=8,
    weight_steps=4,
    mode_rows=60,
    attainable_steps=5,
    classifier=ClassifierConfig(steps=80, critic_steps=4, batch=64, lr=5e-3, held_out_rows=200, validate_every=40),
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Options whose work is kept in a fresh folder; the presets of the plane have networks of 16 units."""
    for name in ("dot-swiss-roll", "dot-gaussians-25", "mixture-4", "mixture-9", "mixture-16", "mixture-25"):
        small = replace(
            GAN_PRESETS[name],
            generator_config={"output_shape": [2], "hidden": [16]},
            critic_config={"input_dim": 2, "hidden": [16]},
            batch=32,
        )
        monkeypatch.setitem(GAN_PRESETS, name, small)
    return Options(tmp_path / "keep", torch.device("cpu"), TINY)


Forbid = Callable[..., None]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Forbid:
    """``forbid(module, *names)``: calling any of these functions from now on fails the test."""

    def apply(module: object, *names: str) -> None:
        for name in names:

            def again(*_: object, _name: str = name, **__: object) -> None:
                raise AssertionError(f"{_name} was called again")

            monkeypatch.setattr(module, name, again)

    return apply
