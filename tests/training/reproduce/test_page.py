"""Cells say value, interval and change, each against its own base; excess is counted from the floor."""

from __future__ import annotations

import pytest

from training.evaluation.compare import Table
from training.metrics.intervals import Interval, student_interval
from training.reproduce import page
from training.reproduce.measure import Measured
from training.reproduce.published import Published, read

FLOOR, PRIOR, OURS = [1.0, 1.1, 0.9, 1.0], [3.0, 3.2, 2.8, 3.0], [2.0, 2.1, 1.9, 2.0]
TABLE = Table(
    {
        "floor": {"fid": FLOOR, "kid": [0.0, 0.1, -0.1, 0.0]},
        "prior": {"fid": PRIOR, "kid": [0.1, -0.1, 0.1, -0.1]},
        "latentrs": {"fid": OURS, "kid": [0.2, 0.0, 0.2, 0.1]},
    },
    250,
)
MEASURED = Measured(TABLE, {"prior": 1.0, "latentrs": 0.33}, 1_000)
PAPER = Published("here", "so", read("row | fid\nprior | 50 2\nlatentrs | 40 1"))


def test_our_change_is_the_paired_difference_in_units_of_our_prior() -> None:
    change = page.change_of(MEASURED, "latentrs", "fid")
    differences = [ours - prior for ours, prior in zip(OURS, PRIOR, strict=True)]
    assert change is not None and change.mean == pytest.approx(-1 / 3)
    assert change.half_width == pytest.approx(student_interval(differences).half_width / 3)
    assert page.our_cell(MEASURED, "latentrs", "fid") == "2.00 ± 0.16 (-33 ± 5%)"


def test_a_prior_that_cannot_be_told_from_zero_is_no_base() -> None:
    assert page.change_of(MEASURED, "latentrs", "kid") is None
    assert page.our_cell(MEASURED, "latentrs", "kid").endswith("(+0.125 ± 0.097)")


def test_the_excess_that_is_gone_is_counted_from_the_floor() -> None:
    assert page.excess_gone(MEASURED, "latentrs", "fid") == pytest.approx(0.5)
    assert page.excess_cell(MEASURED, "latentrs", "fid") == "50%"
    assert page.excess_gone(MEASURED, "latentrs", "kid") is None
    assert page.excess_cell(MEASURED, "latentrs", "kid") == "-"


def test_a_table_has_the_papers_column_beside_ours_where_the_paper_prints_one() -> None:
    lines = page.markdown(MEASURED, PAPER, ("fid", "kid")).splitlines()
    assert lines[0] == "| method | FID, paper | FID | excess gone | KID | accepted |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| floor", "| prior", "| latentrs"]
    assert lines[3].startswith("| prior | 50.0 ± 2.0 | 3.00 ± ")
    assert "| 40.0 ± 1.0 (-20%) | 2.00 ± 0.16 (-33 ± 5%) | 50% |" in lines[4] and lines[4].endswith("| 0.33 |")
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert "paper" not in page.markdown(MEASURED, None, ("fid",))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Interval(0.0312, 0.0012), "0.0312 ± 0.0012"),
        (Interval(598.9, 55.5), "599 ± 56"),
        (Interval(-2.5, 1.0), "-2.50 ± 1.00"),
        (Interval(0.0, 0.0), "0.000000 ± 0.000000"),
    ],
)
def test_three_digits_of_the_value_are_shown(value: Interval, words: str) -> None:
    assert page.in_words(value) == words


def test_facts_are_one_line() -> None:
    assert page.facts({"n": 1000, "objective": "energy"}) == "n 1,000; objective energy"
