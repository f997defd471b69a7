"""The methods by name: which exist, which are built, which a bundle can do."""

from __future__ import annotations

from models.bundle import Bundle
from service.engine.errors import MethodUnavailable, UnknownMethod

METHODS = (
    "prior", "latentrs", "latentga", "latentrsga", "truncation", "jbt", "simplicial", "drs", "mh", "sir", "dot",
)  # fmt: skip
BUILT = ("prior", "latentrs")
# A query string decodes "latentrs+ga" to "latentrs ga".
ALIASES = {"latentrs+ga": "latentrsga", "latentrs ga": "latentrsga"}


def available_methods(bundle: Bundle) -> tuple[str, ...]:
    """What this bundle can do in this version."""
    return BUILT if bundle.importance is not None else ("prior",)


def default_method(bundle: Bundle) -> str:
    return available_methods(bundle)[-1]


def resolve_method(bundle: Bundle, name: str | None) -> str:
    """The canonical name of a method that ``bundle`` can do. Raises UnknownMethod, MethodUnavailable."""
    if name is None:
        return default_method(bundle)
    method = ALIASES.get(name, name)
    available = ", ".join(available_methods(bundle))
    if method not in METHODS:
        raise UnknownMethod(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    if method not in BUILT:
        raise MethodUnavailable(f"Method {method} is not built into this version yet; {bundle.name} has {available}.")
    if method not in available_methods(bundle):
        raise MethodUnavailable(
            f"Method {method} needs an importance network and bundle {bundle.name} has none; it has {available}."
        )
    return method
