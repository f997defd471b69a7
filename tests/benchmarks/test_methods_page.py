"""docs/methods.md: its generated table is what the code says, and programs write between their own markers only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import cost, methods, methods_page
from benchmarks.methods_page import parameter_table, values
from sampling.methods import METHODS
from training.pages import END, replace_block, start_of, write_block

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def test_the_table_of_parameters_on_the_page_is_the_one_of_the_code() -> None:
    page = PAGE.read_text()
    again = "run python -m benchmarks.methods_page"
    assert replace_block(page, methods_page.PROGRAM, parameter_table()) == page, again


def test_the_table_has_every_parameter_and_every_method_its_section() -> None:
    page, cells = PAGE.read_text(), [row.strip("| ").split(" | ") for row in parameter_table().splitlines()]
    for name, method in METHODS.items():
        assert f"\n### {name}\n" in page
        for parameter in method.parameters.model_fields:
            found = [row for row in cells if name in row[0].split(", ") and row[1] == f"`{parameter}`"]
            assert len(found) == 1, (name, parameter)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 40}, "whole, 1 to 40"),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}]}, "above 0 to 1"),
        ({"anyOf": [{"type": "string", "const": "none"}, {"type": "number", "minimum": 0, "maximum": 9}]},
         "`none` or 0 to 9"),
        ({"type": "string", "enum": ["a", "b"]}, "`a`, `b`"),
    ],
)  # fmt: skip
def test_what_a_schema_allows_in_words(schema: dict[str, object], words: str) -> None:
    assert values(schema) == words


@pytest.mark.parametrize("program", [methods.PROGRAM, cost.PROGRAM])
def test_the_page_has_a_place_for_each_measured_table(tmp_path: Path, program: str) -> None:
    copy = tmp_path / "methods.md"
    copy.write_text(PAGE.read_text())
    write_block(copy, program, "| measured |")
    assert f"{start_of(program)}\n| measured |\n{END}\n" in copy.read_text()


@pytest.mark.parametrize("program", [methods, cost])
def test_a_page_without_markers_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: ModuleType
) -> None:
    bare = tmp_path / "bare.md"
    bare.write_text("# Nothing\n")
    monkeypatch.setattr(sys, "argv", ["program", "--bundle", str(tmp_path / "none"), "--out", str(bare)])
    with pytest.raises(SystemExit, match="there must be one line"):
        program.main()
    assert bare.read_text() == "# Nothing\n"
