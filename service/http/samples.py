"""``GET`` and ``POST /sample``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.bundle import Bundle
from sampling.method import Method
from sampling.methods import METHODS
from service.engine.encoders.formats import FORMATS, Format, largest, usable_formats
from service.engine.methods import Choice
from service.engine.rows import SampleRequest, Samples
from service.http.answers import answer_result, answer_stream
from service.http.conditional import entity_tag, matches
from service.http.negotiation import choose_format
from service.http.parameters import SampleQuery, parameter_names, read_query, refuse_body, sample_openapi
from service.http.problems import PROBLEM_MEDIA_TYPE, Problem, invalid
from service.http.quotas import charge_rows
from service.http.records import record_of
from service.http.routes import PlainRoute
from service.http.state import Service, service_of
from service.http.streams import portions_of

VERBS = ("GET", "POST")
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {PROBLEM_MEDIA_TYPE: {}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The samples.",
        "content": {fmt.media_type: {} for fmt in FORMATS.values()},
    },
    **dict.fromkeys((404, 406, 415, 422, 500, 503, 504), _PROBLEM),
}


def build_router(methods: Mapping[str, Method] = METHODS) -> APIRouter:
    """What OpenAPI says of ROUTE, with the parameters of ``methods`` as they are now."""
    router = APIRouter()
    described = {"parameters": sample_openapi(methods)}
    for verb in VERBS:
        router.add_api_route(
            "/sample", sample, methods=[verb], operation_id=f"{verb.lower()}_sample", response_class=Response,
            responses=RESPONSES, openapi_extra=described,
        )  # fmt: skip
    return router


async def sample(request: Request) -> Response:
    """Samples of a model, chosen by a method: filtered by importance weights (latentrs), straight from the prior, ...

    A method's own parameters (steps, acceptance, ...) stand beside n and seed; /models/{name} lists them by method.
    """
    service, record = service_of(request), record_of(request.scope)
    query, given = read_query(request, SampleQuery, _parameters_of_methods())
    await refuse_body(request)
    choice = service.engine.resolve(query.model, query.method, given, query.seed is not None)
    bundle = choice.bundle
    record.model, record.method, record.n = bundle.name, choice.method, query.n
    if query.offset and query.seed is None:
        raise invalid("offset", "an offset needs a seed: without one no sample has an index.")
    fmt = choose_format(query.format, request.headers.get("accept"), bundle, query.images)
    check_size(service, bundle, query.n, fmt, query.images)
    decode = fmt.decodes or query.images
    wanted = SampleRequest(
        query.n, bundle.name, choice.method, query.seed, decode, offset=query.offset, timeout=query.timeout
    )
    cached = _cache_headers(request, choice, wanted, fmt)
    if "ETag" in cached and matches(request.headers.get("if-none-match"), cached["ETag"]):
        return Response(status_code=304, headers={**cached, **_sample_headers(choice, wanted)})
    charge_rows(request, query.n)
    if fmt.writer is not None:
        stream = service.engine.stream(wanted, choice)
        headers = {**cached, **_sample_headers(choice, wanted)}
        return await answer_stream(request, stream.facts, portions_of(stream), fmt, headers, query.timeout)
    return await answer_result(
        request,
        lambda lease: service.engine.submit(wanted, choice, lease),
        fmt,
        lambda samples: {**cached, **_sample_headers(choice, wanted), **_cost_headers(samples)},
        query.timeout,
    )


ROUTE = PlainRoute("/sample", sample, VERBS)


def check_size(service: Service, bundle: Bundle, n: int, fmt: Format, images: bool, parameter: str = "n") -> None:
    """Raises ProblemError (422) that names the cap, and the formats that would do."""
    most = service.settings.limits.max_n
    if n > most:
        raise invalid(parameter, f"at most {most} samples a request, not {n}.", "too_many_samples")
    limits = service.limits
    if n <= (cap := largest(fmt.name, bundle, limits, images)):
        return
    caps = {name: largest(name, bundle, limits, images) for name in usable_formats(bundle, images)}
    others = [f"{name} up to {min(other, most)}" for name, other in caps.items() if other >= n]
    hint = f"; {', '.join(others)} would do."
    raise invalid(parameter, f"{fmt.name} holds at most {cap} samples of {bundle.name}{hint}", "too_many_samples")


def _parameters_of_methods() -> frozenset[str]:
    return parameter_names(tuple(method.parameters for method in METHODS.values()))


def _cache_headers(request: Request, choice: Choice, wanted: SampleRequest, fmt: Format) -> dict[str, str]:
    if wanted.seed is None or request.method != "GET":
        return {"Cache-Control": "no-store"}
    wanted = replace(wanted, parameters=choice.parameters.model_dump())
    tag = entity_tag(wanted, fmt.name, choice.served.fingerprint)
    # A cache may keep it but must ask: a new bundle or library changes the bytes, and asking costs no work.
    return {"Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept"}


def _sample_headers(choice: Choice, wanted: SampleRequest) -> dict[str, str]:
    """An unseeded request has no Sample-Seed: it took from shared blocks, no seed would bring it back."""
    headers = {"Sample-Method": choice.method}
    if choice.sampler.expected_acceptance is not None:
        headers["Sample-Expected-Acceptance-Rate"] = f"{choice.sampler.expected_acceptance:.6g}"
    if wanted.seed is not None:
        headers |= {"Sample-Seed": str(wanted.seed), "Sample-Offset": str(wanted.offset)}
    return headers


def _cost_headers(samples: Samples) -> dict[str, str]:
    """A stream's headers leave before its cost is known: zip and ndjson tell it at their end."""
    return {
        "Sample-Proposals": str(samples.proposals),
        "Sample-Acceptance-Rate": f"{samples.acceptance_rate:.6g}",
    }
