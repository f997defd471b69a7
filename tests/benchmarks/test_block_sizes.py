"""W2 squared by size of block: the arithmetic of a line, the floor that falls, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.block_sizes import FLOOR_SEED, SEED, distances, line, main
from training.data.catalog import SPLIT_SEEDS, load, points
from training.data.dataset import DataError


def test_a_line_holds_the_paired_change_and_the_share_of_the_excess() -> None:
    found = {"floor": [1.0, 1.2], "prior": [2.0, 2.2], "latentrs": [1.5, 1.7]}
    cells = line(1_000, found)
    assert cells[0] == "1,000" and cells[1].startswith("1.1000") and cells[2].startswith("2.1000")
    assert cells[3].startswith("1.6000") and cells[3].endswith("(-24% ± 0%)") and cells[4] == "50%"


def test_a_prior_at_its_floor_has_no_excess() -> None:
    assert line(10, {"floor": [2.0, 2.1], "prior": [1.0, 1.1], "latentrs": [0.5, 0.7]})[4] == "-"


def test_the_floor_falls_as_blocks_grow() -> None:
    real, other = points("gaussians-25", 3_200, 1).samples, points("gaussians-25", 3_200, 2).samples
    small, large = distances(real, other, 100), distances(real, other, 1_600)
    assert len(small) == 32 and len(large) == 2
    assert 0 < sum(large) / 2 < 0.5 * sum(small) / 32


def test_no_side_of_a_table_has_the_rows_of_a_split_or_of_the_other() -> None:
    assert SEED != FLOOR_SEED and not {SEED, FLOOR_SEED} & set(SPLIT_SEEDS.values())


def test_an_excess_within_its_noise_is_none() -> None:
    assert line(10, {"floor": [1.0, 2.0], "prior": [2.0, 1.5], "latentrs": [0.5, 0.7]})[4] == "-"


def test_points_of_a_split_are_those_of_its_seed() -> None:
    data = load("mixture-4", "test")
    assert points("mixture-4", len(data), SPLIT_SEEDS["test"]).digest == data.digest
    assert points("mixture-4", len(data), 1).digest != data.digest == load("mixture-4", "test").digest


@pytest.mark.parametrize("name", ["digits", "gaussians-7", "mnist", "plane"])
def test_data_that_no_formula_makes_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="only data sets in the plane"):
        points(name, 10, 0)


def test_the_table_is_written_between_its_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table: python -m benchmarks.block_sizes -->\n<!-- end of table -->\n")
    arguments = ["swiss-roll", "--sizes", "50", "100", "--blocks", "3", "--methods", "latentrs", "--out", str(page)]
    assert main(arguments) == 0
    lines = page.read_text().splitlines()
    assert [text.split(" | ")[0] for text in lines[5:7]] == ["| 50", "| 100"]
    assert capsys.readouterr().out.strip() in page.read_text()


def test_a_method_that_the_bundle_cannot_do_is_refused_in_one_line() -> None:
    with pytest.raises(SystemExit, match=r"Method simplicial needs"):
        main(["swiss-roll", "--sizes", "10", "--methods", "simplicial"])


@pytest.mark.parametrize("name", ["digits", "nothing"])
def test_another_bundle_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SystemExit, match=r"^benchmarks\.block_sizes: .*"):
        main([name, "--sizes", "10"])
