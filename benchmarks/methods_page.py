"""The generated parts of docs/methods.md: the table of parameters, and the blocks that other programs fill.

python -m benchmarks.methods_page       # writes the table of parameters anew
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sampling.methods import METHODS

PAGE = Path("docs/methods.md")
PROGRAM = "benchmarks.methods_page"
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


def parameter_table() -> str:
    """Every parameter of every method as a row; methods that mean the same by a name share it."""
    takers: dict[tuple[str, str, str, str], list[str]] = {}
    for name, method in METHODS.items():
        for parameter, schema in method.parameters.model_json_schema().get("properties", {}).items():
            default = schema.get("default")
            row = (parameter, values(schema), "" if default is None else f"{default}", schema["description"])
            takers.setdefault(row, []).append(name)
    lines = ["| method | parameter | values | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for (parameter, allowed, default, text), names in takers.items():
        lines.append(f"| {', '.join(names)} | `{parameter}` | {allowed} | {default} | {text} |")
    return "\n".join(lines)


def values(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words; that a parameter may be left out goes without saying."""
    if "anyOf" in schema:
        return " or ".join(values(part) for part in schema["anyOf"] if part["type"] != "null")
    if names := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{name}`" for name in names)
    low = f"above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else f"{schema['minimum']:g}"
    whole = "whole, " if schema["type"] == "integer" else ""
    return f"{whole}{low} to {schema['maximum']:g}"


def main(page: Path = PAGE) -> int:
    page.write_text(replace_block(page.read_text(), PROGRAM, parameter_table()))
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
