"""Options of an objective by name, as a command line gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from typing import Any, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from training.errors import TrainingRefused
from training.weights.config import Objective


def with_options(objective: Objective, pairs: Iterable[tuple[str, str]]) -> Objective:
    """``objective`` with the fields named in ``pairs``, those of a part as ``part.field``; "," separates the values of
    a list. Raises TrainingRefused."""
    lists = dict(_options(type(objective)))
    values, given = asdict(objective), set()
    for name, text in pairs:
        if name in given:
            raise TrainingRefused(f"option {name} is given twice; give it once")
        given.add(name)
        if name not in lists:
            raise TrainingRefused(f"{objective.name} has no option {name!r}; it has: {', '.join(lists)}")
        *parts, last = name.split(".")
        inside = values
        for part in parts:
            inside = inside[part]
        inside[last] = text.split(",") if lists[name] else text
    try:
        changed: Objective = TypeAdapter(type(objective)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrainingRefused(f"option {where}: {first['msg']}, not {first['input']!r}") from error
    return changed


def _options(kind: Any) -> Iterator[tuple[str, bool]]:
    """Every option of a dataclass and whether it is a list."""
    hints = get_type_hints(kind)
    for each in fields(kind):
        if is_dataclass(hints[each.name]):
            yield from ((f"{each.name}.{inner}", many) for inner, many in _options(hints[each.name]))
        elif each.name != "name":
            yield each.name, get_origin(hints[each.name]) is tuple
