"""Rows as an answer: encoded in the bounded pool, with the headers that all of them carry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import perf_counter

from fastapi import Request
from starlette.responses import Response

from service.engine.encoders.formats import Format
from service.engine.jobs import Rows
from service.http.records import record_of
from service.http.state import service_of


async def answer_rows(request: Request, rows: Rows, fmt: Format, headers: Mapping[str, str]) -> Response:
    """``rows`` in ``fmt``; the request's record learns what each stage took."""
    service, record = service_of(request), record_of(request.scope)
    started = perf_counter()
    body = await asyncio.get_running_loop().run_in_executor(service.encoders, fmt.encode, rows)
    encode = perf_counter() - started
    service.engine.metrics.stage_seconds.labels("encode").observe(encode)
    record.stages, record.rows = {**rows.stages, "encode": encode}, rows.n
    told = {"Sample-Count": str(rows.n), "Sample-Model": rows.model, "Sample-Fingerprint": rows.fingerprint}
    return Response(body, headers={**told, **headers}, media_type=fmt.media_type)
