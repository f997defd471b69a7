"""The methods by name: which exist, which are built, which a bundle can do."""

from __future__ import annotations

from models.bundle import Bundle
from sampling.methods import METHODS
from service.engine.errors import MethodUnavailable, UnknownMethod

# A query string decodes "latentrs+ga" to "latentrs ga".
ALIASES = {"latentrs+ga": "latentrsga", "latentrs ga": "latentrsga"}


def available_methods(bundle: Bundle) -> tuple[str, ...]:
    """What this bundle can do."""
    return tuple(name for name, method in METHODS.items() if not method.missing(bundle))


def default_method(bundle: Bundle) -> str:
    return "latentrs" if "latentrs" in available_methods(bundle) else "prior"


def resolve_method(bundle: Bundle, name: str | None) -> str:
    """The canonical name of a method that ``bundle`` can do. Raises UnknownMethod, MethodUnavailable."""
    if name is None:
        return default_method(bundle)
    canonical = ALIASES.get(name, name)
    if canonical not in METHODS:
        raise UnknownMethod(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    if lacking := METHODS[canonical].missing(bundle):
        available = ", ".join(available_methods(bundle))
        raise MethodUnavailable(
            f"Method {canonical} needs {' and '.join(lacking)}, which bundle {bundle.name} lacks; it has {available}."
        )
    return canonical
