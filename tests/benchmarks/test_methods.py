"""benchmarks.methods: three tables of one bundle, resumable."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import methods
from benchmarks.methods import Bench
from models.bundle import Bundle
from tests.benchmarks.conftest import FOLDER
from training.draws import Drawn, Shelf
from training.pages import END, start_of


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(methods, "COST_BATCH", 40)
    monkeypatch.setattr(methods, "COST_PAIRS", 2)
    fixed = ("--bundle", str(FOLDER), "--data", "gaussians-25", "--rows", "60", "--device", "cpu")
    monkeypatch.setattr(sys, "argv", ["methods", *fixed, *arguments])
    return methods.main()


def test_the_page_gets_three_tables_and_a_second_run_draws_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{start_of('benchmarks.methods --data gaussians-25')}\n{END}\nafter\n")
    told = ("--methods", "sir", "truncation", "--also", "sir,candidates=4", "--keep", str(tmp_path / "kept"))
    assert run(monkeypatch, *told, "--out", str(page)) == 0
    first = page.read_text()
    assert first.startswith("before\n") and first.endswith("after\n")
    defaults, share, cost = first.split("\n### ")[1:]
    assert [row.split(" | ")[0] for row in defaults.splitlines()[4:9]] == [
        "| floor", "| prior", "| sir", "| truncation", "| sir candidates=4",
    ]  # fmt: skip
    assert "| sir candidates=3 |" in share and "| truncation threshold=" in share and "equal acceptance, 0.333" in share
    assert "| truncation |" in cost and "near 3 times the bare decode" in cost

    assert run(monkeypatch, *told, "--short", "--out", str(page)) == 0
    assert "\n### " not in page.read_text() and defaults.splitlines()[-3] in page.read_text()

    def make(*_: Any) -> Drawn:
        raise AssertionError("drawn again")

    monkeypatch.setattr(methods, "make", make)
    monkeypatch.setattr(methods, "measure", make)
    assert run(monkeypatch, *told, "--out", str(page)) == 0
    assert page.read_text() == first


def test_a_row_is_timed_at_its_own_settings(points: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "COST_PAIRS", 2)
    bench = Bench(points, 10, torch.device("cpu"), Shelf(None))
    assert bench.timing("sir", {"candidates": 4})["critic_passes"] == pytest.approx(4)


def test_rows_more_are_a_method_with_settings() -> None:
    assert methods.assignments("dot,steps=2,step_size=0.01") == ("dot", {"steps": 2, "step_size": 0.01})
    assert methods.assignments("prior") == ("prior", {})


@pytest.mark.parametrize("text", ["none,a=1", "sir,candidates", "sir,candidates=0", "sir,steps=2", ""])
def test_rows_that_no_method_has_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no METHOD,NAME=VALUE"):
        methods.assignments(text)
