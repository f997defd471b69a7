"""``/admin``: models loaded, replaced and taken away while everything goes on."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.http.problems import PROBLEM_MEDIA_TYPE, Problem
from service.http.state import service_of

_PROBLEM: dict[str, Any] = {"model": Problem, "content": {PROBLEM_MEDIA_TYPE: {}}}
router = APIRouter(prefix="/admin", responses=dict.fromkeys((401, 403, 404, 409, 422, 503), _PROBLEM))
Name = Annotated[str, Path(description="A folder under the bundles that the server was started with.", max_length=200)]


@router.put("/models/{name}", operation_id="load_model")
async def load(request: Request, name: Name) -> dict[str, Any]:
    """Load the bundle in the folder ``name``, or load it again; a broken one replaces nothing.

    Requests that were admitted are finished with the bundle that they were admitted with.
    """
    engine = service_of(request).engine
    model = await asyncio.to_thread(engine.shelf.load, name)
    assert model.served is not None
    return {"name": model.name, "digest": model.served.bundle.digest, "fingerprint": model.served.fingerprint}


@router.delete("/models/{name}", operation_id="unload_model", status_code=204, response_class=Response)
async def unload(request: Request, name: Name) -> Response:
    """Serve the model no longer. The default model stays."""
    await asyncio.to_thread(service_of(request).engine.shelf.unload, name)
    return Response(status_code=204)
