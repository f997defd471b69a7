"""What ``winnow train`` and ``winnow evaluate`` refuse: exit code 2, a message that says why, nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from winnow.cli import main

GAN = ["train", "gan", "--preset", "gaussians-25", "--out", "run"]
FEATURES = ["train", "features", "--bundle", "bundles/points"]
WEIGHTS = ["train", "weights", "--bundle", "bundles/points", "--data", "gaussians-25", "--out", "run"]
ENERGY = [*WEIGHTS, "--objective", "energy"]
PILOT = ["train", "pilot", "--bundle", "bundles/points"]
EVALUATE = ["evaluate", "bundles/points", "--data", "gaussians-25"]
NOWHERE = "/proc/winnow-run"  # not even root may write there


def files_below(root: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


def images(rows: int, side: int = 28, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, side, side), dtype=np.uint8)


@pytest.fixture
def place(workplace: Path) -> Path:
    """Two bundles of 2-D points, data of several kinds, and a file where a folder may be asked for."""
    labels = np.arange(300) % 10
    np.savez(workplace / "bare.npz", images=images(300))
    np.savez(workplace / "few.npz", train_images=images(127), train_labels=labels[:127],
             test_images=images(20), test_labels=labels[:20])  # fmt: skip
    np.savez(workplace / "whole.npz", train_images=images(300), train_labels=labels,
             test_images=images(20), test_labels=labels[:20])  # fmt: skip
    np.savez(workplace / "untested.npz", train_images=images(300), train_labels=labels, test_images=images(20))
    np.savez(workplace / "sides.npz", train_images=images(300), train_labels=labels,
             test_images=images(20, side=14), test_labels=labels[:20])  # fmt: skip
    points = np.random.default_rng(0).normal(size=(360, 2))
    np.savez(workplace / "small.npz", points=points[:354])
    np.savez(workplace / "lopsided.npz", train_points=points[:60], test_points=points[60:])
    np.savez(workplace / "trainonly.npz", train_points=points)
    np.savez(workplace / "nan.npz", points=np.where(np.arange(720).reshape(360, 2) == 7, np.nan, points))
    (workplace / "taken").write_text("a file")
    (workplace / "empty").mkdir()
    (workplace / "one").mkdir()
    Image.fromarray(images(1)[0]).save(workplace / "one" / "only.png")
    return workplace


@pytest.mark.parametrize(
    ("arguments", "option", "says"),
    [
        ([*GAN, "--steps", "0"], "--steps", "must be at least 1, not 0"),
        ([*GAN, "--steps", "many"], "--steps", "must be a whole number at least 1, not 'many'"),
        ([*GAN, "--batch", "0"], "--batch", "must be at least 1"),
        ([*GAN, "--seed", "-1"], "--seed", "must be from 0 to"),
        ([*GAN, "--seed", str(2**64)], "--seed", "must be from 0 to"),
        ([*GAN, "--penalty", "-1"], "--penalty", "must be a finite number at least 0, not -1"),
        ([*GAN, "--penalty", "nan"], "--penalty", "must be a finite number at least 0, not nan"),
        ([*GAN, "--ema-decay", "1"], "--ema-decay", "must be a finite number at least 0 and below 1, not 1"),
        ([*GAN, "--checkpoint-every", "0"], "--checkpoint-every", "must be at least 1"),
        ([*GAN, "--snapshot-every", "0"], "--snapshot-every", "must be at least 1"),
        ([*GAN, "--threads", "0"], "--threads", "must be from 1 to 1024, not 0"),
        ([*GAN, "--threads", "99999999999"], "--threads", "must be from 1 to 1024"),
        ([*GAN, "--data", ""], "--data", "must be the name or path of data, not empty"),
        ([*FEATURES, "--data", ""], "--data", "not empty"),
        ([*WEIGHTS, "--data", " "], "--data", "not empty"),
        ([*WEIGHTS, "--cap", "1"], "--cap", "must be a finite number above 1, not 1"),
        ([*WEIGHTS, "--cap", "nan"], "--cap", "must be a finite number above 1, not nan"),
        ([*WEIGHTS, "--cap", "inf"], "--cap", "must be a finite number above 1, not inf"),
        ([*WEIGHTS, "--cap", "three"], "--cap", "must be a number above 1, not 'three'"),
        ([*WEIGHTS, "--seed", "-1"], "--seed", "must be from 0 to"),
        ([*WEIGHTS, "--steps", "0"], "--steps", "must be at least 1"),
        ([*WEIGHTS, "--hidden", "0"], "--hidden", "must be at least 1"),
        ([*WEIGHTS, "--hidden", "16", "-4"], "--hidden", "must be at least 1, not -4"),
        ([*WEIGHTS, "--lr", "0"], "--lr", "must be a finite number above 0, not 0"),
        ([*WEIGHTS, "--lr", "-0.1"], "--lr", "must be a finite number above 0, not -0.1"),
        ([*WEIGHTS, "--pool-rows", "0"], "--pool-rows", "must be at least 2"),
        ([*WEIGHTS, "--minimum-effect", "1"], "--minimum-effect", "must be a finite number at least 0 and below 1"),
        ([*EVALUATE, "--max-recall-loss", "-1"], "--max-recall-loss", "must be a finite number at least 0"),
        ([*EVALUATE, "--rows-per-real", "0"], "--rows-per-real", "must be from 1 to 100"),
        ([*EVALUATE, "--geometry-rows", "1"], "--geometry-rows", "must be at least 100"),
        ([*WEIGHTS, "--option", "power"], "--option", "must be NAME=VALUE"),
        ([*WEIGHTS, "--option", "ratio.=1"], "--option", "must be NAME=VALUE"),
        ([*WEIGHTS, "--spaces", "pixels"], "--spaces", "invalid choice: 'pixels'"),
        ([*PILOT, "--seed", "-1"], "--seed", "must be from 0 to"),
        ([*PILOT, "--data", ""], "--data", "not empty"),
        ([*PILOT, "--threads", "0"], "--threads", "must be from 1 to"),
        ([*EVALUATE, "--seed", "-1"], "--seed", "must be from 0 to"),
        ([*EVALUATE, "--threads", "0"], "--threads", "must be from 1 to"),
        ([*EVALUATE, "--data", ""], "--data", "not empty"),
    ],
)
def test_a_value_out_of_range_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], option: str, says: str
) -> None:
    before = files_below(place)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {option}: " in message and says in message
    assert files_below(place) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*FEATURES, "--data", "bare.npz"], "bare: feature classifiers need labels; without labels leave this step"),
        ([*FEATURES, "--data", "untested.npz"], "untested: feature classifiers need labels"),
        ([*FEATURES, "--data", "few.npz"], "few has samples of shape (1, 28, 28), the bundle points has (2,)"),
        ([*FEATURES, "--data", "sides.npz"], "sides has samples of shape (1, 14, 14), the train split has (1, 28, 28)"),
        ([*FEATURES, "--data", "bare.npz", "--bundle", "taken"], "--bundle taken: taken is not a folder"),
        (["train", "gan", "--preset", "fashion-mnist", "--data", "digits", "--out", "run"],
         "digits has samples of shape (1, 8, 8), the preset's generator has (1, 28, 28); use other data"),
        ([*GAN, "--data", "bare.npz"], "bare has samples of shape (1, 28, 28), the preset's generator has (2,)"),
        ([*GAN, "--data", "nowhere.npz"], "'nowhere.npz' is neither a file or folder nor one of"),
        ([*GAN, "--out", "taken"], "--out taken: taken is not a folder"),
        ([*GAN, "--out", "taken/run"], "--out taken/run: taken is not a folder"),
        ([*GAN, "--out", NOWHERE], f"--out {NOWHERE}: cannot write there"),
        ([*GAN, "--out", "x" * 300], "cannot write there (File name too long)"),
        ([*WEIGHTS, "--out", "taken"], "--out taken: taken is not a folder"),
        ([*WEIGHTS, "--out", NOWHERE], f"--out {NOWHERE}: cannot write there"),
        ([*WEIGHTS, "--data", "digits"], "digits has samples of shape (1, 8, 8)"),
        ([*ENERGY, "--option", "colour=red"], "energy has no option 'colour'; it has: kernel, scales"),
        ([*FEATURES, "--data", "whole.npz"], "whole has samples of shape (1, 28, 28), the bundle points has (2,)"),
        ([*ENERGY, "--option", "kernel=laplace", "--option", "kernel=euclidean"], "option kernel is given twice"),
        ([*ENERGY, "--option", "batch=64", "--option", "colour=red"], "energy has no option 'colour'"),
        ([*ENERGY, "--option", "reference_rows=1"], "option reference_rows: Value error, must be 0, or at least 2"),
        ([*EVALUATE, "--seeds", "bundles/points", "--against", "bundles/points"],
         "bundles/points is named twice; name each bundle once, in --seeds or in --against"),
        ([*EVALUATE, "--seeds", "bundles/points", "--seeds", "bundles/points"], "bundles/points is named twice"),
        ([*ENERGY, "--option", "batch=1"], "option batch: Input should be greater than or equal to 2"),
        (
            [*WEIGHTS, "--objective", "energy-least-squares", "--option", "ratio.width=0.5", "ratio.ridge=-1"],
            "option ratio.ridge: Input should be greater than 0",
        ),
        ([*WEIGHTS, "--features", "taken"], "--features taken is no exported network; export it with torch.export"),
        ([*WEIGHTS, "--features", "nowhere.pt2"], "--features nowhere.pt2: no such file"),
        ([*PILOT, "--bundle", "taken"], "--bundle taken: taken is not a folder"),
        ([*PILOT, "--bundle", "bundles/none"], "bundles/none is not a bundle"),
        ([*PILOT, "--data", "digits"], "digits has samples of shape (1, 8, 8), the bundle points has (2,)"),
        ([*PILOT, "--data", "small.npz"], "small: classes are read off labelled data; without labels leave --data out"),
        ([*PILOT, "--device", "abacus"], "unknown device 'abacus'; use auto, cpu, cuda or cuda:N"),
        ([*EVALUATE, "--data", "digits"], "digits has samples of shape (1, 8, 8), the bundle points has (2,)"),
        ([*EVALUATE, "--data", "trainonly.npz"], "but no test_images or test_points; add the missing array"),
        ([*EVALUATE, "--data", "small.npz"], "small: the test split has 59 rows, a report needs at least 60"),
        ([*EVALUATE, "--data", "lopsided.npz"], "lopsided: the train split has 60 rows, a report needs at least 61"),
        ([*EVALUATE, "--methods", "prior,magic"], "there is no method 'magic'; the methods are prior, latentrs"),
        ([*EVALUATE, "--seeds", "bundles/none"], "bundles/none is not a bundle"),
        ([*EVALUATE, "--data", "empty"], "empty: "),
        ([*EVALUATE, "--data", "one"], "one: found 1 image(s)"),
        ([*EVALUATE, "--data", "nan.npz"], "NaN or infinite values"),
        ([*WEIGHTS, "--data", "empty"], "empty: "),
        ([*WEIGHTS, "--data", "nan.npz"], "NaN or infinite values"),
        ([*WEIGHTS, "--data", "small.npz"], "small: 295 training samples, the quality gate needs 1000"),
        (["evaluate", "taken", "--data", "gaussians-25"], "taken is not a folder"),
        (["evaluate", "bundles/none", "--data", "gaussians-25"], "bundles/none is not a bundle"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line_before_anything_is_written(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    before = files_below(place)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("winnow: ") and error.count("\n") == 1
    assert says in error
    assert files_below(place) == before


def test_a_dangling_link_is_no_folder_to_write_into(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "run").symlink_to("gone")
    assert main(GAN) == 2
    assert capsys.readouterr().err == "winnow: --out run: run is not a folder; name another one\n"


def test_the_smallest_data_that_a_report_takes_is_measured(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(place / "enough.npz", points=np.random.default_rng(0).normal(size=(360, 2)))
    assert main(["evaluate", "bundles/points", "--data", "enough.npz", "--device", "cpu"]) == 0
    assert (place / "bundles" / "points" / "report.json").is_file()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "gan", "--preset", "nope", "--out", "x"], "unknown preset 'nope'"),
        (["train", "weights", "--bundle", "nowhere", "--data", "digits", "--out", "x"], "not a bundle"),
        (["train", "gan", "--preset", "digits", "--data", "nowhere", "--out", "x"], "neither a file"),
        (["train", "gan", "--preset", "digits", "--device", "tpu9", "--out", "x"], "unknown device"),
        (["evaluate", "nowhere", "--data", "digits"], "not a bundle"),
        (["data", "nowhere"], "neither a file"),
    ],
)
def test_wrong_arguments_give_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and said in error[0]
