"""Tiny bundles, engines over them, and the application without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny_bundles import BATCH, BLOCK, IMAGE, IMAGE_GENERATOR, POINT_GENERATOR, POINTS, never, uneven, write_bundle
from toy_methods import TOYS

from sampling.methods import METHODS
from service.engine.engine import Engine
from service.engine.options import EngineOptions
from service.http.app import create_app
from service.metrics.registry import Metrics
from service.settings import Settings


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images and points with weights, plain without, barren whose weights reject everything."""
    root = tmp_path_factory.mktemp("bundles")
    write_bundle(root, "images", IMAGE, IMAGE_GENERATOR, uneven)
    write_bundle(root, "points", POINTS, POINT_GENERATOR, uneven)
    write_bundle(root, "plain", POINTS, POINT_GENERATOR, None)
    write_bundle(root, "barren", POINTS, POINT_GENERATOR, never)
    return root


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy methods are methods; ask for this before an engine or an application."""
    for method in TOYS:
        monkeypatch.setitem(METHODS, method.name, method)


@pytest.fixture
def start(bundles: Path) -> Iterator[Callable[..., Engine]]:
    """Start engines; each is closed after the test. Not traced: a test may put something in a generator's place."""
    engines: list[Engine] = []

    def start_engine(root: Path = bundles, default: str | None = "images", **options: Any) -> Engine:
        dials = {"batch_rows": BATCH, "proposal_block": BLOCK, "threads": 1, "pool_rows": 0, "trace": False, **options}
        engines.append(Engine(root, default, EngineOptions(**dials), Metrics()))
        engines[-1].start()
        return engines[-1]

    yield start_engine
    for engine in engines:
        assert engine.close(timeout=60)


class Api:
    """The application over its ASGI interface; every call runs in an event loop of its own."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine, self.app = engine, create_app(engine, settings)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.together([("GET", path)], **options)[0]

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.together([("POST", path)], **options)[0]

    def together(self, calls: list[tuple[str, str]], **options: Any) -> list[httpx.Response]:
        async def run() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120) as client:
                return await asyncio.gather(*(client.request(verb, path, **options) for verb, path in calls))

        return asyncio.run(run())

    def metric(self, name: str, **labels: str) -> float:
        return self.engine.metrics.value(name, **labels)


@pytest.fixture
def serve(start: Callable[..., Engine]) -> Callable[..., Api]:
    def build_api(*arguments: Any, settings: Settings | None = None, **options: Any) -> Api:
        return Api(start(*arguments, **options), settings or Settings())

    return build_api


@pytest.fixture
def api(serve: Callable[..., Api]) -> Api:
    return serve()
