"""``GET /models`` and what hangs below it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from service.engine.catalog import Model
from service.engine.encoders.formats import largest, usable_formats
from service.engine.errors import UnknownModel
from service.engine.methods import available_methods, default_method, describe_dial, describe_methods
from service.http.negotiation import best_type
from service.http.problems import PROBLEM_MEDIA_TYPE, Problem, ProblemError
from service.http.state import Service, service_of

REPORT_FILE, PAGE_FILE = "report.json", "report.html"
# The page has pictures and styles in itself and nothing else: whatever else somebody put into it does nothing.
PAGE_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
router = APIRouter()
_NOT_FOUND: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem, "content": {PROBLEM_MEDIA_TYPE: {}}}}
_REPORT: dict[int | str, dict[str, Any]] = {**_NOT_FOUND, 200: {"content": {"application/json": {}, "text/html": {}}}}


@router.get("/models")
async def list_models(request: Request) -> dict[str, Any]:
    """Every bundle, the broken ones with the reason."""
    service = service_of(request)
    catalog = service.engine.catalog
    return {"default": catalog.default, "models": [_summary(service, model) for model in catalog.models.values()]}


@router.get("/models/{name}", responses=_NOT_FOUND)
async def show_model(request: Request, name: str) -> dict[str, Any]:
    """One bundle: its summary, its manifest, every method with its parameters or with what is missing for it, and what
    latentrs does to its weights (``dial``)."""
    service = service_of(request)
    model = _find(service, name)
    if model.bundle is None:
        return {**_summary(service, model), "manifest": None}
    return {
        **_summary(service, model),
        "method_details": describe_methods(model.bundle),
        "dial": describe_dial(model.bundle),
        "manifest": model.bundle.manifest.model_dump(mode="json"),
    }


@router.get("/models/{name}/report", responses=_REPORT)
def show_report(request: Request, name: str) -> Response:
    """The report of the quality gate as it lies in the bundle: report.json, or to a browser report.html where there
    is one."""
    folder = _find(service_of(request), name).folder
    headers = {"Vary": "Accept"}
    if best_type(request.headers.get("accept") or "*/*", ("application/json", "text/html")) == "text/html":
        with suppress(OSError):
            page = (folder / PAGE_FILE).read_bytes()
            return HTMLResponse(page, headers={**headers, "Content-Security-Policy": PAGE_POLICY})
    try:
        return Response((folder / REPORT_FILE).read_bytes(), media_type="application/json", headers=headers)
    except OSError as error:
        raise ProblemError("report_not_found", f"Model {name} has no {REPORT_FILE}.") from error


def _find(service: Service, name: str) -> Model:
    """A broken model is found too. Raises UnknownModel."""
    models = service.engine.catalog.models
    if name not in models:
        raise UnknownModel(f"There is no model {name!r}; the models are {', '.join(models)}.")
    return models[name]


def _summary(service: Service, model: Model) -> dict[str, Any]:
    bundle = model.bundle
    if bundle is None:
        return {"name": model.name, "status": "broken", "reason": model.broken}
    assert model.served is not None  # what is listed is warm, or broken
    manifest, most = bundle.manifest, service.settings.limits.max_n
    return {
        "name": model.name,
        "status": "ready",
        "default": model.name == service.engine.catalog.default,
        "version": manifest.version,
        "licence": manifest.licence,
        "description": manifest.description,
        "latent_dim": manifest.prior.dim,
        "output": manifest.output.model_dump(mode="json"),
        "methods": available_methods(bundle),
        "default_method": default_method(bundle),
        "max_n": {name: min(most, largest(name, bundle, service.limits, False)) for name in usable_formats(bundle)},
        "digest": bundle.digest,
        "fingerprint": model.served.fingerprint,
    }
