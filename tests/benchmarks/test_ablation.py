"""benchmarks.ablation: every objective on constructed cases and on a bundle, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import ablation, ablation_bundles, ablation_cases
from benchmarks.ablation_bundles import Bench, Sizes
from models.bundle import load_bundle
from models.importance import ImportanceNetwork
from tests.training.evaluation.constructed import mean_instead_of_metrics
from training.data.catalog import load
from training.draws import Shelf
from training.metrics.intervals import student_interval
from training.pages import END, start_of
from training.presets import WEIGHTS_PRESETS
from training.weights.train import TrainedWeights

TRIALS = 100
CASES = ("cases", "--kinds", "perfect", "shifted", "--dims", "2", "--steps", "25", "--seeds", "2")
PLANE = ("plane", "--steps", "3", "--pool-rows", "300", "--real-rows", "900", "--test-rows", "100", "--seeds", "2",
         "--hidden", "8")  # fmt: skip


def page(folder: Path, part: str) -> Path:
    path = folder / "page.md"
    path.write_text(f"before\n{start_of(f'benchmarks.ablation {part}')}\n{END}\nafter\n")
    return path


def trained_again(*_: Any, **__: Any) -> None:
    raise AssertionError("trained again")


@pytest.mark.parametrize(("arguments", "module"), [(CASES, ablation_cases), (PLANE, ablation_bundles)])
def test_the_page_gets_its_tables_and_a_second_run_trains_nothing(
    arguments: tuple[str, ...], module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation_bundles, "PLANE", ("gaussians-25",))
    monkeypatch.setattr(ablation_cases, "ROWS", 200)
    out = page(tmp_path, arguments[0])
    told = [*arguments, "--objectives", "energy", "ratio", "--keep", str(tmp_path / "kept"), "--out", str(out)]
    assert ablation.main(told) == 0
    first = out.read_text()
    assert first.startswith("before\n") and first.endswith("after\n")
    assert "`energy`" in first and "`ratio`" in first and " ± " in first
    monkeypatch.setattr(module, "train_weights", trained_again)
    assert ablation.main(told) == 0
    assert out.read_text() == first


def test_objectives_that_need_a_critic_are_left_out_of_the_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(ablation, "cases_page", lambda names, *_: seen.extend(names) or "page")
    ablation.main(["cases"])
    assert set(ablation.OBJECTIVES) - set(seen) == set(ablation.NEED_CRITIC)
    assert set(ablation.OBJECTIVES) <= set(WEIGHTS_PRESETS)


def test_a_page_without_markers_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "run", trained_again)
    (tmp_path / "page.md").write_text("nothing\n")
    with pytest.raises(SystemExit, match="there must be one line"):
        ablation.main(["cases", "--out", str(tmp_path / "page.md")])


def test_a_run_is_cut_down_by_what_is_given_and_by_nothing_else() -> None:
    whole = ablation_bundles.Sizes().settings("transport", 3)
    assert whole.seed == 3 and whole.pool_rows == WEIGHTS_PRESETS["transport"].pool_rows
    cut = ablation_bundles.Sizes(steps=10, pool_rows=500, programs=8, hidden=(4,)).settings("transport", 0)
    assert (cut.steps, cut.pool_rows, cut.hidden) == (10, 500, (4,))
    assert cut.objective.batches == 8 and cut.objective.held_out_batches == 2  # type: ignore[union-attr]


def test_an_objective_that_does_nothing_is_found_to_differ_about_as_often_as_the_interval_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = load_bundle(Path("bundles/gaussians-25"))
    flat = TrainedWeights(ImportanceNetwork(bundle.prior.dim, (4,)).requires_grad_(False), [], 0, 0, 0, 0, True)
    monkeypatch.setattr(ablation_bundles, "train_weights", lambda *_: flat)
    monkeypatch.setattr(ablation_bundles, "GENERATED_PER_REAL", 1)
    mean_instead_of_metrics(monkeypatch)
    train, test = load("gaussians-25", "train"), load("gaussians-25", "test").subset(torch.arange(80))
    wrong = 0
    for trial in range(TRIALS):
        monkeypatch.setattr(ablation_bundles, "SEED", 1_000 * trial)
        bench = Bench(bundle, train, test, Shelf(None), None)
        found = student_interval([bench.judge("energy", seed, Sizes())["change"]["fid"] for seed in range(3)])
        wrong += abs(found.mean) > found.half_width
    assert wrong / TRIALS < 0.07  # the intervals are of 97%


def test_objectives_of_one_seed_have_latents_of_their_own() -> None:
    streams = [ablation_bundles._stream(seed, index).seed for seed in range(3) for index in range(len(WEIGHTS_PRESETS))]
    assert len(set(streams)) == len(streams)


@pytest.mark.parametrize("arguments", [("plane", "--seeds", "1"), ("cases", "--dims", "1")])
def test_what_would_fail_after_training_is_refused_at_once(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ablation.parse([*arguments])
    assert f"argument {arguments[1]}: must be at least 2, not 1" in capsys.readouterr().err
