"""The methods by name: which exist, which a bundle can do, what a request may set of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from models.bundle import Bundle
from sampling import method as sampling_method
from sampling.dial import dial_report
from sampling.latentrs import LatentRSParameters
from sampling.methods import METHODS, bind, with_defaults
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler
from service.engine.errors import InvalidParameters, MethodUnavailable, UnknownMethod
from service.engine.served import Served

# A query string decodes "latentrs+ga" to "latentrs ga".
ALIASES = {"latentrs+ga": "latentrsga", "latentrs ga": "latentrsga"}
SHOWN_CHARACTERS = 100
Chosen = TypeVar("Chosen", bound=Parameters)


@dataclass(frozen=True)
class Choice:
    """What a request means: a bundle in service, a method by its canonical name, all of its parameters, both bound.

    ``samplers``: one a device.
    """

    served: Served
    method: str
    parameters: Parameters
    samplers: tuple[Sampler, ...]

    @property
    def sampler(self) -> Sampler:
        """The one of the first device."""
        return self.samplers[0]

    @property
    def bundle(self) -> Bundle:
        return self.served.bundle


def available_methods(bundle: Bundle) -> tuple[str, ...]:
    """What this bundle can do."""
    return tuple(name for name, method in METHODS.items() if not method.missing(bundle))


def default_method(bundle: Bundle) -> str:
    """What a request that names none gets; most requests ask."""
    return "prior" if METHODS["latentrs"].missing(bundle) else "latentrs"


def describe_methods(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Every method by name: its summary and either the JSON schema of its parameters, with the defaults that are in
    force for this bundle, or what the bundle lacks."""
    described: dict[str, dict[str, Any]] = {}
    for name, method in METHODS.items():
        lacking = method.missing(bundle)
        told = {"missing": lacking} if lacking else {"parameters": _schema(bundle, method)}
        described[name] = {"summary": method.summary, "available": not lacking, **told}
    return described


def describe_dial(bundle: Bundle) -> dict[str, Any] | None:
    """What latentrs does to the bundle's weights by default; None where it lacks weights or their calibration."""
    if bundle.importance is None or bundle.manifest.calibration is None:
        return None
    parameters = with_defaults(bundle, "latentrs")
    assert isinstance(parameters, LatentRSParameters)
    return asdict(dial_report(bundle, parameters.acceptance))


def _schema(bundle: Bundle, method: sampling_method.Method) -> dict[str, Any]:
    schema = method.parameters.model_json_schema()
    for name, value in bundle.manifest.defaults.get(method.name, {}).items():
        schema["properties"][name]["default"] = value
    return schema


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


def resolve_parameters(bundle: Bundle, method: str, given: Mapping[str, object]) -> Parameters:
    """All parameters of ``method``: the ``given`` ones, values or text, then the bundle's defaults, then the method's.

    Raises InvalidParameters.
    """
    return with_defaults(bundle, method, validate(METHODS[method].parameters, method, given))


def validate(kind: type[Chosen], who: str, given: Mapping[str, object]) -> Chosen:
    """The parameters ``kind`` of ``who``, from the ``given`` ones, values or text. Raises InvalidParameters."""
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        takes = ", ".join(kind.model_fields)
        refusal = f"{who} does not take it; " + (f"it takes {takes}" if takes else "it takes no parameters") + "."
        said: dict[str, list[str]] = {}
        values: dict[str, str] = {}
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else next(iter(given), "method")
            unknown = item["type"] == "extra_forbidden"
            said.setdefault(name, []).append("" if unknown else item["msg"].removeprefix("Value error, "))
            values[name] = str(item["input"])[:SHOWN_CHARACTERS]
        raise InvalidParameters(
            {
                # A union of types complains once for each: any one of them would do.
                name: f"{who}: {', or: '.join(texts)}, not {values[name]!r}." if any(texts) else refusal
                for name, texts in said.items()
            }
        ) from error


def bind_method(bundle: Bundle, method: str, parameters: Parameters, sizes: BlockSizes) -> Sampler:
    """The sampler, with what identifies it. Raises InvalidParameters for what this bundle cannot meet.

    Binding is arithmetic on constants that are frozen in the bundle, no network runs: any thread may do it.
    """
    try:
        sampler = bind(bundle, method, parameters, sizes)
    except sampling_method.MethodUnavailable as error:
        raise MethodUnavailable(str(error)) from error
    except ValueError as error:
        sentence = f"Method {method} with bundle {bundle.name}: {error}"
        names = [name for name in type(parameters).model_fields if name in str(error)]
        raise InvalidParameters(dict.fromkeys(names[:1] or ["method"], sentence)) from error
    return replace(sampler, method=method, parameters=parameters)
