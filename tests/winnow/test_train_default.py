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
        ("digits", [], "energy-ladder"),
        ("digits", ["--spaces", "samples", "features"], "energy-ladder"),
        ("digits", ["--spaces", "samples"], "energy-ratio"),
        ("digits", ["--features", "exported.pt2"], "energy-ratio"),
        ("gaussians-25", [], "energy-ratio"),
        ("digits", ["--objective", "energy"], "energy"),
    ],
)
def test_a_pull_to_a_ratio_is_the_default_only_where_the_features_do_not_know_the_training_rows(
    bundle: str, given: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(config: WeightsConfig, *_: object, **__: object) -> None:
        assert config.name == expected
        raise Stop

    monkeypatch.setattr("training.pipeline.weights_bundle", begin)
    command = ["train", "weights", "--bundle", str(BUNDLES / bundle), "--data", bundle, "--out", str(tmp_path)]
    with pytest.raises(Stop):
        main([*command, *given])
