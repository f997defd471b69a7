"""The page of a report: whole, self-contained, and of the same numbers as report.json."""

from __future__ import annotations

import errno
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.manifest import OutputSpec
from tests.training.evaluation.constructed import write_bundle
from training.evaluation import files
from training.evaluation.page.charts import front, grouped_bars, histogram, line_chart
from training.evaluation.page.sections import summary, tables
from training.evaluation.page.tables import number, table, with_interval
from winnow.cli import main

SECTIONS = {"verdict", "quality", "cost", "front", "sorted", "extremes", "ascent", "marginal", "weights", "classes",
            "nearest"}  # fmt: skip
VOID = {"meta", "img", "link", "br", "hr", "input"}
ODD_NAME = "<i>a & b.npz"


class Reader(HTMLParser):
    """Tags that do not close, ids, addresses, text of table cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.addresses: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        if given.get("id"):
            self.ids.add(str(given["id"]))
        self.addresses += [str(given[name]) for name in ("src", "href", "srcset", "data", "action") if name in given]
        self.wrong += [name for name in given if name == "style" or name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture(scope="module", params=["image", "points"])
def evaluated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its report, its data in a file of an odd name beside it."""
    folder, rng = tmp_path_factory.mktemp(str(request.param)), np.random.default_rng(0)
    if request.param == "image":
        output = OutputSpec(kind="image", shape=(3, 8, 8), range=(-1, 1))
        np.savez(folder / ODD_NAME, images=rng.integers(0, 256, (480, 8, 8, 3), dtype=np.uint8))
    else:
        output = OutputSpec(kind="points", shape=(2,))
        np.savez(folder / ODD_NAME, points=rng.normal(size=(480, 2)))
    write_bundle(folder / "small", output)
    assert main(["evaluate", str(folder / "small"), "--data", str(folder / ODD_NAME), "--latent-geometry",
                 "--geometry-rows", "100", "--device", "cpu"]) == 0  # fmt: skip
    return folder / "small"


@pytest.fixture
def report(evaluated: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((evaluated / "report.json").read_text())
    return loaded


@pytest.fixture
def page(evaluated: Path) -> str:
    return (evaluated / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_has_every_section(page: str) -> None:
    found = read(page)
    assert found.open == [] and found.wrong == []
    assert found.ids == SECTIONS | {"geometry"}
    assert {"viewport", "color-scheme", "prefers-color-scheme: dark"} <= {
        word for word in ("viewport", "color-scheme", "prefers-color-scheme: dark") if word in page
    }


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    found = read(page)
    assert not found.tags & {"script", "iframe", "object", "embed", "link", "form", "base"}
    assert found.addresses and all(address.startswith(("data:image/", "#")) for address in found.addresses)
    assert "url(" not in page and "@import" not in page and "://" not in page


def test_the_numbers_are_those_of_the_report(page: str, report: dict[str, object]) -> None:
    cells = {cell.split(" (")[0] for cell in read(page).cells}
    for space in report["spaces"]:  # type: ignore[attr-defined]
        for metrics in space["methods"].values():
            assert {with_interval(row) for row in metrics.values()} <= cells
    text = unescape(page)
    assert report["gate"]["reason"] in text  # type: ignore[index]
    memory = report["pictures"]["memorisation"]  # type: ignore[index]
    for value in (memory["median_distance_to_training"], memory["median_distance_of_test_rows"]):
        assert number(value) in text
    assert report["latent_geometry"]["sentence"] in text  # type: ignore[index]


def test_the_page_says_what_the_gate_asks_for_and_of_how_many_rows(page: str, report: dict[str, Any]) -> None:
    assert "Asked for: EMD and an unbiased distance" in page  # neither bundle has a feature network
    report["spaces"][-1]["verdicts"]["latentrs"]["improvements"][0]["metric"] = "fid"
    assert "Asked for: FID and an unbiased distance" in summary(report)
    report["protocol"] |= {"generated_rows_per_block": 70, "floor_rows_per_block": 80}
    assert "each against 70 generated ones of its own (the floor: 80 rows of training data)" in tables(report)


def test_names_are_escaped(page: str) -> None:
    assert "&lt;i&gt;a &amp; b" in page and "<i>" not in page
    assert "<script>" not in table(["<script>"], [["<script>", "<script>"]])
    bars = grouped_bars({"<b>": [1.0]}, ("<b>", "<b>"))
    dots = front({"<b>": (1.0, 1.0, 0.5)}, ("<b>", '"'), "<b>")
    assert "<b>" not in bars + dots and 'aria-label="&quot; over' in dots


def test_charts_of_flat_or_empty_numbers_are_finite() -> None:
    drawn = [
        line_chart([(0.0, 0.0, 0.0)], ("x", "y")),
        histogram([0, 0], 3.0, 3.0, "cap", ("x", "y")),
        front({"prior": (1.0, 0.0, 1.0)}, ("x", "y"), "recall"),
        grouped_bars({"real": [0.0, 0.0]}, ("x", "y")),
    ]
    assert not any(re.search(r"\b(nan|inf)\b", svg) for svg in drawn)


def test_a_full_disk_leaves_the_last_report_and_says_so(
    evaluated: Path, page: str, report: dict[str, object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    arguments = ["evaluate", str(evaluated), "--data", str(evaluated.parent / ODD_NAME), "--device", "cpu"]
    assert main([*arguments, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "No space left on device" in error and "the last report is as it was" in error
    assert json.loads((evaluated / "report.json").read_text()) == report
    assert (evaluated / "report.html").read_text(encoding="utf-8") == page
    assert not list(evaluated.glob("*.partial"))


def test_a_report_without_a_page_takes_the_old_page_away(tmp_path: Path) -> None:
    files.write_report({"n": 1}, tmp_path, "<p>")
    files.write_report({"n": 2}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
