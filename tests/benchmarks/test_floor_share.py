"""The share of the FID above the floor: equal rows on all sides, pairs of w, one generator."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.floor_share import block_fids, lines_of, main
from models.bundle import load_bundle, save_bundle
from sampling.streams import BlockStream
from training.evaluation import drawing
from training.evaluation.compare import BLOCKS
from training.metrics.fid import fid

DIGITS = Path("bundles/digits")


def test_each_block_has_the_mean_over_sets_of_generated_rows_of_its_own() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(BLOCKS * 20, 2, generator=rng), torch.randn(BLOCKS * 30, 2, generator=rng)
    found = block_fids(real, fake, 15)
    third = [fid(real[40:60], fake[start : start + 15]) for start in (60, 75)]
    assert len(found) == BLOCKS and found[2] == pytest.approx(sum(third) / 2)


def test_shares_are_of_what_the_prior_has_above_the_floor() -> None:
    """Half of the excess is gone with the first w, a quarter with the second."""
    found = {
        "real data": [1.0] * BLOCKS,
        "prior": [5.0] * BLOCKS,
        "first": [3.0] * BLOCKS,
        "second": [4.0 + 0.1 * (at % 2) for at in range(BLOCKS)],
    }
    real, prior, first, second = lines_of(found)
    assert real[1:] == ["1.0000", "-4.0000 ± 0.0000", "", ""] and prior[1:] == ["5.0000", "", "", ""]
    assert first[2:] == ["-2.0000 ± 0.0000", "50% ± 0%", ""]
    assert second[3] == "24% ± 1%" and second[4] == "+21.0% ± 0.9% of the prior's"


def test_a_prior_at_the_floor_has_no_share() -> None:
    noise = [0.1 * (at % 3) for at in range(BLOCKS)]
    found = {"real data": [1.0] * BLOCKS, "prior": [0.9 + each for each in noise], "first": [0.8] * BLOCKS}
    assert lines_of(found)[-1][3] == "-"


def test_each_w_accepts_for_itself_from_one_stream_that_is_not_the_priors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, seeds = tmp_path / "other", []
    bundle = load_bundle(DIGITS)
    assert bundle.importance is not None
    with torch.no_grad():
        for parameter in bundle.importance.parameters():
            parameter.mul_(-1)
    save_bundle(other, bundle.manifest, bundle.networks)

    def noted(*arguments: Any, **named: Any) -> BlockStream:
        seeds.append(arguments[0])
        return BlockStream(*arguments, **named)

    monkeypatch.setattr(drawing, "BlockStream", noted)
    assert main([str(DIGITS), str(other), "--data", "digits", "--cuts", "1"]) == 0
    assert len(seeds) == 3 and seeds[1] == seeds[2] != seeds[0]
    shipped, reversed_ = (line.split(" | ") for line in capsys.readouterr().out.splitlines()[-2:])
    assert float(shipped[2].split()[0]) < float(reversed_[2].split()[0]) and not reversed_[4].startswith("+0.0%")


def test_a_w_beside_itself_is_no_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again"
    shutil.copytree(DIGITS, again)
    page = tmp_path / "page.md"
    page.write_text("<!-- table: python -m benchmarks.floor_share -->\n<!-- end of table -->\n")
    assert main([str(DIGITS), str(again), "--data", "digits", "--cuts", "1", "--out", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "10 blocks of 50 real rows, 129 rows, 1 sets of them each" in lines[0]
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| real data", "| prior", "| digits", "| again"]
    assert lines[-1].endswith("| +0.0% ± 0.0% of the prior's |") and lines[-1] in page.read_text()


@pytest.mark.parametrize(
    ("bundles", "said"),
    [
        ([DIGITS, Path("bundles/mnist")], "another generator"),
        ([DIGITS, DIGITS], "told apart by their last names"),
        ([Path("bundles/mnist")], "the bundle mnist"),
        ([Path("no such bundle")], "no such bundle"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(bundles: list[Path], said: str) -> None:
    with pytest.raises(SystemExit, match=said) as refused:
        main([*map(str, bundles), "--data", "digits", "--cuts", "1"])
    assert "\n" not in str(refused.value)
