"""``/docs``: the OpenAPI document as one self-contained page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from service.http.pages import page_response

router = APIRouter()
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:.1em .3em}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #8884;vertical-align:top}"
    ":root{color-scheme:light dark}"
)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Every operation, its parameters and answers; nothing is fetched from elsewhere."""
    return page_response(render(request.app.openapi()))


def render(document: dict[str, Any]) -> str:
    """OpenAPI document -> HTML page."""
    sections = [
        _operation(verb, path, operation)
        for path, operations in document["paths"].items()
        for verb, operation in operations.items()
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} API</title><style>{STYLE}</style>'
        f'<h1>{title} API</h1><p>Machine-readable: <a href="openapi.json">openapi.json</a></p>'
        f"{''.join(sections)}</html>"
    )


def _operation(verb: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", []))
    takes = ", ".join(operation.get("requestBody", {}).get("content", {}))
    body = f"<p>Body: {escape(takes)}</p>" if takes else ""
    table = f"<table><tr><th>Parameter</th><th>Type</th><th>Default</th><th></th></tr>{rows}</table>" if rows else ""
    answers = ", ".join(
        f"{status} {' / '.join(answer.get('content', {}))}" for status, answer in operation["responses"].items()
    )
    text = escape(operation.get("description", ""))
    heading = f"<code>{verb.upper()} {escape(path)}</code>"
    return f"<h2>{heading}</h2><p>{text}</p>{table}{body}<p>Answers: {escape(answers)}</p>"


def _kinds(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for item in schema.get("anyOf", []):
        yield from _kinds(item)


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    kinds = list(_kinds(schema))
    kind = " | ".join(dict.fromkeys(item["type"] for item in kinds if item.get("type", "null") != "null"))
    choices = ", ".join(str(value) for item in kinds for value in item.get("enum", []))
    text = f"{parameter.get('description', '')} {f'One of {choices}.' if choices else ''}"
    cells = (
        f"<code>{escape(parameter['name'])}</code>",
        escape(kind),
        escape(str(schema.get("default", ""))),
        escape(text),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
