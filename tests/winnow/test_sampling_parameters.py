"""A method's own parameters through the command and the client, and latents through the client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import pytest
import torch
from pydantic import Field

from models.bundle import Bundle
from sampling.block import passing
from sampling.draw import Cost
from sampling.method import Method
from sampling.methods import METHODS
from sampling.parameters import Parameters
from sampling.sampler import BlockSizes, Sampler
from service.engine.engine import Engine
from service.engine.options import EngineOptions
from service.http.app import create_app
from service.metrics.registry import Metrics
from service.settings import Settings
from winnow.cli import main
from winnow.client import Client, ServerProblem


class ShiftParameters(Parameters):
    shift: Annotated[float, Field(ge=-9, le=9, description="How far.")] = 0.0


def bind(bundle: Bundle, parameters: ShiftParameters, sizes: BlockSizes) -> Sampler:
    def propose(stream: Any) -> Any:
        latents = bundle.prior.draw(stream.next()) + parameters.shift
        return passing(latents, None, torch.ones(stream.block, dtype=torch.bool), Cost(stream.block))

    return Sampler("shifting", propose, sizes.latents, parameters, expected_acceptance=1.0)


@pytest.fixture
def shifting(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "shifting", Method("shifting", "moves latents", bind, parameters=ShiftParameters))


@pytest.fixture
def client(shifting: None, workplace: Path) -> Iterator[Client]:
    """A client of an application in this process."""
    engine = Engine(workplace / "bundles", "points", EngineOptions(threads=1), Metrics())
    engine.start()
    app = create_app(engine, Settings())

    async def ask(request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as inside:
            url, headers = str(request.url), request.headers
            return await inside.request(request.method, url, content=request.content, headers=headers)

    def forward(request: httpx.Request) -> httpx.Response:
        answer = asyncio.run(ask(request))
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    with Client("http://test", httpx.MockTransport(forward)) as client:
        yield client
    assert engine.close(timeout=60)


def latents(path: Path) -> np.ndarray:
    with np.load(BytesIO(path.read_bytes())) as arrays:
        found: np.ndarray = arrays["latents"]
        return found


SHIFTING = ["sample", "points", "-n", "4", "--seed", "1", "--method", "shifting"]


def test_set_gives_a_method_its_parameters(shifting: None, workplace: Path) -> None:
    assert main([*SHIFTING, "-o", "still.npz"]) == 0
    assert main([*SHIFTING, "--set", "shift=2.5", "-o", "moved.npz"]) == 0
    assert np.allclose(latents(workplace / "moved.npz"), latents(workplace / "still.npz") + 2.5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "shift=10"], "shift: shifting: Input should be less than or equal to 9, not '10'."),
        (["--set", "steps=1"], "steps: shifting does not take it; it takes shift."),
        (["--set", "shift=1", "--set", "shift=1"], "--set shift is given twice"),
        (["--set", "seed=1"], "seed belongs to every method"),
    ],
)
def test_what_a_method_does_not_take_is_one_line(
    shifting: None, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main([*SHIFTING, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("winnow: ") and error.count("\n") == 1
    assert says in error


@pytest.mark.parametrize("text", ["shift", "=1", "a b=1", ""])
def test_set_wants_a_name_and_a_value(workplace: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as end:
        main([*SHIFTING, "--set", text])
    assert end.value.code == 2
    assert "argument --set: must be NAME=VALUE" in capsys.readouterr().err


def test_set_is_sent_to_a_server(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> None:
    sent: list[dict[str, Any]] = []

    def stream(_: Client, **parameters: Any) -> Iterator[bytes]:
        sent.append(parameters)
        return iter([b"n", b"pz"])

    monkeypatch.setattr(Client, "stream", stream)
    assert main([*SHIFTING, "--set", "shift=2", "--set", "other=x", "--server", "http://h", "-o", "a.npz"]) == 0
    assert (sent[0]["shift"], sent[0]["other"], sent[0]["n"], sent[0]["method"]) == ("2", "x", 4, "shifting")


def test_the_client_passes_parameters_on(client: Client) -> None:
    still, moved = client.sample(5, "shifting", seed=2), client.sample(5, "shifting", seed=2, shift=-1.5)
    assert np.allclose(moved.latents, still.latents - 1.5)
    assert moved.expected_acceptance_rate == 1.0
    assert client.sample(1, "latentrs").expected_acceptance_rate is None
    with pytest.raises(ServerProblem, match="latentrs does not take it") as refusal:
        client.sample(1, "latentrs", shift=1)
    assert (refusal.value.status, refusal.value.code) == (422, "invalid_parameters")


def test_the_client_decodes_scores_and_refines_latents(client: Client) -> None:
    samples = client.sample(40, "prior", seed=2)
    assert np.array_equal(client.decode(samples.latents), samples.points)
    scores = client.score(samples.latents.tolist(), model="points")
    assert np.allclose(scores.weights, samples.weights, rtol=1e-5)
    assert np.allclose(scores.acceptance, np.minimum(scores.weights / scores.cap, 1))
    assert (scores.model, scores.fingerprint) == ("points", samples.fingerprint)
    paths = client.refine(samples.latents, steps=3)
    assert (paths.latents.shape, paths.weights.shape) == ((40, 4, 2), (40, 4))
    assert np.array_equal(paths.latents[:, 0], samples.latents)
    with pytest.raises(ServerProblem, match="2 numbers a row, not 3"):
        client.score(np.zeros((1, 3)))
