"""The Python client: samples of a server as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

# A large request waits for its turn: reading may take long, connecting not.
TIMEOUT = httpx.Timeout(600.0, connect=10.0)


class ServerProblem(Exception):
    """The server said no, or could not be reached. ``status`` 0 and code ``unreachable`` are the latter."""

    def __init__(self, message: str, status: int, code: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


@dataclass(frozen=True)
class Samples:
    """``images`` uint8 [n, H, W, C] or ``points`` float32 [n, D], ``latents`` float32 [n, d].

    ``weights`` float32 [n] where the model has a w. ``seed`` is None for unseeded samples: no seed would bring
    them back.
    """

    latents: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    images: NDArray[np.uint8] | None
    points: NDArray[np.float32] | None
    model: str
    method: str
    seed: int | None
    proposals: int
    acceptance_rate: float
    fingerprint: str


class Client:
    """Use it as a context manager, or close it. ``transport`` replaces the network (tests)."""

    def __init__(self, base_url: str = "http://127.0.0.1:8000", transport: httpx.BaseTransport | None = None) -> None:
        try:
            self._http = httpx.Client(base_url=base_url, timeout=TIMEOUT, transport=transport)
        except httpx.InvalidURL as error:
            raise ServerProblem(f"{base_url} is not a URL: {error}", 0, "unreachable") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def sample(
        self, n: int = 1, method: str | None = None, model: str | None = None, seed: int | None = None
    ) -> Samples:
        """``n`` samples. Raises ServerProblem."""
        answer = self._sample(n=n, method=method, model=model, seed=seed, format="npz")
        headers = answer.headers
        with np.load(BytesIO(answer.content), allow_pickle=False) as arrays:
            return Samples(
                latents=arrays["latents"],
                weights=arrays.get("weights"),
                images=arrays.get("images"),
                points=arrays.get("points"),
                model=headers["Sample-Model"],
                method=headers["Sample-Method"],
                seed=int(headers["Sample-Seed"]) if "Sample-Seed" in headers else None,
                proposals=int(headers["Sample-Proposals"]),
                acceptance_rate=float(headers["Sample-Acceptance-Rate"]),
                fingerprint=headers["Sample-Fingerprint"],
            )

    def fetch(self, **parameters: Any) -> bytes:
        """The body of POST /sample with these query parameters (None: not given). Raises ServerProblem."""
        return self._sample(**parameters).content

    def models(self) -> list[dict[str, Any]]:
        """The models of the server. Raises ServerProblem."""
        models: list[dict[str, Any]] = self._send("GET", "models", {}).json()["models"]
        return models

    def _sample(self, **parameters: Any) -> httpx.Response:
        return self._send("POST", "sample", {name: value for name, value in parameters.items() if value is not None})

    def _send(self, verb: str, path: str, parameters: dict[str, Any]) -> httpx.Response:
        try:
            answer = self._http.request(verb, path, params=parameters)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            url = self._http.base_url
            raise ServerProblem(f"no answer from {url}: {error or type(error).__name__}", 0, "unreachable") from error
        if answer.is_success:
            return answer
        raise _problem(answer)


def _problem(answer: httpx.Response) -> ServerProblem:
    try:
        document = answer.json()
        detail, code = str(document["detail"]), str(document["code"])
    except (ValueError, KeyError, TypeError):
        detail, code = f"{answer.status_code} {answer.reason_phrase} without a problem document", "unknown"
    wait = answer.headers.get("Retry-After", "")
    return ServerProblem(detail, answer.status_code, code, float(wait) if wait.isdigit() else None)
