"""The recipe behind ``make bundles``: whole, repeatable, and never mixing old results with new settings."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import load_bundle
from sampling.methods import METHODS, bind
from training import build as build_module
from training.build import Recipe, build, is_current
from training.classifier import RECORD, ClassifierConfig
from training.errors import TrainingRefused
from training.pilot import jbt, simplicial
from training.pilot.add import add_pilot
from training.presets import GAN_PRESETS, WEIGHTS_PRESETS
from training.refusals import EXPECTED
from training.writing import replace_folder

CPU = torch.device("cpu")
CLASSIFIER = ClassifierConfig(
    steps=60, critic_steps=4, batch=64, lr=2e-3, held_out_rows=200, validate_every=20, patience=100
)
RECIPE = Recipe("tiny", features=False, objectives=("tiny-energy", "tiny-raw"), classifier=CLASSIFIER)


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rng = tmp_path / "plane.npz", np.random.default_rng(0)
    points = rng.normal(size=(2_000, 2))
    np.savez(
        path, train_points=points, train_labels=(points[:, 0] > 0).astype(int), test_points=rng.normal(size=(400, 2))
    )
    for function, rows in ((jbt.jbt_pilot, (200,)), (simplicial.simplicial_pilot, (2_000,))):
        monkeypatch.setattr(function, "__defaults__", rows)
    gan = replace(GAN_PRESETS["gaussians-25"], data=str(path), steps=4, batch=16)
    monkeypatch.setitem(GAN_PRESETS, "tiny", gan)
    for name, source in (("tiny-energy", "energy"), ("tiny-raw", "transport-raw")):
        preset = replace(
            WEIGHTS_PRESETS[source], steps=4, validate_every=2, pool_rows=2_000, held_out_rows=500, hidden=(8,)
        )
        monkeypatch.setitem(WEIGHTS_PRESETS, name, preset)


@pytest.mark.usefixtures("presets")
def test_the_recipe_ends_in_a_bundle_whose_report_says_what_was_chosen_and_why(tmp_path: Path) -> None:
    out = build("tiny", RECIPE, tmp_path / "runs", tmp_path / "bundles", CPU)
    bundle, report = load_bundle(out), json.loads((out / "report.json").read_text())
    scores = report["selection"]["held_out_energy_distance"]
    assert set(scores) == set(RECIPE.objectives)
    assert report["selection"]["chosen"] == min(scores, key=scores.__getitem__)
    ascents, defaults = report["selection"]["ascents"], bundle.manifest.defaults
    assert {name: defaults[name]["steps"] for name in ascents} == {name: ascents[name]["steps"] for name in ascents}
    assert report["importance_sha256"] == bundle.manifest.networks["importance"].sha256
    spec = bundle.manifest.importance
    assert spec is not None and (spec.verdict, spec.reason) == (report["gate"]["verdict"], report["gate"]["reason"])
    assert report["bundle_digest"] == bundle.digest
    assert [point["step"] for point in report["generator_curve"]] == [4]


@pytest.mark.usefixtures("presets")
def test_a_second_build_changes_nothing_and_trains_nothing(tmp_path: Path) -> None:
    runs, bundles = tmp_path / "runs", tmp_path / "bundles"
    digest = load_bundle(build("tiny", RECIPE, runs, bundles, CPU)).digest
    record = runs / "tiny" / "tiny-energy" / "weights.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "seen": True}))
    assert load_bundle(build("tiny", RECIPE, runs, bundles, CPU)).digest == digest
    assert json.loads(record.read_text())["seen"]


@pytest.mark.usefixtures("presets")
def test_weights_of_other_settings_or_another_generator_are_neither_reused_nor_resumed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    build("tiny", RECIPE, runs, tmp_path / "bundles", CPU)
    folder, base = runs / "tiny" / "tiny-energy", runs / "tiny" / "base"
    assert is_current(folder, WEIGHTS_PRESETS["tiny-energy"], base)
    assert not is_current(folder, replace(WEIGHTS_PRESETS["tiny-energy"], cap=2.0), base)
    GAN_PRESETS["tiny"] = replace(GAN_PRESETS["tiny"], steps=8)
    before = load_bundle(folder / "bundle").digest
    build("tiny", RECIPE, runs, tmp_path / "bundles", CPU)
    assert is_current(folder, WEIGHTS_PRESETS["tiny-energy"], base)
    assert load_bundle(folder.with_name("tiny-energy.old") / "bundle").digest == before


@pytest.mark.usefixtures("presets")
def test_a_run_that_was_stopped_is_gone_on_with_and_not_set_aside(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    build("tiny", RECIPE, runs, tmp_path / "bundles", CPU)
    folder = runs / "tiny" / "tiny-energy"
    digest = load_bundle(folder / "bundle").digest
    (folder / "weights.json").unlink()
    build("tiny", RECIPE, runs, tmp_path / "bundles", CPU)
    assert load_bundle(folder / "bundle").digest == digest and not folder.with_name("tiny-energy.old").exists()


@pytest.mark.usefixtures("presets")
def test_a_generator_of_other_settings_is_made_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    build("tiny", RECIPE, runs, tmp_path / "bundles", CPU)
    GAN_PRESETS["tiny"] = replace(GAN_PRESETS["tiny"], batch=8)
    build("tiny", RECIPE, runs, tmp_path / "bundles", CPU)
    assert json.loads((runs / "tiny" / "gan" / "config.json").read_text())["batch"] == 8
    assert json.loads((runs / "tiny" / "gan.old" / "config.json").read_text())["batch"] == 16


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder, and the one whose place it is to take."""
    source, out = tmp_path / "source", tmp_path / "bundles" / "tiny"
    for folder, text in ((source, "new"), (out, "old")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(text)
    return source, out


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_copied_leaves_the_old_one(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    with monkeypatch.context() as patch:
        patch.setattr("shutil.copytree", no_space)
        with pytest.raises(TrainingRefused, match=r"not be written \(No space left .* free space and start again"):
            replace_folder(source, out)
    assert [path.name for path in out.parent.iterdir()] == ["tiny"] and (out / "file").read_text() == "old"
    replace_folder(source, out)
    assert [path.name for path in out.parent.iterdir()] == ["tiny"] and (out / "file").read_text() == "new"


def test_a_folder_that_cannot_take_its_place_gives_it_back(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(TrainingRefused, match="free space and start again"):
        replace_folder(source, out)
    assert [path.name for path in out.parent.iterdir()] == ["tiny"] and (out / "file").read_text() == "old"


def test_a_folder_that_was_left_between_its_places_is_found_again(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = folders
    rename = Path.rename

    def killed(path: Path, target: Path) -> Path:
        if path.name in ("new", "old"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(TrainingRefused, match="Input/output error"):
            replace_folder(source, out)
    assert not out.exists()

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copytree", no_space)
        with pytest.raises(TrainingRefused, match="free space"):
            replace_folder(source, out)
    assert [path.name for path in out.parent.iterdir()] == ["tiny"] and (out / "file").read_text() == "old"


def test_a_folder_that_is_being_replaced_is_no_bundle_to_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "source", tmp_path / "bundles" / "tiny"
    for folder in (source, out):
        folder.mkdir(parents=True)
        (folder / "bundle.json").write_text("{}")
    rename, seen = Path.rename, []

    def renamed(path: Path, target: Path) -> Path:
        seen.append({found.parent.name for found in out.parent.glob("*/bundle.json")})
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    replace_folder(source, out)
    assert seen == [{"tiny"}, set()]


@pytest.mark.parametrize("error", EXPECTED)
def test_what_a_user_can_mend_is_one_line(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error("it is so")

    monkeypatch.setattr(build_module, "build", fail)
    monkeypatch.setattr("sys.argv", ["build", "--only", "digits", "--device", "cpu"])
    assert build_module.main() == 2
    assert capsys.readouterr().err == "training.build: it is so\n"


@pytest.mark.usefixtures("presets")
def test_the_bundle_is_whole_every_method_of_its_kind_can_be_bound(tmp_path: Path) -> None:
    bundle = load_bundle(build("tiny", RECIPE, tmp_path / "runs", tmp_path / "bundles", CPU))
    for name, method in METHODS.items():
        assert method.missing(bundle) == [], name
        assert bind(bundle, name).method == name
    pilot = bundle.manifest.pilot
    assert pilot.simplicial is not None and pilot.simplicial.kind == "fitted" and len(pilot.simplicial.seeds) == 2


@pytest.mark.usefixtures("presets")
def test_an_interrupted_pilot_run_is_done_again_without_the_classifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "measure_pilot", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build("tiny", RECIPE, tmp_path / "runs", tmp_path / "bundles", CPU)
    assert not (tmp_path / "bundles").exists()
    monkeypatch.setattr(build_module, "classifier_bundle", interrupted)
    bundle = load_bundle(build("tiny", RECIPE, tmp_path / "runs", tmp_path / "bundles", CPU))
    assert bundle.manifest.pilot.jbt is not None
    monkeypatch.setattr(build_module, "measure_pilot", interrupted)
    build("tiny", RECIPE, tmp_path / "runs", tmp_path / "bundles", CPU)


@pytest.mark.usefixtures("presets")
def test_a_classifier_of_other_settings_is_not_reused_and_other_weights_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, bundles = tmp_path / "runs", tmp_path / "bundles"
    first = load_bundle(build("tiny", RECIPE, runs, bundles, CPU)).manifest
    run = runs / "tiny"
    assert is_current(run / "classifier", CLASSIFIER, run / "base", RECORD)
    assert not is_current(run / "classifier", replace(CLASSIFIER, steps=61), run / "base", RECORD)

    def forbidden(*_: object) -> None:
        raise AssertionError("other weights have the same classifier")

    monkeypatch.setattr(build_module, "classifier_bundle", forbidden)
    monkeypatch.setattr(build_module, "measure_pilot", forbidden)
    for objective in RECIPE.objectives:
        monkeypatch.setitem(WEIGHTS_PRESETS, objective, replace(WEIGHTS_PRESETS[objective], hidden=(16,)))
    second = load_bundle(build("tiny", RECIPE, runs, bundles, CPU)).manifest
    assert second.networks["importance"] != first.networks["importance"]
    assert (second.pilot, second.networks["classifier"]) == (first.pilot, first.networks["classifier"])


@pytest.mark.usefixtures("presets")
def test_weights_beside_other_constants_are_not_reused(tmp_path: Path) -> None:
    build("tiny", RECIPE, tmp_path / "runs", tmp_path / "bundles", CPU)
    run = tmp_path / "runs" / "tiny"
    folder, source = run / "tiny-energy", run / "classifier" / "bundle"
    assert is_current(folder, WEIGHTS_PRESETS["tiny-energy"], source)
    jbt_constants = load_bundle(source).manifest.pilot.jbt
    assert jbt_constants is not None
    add_pilot(source, {"jbt": jbt_constants.model_copy(update={"seed": jbt_constants.seed + 1})})
    assert not is_current(folder, WEIGHTS_PRESETS["tiny-energy"], source)
