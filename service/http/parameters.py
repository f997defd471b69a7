"""The query strings: what every request may say, what only some methods take, and how OpenAPI shows both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from sampling.method import Method
from sampling.parameters import Parameters
from sampling.seeded import MAX_INDEX
from sampling.streams import MAX_SEED
from service.engine.encoders.formats import FORMATS
from service.http.problems import FieldError, ProblemError, field_errors, invalid_all

MAX_OFFSET = MAX_INDEX - 1
MODEL = Field(description="A name from /models; the default model otherwise.")
TIMEOUT = Field(
    gt=0, le=3_600,
    description="Seconds after which nobody wants the answer: refused at once where that is foreseen, else given up.",
)  # fmt: skip
FORMAT = Field(description="Beats the Accept header.", json_schema_extra={"enum": list(FORMATS)})


class _Query(BaseModel):
    """Names are checked where they are resolved, so that a wrong one can be answered with the right ones."""

    model_config = ConfigDict(extra="forbid")


class SampleQuery(_Query):
    """Of POST and GET /sample; the method's own parameters come beside them."""

    method: Annotated[str | None, Field(description="How latents are chosen; latentrs where the model can.")] = None
    n: Annotated[int, Field(ge=1, description="How many samples.")] = 1
    model: Annotated[str | None, MODEL] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=MAX_SEED, description="The same seed gives the same bytes, and n = 10 begins n = 64."),
    ] = None
    offset: Annotated[
        int, Field(ge=0, le=MAX_OFFSET, description="Needs a seed: index of the first sample of its stream.")
    ] = 0
    timeout: Annotated[float | None, TIMEOUT] = None
    format: Annotated[str | None, FORMAT] = None
    images: Annotated[bool, Field(description="json and ndjson: decode, and add the images or points.")] = False


class DecodeQuery(_Query):
    """Of POST /decode."""

    model: Annotated[str | None, MODEL] = None
    timeout: Annotated[float | None, TIMEOUT] = None
    format: Annotated[str | None, FORMAT] = None


class ScoreQuery(_Query):
    """Of POST /score."""

    model: Annotated[str | None, MODEL] = None
    timeout: Annotated[float | None, TIMEOUT] = None


Query = TypeVar("Query", bound=_Query)


def read_query(request: Request, kind: type[Query], others: Collection[str] = ()) -> tuple[Query, dict[str, str]]:
    """The query string as ``kind``, and those of ``others`` that were given, as text.

    Raises ProblemError (422) that names every parameter that is wrong, unknown or given twice.
    """
    _refuse_duplicates(request)
    given = dict(request.query_params)
    taken = {name: given.pop(name) for name in others if name in given}
    try:
        return kind.model_validate(given), taken
    except ValidationError as error:
        raise invalid_all(field_errors(error.errors(), (*kind.model_fields, *others))) from error


@lru_cache(8)
def parameter_names(kinds: tuple[type[Parameters], ...]) -> frozenset[str]:
    """Every parameter that methods with these ``kinds`` of parameters take. Each request asks."""
    return frozenset(name for kind in kinds for name in kind.model_fields)


def method_parameters(methods: Mapping[str, Method]) -> dict[str, dict[str, dict[str, Any]]]:
    """Every parameter that some method takes: its JSON schema by method. Raises ValueError for a name that is ours."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, method in methods.items():
        for parameter, schema in method.parameters.model_json_schema().get("properties", {}).items():
            if parameter in SampleQuery.model_fields:
                raise ValueError(f"method {name} calls a parameter {parameter!r}, which every request has already")
            found.setdefault(parameter, {})[name] = schema
    return found


def sample_openapi(methods: Mapping[str, Method]) -> list[dict[str, Any]]:
    """OpenAPI parameters of /sample: those of every method once each, with the methods that take them."""
    common = query_openapi(SampleQuery)
    next(item for item in common if item["name"] == "method")["schema"]["enum"] = list(methods)
    return [*common, *(_shared(name, schemas) for name, schemas in method_parameters(methods).items())]


def query_openapi(kind: type[BaseModel]) -> list[dict[str, Any]]:
    """OpenAPI parameters of a query string."""
    return [_openapi(name, schema) for name, schema in kind.model_json_schema()["properties"].items()]


def _shared(name: str, schemas: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One parameter of several methods; where they differ, each one's text says so."""
    texts: dict[str, list[str]] = {}
    kinds: list[dict[str, Any]] = []
    for method, schema in schemas.items():
        default = f" Default {schema['default']}." if schema.get("default") is not None else ""
        text = schema.get("description", "") or schema.get("title", name)
        texts.setdefault(text.rstrip(".") + "." + default, []).append(method)
        kind = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
        if kind not in kinds:
            kinds.append(kind)
    description = " ".join(f"For {', '.join(takers)}: {text}" for text, takers in texts.items())
    schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _openapi(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in schema.items() if key != "description"}
    text = schema.get("description", "")
    return {"name": name, "in": "query", "required": False, "description": text, "schema": shown}


def _refuse_duplicates(request: Request) -> None:
    """Two values for one name: neither is what was meant. Raises ProblemError (422)."""
    given = request.query_params
    if len(pairs := given.multi_items()) == len(given):
        return
    counts = Counter(name for name, _ in pairs)
    raise invalid_all(
        [
            FieldError(parameter=name, detail=f"given {count} times; give it once.")
            for name, count in counts.items()
            if count > 1
        ]
    )


async def refuse_body(request: Request) -> None:
    """Everything is in the query string; of a body not one byte is kept. Raises ProblemError (415)."""
    async for chunk in request.stream():
        if chunk:
            raise ProblemError(
                "body_not_supported",
                "Parameters go into the query string, as in POST /sample?n=64&method=latentrs; the body stays empty.",
                headers={"Connection": "close"},
            )
