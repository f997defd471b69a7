"""Which objective ``winnow train weights`` takes when nobody names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.weights.config import WeightsConfig
from winnow.cli import main

BUNDLES = Path(__file__).parents[2] / "bundles"


class Stop(Exception):
    """Training would begin here."""


@pytest.mark.parametrize(
    ("bundle", "given", "expected"),
    [
        ("digits", [], "energy-least-squares"),
        ("gaussians-25", [], "transport"),
        ("digits", ["--objective", "energy"], "energy"),
    ],
)
def test_the_default_depends_on_the_kind_of_samples(
    bundle: str, given: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(config: WeightsConfig, *_: object, **__: object) -> None:
        assert config.name == expected
        raise Stop

    monkeypatch.setattr("training.pipeline.weights_bundle", begin)
    command = ["train", "weights", "--bundle", str(BUNDLES / bundle), "--data", bundle, "--out", str(tmp_path)]
    with pytest.raises(Stop):
        main([*command, *given])
