"""winnow train classifier: a calibrated density ratio, a Wasserstein critic, resumable, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.bundle import Bundle, load_bundle
from models.pilot import Pilot
from sampling.methods import METHODS, bind
from sampling.ratio import log_ratio_of
from sampling.sampler import BlockSizes, draw
from sampling.sir import SirParameters
from sampling.streams import BlockStream
from tests.training.children import same_threads
from tests.training.classifier_run import CPU, DATA, PARKED_AT, STEPS, VALIDATE_EVERY, train
from tests.training.ratio_bundles import SHIFT, analytic_log_ratio, gaussian_data, write_identity
from training.checkpoint import CheckpointError, load_checkpoint
from training.classifier import (
    CLASSIFIER_CHECKPOINT,
    CRITIC_CHECKPOINT,
    ClassifierConfig,
    classifier_bundle,
    classifier_settings,
    critic_settings,
    held_out_log_loss,
    split,
    with_shift_where_needed,
)
from training.data.dataset import DataError
from training.errors import TrainingRefused
from training.finetune import FinetuneRun, ratio_loss
from winnow.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Long enough to know the ratio of two Gaussians."""
    folder = tmp_path_factory.mktemp("trained")
    source = write_identity(folder / "source")
    config = ClassifierConfig(steps=300, critic_steps=10, lr=3e-3, batch=256, held_out_rows=4_000, ema_decay=0.95)
    classifier_bundle(config, source, gaussian_data(40_000), folder / "run", CPU)
    return load_bundle(folder / "run" / "bundle")


def assert_equal_results(first: Path, second: Path) -> None:
    """Bundles byte for byte, and every tensor of both checkpoints with the optimizers' state."""
    ours, theirs = (folder / "bundle" / "bundle.json" for folder in (first, second))
    assert ours.read_bytes() == theirs.read_bytes()
    for name in (CLASSIFIER_CHECKPOINT, CRITIC_CHECKPOINT):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_calibrated_log_ratio_of_two_gaussians_is_the_analytic_one(trained: Bundle) -> None:
    """N(SHIFT, I) over N(0, I): within 0.15 (root mean square) where either law has its mass; l itself spans 2.2."""
    x = torch.cat([gaussian_data(4_000, 21).samples, gaussian_data(4_000, 22).samples - SHIFT])
    error = log_ratio_of(trained)(x) - analytic_log_ratio(x)
    assert float(error.square().mean().sqrt()) < 0.15
    assert abs(float(error.mean())) < 0.08


def test_the_calibrated_classifier_is_reliable_on_a_part_it_has_not_seen(trained: Bundle) -> None:
    section = trained.manifest.pilot.classifier
    assert section is not None and section.rows == 8_000
    assert abs(section.reliability) < 2.5
    x = torch.cat([gaussian_data(20_000, 23).samples, gaussian_data(20_000, 24).samples - SHIFT])
    best = ratio_loss("cross-entropy", *analytic_log_ratio(x).split(20_000))
    assert section.log_loss == pytest.approx(float(best), abs=0.02)


def test_every_method_that_reads_them_turns_the_generator_into_the_data(trained: Bundle) -> None:
    """The mean of what comes out moves from the generator's 0 to the data's SHIFT."""
    for name in ("drs", "mh", "sir"):
        parameters = SirParameters(candidates=100) if name == "sir" else None
        sampler = bind(trained, name, parameters, BlockSizes(decoded=4_000))
        samples = draw(name, sampler.propose, 1_500, BlockStream(1, sampler.block)).samples
        assert samples is not None
        share = float(samples.mean(dim=0) @ SHIFT / SHIFT.square().sum())
        assert share == pytest.approx(1.0, abs=0.15), name


def test_the_bundle_keeps_its_networks_and_gains_two_and_all_the_constants(uninterrupted: Path) -> None:
    bundle = load_bundle(uninterrupted / "bundle")
    source = load_bundle(uninterrupted.parent / "source")
    assert set(bundle.networks) == {"generator", "critic", "classifier", "wasserstein_critic"}
    ours, theirs = bundle.manifest.networks, source.manifest.networks
    assert ours["generator"] == theirs["generator"] and ours["critic"] == theirs["critic"]
    assert len({ours[role].sha256 for role in ("critic", "classifier", "wasserstein_critic")}) == 3
    assert ours["classifier"].config == ours["critic"].config
    assert not METHODS["drs"].missing(bundle) and not METHODS["dot"].missing(bundle)
    pilot = bundle.manifest.pilot
    assert pilot.mh is not None and len(pilot.mh.real_log_ratios) == 200


