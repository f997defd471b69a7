"""The papers' numbers are read as printed, and their changes are against their own base."""

from __future__ import annotations

import pytest

from sampling.methods import METHODS
from training.metrics.intervals import Interval
from training.reproduce import published
from training.reproduce.page import TITLES
from training.reproduce.published import IMAGES, MIXTURES, SWEEPS, TABLE_1, Published, read, relative

TABLES = {**TABLE_1, **MIXTURES, **IMAGES, "sweeps": SWEEPS}


def test_a_table_is_read_row_by_row_hundredths_as_shares() -> None:
    rows = read("row | fid | precision %\nprior | 53.6 7.2 | 87.4 0.9\ndrs | - | 89.0 0.5")
    assert rows["prior"] == {"fid": Interval(53.6, 7.2), "precision": pytest.approx((0.874, 0.009))}
    assert set(rows["drs"]) == {"precision"}


@pytest.mark.parametrize(
    "text",
    [
        "row | fid\nprior | 1 2 | 3 4",
        "row | fid\nprior | 1 2\nprior | 1 2",
        "row | fid\nprior | 1",
        "row | fid\nprior | x y",
    ],
)
def test_a_table_with_a_damaged_row_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"row 'prior'|unpack|could not convert"):
        read(text)


def test_a_change_is_relative_to_the_size_of_its_own_base() -> None:
    assert relative(3.0, 4.0) == -0.25
    assert relative(-3.0, -4.0) == 0.25
    with pytest.raises(ValueError, match="base that is zero"):
        relative(1.0, 0.0)
    table = Published("", "", read("row | fid | emd\nprior | 50 1 | -\nlatentrs | 40 1 | 2 1"))
    assert table.change("latentrs", "fid") == -0.2
    assert table.change("prior", "fid") is None and table.change("latentrs", "emd") is None
    assert table.change("drs", "fid") is None


@pytest.mark.parametrize(
    ("table", "metric", "change"),
    [
        (TABLE_1["gaussians-25"], "emd_squared", -0.18),
        (TABLE_1["swiss-roll"], "emd_squared", -0.17),
        (IMAGES["mnist"], "fid", -0.32),
        (IMAGES["fashion-mnist"], "fid", -0.27),
    ],
)
def test_the_gains_of_latentrs_are_those_that_the_papers_claim(table: Published, metric: str, change: float) -> None:
    assert table.change("latentrs", metric) == pytest.approx(change, abs=0.005)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_method_with_settings_that_can_be_drawn_and_every_number_is_plausible(name: str) -> None:
    table = TABLES[name]
    assert "prior" in table.rows and table.source and table.note
    for row, values in table.rows.items():
        method, *pairs = row.split(" ")
        METHODS[method].parameters.model_validate(dict(pair.split("=", 1) for pair in pairs))
        for metric, value in values.items():
            assert metric in TITLES
            assert 0 < value.half_width < value.mean, (row, metric)
            assert value.mean < 1 or metric not in ("precision", "recall")


def test_each_table_has_its_source() -> None:
    assert all(published.WACV in table.source or published.ICLR in table.source for table in TABLES.values())
