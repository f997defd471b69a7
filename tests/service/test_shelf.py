"""Models come and go while requests are served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from books import books_balance
from gates import Gate
from tiny_bundles import BATCH, POINT_GENERATOR, POINTS, never, uneven, write_bundle

from models.registry import ARCHITECTURES
from service.engine import turns
from service.engine.engine import Engine
from service.engine.errors import BrokenModel, CatalogError, ModelInUse, Stalled, UnknownModel
from service.engine.rows import SampleRequest

Start = Callable[..., Engine]


@pytest.fixture
def root(bundles: Path, tmp_path: Path) -> Path:
    for name in ("images", "points"):
        shutil.copytree(bundles / name, tmp_path / name)
    return tmp_path


def draw(engine: Engine, model: str, method: str = "latentrs", n: int = 3) -> int:
    return engine.submit(SampleRequest(n, model, method)).result(timeout=60).n


def test_a_new_folder_is_served_once_it_is_loaded(start: Start, root: Path) -> None:
    engine = start(root)
    write_bundle(root, "later", POINTS, POINT_GENERATOR, uneven)
    with pytest.raises(UnknownModel):
        engine.resolve("later", None)
    assert engine.shelf.load("later").name == "later"
    assert draw(engine, "later") == 3
    assert set(engine.fingerprints) == {"images", "later", "points"}
    assert engine.metrics.value("winnow_samples_total", model="later", method="latentrs") == 3


def test_a_replaced_model_answers_at_once_and_old_requests_are_finished_with_the_old_one(
    start: Start, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start(root)
    before = engine.fingerprints["points"]
    gate = Gate(engine.model("points").generator, monkeypatch)
    old = engine.submit(SampleRequest(10 * BATCH, "points"))
    gate.wait()
    shutil.rmtree(root / "points")
    write_bundle(root, "points", POINTS, ("mlp-generator", {**POINT_GENERATOR[1], "hidden": [8]}), uneven)
    gate.let(1_000)
    engine.shelf.load("points")
    assert engine.fingerprints["points"] != before
    new = engine.submit(SampleRequest(2, "points")).result(timeout=60)
    assert new.fingerprint == engine.fingerprints["points"]
    assert old.result(timeout=60).fingerprint == before
    assert books_balance(engine)


def test_the_pool_of_a_replaced_model_is_dropped(start: Start, root: Path) -> None:
    engine = start(root)
    draw(engine, "points")
    held = engine.metrics.value("winnow_pool_latents", model="points", method="latentrs")
    assert held > 0
    shutil.rmtree(root / "points")
    write_bundle(root, "points", POINTS, POINT_GENERATOR, never)
    engine.shelf.load("points")
    assert engine.metrics.value("winnow_pool_latents", model="points", method="latentrs") == 0


@pytest.mark.parametrize("damage", ["manifest", "weights", "missing"])
def test_a_broken_bundle_replaces_nothing(start: Start, root: Path, damage: str) -> None:
    engine = start(root)
    before = engine.fingerprints["points"]
    manifest = root / "points" / "bundle.json"
    if damage == "manifest":
        manifest.write_text("{")
    elif damage == "weights":
        document = json.loads(manifest.read_text())
        document["networks"]["generator"]["sha256"] = "1" * 64
        manifest.write_text(json.dumps(document))
    else:
        (root / "points" / "generator.safetensors").unlink()
    with pytest.raises(BrokenModel, match="points cannot be served"):
        engine.shelf.load("points")
    assert engine.fingerprints["points"] == before
    assert draw(engine, "points") == 3
    assert engine.unready() is None


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A model that loads, and whose networks give numbers that are none on more rows than a probe has."""

    def make_cold(name: str) -> None:
        class_, spoilt = ARCHITECTURES["mlp-generator" if name == "points" else "cnn28-generator"], float("nan")
        forward = class_.forward
        monkeypatch.setattr(class_, "forward", lambda self, z: forward(self, z) * (spoilt if len(z) > 2 else 1))

    return make_cold


