"""/admin over HTTP: shut without an admin key, models come and go with one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine.methods import available_methods
from service.http.keys import new_key
from service.settings import Settings

Api = Any


@pytest.fixture
def root(bundles: Path, tmp_path: Path) -> Path:
    for name in ("images", "points"):
        shutil.copytree(bundles / name, tmp_path / "bundles" / name)
    return tmp_path / "bundles"


@pytest.fixture
def admin(serve: Callable[..., Api], root: Path, tmp_path: Path) -> tuple[Api, dict[str, str]]:
    """An application with two keys, and the headers of the one that may use /admin."""
    (secret, line), (_, plain) = new_key("operator", admin=True), new_key("guest")
    (tmp_path / "keys").write_text(f"{line}\n{plain}\n")
    settings = Settings.model_validate({"auth": {"keys_file": tmp_path / "keys"}})
    return serve(root, settings=settings), {"Authorization": f"Bearer {secret}"}


def ask(api: Api, verb: str, path: str, **options: Any) -> Any:
    return api.together([(verb, path)], **options)[0]


def test_without_a_keys_file_admin_is_shut(serve: Callable[..., Api]) -> None:
    api = serve()
    for verb in ("PUT", "DELETE"):
        assert ask(api, verb, "/admin/models/points").json()["code"] == "key_without_right"
    assert api.post("/sample?model=points").status_code == 200


def test_a_key_without_the_right_is_refused(serve: Callable[..., Api], root: Path, tmp_path: Path) -> None:
    secret, line = new_key("guest")
    (tmp_path / "keys").write_text(line)
    api = serve(root, settings=Settings.model_validate({"auth": {"keys_file": tmp_path / "keys"}}))
    answer = ask(api, "DELETE", "/admin/models/points", headers={"X-API-Key": secret})
    assert (answer.status_code, answer.json()["code"]) == (403, "key_without_right")


def test_a_model_is_loaded_and_answers_and_is_taken_away(
    admin: tuple[Api, dict[str, str]], bundles: Path, root: Path
) -> None:
    api, headers = admin
    shutil.copytree(bundles / "plain", root / "plain")
    loaded = ask(api, "PUT", "/admin/models/plain", headers=headers)
    assert loaded.status_code == 200
    sample = api.post("/sample?model=plain&seed=1", headers=headers)
    assert sample.headers["sample-fingerprint"] == loaded.json()["fingerprint"]
    assert ask(api, "DELETE", "/admin/models/plain", headers=headers).status_code == 204
    assert api.post("/sample?model=plain", headers=headers).json()["code"] == "model_not_found"
    assert api.get("/readyz").status_code == 200


def test_the_metrics_name_every_model_that_is_served_whatever_came_and_went(
    admin: tuple[Api, dict[str, str]], bundles: Path, root: Path
) -> None:
    api, headers = admin
    infos = ("winnow_model_info", "winnow_fingerprint_info")

    def named() -> list[set[str]]:
        return [{s.labels["model"] for s in family.samples if s.value == 1}
                for family in api.engine.metrics.registry.collect() if family.name in infos]  # fmt: skip

    assert named() == [{"images", "points"}] * 2
    shutil.copytree(bundles / "plain", root / "plain")
    for verb, expected in (("PUT", {"images", "points", "plain"}), ("DELETE", {"images", "points"})) * 2:
        ask(api, verb, "/admin/models/plain", headers=headers)
        assert named() == [expected] * 2


def test_a_broken_bundle_replaces_nothing(admin: tuple[Api, dict[str, str]], root: Path) -> None:
    api, headers = admin
    (root / "points" / "bundle.json").write_text("{")
    answer = ask(api, "PUT", "/admin/models/points", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "model_broken")
    assert api.post("/sample?model=points", headers=headers).status_code == 200
    assert api.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("verb", "name", "status", "code"),
    [
        ("PUT", "nowhere", 404, "model_not_found"),
        ("PUT", "..", 404, "not_found"),
        ("PUT", "%2e%2e", 404, "model_not_found"),
        ("PUT", "a%00b", 404, "model_not_found"),
        ("PUT", "%E2%82%AC" * 86, 404, "model_not_found"),
        ("PUT", "a" * 201, 422, "invalid_parameters"),
        ("DELETE", "nowhere", 404, "model_not_found"),
        ("DELETE", "images", 409, "model_in_use"),
    ],
)
def test_what_cannot_be_done_is_said(
    admin: tuple[Api, dict[str, str]], verb: str, name: str, status: int, code: str
) -> None:
    api, headers = admin
    answer = ask(api, verb, f"/admin/models/{name}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_model_that_leaves_while_it_is_listed_is_listed_as_it_was(
    admin: tuple[Api, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fingerprint once came from the models that are served by then, which is too late: 500."""
    api, headers = admin
    leaving = ["points"]

    def available(bundle: Any) -> Any:
        if bundle.name in leaving:
            api.engine.shelf.unload(leaving.pop())
        return available_methods(bundle)

    monkeypatch.setattr("service.http.catalog.available_methods", available)
    answer = api.get("/models", headers=headers)
    assert answer.status_code == 200 and not leaving
    assert {model["name"]: model["status"] for model in answer.json()["models"]} == {
        "images": "ready",
        "points": "ready",
    }
    assert all(model["fingerprint"] for model in answer.json()["models"])
    assert [model["name"] for model in api.get("/models", headers=headers).json()["models"]] == ["images"]
