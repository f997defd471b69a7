"""Rows are drawn once, measured on blocks that every row shares, and a damaged file is made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.bundle import load_bundle
from tests.training.reproduce.conftest import Forbid
from training import draws as draws_module
from training.data.catalog import load
from training.data.dataset import DataError, Dataset
from training.data.synthetic import gaussian_grid_centres
from training.evaluation.compare import Table
from training.reproduce import measure as measure_module
from training.reproduce.measure import Measured, by_turns, measure, references, together
from training.reproduce.options import SEED, Options

BUNDLE = load_bundle(Path(__file__).parents[3] / "bundles" / "gaussians-25")
ROWS = (("prior", {}), ("sir", {"candidates": 2}))
DATA = load("gaussians-25", "train"), load("gaussians-25", "test")


def test_a_second_run_draws_and_measures_nothing(tiny: Options, forbid: Forbid) -> None:
    first = measure(BUNDLE, ROWS, DATA, tiny, 60, 2)
    assert first.names == ["prior", "sir candidates=2"] and first.table.block_rows == 30
    assert first.accepted == {"prior": 1.0, "sir candidates=2": 0.5}
    forbid(measure_module, "make")
    forbid(draws_module, "compare")
    assert measure(BUNDLE, ROWS, DATA, tiny, 60, 2) == first


def test_results_on_other_blocks_are_not_taken_for_these(tiny: Options) -> None:
    measure(BUNDLE, ROWS, DATA, tiny, 60, 2)
    found = measure(BUNDLE, ROWS, DATA, tiny, 60, 3)
    assert all(len(values["fid"]) == 3 for values in found.table.values.values())


def test_no_two_methods_share_their_latents(tiny: Options) -> None:
    drawn, _ = measure_module.draws(BUNDLE, (("prior", {}), ("truncation", {})), 60, tiny)
    assert not torch.equal(drawn["prior"].samples[:1], drawn["truncation"].samples[:1])
    near = torch.cdist(drawn["prior"].samples, drawn["truncation"].samples).min()
    assert float(near) > 0


def test_a_damaged_file_of_the_kept_folder_is_made_again(tiny: Options) -> None:
    first = measure(BUNDLE, ROWS, DATA, tiny, 60, 2)
    (folder,) = tiny.keep.glob(f"gaussians-25-*-60-{SEED}-own-streams")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:7])
    assert measure(BUNDLE, ROWS, DATA, tiny, 60, 2) == first


def test_the_floor_is_training_data_and_no_test_row_stands_on_both_sides() -> None:
    real, floor = references(*DATA, 500)
    assert len(real) == len(floor) == 500
    assert float(torch.cdist(real, floor, compute_mode="donot_use_mm_for_euclid_dist").min()) > 0
    assert all((DATA[1].samples == row).all(1).any() for row in real[:5])
    assert all((DATA[0].samples == row).all(1).any() for row in floor[:5])


def test_more_rows_than_the_test_split_has_are_refused() -> None:
    few = replace(DATA[1], samples=DATA[1].samples[:50], labels=None)
    with pytest.raises(DataError, match="50 test rows, 60 were asked for; use fewer --rows"):
        references(DATA[0], few, 60)


@pytest.mark.parametrize(("n", "blocks"), [(61, 2), (60, 1)])
def test_rows_that_make_no_equal_blocks_are_refused(tiny: Options, n: int, blocks: int) -> None:
    with pytest.raises(DataError, match="equal blocks"):
        measure(BUNDLE, ROWS, DATA, tiny, n, blocks)


def test_two_bundles_make_one_table_and_a_row_of_both_is_taken_once() -> None:
    def table(**rows: float) -> Measured:
        return Measured(
            Table({name: {"fid": [value]} for name, value in rows.items()}, 10), dict.fromkeys(rows, 1.0), 10
        )

    both = together(table(floor=0, prior=1, sir=2), table(floor=0, prior=9, latentrs=3))
    assert {name: row["fid"] for name, row in both.table.values.items()} == {
        "floor": [0], "prior": [1], "sir": [2], "latentrs": [3],
    }  # fmt: skip
    assert both.names == ["prior", "sir", "latentrs"]


def test_labels_play_no_part_in_the_references() -> None:
    bare = tuple(Dataset(data.name, data.samples) for data in DATA)
    assert torch.equal(references(bare[0], bare[1], 100)[0], references(*DATA, 100)[0])


def test_each_block_of_labelled_points_has_the_modes_in_equal_numbers_and_no_row_twice() -> None:
    real = by_turns(DATA[1], 400)
    modes = torch.cdist(real, gaussian_grid_centres(25)).argmin(dim=1)
    for block in modes.split(50):
        assert torch.bincount(block, minlength=25).tolist() == [2] * 25
    assert len(real.unique(dim=0)) == 400
    uneven = torch.bincount(modes[:30], minlength=25)
    assert {int(uneven.min()), int(uneven.max())} == {1, 2}


def test_more_rows_than_the_rarest_mode_has_turns_for_are_refused() -> None:
    few = Dataset("few", torch.randn(10, 2), torch.tensor([0] * 7 + [1] * 3))
    assert len(by_turns(few, 6)) == 6
    with pytest.raises(DataError, match="3 test rows of one mode are too few for 7"):
        by_turns(few, 7)


def test_only_what_matches_points_is_held_against_modes_in_equal_numbers(tiny: Options) -> None:
    bare = DATA[0], Dataset(DATA[1].name, DATA[1].samples)
    by_chance, evenly = (measure(BUNDLE, ROWS[:1], data, tiny, 100, 2).table.values["prior"] for data in (bare, DATA))
    differing = {metric for metric, values in evenly.items() if values != by_chance[metric]}
    assert differing == {"emd", "emd_squared"}


@pytest.mark.parametrize("data", [Dataset("points", torch.randn(60, 2)), load("digits", "test")])
def test_the_order_of_images_and_of_points_without_labels_stays(data: Dataset) -> None:
    assert torch.equal(by_turns(data, 50), references(data, data, 50)[0])
