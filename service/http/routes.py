"""Paths as templates: what a metric may name, what a 405 tells; and routes that are no more than a path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route, compile_path
from starlette.types import Scope


class PlainRoute(Route):
    """For a handler that reads its request itself: FastAPI's search for parameters and dependencies costs more than
    refusing the request does."""

    def __init__(self, path: str, handler: Callable[[Request], Awaitable[Response]], methods: Collection[str]) -> None:
        super().__init__(path, handler, methods=methods, include_in_schema=False)
        self.methods = set(methods)  # starlette adds HEAD to GET

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self} if match is not Match.NONE else found


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
