"""python -m training.reproduce: whole tables at a tiny effort, resumable; what cannot be made says why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from tests.training.reproduce.conftest import TINY, Forbid
from training import build, pipeline
from training.data.catalog import load
from training.pages import END, start_of
from training.presets import DEFAULT_FOR_PLANE, GAN_PRESETS
from training.reproduce import __main__ as program
from training.reproduce import images, mixtures, subject, sweeps, table1
from training.reproduce.options import QUICK, Options
from training.reproduce.published import SWEEPS

SHAPES = (("images", (4, 28, 28)), ("labels", (4,)))
PAGE = Path(__file__).parents[3] / "docs" / "results.md"


def test_table_1_has_every_row_three_checkpoints_and_trains_nothing_twice(
    tiny: Options, monkeypatch: pytest.MonkeyPatch, forbid: Forbid
) -> None:
    monkeypatch.setattr(table1, "PRESETS", {"gaussians-25": "dot-gaussians-25"})
    text = table1.regenerate(tiny)
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| ")]
    assert rows == [
        "method", "---", "floor", "prior", "drs", "mh", "sir", "dot", "latentrs", "latentga", "latentrsga",
        "generator steps", "---", "2 (early)", "4 (middle)", "8 (final)",
    ]  # fmt: skip
    assert "0.0360 ± 0.0010 (-18%)" in text and "n 30; blocks 4; training seeds 1; objective transport" in text
    forbid(build, "weights_bundle")
    forbid(pipeline, "train_weights")
    assert table1.regenerate(tiny) == text


def test_another_objective_trains_weights_of_its_own_and_keeps_the_generator(
    tiny: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixtures, "MODES", (4,))
    assert f"objective {DEFAULT_FOR_PLANE};" in mixtures.regenerate(tiny)
    checkpoint = tiny.keep / "gan" / "mixture-4" / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns
    assert "objective laplace-fine" in mixtures.regenerate(replace(tiny, objective="laplace-fine"))
    assert checkpoint.stat().st_mtime_ns == before
    assert (tiny.keep / DEFAULT_FOR_PLANE / "mixture-4" / "bundle").is_dir()
    assert (tiny.keep / "laplace-fine" / "mixture-4" / "bundle").is_dir()


def test_a_mixture_has_both_papers_rows_and_a_damaged_record_is_made_again(
    tiny: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixtures, "MODES", (4,))
    text = mixtures.regenerate(tiny)
    assert "| Hausdorff, paper | Hausdorff |" in text and "0.100 ± 0.020 (-88%)" in text
    run = tiny.keep / DEFAULT_FOR_PLANE / "mixture-4"
    (run / "weights.json").write_text('{"settings":')
    (run / "bundle" / "bundle.json").write_text("")
    assert mixtures.regenerate(tiny) == text


def test_the_grid_is_the_papers_and_its_numbers_stand_in_the_rows_of_its_step_size() -> None:
    rows = [*sweeps.baselines(), *sweeps.ascents()]
    names = {
        f"{method} {' '.join(f'{key}={value}' for key, value in settings.items())}".strip() for method, settings in rows
    }
    assert len(names) == 2 + 4 + 3 * 12
    paper = sweeps.by_our_names(SWEEPS)
    assert set(paper.rows) <= names
    assert paper.of("dot steps=50 step_size=0.05", "emd") == SWEEPS.of("dot steps=50", "emd")


def run(*arguments: str) -> int:
    return program.main([*arguments, "--device", "cpu"])


def test_the_command_writes_between_the_markers_of_its_table(
    tmp_path: Path, tiny: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "FULL", TINY)
    monkeypatch.setattr(mixtures, "MODES", (4,))
    page = tmp_path / "page.md"
    page.write_text(f"a\n{start_of('training.reproduce mixtures')}\nold\n{END}\nb\n")
    assert run("mixtures", "--out", str(page), "--keep", str(tiny.keep)) == 0
    assert page.read_text() == f"a\n{start_of('training.reproduce mixtures')}\n{capsys.readouterr().out}{END}\nb\n"
    assert "### 4 Gaussians" in page.read_text()


@pytest.mark.parametrize("table", program.TABLES)
def test_the_page_of_results_has_a_place_for_every_table(table: str) -> None:
    assert PAGE.read_text().splitlines().count(start_of(f"training.reproduce {table}")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table2"], "invalid choice: 'table2'"),
        (["table1", "--bundle", "x"], "table1 trains its own generators"),
        (["mixtures", "--rows", "5"], "mixtures trains its own generators"),
        (["mnist", "--objective", "transport"], "are those of its bundle"),
        (["stacked-mnist", "--objective", "energy"], "are those of its bundle"),
        (["mnist", "--rows", "0"], "must be at least 1"),
        (["table1", "--quick", "--out", "page.md"], "mean nothing"),
        (["table1", "--objective", "none"], "invalid choice: 'none'"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        run(*arguments)
    assert refusal.value.code == 2 and said in capsys.readouterr().err


def test_a_page_without_the_marker_is_told_before_anything_is_trained(tmp_path: Path, forbid: Forbid) -> None:
    page = tmp_path / "page.md"
    page.write_text("# none\n")
    forbid(subject, "train_gan")
    with pytest.raises(SystemExit, match="there must be one line"):
        run("table1", "--out", str(page), "--keep", str(tmp_path))


def test_a_quick_run_and_a_full_one_never_go_on_from_each_other(
    tiny: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "FULL", TINY)
    monkeypatch.setattr(program, "QUICK", replace(TINY, folder=QUICK.folder, gan_steps=5, blocks=2, block_rows=60))
    monkeypatch.setattr(mixtures, "MODES", (4,))
    alone, mixed = str(tiny.keep / "alone"), str(tiny.keep / "mixed")
    assert run("mixtures", "--keep", alone) == 0
    wanted = capsys.readouterr().out
    assert run("mixtures", "--keep", mixed, "--quick") == 0
    assert "5 generator steps" in capsys.readouterr().out
    assert run("mixtures", "--keep", mixed) == 0
    assert capsys.readouterr().out == wanted


def test_the_checkpoints_of_a_run_are_those_of_its_schedule(tiny: Options) -> None:
    run = subject.train("mixture-4", tiny)
    assert subject.steps_of(run) == {"early": 2, "middle": 4, "final": 8}
    for step in (1, 7, 40):
        shutil.copy(run / "snapshots" / "step-0000008.safetensors", run / "snapshots" / f"step-{step:07d}.safetensors")
    assert subject.steps_of(run) == {"early": 2, "middle": 4, "final": 8}


def test_changed_settings_are_made_again_and_the_finished_run_is_set_aside(tiny: Options) -> None:
    data, source = load("mixture-4", "train"), subject.generator_of("mixture-4", tiny)

    def weights(options: Options, hidden: int) -> str:
        return load_bundle(subject.with_weights(source, "mixture-4", data, options, (hidden,))).digest

    first, second = weights(tiny, 4), weights(tiny, 5)
    assert second != first
    assert load_bundle(tiny.keep / DEFAULT_FOR_PLANE / "mixture-4.old" / "bundle").digest == first
    assert weights(tiny, 5) == second


def test_missing_data_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WINNOW_DATA", raising=False)
    for table in ("mnist", "stacked-mnist"):
        assert run(table, "--keep", str(tmp_path)) == 2
        assert "put the four IDX files of MNIST into data/mnist" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images_of = {f"{split}_{what}": np.zeros(shape, np.uint8) for split in ("train", "test") for what, shape in SHAPES}
    np.savez(tmp_path / "mnist.npz", **images_of)
    monkeypatch.setenv("WINNOW_DATA", str(tmp_path))
    assert run("mnist", "--bundle", str(tmp_path), "--keep", str(tmp_path)) == 2
    assert "is not a bundle" in capsys.readouterr().err


def test_a_bundle_without_weights_is_refused(
    tiny: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(GAN_PRESETS, "mixture-4", replace(GAN_PRESETS["mixture-4"], steps=2))
    folder = subject.generator_of("mixture-4", replace(tiny, effort=replace(TINY, gan_steps=2)))
    with pytest.raises(ValueError, match="has no importance network: run winnow train weights first"):
        images.rows_for(images.load_bundle(folder))
