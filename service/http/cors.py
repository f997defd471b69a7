"""Pages of other origins: nothing unless the setting names them; then starlette's own middleware."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.problems import ProblemError, answer_problem

METHODS = ("GET", "POST")
REQUEST_HEADERS = ("Authorization", "X-API-Key", "X-Request-ID", "If-None-Match")
# What a script of another origin may read of an answer.
ANSWER_HEADERS = (
    "ETag", "Retry-After", "Server-Timing", "X-Request-ID", "Sample-Count", "Sample-Method", "Sample-Model",
    "Sample-Seed", "Sample-Offset", "Sample-Proposals", "Sample-Acceptance-Rate", "Sample-Expected-Acceptance-Rate",
    "Sample-Fingerprint",
)  # fmt: skip


class CorsLayer(CORSMiddleware):
    """No cookies are ours, so credentials stay off and * is harmless where keys are on. A refusal is a problem."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=METHODS, allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                answer = self.preflight_response(headers)
                if answer.status_code >= 400:
                    reason = bytes(answer.body).decode()
                    error = ProblemError("origin_refused", f"{reason}; the setting is http.cors_origins.")
                    error.headers["Vary"] = answer.headers["Vary"]
                    answer = answer_problem(error, scope)
                await answer(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
