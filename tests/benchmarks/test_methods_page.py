"""docs/methods.md: its generated table is what the code says, and programs write between their own markers only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import cost, methods, methods_page
from benchmarks.methods_page import END, parameter_table, replace_block, start_of, values, write_block
from sampling.methods import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
START = start_of("one.program")


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


def test_a_program_replaces_its_own_block_and_nothing_else() -> None:
    other = f"{start_of('other')}\nkeep\n{END}"
    page = f"before\n{START}\nold\nold\n{END}\n{other}\nafter\n"
    assert replace_block(page, "one.program", "new\n") == f"before\n{START}\nnew\n{END}\n{other}\nafter\n"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("no markers\n", "one line .*not 0"),
        (f"{START}\n{END}\n{START}\n{END}\n", "one line .*not 2"),
        (f"{START}\nopen\n", "is missing below"),
        (f"{START}\n{start_of('other')}\n{END}\n", "is missing below"),
        (f"{END}\n{START}\n", "is missing below"),
    ],
)
def test_a_page_without_whole_markers_is_refused(page: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace_block(page, "one.program", "new")


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


def test_a_page_that_is_not_there_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No such file"):
        write_block(tmp_path / "none.md", methods.PROGRAM, None)
