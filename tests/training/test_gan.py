"""GAN training: an interrupted run equals an uninterrupted one to the last bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.children import same_threads
from tests.training.gan_run import CPU, DATA, PARKED_AT, config, train
from training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from training.gan import CHECKPOINT, SNAPSHOTS, GanRun, train_gan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> GanRun:
    return train(tmp_path_factory.mktemp("whole"))


def assert_equal_runs(first: GanRun, second: GanRun) -> None:
    assert first.done == second.done
    for name in ("generator", "critic", "ema"):
        ours, theirs = getattr(first, name).state_dict(), getattr(second, name).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


class Interrupted(Exception):
    pass


def test_a_run_stopped_by_an_error_and_resumed_equals_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: GanRun
) -> None:
    def stop(run: GanRun) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path, snapshot_every=40, on_snapshot=stop)
    assert load_checkpoint(tmp_path / CHECKPOINT)[1]["step"] == 35  # the last multiple of 7 before 40
    assert_equal_runs(train(tmp_path), uninterrupted)


def test_a_run_killed_by_the_system_and_resumed_equals_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: GanRun
) -> None:
    command = [sys.executable, "-m", "tests.training.gan_run", str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=same_threads(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        announced = next(step for line in child.stdout if (step := int(line)) >= 20)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    saved = load_checkpoint(tmp_path / CHECKPOINT)[1]["step"]
    assert announced - announced % 7 <= saved <= PARKED_AT
    assert_equal_runs(train(tmp_path), uninterrupted)


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    first = train(tmp_path, steps=10)
    assert_equal_runs(train(tmp_path, steps=10), first)


def test_another_seed_gives_another_run() -> None:
    other = GanRun(config(seed=1), DATA, CPU)
    assert not torch.equal(next(other.generator.parameters()), next(GanRun(config(), DATA, CPU).generator.parameters()))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    train(tmp_path, steps=7)
    changed = config(lr_critic=0.5, generator_config={"output_shape": (2,), "hidden": (8,)})
    with pytest.raises(CheckpointError, match="made with another generator_config, lr_critic; use another --out"):
        train_gan(changed, DATA, tmp_path, CPU)


def test_a_checkpoint_from_before_there_was_a_choice_of_precision_is_one_of_float32(tmp_path: Path) -> None:
    train(tmp_path, steps=7)
    state, meta = load_checkpoint(tmp_path / CHECKPOINT)
    del meta["config"]["precision"]
    save_checkpoint(tmp_path / CHECKPOINT, state, meta)
    assert train(tmp_path, steps=9).done == 9
    with pytest.raises(CheckpointError, match="made with another precision"):
        train_gan(config(steps=9, precision="bfloat16"), DATA, tmp_path, CPU)


def test_bfloat16_rounds_the_layers_and_nothing_else() -> None:
    """Two steps, the second without a penalty: near those of float32, not equal; what is kept is float32."""
    exact, rounded = GanRun(config(), DATA, CPU), GanRun(config(precision="bfloat16"), DATA, CPU)
    for _ in range(2):
        losses = [run.step() for run in (exact, rounded)]
        for name, value in losses[0].items():
            assert losses[1][name].dtype == torch.float32
            torch.testing.assert_close(losses[1][name], value, rtol=0.02, atol=0.02)
    assert all(value.dtype == torch.float32 for value in rounded.ema.state_dict().values())
    pairs = list(zip(exact.generator.parameters(), rounded.generator.parameters(), strict=True))
    assert not all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_only_the_number_of_steps_may_grow(tmp_path: Path) -> None:
    train(tmp_path, steps=7)
    assert train(tmp_path, steps=9).done == 9


def test_a_damaged_checkpoint_stops_the_run_with_advice(tmp_path: Path) -> None:
    train(tmp_path, steps=7)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="delete it to start over"):
        train(tmp_path, steps=9)


def test_the_average_moves_towards_the_generator() -> None:
    """The first step's decay is (1 + 0) / (10 + 0)."""
    run = GanRun(config(), DATA, CPU)
    before = {key: value.clone() for key, value in run.ema.state_dict().items()}
    run.step()
    for key, value in run.ema.state_dict().items():
        torch.testing.assert_close(value, 0.1 * before[key] + 0.9 * run.generator.state_dict()[key])
    assert not torch.equal(run.ema.state_dict()["body.0.weight"], before["body.0.weight"])


def test_later_the_average_lags_behind(uninterrupted: GanRun) -> None:
    weight = "body.0.weight"
    start = GanRun(config(), DATA, CPU).ema.state_dict()[weight]
    average, current = uninterrupted.ema.state_dict()[weight], uninterrupted.generator.state_dict()[weight]
    assert not torch.equal(average, current)
    assert not any(parameter.requires_grad for parameter in uninterrupted.ema.parameters())
    assert 0 < (average - start).norm() < (current - start).norm() * 1.5


def test_the_learning_rates_fall_to_zero_over_the_last_quarter() -> None:
    run = GanRun(config(steps=100), DATA, CPU)
    rates = {}
    for done in (0, 74, 75, 80, 99):
        run.done = done
        run.step()
        rates[done] = (run.opt_generator.param_groups[0]["lr"], run.opt_critic.param_groups[0]["lr"])
    expected = {0: 1.0, 74: 1.0, 75: 1.0, 80: 20 / 25, 99: 1 / 25}
    assert rates == {done: pytest.approx((share * 1e-3, share * 1e-3)) for done, share in expected.items()}


def test_the_snapshot_is_the_average(tmp_path: Path) -> None:
    run = train(tmp_path, steps=6, snapshot_every=4)
    names = sorted(path.name for path in (tmp_path / SNAPSHOTS).iterdir())
    assert names == ["step-0000004.safetensors", "step-0000006.safetensors"]
    saved = load_file(tmp_path / SNAPSHOTS / names[-1])
    assert all(torch.equal(saved[key], value) for key, value in run.ema.state_dict().items())


@torch.no_grad()
def mean_scores(run: GanRun) -> tuple[float, float]:
    """Of the data and of fixed samples."""
    fake = run.generator(run.prior.sample(500, torch.Generator().manual_seed(0)))
    return float(run.critic(DATA.samples).mean()), float(run.critic(fake).mean())


def after(steps: int, run: GanRun) -> GanRun:
    for _ in range(steps):
        run.step()
    return run


def test_against_a_fixed_generator_the_critic_learns_to_score_data_above_samples() -> None:
    real, fake = mean_scores(after(30, GanRun(config(lr_generator=0.0), DATA, CPU)))
    real_before, fake_before = mean_scores(GanRun(config(), DATA, CPU))
    assert real - fake > real_before - fake_before + 0.1


def test_against_a_fixed_critic_the_generator_learns_to_raise_its_score() -> None:
    _, fake = mean_scores(after(30, GanRun(config(lr_critic=0.0), DATA, CPU)))
    _, fake_before = mean_scores(GanRun(config(), DATA, CPU))
    assert fake > fake_before + 0.1


def test_a_run_does_not_go_on_with_other_data_of_the_same_name(tmp_path: Path) -> None:
    train(tmp_path, steps=2)
    with pytest.raises(CheckpointError, match="made with other data of that name"):
        train_gan(config(steps=4), replace(DATA, samples=DATA.samples.flip(0)), tmp_path, CPU)
