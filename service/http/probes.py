"""Health, metrics and what this server is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from sampling.methods import METHODS
from service.http.state import Service, service_of

router = APIRouter()
TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
PROBE_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {**TEXT, "application/json": {}}}
    for status, text in ((200, "Yes."), (503, "No; ?verbose says why."))
}


def winnow_version() -> str:
    try:
        return version("winnow")
    except PackageNotFoundError:  # run from a checkout
        return "0+unknown"


@router.get("/livez", response_class=Response, responses=PROBE_ANSWERS)
async def livez(request: Request) -> Response:
    """The process answers, and no device loop has stopped: that only a restart helps."""
    return _probe(request, {"event_loop": None, "engine": service_of(request).engine.dead()})


@router.get("/readyz", response_class=Response, responses=PROBE_ANSWERS)
async def readyz(request: Request) -> Response:
    """Work may be sent here."""
    return _probe(request, {"engine": service_of(request).engine.unready()})


@router.get("/startupz", response_class=Response, responses=PROBE_ANSWERS)
async def startupz(request: Request) -> Response:
    """Loading is over: this listener opens after it."""
    return _probe(request, {"models": None})


@router.get("/metrics", response_class=Response, responses={200: {"content": TEXT}})
async def metrics(request: Request) -> Response:
    """Prometheus text."""
    engine = service_of(request).engine
    engine.measure()
    return Response(engine.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/info")
async def info(request: Request) -> dict[str, Any]:
    """Version, what decides the bits, limits."""
    service: Service = service_of(request)
    engine = service.engine
    return {
        "name": "winnow",
        "version": winnow_version(),
        "default_model": engine.catalog.default,
        "methods": list(METHODS),
        "devices": [str(device) for device in engine.devices],
        "environment": engine.environment,
        "fingerprints": engine.fingerprints,
        "reproducibility": {served.bundle.name: served.reproducibility for served in engine.all_served()},
        "limits": service.settings.limits.model_dump(),
    }


def _probe(request: Request, checks: dict[str, str | None]) -> Response:
    """200 or 503; ``?verbose`` lists the checks. A check is None or the reason why it fails."""
    failed = any(reason is not None for reason in checks.values())
    status = 503 if failed else 200
    headers = {"Cache-Control": "no-store"}
    if "verbose" in request.query_params:
        body = {name: "ok" if reason is None else reason for name, reason in checks.items()}
        return JSONResponse({"status": "failed" if failed else "ok", "checks": body}, status, headers)
    return Response("failed\n" if failed else "ok\n", status, headers, "text/plain")
