"""Each load program against a real server of a tiny bundle: it runs, finds the laws to hold, and says what it found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.serving import ceiling, drain, fairness, hangups, metering, mixed, overload, seeds
from benchmarks.serving.client import Answer, Ask, Client
from benchmarks.serving.processes import Server, ServerFailed, Target, Worker, serving
from benchmarks.serving.report import Report
from benchmarks.serving.windows import MeasurementFailed, capacity
from models.bundle import save_bundle
from models.manifest import ImportanceSpec, Manifest, NetworkRole, NetworkSpec, OutputSpec, PriorSpec
from models.registry import build


def write_tiny(folder: Path) -> Path:
    """A bundle of 2-D points with a w."""
    configs: dict[NetworkRole, tuple[str, dict[str, object]]] = {
        "generator": ("mlp-generator", {"latent_dim": 2, "output_shape": [2], "hidden": [16]}),
        "importance": ("importance-mlp", {"latent_dim": 2, "hidden": [16], "cap": 3.0}),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {role: build(*config) for role, config in configs.items()}
    manifest = Manifest(
        name="tiny", version="1", licence="CC0-1.0", description="points",
        prior=PriorSpec(kind="normal", dim=2), output=OutputSpec(kind="points", shape=(2,)),
        networks={role: NetworkSpec(architecture=a, config=c, sha256="0" * 64) for role, (a, c) in configs.items()},
        importance=ImportanceSpec(head="bounded", cap=3.0, objective="none"),
    )  # fmt: skip
    save_bundle(folder, manifest, networks)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    with serving(Target(bundle, threads=1)) as running:
        yield running


@pytest.fixture
def target(server: Server, bundle: Path) -> Target:
    return Target(bundle, 1, f"http://127.0.0.1:{server.port}")


@pytest.fixture(autouse=True)
def brief_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceiling, "SECONDS", 0.05)


def laws_hold(report: Report) -> bool:
    return any(goal.law for goal in report.goals) and report.passed(strict=False)


def test_a_server_of_ours_has_processor_time_memory_and_can_be_stopped(server: Server) -> None:
    assert server.cpu_seconds() > 0
    assert server.resident_bytes() > 50 * 2**20

    async def look() -> list[Answer]:
        asks = [Ask("/livez", verb="GET", hang_up=0.2), Ask("/livez", verb="GET")]
        async with Client(server.host, server.port) as client:
            with server.paused():
                stopped = await client.ask(asks[0])
            return [stopped, await client.ask(asks[1])]

    stopped, running = asyncio.run(look())
    assert stopped.hung_up
    assert running.ok


def test_seeds_finds_every_law_to_hold(target: Target) -> None:
    settings = seeds.Settings(times=5, sizes=(1, 10), seeds=1, methods=("prior", "latentrs"))
    report = asyncio.run(seeds.measure(target, settings))
    assert laws_hold(report)
    assert report.facts["schedules"]["compared"] > 5


def test_seeds_sees_an_answer_that_is_not_the_one_obtained_alone(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Client.ask

    async def forgetful(self: Client, wanted: Ask) -> Answer:
        """Every request loses its seed."""
        without = "&".join(part for part in wanted.target.split("&") if not part.startswith(("seed", "offset")))
        return await ask(self, Ask(without, wanted.n, wanted.kind, keep=True))

    monkeypatch.setattr(Client, "ask", forgetful)
    settings = seeds.Settings(times=3, sizes=(10,), seeds=1, methods=("prior",))
    report = asyncio.run(seeds.measure(target, settings))
    assert [goal.met for goal in report.goals if "obtained alone" in goal.sentence] == [False]
    assert [goal.met for goal in report.goals if "begins" in goal.sentence] == [False]


@pytest.mark.parametrize(
    ("program", "settings", "facts"),
    [
        (fairness, fairness.Settings(seconds=0.3, bulk=20_000, counted=3), {"idle", "under bulk", "batch_seconds"}),
        (overload, overload.Settings(seconds=0.3, factor=2, n=2_000, obedient=2, probe=0.2), {"goodput", "answers"}),
        (
            mixed,
            mixed.Settings(
                seconds=0.5, load=0.2, probe=0.2, kinds=(mixed.Kind(100, 1.0, 1.0),), hang_ups=0.3, slow=0.3
            ),
            {"latencies", "rows", "bytes"},
        ),
        (hangups, hangups.Settings(requests=200, sizes=(1, 64), clients=4, probe=0.1), {"waste", "decoded", "left"}),
    ],
)
def test_a_program_runs_and_its_laws_hold(target: Target, program: Any, settings: Any, facts: set[str]) -> None:
    report: Report = asyncio.run(program.measure(target, settings))
    assert laws_hold(report), report.markdown()
    assert facts <= report.facts.keys()
    assert report.tables


def test_drain_counts_every_request_and_finds_none_lost(bundle: Path) -> None:
    settings = drain.Settings(times=1, clients=4, sizes=(1, 0), bulk_seconds=0.3, earliest=0.1, latest=0.2)
    report = asyncio.run(drain.measure(Target(bundle, 1), settings))
    assert laws_hold(report), report.markdown()
    assert report.facts["ends"][0]["code"] == 0
    assert sum(report.facts["ends"][0]["verdicts"].values()) >= 4


def test_metrics_are_on_and_off_in_turn_and_scraped_under_load(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "WARM_UP_SECONDS", 0.1)
    settings = metering.Settings(pairs=2, seconds=0.1, bulk=50, singles=2, scrapes=3, pause=0.01)
    report = asyncio.run(metering.measure(Target(bundle, 1), settings))
    assert laws_hold(report), report.markdown()
    assert report.facts["bulk"]["speed"].pairs == report.facts["n = 1"]["speed"].pairs == 2
    assert len(report.facts["/metrics, bulk and n = 1"]["latencies"]) == 3


def test_a_server_of_somebody_else_is_not_silenced(target: Target) -> None:
    with pytest.raises(MeasurementFailed, match="leave --url out"):
        asyncio.run(metering.measure(target, metering.Settings()))


def test_a_capacity_of_refusals_is_no_capacity(server: Server) -> None:
    async def ask() -> None:
        async with Client(server.host, server.port) as client:
            await capacity(client, "/sample?n=0", 0, 1, 0.1)

    with pytest.raises(MeasurementFailed, match="answered 422"):
        asyncio.run(ask())


def test_a_server_that_does_not_come_up_gives_its_last_words(bundle: Path) -> None:
    with (
        pytest.raises(ServerFailed, match="--nonsense"),
        serving(Target(bundle, 1, None, ("--nonsense",))),
    ):
        pass


def test_the_workers_do_what_they_are_told_and_leave_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Worker("bare", bundle, 1, "--batch", "16") as bare, Worker("calls", bundle, 1) as calls:
        loop = bare.do(seconds=0.05)
        assert loop["images"] % 16 == 0 and loop["images"] > 0 and loop["seconds"] >= 0.05
        assert len(calls.do(calls=3, n=1, method="prior")["seconds"]) == 3
    assert list(tmp_path.iterdir()) == []
