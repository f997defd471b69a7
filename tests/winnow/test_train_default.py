"""What ``winnow train`` takes when nobody says, and that its help says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.classifier import DEFAULTS
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


@pytest.mark.parametrize("setting", ["steps", "critic_steps", "batch", "penalty", "critic_penalty", "lr"])
def test_the_help_of_classifier_has_its_defaults(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "classifier", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    of_images, of_points = (f"{getattr(DEFAULTS[kind], setting):g}" for kind in ("image", "points"))
    said = words.split(f"--{setting.replace('_', '-')} {setting.upper()}")[-1].split(" --")[0]
    assert f"(default: {of_images}, for points {of_points})" in said
