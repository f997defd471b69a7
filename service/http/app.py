"""The application: routes, the layers around them, every error a problem."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from service.engine.engine import Engine
from service.engine.errors import EngineError, OutOfMemory
from service.http import admin, catalog, docs, latents, page, probes, samples
from service.http.access import AccessLayer
from service.http.cors import CorsLayer
from service.http.encoders import Encoders
from service.http.gate import Gate, GateLayer
from service.http.openapi import DescribedApi
from service.http.problems import (
    ProblemError,
    answer_problem,
    from_engine,
    from_http,
    from_validation,
)
from service.http.records import record_of
from service.http.routes import Paths
from service.http.standing import set_standing
from service.http.state import Grace, Service, service_of
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

logger = logging.getLogger("winnow.access")


def create_app(engine: Engine, settings: Settings, gate: Gate | None = None, tracer: Tracer | None = None) -> FastAPI:
    """An application over a started engine; ``app.state.service`` holds what the routes share.

    ``gate``: made from the settings unless given. Raises KeysRefused.
    """
    set_standing(engine)
    gate = gate or Gate(settings)
    encoders, grace = Encoders(settings.limits.encoder_threads), Grace(settings.http.grace_seconds)
    service = Service(engine, settings, encoders, gate, grace)
    app = DescribedApi(
        title="Winnow",
        version=probes.winnow_version(),
        description="Filtered samples of pre-trained generators.",
        docs_url=None,  # FastAPI's own pages load scripts from a CDN
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(AccessLayer, metrics=engine.metrics, in_flight=service.in_flight, tracer=tracer),
            *([Middleware(CorsLayer, origins=settings.http.cors_origins)] if settings.http.cors_origins else []),
            Middleware(GateLayer, gate=gate),
        ],
    )
    app.state.service = service
    app.router.routes.append(samples.ROUTE)  # before FastAPI's, which describe it
    for router in (
        samples.build_router(),
        *(module.router for module in (latents, catalog, admin, probes, docs, page)),
    ):
        app.include_router(router)
    app.state.paths = Paths(app)
    app.add_exception_handler(ProblemError, _answer_problem)
    app.add_exception_handler(EngineError, _answer_engine)
    app.add_exception_handler(MemoryError, _answer_memory)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return answer_problem(error, request.scope)


async def _answer_engine(request: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError)
    return await _answer_problem(request, from_engine(error, service_of(request).grace.left()))


async def _answer_memory(request: Request, error: Exception) -> Response:
    """Raised beside the engine, while an answer is written or a body read: a smaller one may fit, or this one later."""
    logger.error("out of memory", exc_info=error, extra={"request_id": record_of(request.scope).request_id})
    said = "The server has no memory for it; ask again in 1 s, for fewer rows, or for a format that streams."
    return await _answer_engine(request, OutOfMemory(said))


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _answer_problem(request, from_validation(error))


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    return await _answer_problem(request, from_http(error, request.method, path, request.app.state.paths.verbs(path)))
