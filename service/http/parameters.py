"""The query string of a request for samples."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from sampling.methods import METHODS
from sampling.streams import MAX_SEED
from service.engine.encoders.formats import FORMATS
from service.http.problems import FieldError, ProblemError


class SampleQuery(BaseModel):
    """Names are checked where they are resolved, so that a wrong one can be answered with the right ones."""

    model_config = ConfigDict(extra="forbid")

    method: Annotated[
        str | None,
        Field(
            description="How latents are chosen; latentrs where the model can.",
            json_schema_extra={"enum": list(METHODS)},
        ),
    ] = None
    n: Annotated[int, Field(ge=1, description="How many samples.")] = 1
    model: Annotated[str | None, Field(description="A name from /models; the default model otherwise.")] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=MAX_SEED, description="The same seed gives the same bytes, and n = 10 begins n = 64."),
    ] = None
    format: Annotated[
        str | None, Field(description="Beats the Accept header.", json_schema_extra={"enum": list(FORMATS)})
    ] = None
    images: Annotated[bool, Field(description="json only: decode, and add the images or points.")] = False


SAMPLE_PARAMETERS = tuple(SampleQuery.model_fields)


def refuse_duplicates(request: Request) -> None:
    """Two values for one name: neither is what was meant. Raises ProblemError (422)."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    errors = [
        FieldError(parameter=name, detail=f"given {count} times; give it once.")
        for name, count in counts.items()
        if count > 1
    ]
    if errors:
        detail = " ".join(f"{error.parameter}: {error.detail}" for error in errors)
        raise ProblemError("invalid_parameters", detail, errors)


async def refuse_body(request: Request) -> None:
    """Everything is in the query string; of a body not one byte is kept. Raises ProblemError (415)."""
    async for chunk in request.stream():
        if chunk:
            raise ProblemError(
                "body_not_supported",
                "Parameters go into the query string, as in POST /sample?n=64&method=latentrs; the body stays empty.",
                headers={"Connection": "close"},
            )
