"""The methods by name."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from models.bundle import Bundle
from sampling import (
    dot,
    drs,
    jbt,
    langevin,
    latentga,
    latentrs,
    latentrsga,
    mh,
    prior,
    simplicial,
    sir,
    truncation,
)
from sampling.ascent import AscentParameters
from sampling.method import Method, MethodUnavailable
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler

MODULES = (prior, latentrs, latentga, latentrsga, langevin, truncation, jbt, simplicial, drs, mh, sir, dot)
METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in MODULES}
DEFAULT_SIZES = BlockSizes()
Kind = TypeVar("Kind", bound=Parameters)


def bind(bundle: Bundle, name: str, parameters: Parameters | None = None, sizes: BlockSizes = DEFAULT_SIZES) -> Sampler:
    """The sampler of a method; what ``parameters`` leave unset has the bundle's default, then the method's.

    Raises KeyError for a name that is none, MethodUnavailable, ValueError.
    """
    method = METHODS[name]
    if lacking := method.missing(bundle):
        raise MethodUnavailable(f"Method {name} needs {' and '.join(lacking)}, which bundle {bundle.name} lacks.")
    return method.bind(bundle, with_defaults(bundle, name, parameters), sizes)


def with_defaults(bundle: Bundle, name: str, parameters: Parameters | None = None) -> Parameters:
    """``parameters`` of the method ``name``; what they leave unset has the default of ``bundle`` where it has one.

    Raises KeyError for a name that is none, pydantic's ValidationError (a ValueError) for defaults that do not fit.
    """
    return _completed(bundle, name, METHODS[name].parameters, parameters)


def ascent_of(bundle: Bundle, parameters: AscentParameters | None = None) -> AscentParameters:
    """Of a climb by itself: ``parameters``, then what the bundle has for latentga. Raises as with_defaults."""
    return _completed(bundle, latentga.METHOD.name, AscentParameters, parameters)


def _completed(bundle: Bundle, name: str, kind: type[Kind], parameters: Parameters | None) -> Kind:
    given = {} if parameters is None else {field: getattr(parameters, field) for field in parameters.model_fields_set}
    return kind.model_validate({**bundle.manifest.defaults.get(name, {}), **given})


def check_defaults(bundle: Bundle) -> None:
    """Raises ValueError, one sentence, where the bundle's defaults name no method or no parameter of it, hold a value
    out of bounds, or one that the method cannot meet with this bundle."""
    for name in bundle.manifest.defaults:
        if name not in METHODS:
            raise ValueError(f"defaults: there is no method {name!r}; the methods are {', '.join(METHODS)}")
        try:
            with_defaults(bundle, name)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([name, *(str(part) for part in first["loc"][:1])])
            if first["type"] == "extra_forbidden":
                takes = ", ".join(METHODS[name].parameters.model_fields) or "no parameters"
                raise ValueError(f"defaults: {where}: {name} takes {takes}") from error
            raise ValueError(f"defaults: {where}: {first['msg']}, not {first['input']!r}") from error
        try:
            bind(bundle, name)  # arithmetic on the bundle's constants: no network runs
        except MethodUnavailable:
            continue
        except ValueError as error:
            raise ValueError(f"defaults: {name}: {str(error).removesuffix('.')}") from error
