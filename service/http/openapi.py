"""The OpenAPI document: FastAPI's, with what the edge can answer beside each route."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from service.http.gate import ADMIN_PATH, PAGES, PROBES
from service.http.problems import CODES, PROBLEM_MEDIA_TYPE, Problem

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
# Before any route: heads that cannot be read, come too slowly or are too large, connections beyond the limit.
OF_EVERY_ROUTE = (400, 408, 414, 431, 500, 503)
WITH_KEYS = (401, 429)
ADMIN_ONLY = (403,)
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Needed where the server has a keys file."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


class DescribedApi(FastAPI):
    """FastAPI with a truthful document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with the answers of the edge, and the keys."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs", {}), "Problem": problem}
    components["securitySchemes"] = SCHEMES
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _describe(path, operation)
    return document


def _describe(path: str, operation: dict[str, Any]) -> None:
    answers: dict[str, Any] = operation["responses"]
    guarded = path not in PROBES | PAGES
    statuses = set(OF_EVERY_ROUTE)
    if guarded:
        statuses |= set(WITH_KEYS)
        operation["security"] = [{"bearer": []}, {"header": []}, {}]
    if path.startswith(ADMIN_PATH):
        statuses |= set(ADMIN_ONLY)
    for status in sorted(statuses):
        answers.setdefault(str(status), _answer(status))


def _answer(status: int) -> dict[str, Any]:
    codes = ", ".join(code for code, (of, _) in CODES.items() if of == status)
    return {"description": f"Codes: {codes}.", "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_REF}}}
