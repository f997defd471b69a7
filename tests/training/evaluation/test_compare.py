"""The comparison claims an improvement where there is one, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from training.evaluation.blocks import Rows, measure
from training.evaluation.compare import Table, compare
from training.evaluation.gate import improvement, judge

RNG = torch.Generator().manual_seed(5)
ROWS, DIM = 1_500, 6


def normal(shift: float = 0.0) -> Rows:
    return Rows(torch.randn(ROWS, DIM, generator=RNG) + shift, torch.randint(3, (ROWS,), generator=RNG))


def table_of(prior: Rows, better: Rows) -> Table:
    return compare(normal(), normal(), {"prior": prior, "latentrs": better}, blocks=5)


def test_samples_closer_to_the_data_are_called_better() -> None:
    judged = judge(table_of(normal(1.0), normal(0.3)), "latentrs")
    assert judged["passed"]
    assert all(item["difference"] < 0 for item in judged["improvements"])


def test_equal_samples_are_not_called_better() -> None:
    assert not judge(table_of(normal(0.5), normal(0.5)), "latentrs")["passed"]


def test_worse_samples_are_not_called_better() -> None:
    assert not judge(table_of(normal(0.3), normal(1.0)), "latentrs")["passed"]


def by_hand(recall: float, emd: float) -> Table:
    """latentRS halves FID and energy distance; recall and EMD are the caller's."""
    names = ("fid", "energy_distance", "kid", "recall", "emd")
    rows = {
        "floor": ([1.0] * 3, [0.0] * 3, [0.0] * 3, [0.9] * 3, [5.0] * 3),
        "prior": ([10.0, 10.1, 9.9], [1.0, 1.1, 0.9], [1.0] * 3, [0.8] * 3, [7.0] * 3),
        "latentrs": ([5.0, 5.1, 4.9], [0.5, 0.6, 0.4], [0.5] * 3, [recall] * 3, [emd] * 3),
    }
    values = {method: dict(zip(names, numbers, strict=True)) for method, numbers in rows.items()}
    return Table(values, 100)


def test_fid_alone_is_not_enough_one_of_the_unbiased_distances_must_fall_too() -> None:
    table = by_hand(recall=0.8, emd=6.0)
    for metric in ("energy_distance", "kid"):
        assert judge(table, "latentrs")["passed"]
        table.values["latentrs"][metric] = list(table.values["prior"][metric])
    assert not judge(table, "latentrs")["passed"]


def test_more_generated_rows_narrow_the_interval_of_the_difference() -> None:
    def width(multiple: int) -> float:
        rng = torch.Generator().manual_seed(8)
        rows = [Rows(torch.randn(ROWS * m, DIM, generator=rng), None) for m in (1, multiple, multiple, multiple)]
        table = compare(rows[0], rows[1], {"prior": rows[2], "latentrs": rows[3]}, blocks=5)
        assert table.block_rows == ROWS // 5
        return table.paired("latentrs", "prior")["energy_distance"]["half_width"]

    assert width(8) < width(1) / 1.5


def test_recall_may_fall_by_three_points_and_no_more() -> None:
    assert judge(by_hand(recall=0.775, emd=6.0), "latentrs")["passed"]
    lost = judge(by_hand(recall=0.765, emd=6.0), "latentrs")
    assert not lost["recall_kept"] and not lost["passed"]


def test_an_emd_below_the_real_real_floor_is_a_fault() -> None:
    copied = normal()
    table = compare(copied, normal(), {"prior": normal(1.0), "latentrs": copied}, blocks=5)
    judged = judge(table, "latentrs")
    assert not judged["emd_not_below_floor"] and not judged["passed"]


def test_an_effect_inside_the_minimum_is_not_enough() -> None:
    values = {"prior": {"fid": [10.0, 10.1, 9.9]}, "latentrs": {"fid": [9.8, 9.9, 9.7]}}
    table = Table(values, 100)
    assert improvement(table, "fid", "latentrs", "prior", 0.01)["passed"]
    assert not improvement(table, "fid", "latentrs", "prior", 0.05)["passed"]


def test_paired_differences_are_taken_block_by_block_with_their_relative_size() -> None:
    table = Table({"prior": {"fid": [10.0, 20.0]}, "latentrs": {"fid": [9.0, 18.0]}}, 100)
    row = table.paired("latentrs", "prior")["fid"]
    assert row["mean"] == pytest.approx(-1.5)
    assert row["relative"] == pytest.approx(-0.1)


def test_blocks_are_disjoint_and_cover_what_fits() -> None:
    table = table_of(normal(), normal())
    assert table.block_rows == ROWS // 5
    fids = table.values["prior"]["fid"]
    assert len(set(fids)) == 5


def test_the_class_shares_are_compared_only_where_classes_are_known() -> None:
    known, unknown = normal(), Rows(torch.randn(ROWS, DIM, generator=RNG), None)
    assert "class_total_variation" in measure(known, normal())
    assert "class_total_variation" not in measure(known, unknown)
