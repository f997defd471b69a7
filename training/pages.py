"""Generated blocks of pages: a program writes between its own markers and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

END = "<!-- end of table -->"


def start_of(program: str) -> str:
    """The line above what ``program`` writes; ``END`` is the line below."""
    return f"<!-- table: python -m {program} -->"


def replace_block(page: str, program: str, content: str) -> str:
    """``page`` with ``content`` between the marker of ``program`` and the next ``END``, all else as it was.

    Raises ValueError unless both stand there, each on a line of its own and the first of them once.
    """
    lines, start = page.splitlines(), start_of(program)
    if lines.count(start) != 1:
        raise ValueError(f"there must be one line {start!r}, not {lines.count(start)}")
    first = lines.index(start)
    following = [at for at in range(first + 1, len(lines)) if lines[at] == END or lines[at].startswith("<!-- table: ")]
    if not following or lines[following[0]] != END:
        raise ValueError(f"the line {END!r} is missing below {start!r}")
    return "\n".join([*lines[: first + 1], *content.splitlines(), *lines[following[0] :]]) + "\n"


def write_block(page: Path, program: str, content: str | None) -> None:
    """Put ``content`` between the markers of ``program`` in ``page``; None only looks for them. Raises SystemExit
    without them."""
    try:
        text = replace_block(page.read_text(), program, content or "")
        if content is not None:
            page.write_text(text)
    except (OSError, ValueError) as error:
        raise SystemExit(f"--out {page}: {error}") from error


def publish(page: Path | None, program: str, make: Callable[[], str]) -> None:
    """Print what ``make`` returns, and put it between the markers of ``program`` in ``page``. Raises SystemExit without
    them, before the hours that ``make`` may take."""
    if page is not None:
        write_block(page, program, None)
    text = make()
    sys.stdout.write(f"{text}\n")
    if page is not None:
        write_block(page, program, text)
