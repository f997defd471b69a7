"""Programs write between their own markers of a page and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.pages import END, publish, replace_block, start_of, write_block

START = start_of("one.program")


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


def test_a_page_that_is_not_there_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No such file"):
        write_block(tmp_path / "none.md", "one.program", None)


def test_what_is_made_is_printed_and_written_and_a_bad_page_is_told_before_it_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{START}\n{END}\n")
    publish(page, "one.program", lambda: "made")
    publish(None, "one.program", lambda: "again")
    assert (page.read_text(), capsys.readouterr().out) == (f"{START}\nmade\n{END}\n", "made\nagain\n")
    with pytest.raises(SystemExit, match="there must be one line"):
        publish(page, "another", lambda: pytest.fail("it was made"))
