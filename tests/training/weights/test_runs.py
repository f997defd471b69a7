"""Every objective: the same weights for the same seed, also when the run was killed half way; refusals; a full disk."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import cos, nan, pi
from pathlib import Path

import pytest
import torch
from torch import nn

from models.critics import MlpCritic
from models.importance import ImportanceNetwork
from tests.training.children import same_threads
from tests.training.weights.weights_run import EVERY, NAMES, STEPS, config, problem, train
from training.checkpoint import CheckpointError, OtherRunError, load_checkpoint
from training.data.dataset import DataError, Dataset
from training.errors import TrainingRefused
from training.weights.config import Schedule
from training.weights.energy import EnergyObjective
from training.weights.problem import Problem
from training.weights.run import WeightsRun
from training.weights.train import CHECKPOINT, TrainedWeights, train_weights

ROOT = Path(__file__).parents[3]


def last(folder: Path) -> dict[str, torch.Tensor]:
    """What training itself came to, whatever selection thinks of it."""
    state, meta = load_checkpoint(folder / CHECKPOINT)
    assert meta["step"] == STEPS
    return {f"{name}.{key}": value for name in ("network", "average", "best") for key, value in state[name].items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of runs, each killed by the system right after its first checkpoint."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "tests.training.weights.weights_run", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, env=same_threads(), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        names = set()
        for line in child.stdout:
            name, process = line.split()
            os.kill(int(process), signal.SIGKILL)
            names.add(name)
    assert names == set(NAMES)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for name in NAMES:
        train(name, folder / name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_by_the_system_and_resumed_equals_an_uninterrupted_one(
    name: str, killed: Path, whole: Path
) -> None:
    state, meta = load_checkpoint(killed / name / CHECKPOINT)
    assert meta["step"] == EVERY and "network" in state
    train(name, killed / name)
    assert same(last(killed / name), last(whole / name))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_everything(name: str, whole: Path, tmp_path: Path) -> None:
    train(name, tmp_path / "again")
    train(name, tmp_path / "other", seed=1)
    assert same(last(tmp_path / "again"), last(whole / name))
    assert not same(last(tmp_path / "other"), last(whole / name))


def test_refining_goes_on_from_the_weights_of_its_start(whole: Path) -> None:
    """Without a step of its own it is the start's result."""
    history = load_checkpoint(whole / "refine" / CHECKPOINT)[1]["history"]
    start = load_checkpoint(whole / "refine" / "start" / CHECKPOINT)[1]
    assert start["settings"]["objective"]["name"] == "transport"
    assert [step for step, _ in history] == [0, 0, EVERY, STEPS]
    assert history[0][1] == start["history"][0][1]


def rates(schedule: Schedule, folder: Path, steps: int = STEPS) -> list[float]:
    """Of each step of a run, over the settings' own."""
    seen: list[float] = []
    descend = WeightsRun.descend

    def noted(run: WeightsRun, loss: torch.Tensor) -> None:
        descend(run, loss)
        seen.append(run.optimizer.param_groups[0]["lr"] / run.config.lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightsRun, "descend", noted)
        train_weights(replace(config("energy"), schedule=schedule, steps=steps), problem(), folder)
    return seen


def test_the_learning_rate_stays_or_falls_to_zero_by_a_cosine(tmp_path: Path) -> None:
    assert set(rates("constant", tmp_path / "constant")) == {1.0}
    falling = rates("cosine", tmp_path / "cosine")
    assert falling == [pytest.approx((1 + cos(pi * step / STEPS)) / 2) for step in range(STEPS)]
    longer = rates("cosine", tmp_path / "cosine", 2 * STEPS)  # the same run goes on: it rises to where that one is
    assert longer == [pytest.approx((1 + cos(pi * step / 2 / STEPS)) / 2) for step in range(STEPS, 2 * STEPS)]


@pytest.mark.parametrize(("schedule", "stale"), [("constant", True), ("cosine", False)])
def test_a_falling_rate_is_not_cut_short(schedule: Schedule, stale: bool) -> None:
    settings = replace(config("energy"), schedule=schedule, patience=2)
    run = WeightsRun(ImportanceNetwork(2, (4,)), settings, "")
    for score in (1.0, 2.0, 2.0, 2.0):
        run.consider(score)
    assert run.stale == stale


def refused(changed: Problem, folder: Path) -> TrainedWeights:
    return train_weights(config("energy"), changed, folder)


def test_data_that_cannot_be_trained_on_are_refused(tmp_path: Path) -> None:
    points = problem().real.samples
    with pytest.raises(DataError, match="1 sample"):
        Dataset("one", points[:1])
    with pytest.raises(DataError, match="NaN"):
        Dataset("broken", points.clone().index_fill(0, torch.tensor([3]), float("nan")))
    with pytest.raises(DataError, match="NaN"):
        Dataset("broken images", torch.full((4, 1, 2, 2), float("nan")))
    with pytest.raises(ValueError, match="few has 199 rows, weights need at least 200"):
        refused(replace(problem(), real=Dataset("few", points[:199])), tmp_path)
    with pytest.raises(ValueError, match="all real rows have the same features"):
        refused(replace(problem(), real=Dataset("same", points[:1].repeat(400, 1))), tmp_path)


@pytest.mark.parametrize("what", ["data", "critic"])
def test_a_run_does_not_go_on_with_other_data_or_another_critic_of_the_same_name_and_size(
    what: str, tmp_path: Path
) -> None:
    ours = problem()
    train_weights(config("adversarial"), ours, tmp_path)
    if what == "data":
        other = replace(ours, real=Dataset(ours.real.name, ours.real.samples.flip(0)))
    else:
        other = replace(ours, critic=MlpCritic(2, (8,)))
    with pytest.raises(OtherRunError, match="other settings, networks or data"):
        train_weights(config("adversarial"), other, tmp_path)


def test_a_critic_that_the_objective_does_not_read_may_change(tmp_path: Path) -> None:
    train_weights(config("energy"), problem(), tmp_path)
    train_weights(config("energy"), replace(problem(), critic=MlpCritic(2, (8,))), tmp_path)


class Broken(nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, 1:] / 0 * 0


def test_a_generator_that_gives_nan_is_refused_and_leaves_no_pool(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the generator or the feature network gives NaN"):
        refused(replace(problem(), generator=Broken()), tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: a write beyond it fails as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's writer
def test_a_disk_that_is_full_while_saving_leaves_the_last_good_checkpoint(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saves = WeightsRun.save, []

    def fills_up(run: WeightsRun, *arguments: object) -> None:
        saves.append(run.done)
        if len(saves) == 1:
            save(run, *arguments)  # type: ignore[arg-type]
            return
        with full_disk(100):
            save(run, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(WeightsRun, "save", fills_up)
    with pytest.raises(CheckpointError, match="free space and start again"):
        train("energy", tmp_path)
    assert load_checkpoint(tmp_path / CHECKPOINT)[1]["step"] == EVERY
    assert not list(tmp_path.glob("*.partial"))
    monkeypatch.undo()
    train("energy", tmp_path)
    assert same(last(tmp_path), last(whole / "energy"))


def test_a_run_that_diverges_is_refused_and_not_called_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnergyObjective, "loss", lambda _, network, __: network.score(torch.ones(1, 3)).sum() * nan)
    with pytest.raises(TrainingRefused, match="the loss of energy is not finite at step 4: lower --lr"):
        train_weights(config("energy"), problem(), tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()
