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
from training.data.catalog import load
from training.draws import Shelf
from training.metrics.intervals import student_interval
from training.pages import END, start_of
from training.presets import WEIGHTS_PRESETS
from training.weights.train import TrainedWeights

TRIALS = 60
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
    monkeypatch.setattr(ablation_bundles, "LEAST_LATENTS", 600)
    monkeypatch.setattr(ablation_cases, "ROWS", 200)
    out = page(tmp_path, arguments[0])
    told = [*arguments, "--objectives", "energy", "energy-ladder", "--keep", str(tmp_path / "kept"), "--out", str(out)]
    assert ablation.main(told) == 0
    first = out.read_text()
    assert first.startswith("before\n") and first.endswith("after\n")
    assert "`energy`" in first and "`energy-ladder`" in first and " ± " in first
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


class Noise(ImportanceNetwork):
    """Weights of 0 or 3 that have nothing to do with what the latent decodes to."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 3 * ((1e5 * z.sum(1)).sin() > 0.5).float()


def bench_with(network: ImportanceNetwork, monkeypatch: pytest.MonkeyPatch, test_rows: int = 80) -> Bench:
    """The 25 Gaussians, where every training ends with ``network``."""
    bundle = load_bundle(Path("bundles/gaussians-25"))
    trained = TrainedWeights(network.requires_grad_(False), [], 0, 0, 0, 0, True)
    monkeypatch.setattr(ablation_bundles, "train_weights", lambda *_: trained)
    monkeypatch.setattr(ablation_bundles, "LEAST_LATENTS", 600)
    train, test = load("gaussians-25", "train"), load("gaussians-25", "test").subset(torch.arange(test_rows))
    return Bench(bundle, train, test, Shelf(None), None)


def test_weights_that_are_noise_are_found_to_differ_about_as_often_as_the_interval_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_with(Noise(2, (4,)), monkeypatch)
    runs = [bench.judge("energy", seed, Sizes()) for seed in range(3 * TRIALS)]
    changes = [run["ours"]["distance"] - run["prior"]["distance"] for run in runs]
    found = [student_interval(changes[3 * trial : 3 * trial + 3]) for trial in range(TRIALS)]
    assert sum(abs(each.mean) > each.half_width for each in found) / TRIALS < 0.08  # the intervals are of 97%


def test_flat_weights_change_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench_with(ImportanceNetwork(2, (4,)), monkeypatch).judge("energy", 0, Sizes())
    assert run["ours"] == pytest.approx(run["prior"])


def test_shipped_weights_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_bundle(Path("bundles/gaussians-25")).importance
    assert network is not None
    run = bench_with(network, monkeypatch, test_rows=1_000).judge("energy", 0, Sizes())
    assert run["ours"]["distance"] < 0.7 * run["prior"]["distance"]
    assert run["ours"]["precision"] > run["prior"]["precision"] + 0.03


def test_objectives_of_one_seed_share_their_latents_and_seeds_share_none(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_with(ImportanceNetwork(2, (4,)), monkeypatch)
    first, second = bench.latents_of(0), bench.latents_of(1)
    assert bench.latents_of(0) is first
    assert not torch.isin(first.pool.latents, second.pool.latents).any()
    assert not torch.isin(first.uniforms, second.uniforms).any()


@pytest.mark.parametrize("arguments", [("plane", "--seeds", "1"), ("cases", "--dims", "1")])
def test_what_would_fail_after_training_is_refused_at_once(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ablation.parse([*arguments])
    assert f"argument {arguments[1]}: must be at least 2, not 1" in capsys.readouterr().err
