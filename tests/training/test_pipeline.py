"""From nothing to a bundle with weights and a report, through the command line, in miniature."""

from __future__ import annotations

import json
import shutil
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle import Bundle, load_bundle, read_manifest
from models.manifest import Defaults
from training.data.dataset import Dataset
from training.errors import TrainingRefused
from training.pipeline import (
    bundle_name,
    gan_bundle,
    other_weights,
    record_verdict,
    snapshots,
    with_gentle_steps,
)
from training.weights.config import WeightsConfig
from training.weights.problem import Problem
from training.weights.train import TrainedWeights, train_weights
from winnow.cli import main

GAN = ["train", "gan", "--preset", "gaussians-25", "--batch", "32", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "plane.npz"
    rng = np.random.default_rng(0)
    np.savez(path, train_points=rng.normal(size=(2_000, 2)), test_points=rng.normal(size=(600, 2)))
    return str(path)


@pytest.fixture(scope="module")
def gan_run(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gan")
    assert (
        main(
            [
                *GAN,
                "--data",
                data,
                "--steps",
                "6",
                "--snapshot-every",
                "3",
                "--checkpoint-every",
                "3",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    return out


@pytest.fixture(scope="module")
def weights_run(gan_run: Path, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights")
    assert main(weights(gan_run, data, out)) == 0
    return out


def weights(gan_run: Path, data: str, out: Path, objective: str = "energy") -> list[str]:
    arguments = ["--objective", objective, "--steps", "6", "--pool-rows", "3000", "--hidden", "8", "8"]
    source = ["--bundle", str(gan_run / "bundle"), "--data", data, "--out", str(out), "--device", "cpu"]
    return ["train", "weights", *source, *arguments, "--no-gate"]


def test_a_gan_run_ends_in_a_bundle_with_generator_and_critic(gan_run: Path) -> None:
    bundle = load_bundle(gan_run / "bundle")
    assert set(bundle.networks) == {"generator", "critic"}
    assert bundle.generator(bundle.prior.sample(3)).shape == (3, 2)
    assert sorted(snapshots(gan_run)) == [3, 6]


@pytest.mark.parametrize(
    ("data", "name"),
    [("fashion-mnist", "fashion-mnist"), ("/tmp/My Faces.npz", "my-faces"), ("../üäö", "model"), ("x" * 99, "x" * 64)],
)
def test_a_bundle_is_named_after_its_data_whatever_the_path(data: str, name: str) -> None:
    assert bundle_name(data) == name


def test_the_bundle_of_a_snapshot_is_that_snapshot(gan_run: Path, tmp_path: Path) -> None:
    gan_bundle(gan_run, tmp_path / "early", snapshots(gan_run)[3])
    early, late = load_bundle(tmp_path / "early"), load_bundle(gan_run / "bundle")
    assert "3 generator steps" in early.manifest.description
    z = torch.randn(4, 2)
    assert not torch.equal(early.generator(z), late.generator(z))


def test_a_bundle_that_a_stopped_run_left_in_pieces_is_written_again(gan_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    gan_bundle(gan_run, out)
    digest = load_bundle(out).digest
    (out / "generator.safetensors").write_bytes(b"half")
    gan_bundle(gan_run, out)
    assert load_bundle(out).digest == digest


def test_trained_weights_are_normalised_and_calibrated(weights_run: Path) -> None:
    manifest = load_bundle(weights_run / "bundle").manifest
    assert manifest.calibration is not None and manifest.importance is not None
    assert manifest.importance.objective == "energy"
    assert manifest.calibration.mean_weight == pytest.approx(1.0, abs=0.02)
    assert manifest.calibration.acceptance_rate == pytest.approx(1 / 3, abs=0.01)


def test_weights_that_the_gate_rejects_are_saved_with_the_reason_and_the_exit_code_says_so(
    gan_run: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument for argument in weights(gan_run, data, tmp_path) if argument != "--no-gate"]
    assert main(arguments) == 1
    spec = load_bundle(tmp_path / "bundle").manifest.importance
    assert spec is not None and spec.verdict == "rejected" and spec.reason is not None
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == f"winnow: the weights are rejected by the quality gate: {spec.reason}"
    assert json.loads((tmp_path / "weights.json").read_text())["gate"]["verdict"] == "rejected"


def test_without_the_gate_weights_are_unchecked(weights_run: Path) -> None:
    unchecked = load_bundle(weights_run / "bundle").manifest
    assert unchecked.importance is not None and unchecked.importance.verdict == "unchecked"
    assert json.loads((weights_run / "weights.json").read_text())["gate"] is None


@pytest.mark.parametrize(("sure", "measured"), [(inf, False), (-inf, True)])
def test_ascents_are_measured_for_weights_that_are_not_flat(
    gan_run: Path, data: str, tmp_path: Path, sure: float, measured: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("training.weights.train.SURE", sure)
    assert main(weights(gan_run, data, tmp_path)) == 0
    printed, defaults = capsys.readouterr().out, read_manifest(tmp_path / "bundle").defaults
    assert ("w = 1 is kept" in printed) is not measured
    for method in ("latentga", "latentrsga"):
        assert (f"{method}: " in printed) is measured and ("steps" in defaults.get(method, {})) is measured
        assert not measured or f"steps={defaults[method]['steps']}" in printed


def test_ascents_that_cannot_be_measured_cost_nobody_the_weights(
    gan_run: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*rest: Any) -> Any:
        raise TrainingRefused("no way")

    monkeypatch.setattr("training.weights.train.SURE", -inf)
    monkeypatch.setattr("training.pilot.add.measure_climbs", refuse)
    assert main(weights(gan_run, data, tmp_path)) == 0
    assert load_bundle(tmp_path / "bundle").importance is not None
    assert "how many steps ascents take was not measured: no way" in capsys.readouterr().err


def test_the_verdict_of_a_report_becomes_the_bundles(weights_run: Path, tmp_path: Path) -> None:
    before = load_bundle(shutil.copytree(weights_run / "bundle", tmp_path / "bundle"))
    judged = record_verdict(tmp_path / "bundle", {"verdict": "rejected", "reason": "FID rose."})
    spec = read_manifest(tmp_path / "bundle").importance
    assert spec is not None and (spec.verdict, spec.reason) == ("rejected", "FID rose.")
    assert judged.manifest.networks == before.manifest.networks and judged.digest != before.digest


def test_training_and_the_gate_read_no_row_in_common(
    gan_run: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Dataset] = {}

    def train(config: WeightsConfig, problem: Problem, *rest: Any) -> TrainedWeights:
        seen["training"] = problem.real
        return train_weights(config, problem, *rest)

    def check(bundle: Bundle, held_out: Dataset, *rest: Any) -> dict[str, str]:
        seen["gate"] = held_out
        return {"verdict": "passed", "reason": "none"}

    monkeypatch.setattr("training.pipeline.train_weights", train)
    monkeypatch.setattr("training.pipeline.check_weights", check)
    assert main([argument for argument in weights(gan_run, data, tmp_path) if argument != "--no-gate"]) == 0
    training, gate = ({tuple(row) for row in seen[part].samples.tolist()} for part in ("training", "gate"))
    assert (len(training), len(gate)) == (1_600, 400) and not training & gate


def test_an_interrupted_gate_leaves_the_last_bundle(
    weights_run: Path, gan_run: Path, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = load_bundle(weights_run / "bundle").digest
    monkeypatch.setattr("training.pipeline.check_weights", interrupted)
    arguments = [argument for argument in weights(gan_run, data, weights_run) if argument != "--no-gate"]
    assert main(arguments) == 130
    assert load_bundle(weights_run / "bundle").digest == before


@pytest.mark.parametrize("objective", ["energy", "transport-raw", "adversarial", "paper"])
def test_an_objective_trains_in_the_right_direction_from_the_command_line(
    objective: str, gan_run: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without selection, so that a step in the wrong direction is no w = 1."""
    monkeypatch.setattr("training.weights.train.SURE", -inf)
    monkeypatch.setattr("training.weights.run.is_best", lambda *_: True)
    arguments = [*weights(gan_run, data, tmp_path, objective), "--lr", "0.01"]
    arguments[arguments.index("--steps") + 1] = "60"
    assert main(arguments) == 0
    record = json.loads((tmp_path / "weights.json").read_text())
    scores = record["held_out_energy_distance"]
    assert not scores["flat"] and scores["trained"] < scores["unweighted"]


def test_an_interrupted_weights_run_equals_an_uninterrupted_one(gan_run: Path, data: str, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for out, steps in ((halves, "3"), (halves, "6"), (whole, "6")):
        arguments = weights(gan_run, data, out, "adversarial")
        arguments[arguments.index("--steps") + 1] = steps
        assert main(arguments) == 0
    first, second = (load_bundle(out / "bundle").manifest.networks["importance"].sha256 for out in (whole, halves))
    assert first == second


def test_a_checkpoint_of_other_settings_is_refused_in_one_line(
    gan_run: Path, weights_run: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*weights(gan_run, data, weights_run), "--cap", "4"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "other settings" in error and "--out" in error


def test_the_report_names_protocol_acceptance_and_verdict(
    weights_run: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(weights_run / "bundle"), "--data", data, "--device", "cpu"]) == 0
    report = json.loads((weights_run / "bundle" / "report.json").read_text())
    assert report["protocol"]["blocks"] == 10 and report["protocol"]["block_rows"] == 60
    rate = report["acceptance"]["latentrs"]
    calibration = load_bundle(weights_run / "bundle").manifest.calibration
    assert calibration is not None
    assert abs(rate["rate"] - calibration.acceptance_rate) < 5 * rate["standard_error"]
    assert {"floor", "prior", "latentrs", "latentga", "latentrsga"} == set(report["spaces"][0]["methods"])
    steps = read_manifest(weights_run / "bundle").defaults["latentga"]["steps"]
    assert report["gate"]["verdict"] == "rejected" and report["cost"]["latentga"]["gradient_steps"] == steps
    assert "latentrs:" in capsys.readouterr().out


def test_evaluating_a_bundle_without_weights_says_what_to_do(gan_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(gan_run / "bundle"), "--data", "gaussians-25"]) == 2
    assert "winnow train weights" in capsys.readouterr().err


def test_runs_of_one_name_are_told_apart_by_the_folders_above_them(
    weights_run: Path, data: str, tmp_path: Path
) -> None:
    for seed in ("s1", "s2"):
        shutil.copytree(weights_run / "bundle", tmp_path / seed / "energy" / "bundle")
    folders = [tmp_path / seed / "energy" / "bundle" for seed in ("s1", "s2")]
    found = other_weights(load_bundle(weights_run / "bundle"), [*folders, weights_run / "bundle"])
    assert list(found)[:2] == ["s1/energy", "s2/energy"] and len(found) == 3
    assert list(other_weights(load_bundle(weights_run / "bundle"), folders[:1])) == ["energy"]
    arguments = ["--seeds", str(folders[0]), "--against", str(folders[1]), "--device", "cpu"]
    assert main(["evaluate", str(weights_run / "bundle"), "--data", data, *arguments]) == 0
    report = json.loads((weights_run / "bundle" / "report.json").read_text())
    assert {"latentrs:s1/energy", "latentrs:s2/energy"} <= set(report["acceptance"])


def test_weights_of_another_generator_are_not_compared(weights_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "gan"
    assert main([*GAN, "--steps", "2", "--seed", "9", "--out", str(other)]) == 0
    bundle = load_bundle(other / "bundle")
    with pytest.raises(ValueError, match="another generator"):
        other_weights(bundle, [weights_run / "bundle"])


def test_data_of_another_shape_than_the_bundle_is_refused(
    gan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(weights(gan_run, "digits", tmp_path)) == 2
    assert "shape" in capsys.readouterr().err


def test_steep_weights_get_a_gentle_step_in_the_bundles_defaults_and_others_none() -> None:
    own: Defaults = {"latentga": {"steps": 5, "step_size": 0.7}, "drs": {"shift": 80}}
    assert with_gentle_steps(own, 0.05) == {"drs": {"shift": 80}}  # the steps were measured for other weights
    assert with_gentle_steps(own, 0.002) == {
        "latentga": {"step_size": 0.002},
        "latentrsga": {"step_size": 0.002},
        "drs": {"shift": 80},
    }
    assert own["latentga"]["step_size"] == 0.7 and with_gentle_steps({}, 3.0) == {}