def test_what_is_missing_is_named(uninterrupted: Path) -> None:
    source = load_bundle(uninterrupted.parent / "source")
    assert METHODS["mh"].missing(source) == [
        "a network 'classifier'",
        "the constants 'classifier' of a pilot run",
        "the constants 'mh' of a pilot run",
    ]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("loss", ["cross-entropy", "wasserstein"])
def test_a_run_stopped_by_an_error_and_resumed_equals_an_uninterrupted_one(
    loss: str, tmp_path: Path, uninterrupted: Path
) -> None:
    def stop(run: FinetuneRun) -> None:
        if run.config.loss == loss and run.done == 24:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path / "run", stop)
    name = CLASSIFIER_CHECKPOINT if loss == "cross-entropy" else CRITIC_CHECKPOINT
    assert load_checkpoint(tmp_path / "run" / name)[1]["step"] == 21
    train(tmp_path / "run")
    assert_equal_results(tmp_path / "run", uninterrupted)


def test_a_run_killed_by_the_system_and_resumed_equals_an_uninterrupted_one(
    tmp_path: Path, uninterrupted: Path
) -> None:
    command = [sys.executable, "-m", "tests.training.classifier_run", str(tmp_path / "run"), "cross-entropy"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=same_threads(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        next(line for line in child.stdout if int(line.split()[1]) >= 20)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    saved = load_checkpoint(tmp_path / "run" / CLASSIFIER_CHECKPOINT)[1]["step"]
    assert VALIDATE_EVERY <= saved <= PARKED_AT and saved % VALIDATE_EVERY == 0
    train(tmp_path / "run")
    assert_equal_results(tmp_path / "run", uninterrupted)


def test_a_finished_run_is_not_trained_further(tmp_path: Path, uninterrupted: Path) -> None:
    train(tmp_path / "run")
    steps: list[int] = []
    train(tmp_path / "run", lambda run: steps.append(run.done))
    assert steps == []
    assert_equal_results(tmp_path / "run", uninterrupted)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=7, critic_steps=7)
    with pytest.raises(CheckpointError, match="other settings, networks or data; use another --out"):
        train(tmp_path / "run", lr=0.5)


def test_a_damaged_checkpoint_stops_the_run_with_advice(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=7, critic_steps=7)
    path = tmp_path / "run" / CLASSIFIER_CHECKPOINT
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="delete it to start over"):
        train(tmp_path / "run")


def test_the_best_average_by_held_out_loss_is_kept_and_patience_ends_the_run(tmp_path: Path) -> None:
    """A rate of 5 only makes it worse: the critic it started from stays."""
    pilots: list[FinetuneRun] = []
    train(tmp_path / "run", pilots.append, steps=200, critic_steps=1, lr=5.0, validate_every=2, patience=3)
    run = next(run for run in pilots if run.config.loss == "cross-entropy")
    scores = [score for _, score in run.history]
    assert run.done < 200 and len(scores) - 1 - scores.index(min(scores)) == 3
    bundle = load_bundle(tmp_path / "run" / "bundle")
    selection = split(DATA, 200)[0].selection
    assert held_out_log_loss(bundle, selection, 3_000_000)(bundle.networks["classifier"]) == pytest.approx(min(scores))


def test_the_held_out_parts_are_disjoint_and_the_steps_see_none_of_them() -> None:
    held_out, training = split(DATA, 200)
    parts = (held_out.selection, held_out.calibration, held_out.check, training.samples)
    assert [len(part) for part in parts] == [200, 200, 200, 1_400]
    assert len(torch.unique(torch.cat(parts), dim=0)) == len(DATA)


