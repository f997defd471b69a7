"""``POST /decode``, ``POST /score`` and ``POST /refine``: what the model makes of latents that the caller has."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from sampling.ascent import AscentParameters
from sampling.methods import ascent_of
from sampling.projection import resolve_projection
from service.engine import evaluations
from service.engine.encoders.formats import FORMATS, Format
from service.engine.encoders.scores import encode_scores, encode_trajectories, most_trajectories
from service.engine.evaluations import DECODE, SCORE, Work, check_possible
from service.engine.memory import Lease
from service.engine.methods import validate
from service.engine.rows import Rows
from service.engine.served import Served
from service.http.answers import answer_result
from service.http.bodies import counted, latents_openapi, read_latents
from service.http.negotiation import choose_format
from service.http.parameters import DecodeQuery, ScoreQuery, query_openapi, read_query
from service.http.problems import PROBLEM_MEDIA_TYPE, Problem, invalid
from service.http.quotas import charge_rows
from service.http.records import record_of
from service.http.samples import check_size
from service.http.state import service_of

router = APIRouter()
JSON = "application/json"
NO_STORE = {"Cache-Control": "no-store"}
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {PROBLEM_MEDIA_TYPE: {}}}
_PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 404, 406, 413, 415, 422, 500, 503, 504), _PROBLEM)


async def decode(request: Request) -> Response:
    """The images or points of given latents, in any format of /sample; json and ndjson have them always."""
    service, record = service_of(request), record_of(request.scope)
    query, _ = read_query(request, DecodeQuery)
    served = service.engine.served(query.model)
    bundle = served.bundle
    fmt = choose_format(query.format, request.headers.get("accept"), bundle, images=True)
    latents = await read_latents(request, service, bundle.prior.dim, service.settings.limits.max_n)
    record.model, record.n = bundle.name, len(latents)
    check_size(service, bundle, len(latents), fmt, images=True, parameter="latents")
    charge_rows(request, len(latents))
    return await _answer(request, DECODE, latents, served, query.timeout, fmt)


async def score(request: Request) -> Response:
    """The importance weight of given latents, and the probability min(w / cap, 1) with which latentrs accepts them."""
    service, record = service_of(request), record_of(request.scope)
    query, _ = read_query(request, ScoreQuery)
    served = service.engine.served(query.model)
    bundle = served.bundle
    check_possible(bundle, SCORE)
    assert bundle.importance is not None
    cap = bundle.importance.cap
    latents = await read_latents(request, service, bundle.prior.dim, service.settings.limits.max_n)
    record.model, record.n = bundle.name, len(latents)
    charge_rows(request, len(latents))
    document = Format("json", JSON, encode=lambda rows: encode_scores(rows, cap))
    return await _answer(request, SCORE, latents, served, query.timeout, document)


async def refine(request: Request) -> Response:
    """The path of each latent up the importance weight: latents and weights at the start and after every step."""
    service, record = service_of(request), record_of(request.scope)
    query, given = read_query(request, ScoreQuery, AscentParameters.model_fields)
    served = service.engine.served(query.model)
    bundle = served.bundle
    parameters = ascent_of(bundle, validate(AscentParameters, "refine", given))
    check_possible(bundle, work := evaluations.refine(parameters))
    try:
        resolve_projection(bundle.prior, parameters.projection)
    except ValueError as error:
        raise invalid("projection", str(error)) from error
    most = most_trajectories(parameters.steps, bundle.prior.dim, service.limits.json_bytes)
    latents = await read_latents(request, service, bundle.prior.dim, min(most, service.settings.limits.max_n))
    record.model, record.n = bundle.name, len(latents)
    charge_rows(request, len(latents))
    document = Format("json", JSON, encode=encode_trajectories)
    return await _answer(request, work, latents, served, query.timeout, document)


async def _answer(
    request: Request, work: Work, latents: NDArray[np.float32], served: Served, patience: float | None, fmt: Format
) -> Response:
    engine = service_of(request).engine

    def submit(lease: Lease) -> Future[Rows]:
        future = engine.evaluate(work, latents, served, patience, lease)
        lease.take(counted(latents.nbytes))
        return future

    return await answer_result(request, submit, fmt, lambda _: NO_STORE, patience)


for _path, _handler, _kind, _types in (
    ("/decode", decode, DecodeQuery, [fmt.media_type for fmt in FORMATS.values()]),
    ("/score", score, ScoreQuery, [JSON]),
    ("/refine", refine, ScoreQuery, [JSON]),
):
    router.add_api_route(
        _path, _handler, methods=["POST"], operation_id=_handler.__name__, response_class=Response,
        responses={200: {"description": "One row a latent.", "content": {kind: {} for kind in _types}}, **_PROBLEMS},
        openapi_extra={
            "parameters": query_openapi(_kind) + (query_openapi(AscentParameters) if _handler is refine else []),
            "requestBody": latents_openapi(),
        },
    )  # fmt: skip
