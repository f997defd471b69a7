"""Who may ask, and how much: pure ASGI, before any route. Without a keys file only /admin is shut."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.hangup import CLIENT_CLOSED_REQUEST
from service.http.keys import Key, KeysRefused, find_key, load_keys
from service.http.problems import ProblemError, answer_problem
from service.http.quotas import LEASE, Clock, Lease, Quotas
from service.http.records import record_of
from service.settings import Settings

logger = logging.getLogger("winnow.gate")
PROBES = frozenset({"/livez", "/readyz", "/startupz"})
# Pages say nothing about the models here, and a browser cannot send a key before it has one.
PAGES = frozenset({"/", "/docs", "/openapi.json"})
METRICS_PATH = "/metrics"
ADMIN_PATH = "/admin"
REALM = 'Bearer realm="winnow"'
CROWDED = "crowded"  # in the state of a connection beyond the limit; see connections.py


class Gate:
    """The keys and accounts of one server; ``reread`` at any time."""

    def __init__(self, settings: Settings, clock: Clock = monotonic) -> None:
        """Raises KeysRefused."""
        self._settings, self._quotas = settings, Quotas(clock)
        self._keys: tuple[Key, ...] = ()
        self._file: Path | None = settings.auth.keys_file
        self.open_paths = PROBES | PAGES | ({METRICS_PATH} if settings.auth.open_metrics else set())
        self._load()

    @property
    def guarded(self) -> bool:
        return self._file is not None

    def reread(self) -> None:
        """The keys file again; one that is wrong changes nothing and is told in the log."""
        try:
            self._load()
        except KeysRefused as error:
            logger.error("the keys stay as they were", extra={"reason": str(error)})
        else:
            logger.info("keys read", extra={"keys": len(self._keys)})

    def _load(self) -> None:
        if self._file is not None:
            self._keys = load_keys(self._file, self._settings.quota)
            self._quotas.reread({key.name: key.quota for key in self._keys})

    def admit(self, scope: Scope) -> Lease:
        """Raises ProblemError: 401, 403, 429, and 503 on a connection beyond the limit."""
        path: str = scope["path"]
        if scope.get("state", {}).get(CROWDED) and path not in PROBES:
            raise self._crowded()
        admin = path == ADMIN_PATH or path.startswith(ADMIN_PATH + "/")
        if not self.guarded:
            if admin:
                raise ProblemError("key_without_right", "/admin is shut without API keys; set auth.keys_file.")
            return Lease()
        if path in self.open_paths:
            return Lease()
        key = self._identify(Headers(scope=scope))
        record_of(scope).key = key.name
        if admin and not key.admin:
            raise ProblemError("key_without_right", f"The key {key.name} is not marked admin in the keys file.")
        return self._quotas.enter(key.name)

    def _identify(self, headers: Headers) -> Key:
        """Raises ProblemError (401)."""
        bearers = [value.split(None, 1) for value in headers.getlist("authorization")]
        given = [parts[-1].strip() for parts in bearers if len(parts) == 2 and parts[0].lower() == "bearer"]
        given += headers.getlist("x-api-key")
        if len(given) != 1 or len(bearers) > 1:
            raise ProblemError(
                "key_missing",
                "Send one API key, as Authorization: Bearer KEY or as X-API-Key: KEY.",
                headers={"WWW-Authenticate": REALM},
            )
        key = find_key(self._keys, given[0].encode("latin-1"))
        if key is None:
            raise ProblemError(
                "key_unknown",
                "This API key is not one of this server's.",
                headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
            )
        return key

    def _crowded(self) -> ProblemError:
        http = self._settings.http
        return ProblemError(
            "too_many_connections",
            f"{http.max_connections} connections are open; an idle one is closed after {http.keep_alive_seconds} s.",
            headers={"Retry-After": str(http.keep_alive_seconds), "Connection": "close"},
        )


class GateLayer:
    """Lets a request through with a lease, or answers with the reason why not."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            lease = scope[LEASE] = self._gate.admit(scope)
        except ProblemError as error:
            await answer_problem(error, scope)(scope, receive, send)
            return
        refused = False

        async def watch(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                # Not one that hung up: rows were made for it.
                refused = message["status"] >= 400 and message["status"] != CLIENT_CLOSED_REQUEST
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            refused = True
            raise
        finally:
            lease.close(refused)
