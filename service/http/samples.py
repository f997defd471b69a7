"""``GET`` and ``POST /sample``."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from time import perf_counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from models.bundle import Bundle
from service.engine.encoders.formats import FORMATS, Format, largest
from service.engine.jobs import SampleRequest, Samples
from service.http.conditional import entity_tag, matches
from service.http.negotiation import choose_format
from service.http.parameters import SampleQuery, refuse_body, refuse_duplicates
from service.http.problems import PROBLEM_MEDIA_TYPE, Problem, invalid
from service.http.records import record_of
from service.http.state import Service, service_of

# Nobody reads it: the client has hung up. The access line shows it (nginx's number).
CLIENT_CLOSED_REQUEST = 499

router = APIRouter()
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {PROBLEM_MEDIA_TYPE: {}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The samples.",
        "content": {fmt.media_type: {} for fmt in FORMATS.values()},
    },
    **dict.fromkeys((404, 406, 415, 422, 500, 503), _PROBLEM),
}


async def sample(request: Request, query: Annotated[SampleQuery, Query()]) -> Response:
    """Samples of a model: filtered by its importance weights (latentrs), or straight from the prior."""
    service, record = service_of(request), record_of(request.scope)
    refuse_duplicates(request)
    await refuse_body(request)
    model, method = service.engine.resolve(query.model, query.method)
    record.model, record.method, record.n = model.name, method, query.n
    fmt = choose_format(query.format, request.headers.get("accept"))
    assert model.bundle is not None
    _check_size(service, model.bundle, query, fmt)
    wanted = SampleRequest(query.n, model.name, method, query.seed, decode=fmt.name != "json" or query.images)
    headers = _cache_headers(request, service, wanted, fmt)
    if "ETag" in headers and matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    samples = await _result_or_hangup(request, service.engine.submit(wanted))
    if samples is None:
        record.outcome = "cancelled"
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    started = perf_counter()
    body = await asyncio.get_running_loop().run_in_executor(service.encoders, fmt.encode, samples)
    encode = perf_counter() - started
    service.engine.metrics.stage_seconds.labels("encode").observe(encode)
    record.stages = {**samples.stages, "encode": encode}
    return Response(body, headers={**headers, **_sample_headers(samples)}, media_type=fmt.media_type)


router.add_api_route(
    "/sample", sample, methods=["GET"], operation_id="get_sample", response_class=Response, responses=RESPONSES
)
router.add_api_route(
    "/sample", sample, methods=["POST"], operation_id="post_sample", response_class=Response, responses=RESPONSES
)


def _check_size(service: Service, bundle: Bundle, query: SampleQuery, fmt: Format) -> None:
    """Raises ProblemError (422) that names the cap, and the formats that would do."""
    most = service.settings.limits.max_n
    if query.n > most:
        raise invalid("n", f"at most {most} samples a request, not {query.n}.", "too_many_samples")
    caps = {name: largest(name, bundle, service.limits, query.images) for name in FORMATS}
    if query.n <= caps[fmt.name]:
        return
    others = [f"{name} up to {min(cap, most)}" for name, cap in caps.items() if cap >= query.n]
    hint = f"; {' and '.join(others)} would do." if others else "; ask several times."
    raise invalid("n", f"{fmt.name} holds at most {caps[fmt.name]} samples of {bundle.name}{hint}", "too_many_samples")


def _cache_headers(request: Request, service: Service, wanted: SampleRequest, fmt: Format) -> dict[str, str]:
    if wanted.seed is None or request.method != "GET":
        return {"Cache-Control": "no-store"}
    assert wanted.model is not None
    tag = entity_tag(wanted, fmt.name, service.engine.fingerprints[wanted.model])
    # A cache may keep it but must ask: a new bundle or library changes the bytes, and asking costs no work.
    return {"Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept"}


def _sample_headers(samples: Samples) -> dict[str, str]:
    """An unseeded request has no Sample-Seed: it took from shared blocks, no seed would bring it back."""
    headers = {
        "Sample-Count": str(samples.n),
        "Sample-Method": samples.method,
        "Sample-Model": samples.model,
        "Sample-Proposals": str(samples.proposals),
        "Sample-Acceptance-Rate": f"{samples.acceptance_rate:.6g}",
        "Sample-Fingerprint": samples.fingerprint,
    }
    return headers if samples.seed is None else {**headers, "Sample-Seed": str(samples.seed)}


async def _result_or_hangup(request: Request, future: Future[Samples]) -> Samples | None:
    """The samples, or None when the client hung up first: then the work stops at the next batch."""
    result = asyncio.wrap_future(future)
    hangup = asyncio.ensure_future(_hangup(request))
    either: set[asyncio.Future[Any]] = {result, hangup}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return await result if result.done() else None
    finally:
        hangup.cancel()
        result.cancel()


async def _hangup(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