def test_points_are_trained_longer_and_without_a_penalty(uninterrupted: Path) -> None:
    bundle = load_bundle(uninterrupted / "bundle")
    image = bundle.manifest.output.model_copy(update={"kind": "image"})
    images = Bundle(bundle.manifest.model_copy(update={"output": image}), bundle.networks, "")
    settings = ClassifierConfig()
    assert (classifier_settings(settings, bundle).penalty, critic_settings(settings, bundle).penalty) == (0.0, 0.1)
    assert (classifier_settings(settings, images).penalty, critic_settings(settings, images).penalty) == (10.0, 10.0)
    assert (classifier_settings(settings, images).lr, critic_settings(settings, bundle).lr) == (2e-4, 1e-3)
    assert (classifier_settings(settings, bundle).steps, critic_settings(settings, bundle).steps) == (10_000, 5_000)
    assert (classifier_settings(settings, images).steps, critic_settings(settings, images).steps) == (3_000, 1_500)
    assert (classifier_settings(settings, images).batch, critic_settings(settings, bundle).batch) == (128, 256)
    assert classifier_settings(ClassifierConfig(steps=7, batch=8), bundle).steps == 7
    assert classifier_settings(ClassifierConfig(penalty=3.0), images).penalty == 3.0
    assert critic_settings(ClassifierConfig(critic_penalty=3.0), bundle).penalty == 3.0


def test_cross_entropy_by_hand() -> None:
    real, fake = torch.tensor([0.0, 100.0]), torch.tensor([0.0, -100.0])
    assert float(ratio_loss("cross-entropy", real, fake)) == pytest.approx(0.6931 / 2, abs=1e-4)
    assert float(ratio_loss("wasserstein", real, fake)) == -100.0


def test_a_bundle_without_a_critic_is_refused(tmp_path: Path) -> None:
    source = write_identity(tmp_path / "bare", critic=False)
    with pytest.raises(TrainingRefused, match="has no critic to fine-tune"):
        classifier_bundle(ClassifierConfig(), source, DATA, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_too_little_data_and_data_of_another_shape_are_refused(tmp_path: Path) -> None:
    source = write_identity(tmp_path / "source")
    with pytest.raises(DataError, match="150 training rows; a classifier needs at least 160"):
        classifier_bundle(ClassifierConfig(), source, gaussian_data(150), tmp_path / "run", CPU)
    with pytest.raises(DataError, match="samples of shape"):
        wide = DATA.__class__("wide", torch.zeros(500, 3))
        classifier_bundle(ClassifierConfig(), source, wide, tmp_path / "run", CPU)


def test_the_command_trains_and_says_how_good_the_classifier_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_identity(tmp_path / "source", hidden=(16,))
    arguments = [
        "train",
        "classifier",
        "--bundle",
        str(source),
        "--data",
        "gaussians-25",
        "--out",
        str(tmp_path / "run"),
    ]
    few = ["--steps", "20", "--critic-steps", "10", "--batch", "32", "--held-out-rows", "300", "--device", "cpu"]
    assert main([*arguments, *few]) == 0
    printed = capsys.readouterr().out
    assert "held-out log loss 0." in printed and "reliability Z" in printed
    pilot = load_bundle(tmp_path / "run" / "bundle").manifest.pilot
    assert all(getattr(pilot, name) is not None for name in ("classifier", "drs", "mh", "dot"))
    assert isinstance(pilot, Pilot)


def test_wrong_arguments_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = write_identity(tmp_path / "bare", critic=False)
    base = ["train", "classifier", "--data", "gaussians-25", "--out", str(tmp_path / "run"), "--bundle"]
    for arguments, said in (([*base, str(bare)], "no critic"), ([*base, "nowhere"], "not a bundle")):
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1 and said in error[0]
    for option, value in (("--penalty", "-1"), ("--lr", "0"), ("--held-out-rows", "19"), ("--steps", "0")):
        with pytest.raises(SystemExit):
            main([*base, str(bare), option, value])
        assert option in capsys.readouterr().err
    assert STEPS and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("accepts", "own", "expected"),
    [
        (0.01, {}, {}),
        (0.0099, {}, {"drs": {"shift": 80}}),
        (0.0005, {"drs": {"shift": 60}, "sir": {"candidates": 5}}, {"drs": {"shift": 60}, "sir": {"candidates": 5}}),
    ],
)
def test_a_shift_becomes_the_default_where_plain_drs_is_dear_and_the_bundle_has_none_of_its_own(
    trained: Bundle, accepts: float, own: dict[str, dict[str, float | int | str]], expected: object
) -> None:
    drs = trained.manifest.pilot.drs
    assert drs is not None
    pilot = trained.manifest.pilot.model_copy(update={"drs": drs.model_copy(update={"acceptance_rate": accepts})})
    manifest = trained.manifest.model_copy(update={"pilot": pilot, "defaults": own})
    assert with_shift_where_needed(replace(trained, manifest=manifest)).manifest.defaults == expected
