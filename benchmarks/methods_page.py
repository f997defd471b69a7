"""The generated table of parameters in docs/methods.md.

python -m benchmarks.methods_page       # writes the table of parameters anew
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sampling.methods import METHODS
from training.pages import replace_block

PAGE = Path("docs/methods.md")
PROGRAM = "benchmarks.methods_page"


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
