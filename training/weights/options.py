"""Options of an objective by name, as a command line gives them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields, is_dataclass
from typing import get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from training.errors import TrainingRefused
from training.weights.config import Objective


def with_options(objective: Objective, pairs: Iterable[tuple[str, str]]) -> Objective:
    """``objective`` with the fields named in ``pairs``; "," separates the values of a list. Raises TrainingRefused."""
    kind = type(objective)
    hints = get_type_hints(kind)
    known = [field.name for field in fields(objective) if field.name != "name" and not is_dataclass(hints[field.name])]
    values, given = asdict(objective), set()
    for name, text in pairs:
        if name in given:
            raise TrainingRefused(f"option {name} is given twice; give it once")
        given.add(name)
        if name not in known:
            raise TrainingRefused(f"{objective.name} has no option {name!r}; it has: {', '.join(known)}")
        values[name] = text.split(",") if get_origin(hints[name]) is tuple else text
    try:
        changed: Objective = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrainingRefused(f"option {where}: {first['msg']}, not {first['input']!r}") from error
    return changed
