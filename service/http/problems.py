"""Errors as RFC 9457 problems: every code, its status and title, and how each exception becomes one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from service.engine.admission import retry_after
from service.engine.errors import EngineError, InvalidParameters, OutOfMemory, Overloaded
from service.http.records import record_of

PROBLEM_MEDIA_TYPE = "application/problem+json"
# The registry of codes: clients switch on them, so none is ever renamed.
CODES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request is malformed"),
    "key_missing": (401, "An API key is needed"),
    "key_unknown": (401, "The API key is unknown"),
    "key_without_right": (403, "The API key has not this right"),
    "origin_refused": (403, "The page's origin is not allowed"),
    "not_found": (404, "There is nothing here"),
    "model_not_found": (404, "There is no such model"),
    "report_not_found": (404, "The model has no report"),
    "method_not_allowed": (405, "The resource does not take this HTTP method"),
    "not_acceptable": (406, "None of the formats asked for would do"),
    "too_slow": (408, "The request took too long to arrive"),
    "model_in_use": (409, "The model is in use"),
    "body_too_large": (413, "The body is too large"),
    "target_too_long": (414, "The request's target is too long"),
    "body_not_supported": (415, "The request must not have a body"),
    "unsupported_media_type": (415, "The body has another type"),
    "invalid_parameters": (422, "A parameter is not valid"),
    "method_unknown": (422, "There is no such sampling method"),
    "method_unavailable": (422, "The sampling method is not available"),
    "network_missing": (422, "The model lacks a network"),
    "too_many_samples": (422, "Too many samples for one request"),
    "too_many_requests": (429, "Too many requests of this key"),
    "too_many_rows": (429, "Too many samples of this key"),
    "too_many_at_once": (429, "Too many requests of this key at once"),
    "headers_too_large": (431, "The header fields are too large"),
    "rejection_stalled": (500, "The method accepts too few latents of this model"),
    "generation_failed": (500, "The model failed"),
    "internal": (500, "The server failed"),
    "not_implemented": (501, "The server cannot do this"),
    "model_broken": (503, "The model could not be loaded"),
    "overloaded": (503, "The server is full"),
    "draining": (503, "The server is shutting down"),
    "device_stopped": (503, "The server must be restarted"),
    "too_many_connections": (503, "Too many connections"),
    "out_of_memory": (503, "There is no memory for it"),
    "deadline_exceeded": (504, "The time that the request allowed is over"),
}
STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 406: "not_acceptable", 415: "body_not_supported"}
# Which parameter an engine's refusal is about.
BLAMED = {
    "method_unknown": "method",
    "method_unavailable": "method",
    "model_not_found": "model",
    "network_missing": "model",
}


class FieldError(BaseModel):
    """One parameter that is wrong."""

    parameter: str
    detail: str


class Problem(BaseModel):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldError] = []


@dataclass
class ProblemError(Exception):
    """Raise it to answer with ``code``; ``headers`` go along."""

    code: str
    detail: str
    errors: list[FieldError] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


def invalid(parameter: str, detail: str, code: str = "invalid_parameters") -> ProblemError:
    """One parameter is wrong."""
    return ProblemError(code, detail, [FieldError(parameter=parameter, detail=detail)])


def answer_problem(error: ProblemError, scope: Scope) -> Response:
    """The problem of ``error`` as the answer to a request, whose record learns of it."""
    record = record_of(scope)
    record.code = error.code
    return problem_response(error, record.request_id)


def problem_response(error: ProblemError, request_id: str) -> Response:
    """A Problem."""
    status, title = CODES[error.code]
    body: dict[str, object] = {
        "type": f"urn:winnow:problem:{error.code}",
        "title": title,
        "status": status,
        "detail": error.detail,
        "instance": f"urn:winnow:request:{request_id}",
        "code": error.code,
    }
    if error.errors:
        body["errors"] = [item.model_dump() for item in error.errors]
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(json.dumps(body), status, headers, PROBLEM_MEDIA_TYPE)


def from_engine(error: EngineError, grace: float) -> ProblemError:
    """The engine's codes are ours. ``grace``: seconds until a server that shuts down is gone."""
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded | OutOfMemory):
        headers["Retry-After"] = str(error.retry_after)
    elif error.code == "draining":
        headers |= {"Retry-After": str(retry_after(grace)), "Connection": "close"}
    problems = error.problems if isinstance(error, InvalidParameters) else {}
    if error.code in BLAMED:
        problems = {BLAMED[error.code]: str(error)}
    errors = [FieldError(parameter=name, detail=sentence) for name, sentence in problems.items()]
    return ProblemError(error.code, str(error), errors, headers)


def invalid_all(errors: list[FieldError]) -> ProblemError:
    """Several parameters are wrong, all named at once."""
    detail = " ".join(f"{error.parameter}: {error.detail}" for error in errors)
    return ProblemError("invalid_parameters", detail, errors)


def from_validation(error: RequestValidationError) -> ProblemError:
    """FastAPI's own complaints."""
    return invalid_all(field_errors(error.errors()))


def field_errors(items: Sequence[Mapping[str, Any]], known: Sequence[str] = ()) -> list[FieldError]:
    """Pydantic's complaints, one a parameter, in our words where theirs need context; ``known`` are the right names."""
    return [_field_error(item, known) for item in items]


def from_http(error: HTTPException, verb: str, path: str, allowed: list[str]) -> ProblemError:
    """Starlette's own: unknown route, wrong method (``allowed`` are the right ones), unreadable request."""
    code = STATUS_CODES.get(error.status_code, "malformed" if error.status_code < 500 else "internal")
    headers = dict(error.headers or {})
    if code == "not_found":
        return ProblemError(code, f"Nothing is served under {path}; see /docs.", headers=headers)
    if code == "method_not_allowed":
        choices = ", ".join(allowed)
        return ProblemError(
            code, f"{path} does not take {verb}, only {choices}.", headers={**headers, "Allow": choices}
        )
    return ProblemError(code, _sentence(error), headers=headers)


def _sentence(error: HTTPException) -> str:
    detail = str(error.detail or HTTPStatus(error.status_code).phrase)
    return detail if detail.endswith(".") else detail + "."


def _field_error(item: Mapping[str, Any], known: Sequence[str]) -> FieldError:
    location = item["loc"]
    name = str(location[-1])
    if item["type"] == "extra_forbidden":
        return FieldError(parameter=name, detail=f"unknown parameter; this takes {', '.join(known)}.")
    return FieldError(parameter=name, detail=f"{item['msg']}, not {str(item.get('input'))[:100]!r}.")
