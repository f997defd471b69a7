"""Paths as templates: what a metric may name, and what a 405 tells."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path


class Paths:
    """Every path that ``app`` serves now."""

    def __init__(self, app: FastAPI) -> None:
        verbs: dict[str, set[str]] = {}
        for route in iter_route_contexts(app.routes):
            if route.path is not None:
                verbs.setdefault(route.path, set()).update(route.methods or ())
        self._known = [(compile_path(template)[0], template, sorted(taken)) for template, taken in verbs.items()]

    def template(self, path: str) -> str | None:
        """The template that ``path`` is one of."""
        return next((template for pattern, template, _ in self._known if pattern.match(path)), None)

    def verbs(self, path: str) -> list[str]:
        """The HTTP methods that ``path`` takes; one path may be several routes."""
        return next((taken for pattern, _, taken in self._known if pattern.match(path)), [])
