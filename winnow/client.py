"""The Python client: samples of a server as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    expected_acceptance_rate: float | None
    fingerprint: str


@dataclass(frozen=True)
class Scores:
    """``weights`` float32 [n] of latents, and the probability ``acceptance`` [n] with which latentrs takes them."""

    weights: NDArray[np.float32]
    acceptance: NDArray[np.float32]
    cap: float
    model: str
    fingerprint: str


@dataclass(frozen=True)
class Trajectories:
    """``latents`` float32 [n, steps + 1, d] and ``weights`` [n, steps + 1]: the start first, then after each step."""

    latents: NDArray[np.float32]
    weights: NDArray[np.float32]
    model: str
    fingerprint: str


class Client:
    """Use it as a context manager, or close it. ``key``: where the server asks for one. ``transport`` replaces the
    network (tests)."""

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        transport: httpx.BaseTransport | None = None,
        key: str | None = None,
    ) -> None:
        headers = {"X-API-Key": key} if key else {}
        try:
            self._http = httpx.Client(base_url=base_url, timeout=TIMEOUT, transport=transport, headers=headers)
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
        self,
        n: int = 1,
        method: str | None = None,
        model: str | None = None,
        seed: int | None = None,
        **parameters: Any,
    ) -> Samples:
        """``n`` samples; ``parameters`` are the method's own, as in ``steps=20``. Raises ServerProblem."""
        answer = self._sample(**parameters, n=n, method=method, model=model, seed=seed, format="npz")
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
                expected_acceptance_rate=_number(headers.get("Sample-Expected-Acceptance-Rate")),
                fingerprint=headers["Sample-Fingerprint"],
            )

    def fetch(self, **parameters: Any) -> bytes:
        """The body of POST /sample with these query parameters (None: not given). Raises ServerProblem."""
        return self._sample(**parameters).content

    def stream(self, **parameters: Any) -> Iterator[bytes]:
        """The same body in pieces, as they come: of zip, npy and ndjson little is ever held.

        Raises ServerProblem, also in the middle, when the server could not finish.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        with self._reached(), self._http.stream("POST", "sample", params=given) as answer:
            if not answer.is_success:
                answer.read()
                raise _problem(answer)
            yield from answer.iter_bytes()

    def decode(self, latents: ArrayLike, model: str | None = None) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Latents [n, d] -> images uint8 [n, H, W, C] or points float32 [n, D]. Raises ServerProblem."""
        answer = self._post_latents("decode", latents, {"model": model, "format": "npz"})
        with np.load(BytesIO(answer.content), allow_pickle=False) as arrays:
            rows: NDArray[np.uint8] | NDArray[np.float32] = arrays["images" if "images" in arrays else "points"]
            return rows

    def score(self, latents: ArrayLike, model: str | None = None) -> Scores:
        """The importance weights of latents [n, d]. Raises ServerProblem."""
        document = self._post_latents("score", latents, {"model": model}).json()
        weights, acceptance = (np.array(document[name], np.float32) for name in ("weights", "acceptance"))
        return Scores(weights, acceptance, document["cap"], document["model"], document["fingerprint"])

    def refine(self, latents: ArrayLike, model: str | None = None, **parameters: Any) -> Trajectories:
        """Latents [n, d] up the importance weight, as in ``refine(z, steps=20)``. Raises ServerProblem."""
        document = self._post_latents("refine", latents, {**parameters, "model": model}).json()
        paths, weights = (np.array(document[name], np.float32) for name in ("latents", "weights"))
        return Trajectories(paths, weights, document["model"], document["fingerprint"])

    def models(self) -> list[dict[str, Any]]:
        """The models of the server. Raises ServerProblem."""
        models: list[dict[str, Any]] = self._send("GET", "models", {}).json()["models"]
        return models

    def _sample(self, **parameters: Any) -> httpx.Response:
        return self._send("POST", "sample", {name: value for name, value in parameters.items() if value is not None})

    def _post_latents(self, path: str, latents: ArrayLike, parameters: dict[str, Any]) -> httpx.Response:
        body = BytesIO()
        np.save(body, np.asarray(latents, np.float32), allow_pickle=False)
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._send("POST", path, given, content=body.getvalue(), headers={"Content-Type": "application/x-npy"})

    def _send(self, verb: str, path: str, parameters: dict[str, Any], **body: Any) -> httpx.Response:
        with self._reached():
            answer = self._http.request(verb, path, params=parameters, **body)
        if answer.is_success:
            return answer
        raise _problem(answer)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Raises ServerProblem for what is wrong between here and the server."""
        try:
            yield
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            url = self._http.base_url
            raise ServerProblem(f"no answer from {url}: {error or type(error).__name__}", 0, "unreachable") from error


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _problem(answer: httpx.Response) -> ServerProblem:
    try:
        document = answer.json()
        detail, code = str(document["detail"]), str(document["code"])
    except (ValueError, KeyError, TypeError):
        detail, code = f"{answer.status_code} {answer.reason_phrase} without a problem document", "unknown"
    wait = answer.headers.get("Retry-After", "")
    return ServerProblem(detail, answer.status_code, code, float(wait) if wait.isdigit() else None)