def test_a_bundle_that_fails_while_it_is_warmed_up_is_broken_and_the_others_are_served(
    start: Start, root: Path, cold: Callable[[str], None]
) -> None:
    cold("points")
    engine = start(root)
    with pytest.raises(BrokenModel, match=r"warm-up fails .the generator gave NaN"):
        engine.resolve("points", None)
    assert draw(engine, "images") == 3
    assert engine.metrics.value("winnow_models", state="broken") == 1


def test_a_default_model_that_fails_while_it_is_warmed_up_is_refused_in_one_line(
    start: Start, root: Path, cold: Callable[[str], None]
) -> None:
    cold("images")
    with pytest.raises(CatalogError, match=r"the default model images is broken: .* Repair it"):
        start(root)


def test_a_bundle_that_fails_while_it_is_warmed_up_replaces_nothing(
    start: Start, root: Path, cold: Callable[[str], None]
) -> None:
    engine = start(root)
    before = engine.fingerprints["points"]
    cold("points")
    with pytest.raises(BrokenModel, match=r"points cannot be served: .* its warm-up fails"):
        engine.shelf.load("points")
    assert engine.fingerprints["points"] == before
    assert engine.unready() is None


def test_an_unloaded_model_is_unknown_and_the_others_stay(start: Start, root: Path) -> None:
    engine = start(root)
    engine.shelf.unload("points")
    with pytest.raises(UnknownModel):
        engine.resolve("points", None)
    assert draw(engine, "images") == 3
    with pytest.raises(UnknownModel):
        engine.shelf.unload("points")
    engine.shelf.load("points")
    assert draw(engine, "points") == 3


def test_the_default_model_stays(start: Start, root: Path) -> None:
    with pytest.raises(ModelInUse, match="default model"):
        start(root).shelf.unload("images")


@pytest.mark.parametrize("name", ["..", ".", "", "../images", "/etc", "nowhere", "images/../points", "a" * 256])
def test_only_folders_under_the_root_are_read(start: Start, root: Path, name: str) -> None:
    with pytest.raises(UnknownModel, match="no folder"):
        start(root).shelf.load(name)


def test_what_was_said_of_a_request_holds_although_the_model_was_replaced_since(start: Start, root: Path) -> None:
    engine = start(root)
    choice = engine.resolve("points", "prior", {}, seeded=True)
    shutil.rmtree(root / "points")
    write_bundle(root, "points", POINTS, POINT_GENERATOR, never)
    engine.shelf.load("points")
    request = SampleRequest(2, "points", "prior", 1)
    assert engine.submit(request, choice).result(timeout=60).fingerprint == choice.served.fingerprint
    assert engine.submit(request).result(timeout=60).fingerprint == engine.fingerprints["points"]
    assert engine.fingerprints["points"] != choice.served.fingerprint


def test_a_method_that_accepts_nothing_of_a_bundle_that_has_left_still_stalls(
    start: Start, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(root, "barren", POINTS, POINT_GENERATOR, never)
    engine = start(root, max_proposals_per_sample=20)
    monkeypatch.setattr(turns, "PROPOSE_SECONDS", 0.0)  # a block a turn
    gate = Gate(engine.model("barren").networks["importance"], monkeypatch)
    future = engine.submit(SampleRequest(1, "barren", "latentrs"))
    gate.wait()
    left = engine._queue.chore(lambda: engine.shelf._take_away("barren"))
    gate.let(1_000)
    with pytest.raises(Stalled, match="accepted 0 of"):
        future.result(timeout=60)
    assert left.done()
    draw(engine, "images")
    assert {supply.bundle.name for supply in engine._turns[0].supplies._supplies.values()} == {"images"}


def test_a_bundle_that_has_left_keeps_no_pool(start: Start, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = start(root)
    gate = Gate(engine.model("points").generator, monkeypatch)
    future = engine.submit(SampleRequest(10 * BATCH, "points"))
    gate.wait()
    gate.let(1_000)
    engine.shelf.unload("points")
    assert future.result(timeout=60).n == 10 * BATCH
    draw(engine, "images")
    assert {supply.bundle.name for supply in engine._turns[0].supplies._supplies.values()} == {"images"}
