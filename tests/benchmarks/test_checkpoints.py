"""benchmarks.checkpoints: one line a snapshot, resumable, and no snapshot that is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import weighted
from benchmarks.checkpoints import cells, main, parse
from benchmarks.weighted import Change
from training import build
from training.data.catalog import load
from training.data.dataset import Dataset
from training.gan import train_gan
from training.metrics.intervals import Interval
from training.presets import DEFAULT_FOR_IMAGES, GAN_PRESETS, WEIGHTS_PRESETS
from training.weights.cases import sized

BUNDLE = Path(__file__).parents[2] / "bundles" / "digits"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A GAN run of digits with snapshots at 2 and 4 steps."""
    config = replace(GAN_PRESETS["digits"], steps=4, batch=16)
    train_gan(config, load("digits", "train"), tmp_path / "digits" / "gan", weighted.CPU, snapshot_every=2)
    return tmp_path / "digits" / "gan"


def test_every_snapshot_has_its_line_and_a_second_run_trains_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = DEFAULT_FOR_IMAGES
    monkeypatch.setitem(WEIGHTS_PRESETS, name, replace(sized(WEIGHTS_PRESETS[name], 25), pool_rows=2_000))
    monkeypatch.setattr(weighted, "ENERGY_ROWS", 500)
    told = ["--run", str(run), "--bundle", str(BUNDLE), "--data", "digits", "--steps", "2", "4", "--rows", "600",
            "--keep", str(tmp_path / "kept")]  # fmt: skip
    assert main(told) == 0
    first = capsys.readouterr().out
    lines = [line for line in first.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0] for line in lines] == ["| 2", "| 4"]
    assert name in first and lines[0].split(" | ")[1] != lines[1].split(" | ")[1]

    def again(*_: object, **__: object) -> Dataset:
        raise AssertionError("trained again")

    monkeypatch.setattr(build, "weights_bundle", again)
    page = tmp_path / "page.md"
    page.write_text("<!-- table: python -m benchmarks.checkpoints --data digits -->\n<!-- end of table -->\n")
    assert main([*told, "--out", str(page)]) == 0
    assert capsys.readouterr().out == first and first.strip() in page.read_text()


def test_a_share_is_of_what_was_attainable() -> None:
    ours = Change(Interval(-0.2, 0.1), Interval(0.0, 0.0), Interval(-0.3, 0.1), 0.5)
    best = Change(Interval(-0.8, 0.1), Interval(0.0, 0.0), Interval(0.1, 0.1), 0.5)
    assert cells(ours, best) == ["0.500", "-20 ± 10%", "-80 ± 10%", "25%", "-30 ± 10%", "+10 ± 10%", "-"]


def test_a_snapshot_that_is_not_there_is_told_with_those_that_are(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--run", str(run), "--bundle", str(BUNDLE), "--data", "digits", "--steps", "3", "--keep", "kept"])
    assert "has no snapshot at 3; it has 2, 4" in capsys.readouterr().err
