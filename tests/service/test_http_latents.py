"""POST /decode and POST /score: what comes back, and every body that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import CancelledError
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from books import books_balance
from PIL import Image
from test_http_problems import problem
from test_http_samples import arrays
from tiny_bundles import BATCH, BLOCK

from service.engine.engine import Engine
from service.engine.errors import NetworkMissing
from service.engine.evaluations import DECODE, SCORE
from service.settings import LimitSettings, Settings

ROUTES = ("/decode", "/score")


def npy(array: np.ndarray) -> dict[str, Any]:
    body = BytesIO()
    np.save(body, array)
    return {"content": body.getvalue(), "headers": {"Content-Type": "application/x-npy"}}


def some(n: int, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, dim), dtype=np.float32)


@pytest.mark.parametrize("n", [1, BATCH, 3 * BATCH + 1])
def test_decoding_a_samples_latents_gives_its_images(api: Any, n: int) -> None:
    sample = arrays(api.post(f"/sample?n={n}&seed=3&format=npz"))
    found = arrays(api.post("/decode?format=npz", **npy(sample["latents"])))
    assert np.array_equal(found["images"], sample["images"])
    assert np.array_equal(found["latents"], sample["latents"])
    assert "weights" not in found


@pytest.mark.parametrize("n", [1, BLOCK, 2 * BLOCK + 1])
def test_scoring_a_samples_latents_gives_its_weights_and_the_odds_of_latentrs(api: Any, n: int) -> None:
    sample = arrays(api.post(f"/sample?n={n}&seed=3&format=npz&method=prior"))
    document = api.post("/score", **npy(sample["latents"])).json()
    assert np.allclose(document["weights"], sample["weights"], rtol=1e-5)
    assert np.allclose(document["acceptance"], np.minimum(sample["weights"] / 3, 1), rtol=1e-5)
    assert (document["model"], document["n"], document["cap"]) == ("images", n, 3.0)


def test_json_and_npy_bodies_say_the_same(api: Any) -> None:
    latents = some(3)
    answers = [
        api.post("/decode?format=npz", json={"latents": latents.astype(float).tolist()}),
        api.post("/decode?format=npz", **npy(latents)),
        api.post("/decode?format=npz", **npy(np.asfortranarray(latents))),
        api.post("/decode?format=npz", **npy(latents.astype(">f4"))),
    ]
    assert len({answer.content for answer in answers}) == 1


def test_rows_do_not_depend_on_how_many_come_with_them(api: Any) -> None:
    latents = some(20)
    whole = arrays(api.post("/decode?format=npz", **npy(latents)))["images"]
    for n in (1, BATCH - 1, BATCH, 13):
        assert np.array_equal(arrays(api.post("/decode?format=npz", **npy(latents[:n])))["images"], whole[:n])


def test_decode_answers_in_every_format_of_sample(api: Any) -> None:
    answer = api.post("/decode", **npy(some(10)))
    assert Image.open(BytesIO(answer.content)).size == (4 * 30 - 2, 3 * 30 - 2)
    headers = {"sample-count": "10", "sample-model": "images", "cache-control": "no-store"}
    assert headers.items() <= dict(answer.headers).items()
    assert answer.headers["sample-fingerprint"] == api.get("/info").json()["fingerprints"]["images"]
    document = api.post("/decode?format=json", **npy(some(2))).json()
    assert len(document["images"]) == 2
    assert "seed" not in document
    points = api.post("/decode?model=points", json={"latents": [[0, 1]]}, headers={"Accept": "application/json"}).json()
    assert np.array(points["points"]).shape == (1, 2)


def test_server_timing_and_the_access_line_know_the_work(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="winnow.access"):
        timing = api.post("/score", **npy(some(2))).headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["queue", "score", "encode", "total"]
    line = next(vars(record) for record in caplog.records if record.name == "winnow.access")
    assert (line["model"], line["n"], line["path"], line["outcome"]) == ("images", 2, "/score", "ok")
    assert api.metric("winnow_stage_duration_seconds_count", stage="score") == 1


def header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("body", "kind", "status", "code", "says"),
    [
        (b"", "application/json", 400, "malformed", "not JSON"),
        (b"{", "application/json", 400, "malformed", "not JSON"),
        (b"[" * 5000, "application/json", 400, "malformed", "not JSON"),
        (b'{"latents": [[' + b"9" * 9000 + b"]]}", "application/json", 400, "malformed", "out of range"),
        (b"\xff", "application/json", 400, "malformed", "not JSON"),
        (b"[[0]]", "application/json", 422, "invalid_parameters", "the body"),
        (b"{}", "application/json; charset=utf-8", 422, "invalid_parameters", "latents: Field required"),
        (b'{"latents": []}', "application/json", 422, "invalid_parameters", "rows a request, not 0"),
        (b'{"latents": [[]]}', "application/json", 422, "invalid_parameters", "16 numbers a row, not 0"),
        (b'{"latents": [[1]]}', "application/json", 422, "invalid_parameters", "16 numbers a row, not 1"),
        (b'{"latents": [[1, 2], [3]]}', "application/json", 422, "invalid_parameters", "same length, not 1 and 2"),
        (b'{"latents": [[1, "2"]]}', "application/json", 422, "invalid_parameters", "latents[0][1]: Input should be"),
        (b'{"latents": [[true]]}', "application/json", 422, "invalid_parameters", "latents[0][0]"),
        (b'{"latents": [[NaN]]}', "application/json", 422, "invalid_parameters", "latents[0][0]"),
        (b'{"latents": [[1e999]]}', "application/json", 422, "invalid_parameters", "latents[0][0]"),
        (b'{"latents": [[' + b"1e39," * 15 + b"0]]}", "application/json", 422, "invalid_parameters", "row 0 do not"),
        (b'{"latents": [[1]], "n": 1}', "application/json", 422, "invalid_parameters", "n: Extra inputs"),
        (b"", "application/x-npy", 400, "malformed", "numpy.save"),
        (b"PK\x03\x04" + b"0" * 100, "application/x-npy", 400, "malformed", "numpy.save"),
        (header("(1, 16)")[:20], "application/octet-stream", 400, "malformed", "numpy.save"),
        (header("(1, 16)") + b"0" * 63, "application/x-npy", 400, "malformed", "cut short or too long"),
        (header("(1, 16)") + b"0" * 65, "application/x-npy", 400, "malformed", "cut short or too long"),
        (header("(999999999999, 16)"), "application/x-npy", 400, "malformed", "cut short or too long"),
        (header("(-1, -16)") + b"0" * 64, "application/x-npy", 400, "malformed", "cut short or too long"),
        (header("(True, 16)") + b"0" * 64, "application/x-npy", 400, "malformed", "cut short or too long"),
        (header("(1, 16)", "<f4,(") + b"0" * 64, "application/x-npy", 400, "malformed", "numpy.save"),
        (header("('a', 16)") + b"0" * 64, "application/x-npy", 400, "malformed", "numpy.save"),
        (header("(" * 4000) + b"0" * 64, "application/x-npy", 400, "malformed", "numpy.save"),
        (header("(16,)") + b"0" * 64, "application/x-npy", 422, "invalid_parameters", "float32 [n, d]"),
        (header("(1, 8)", "<f8") + b"0" * 64, "application/x-npy", 422, "invalid_parameters", "not float64 [1, 8]"),
        (header("(1, 16)", "|O") + b"0" * 64, "application/x-npy", 422, "invalid_parameters", "not object"),
        (header("(0, 16)"), "application/x-npy", 422, "invalid_parameters", "not 0"),
        (header("(1, 15)") + b"0" * 60, "application/x-npy", 422, "invalid_parameters", "16 numbers a row, not 15"),
        (header("(1, 16)") + b"\xff" * 64, "application/x-npy", 422, "invalid_parameters", "row 0 do not"),
        (b"\x93NUMPY\x03\x00\x00\x00\x00\x00", "application/x-npy", 400, "malformed", "version 1 or 2"),
        (b"{}", "text/plain", 415, "unsupported_media_type", "application/json, application/x-npy"),
        (b"{}", "", 415, "unsupported_media_type", "this one has none"),
    ],
)  # fmt: skip
def test_a_body_that_holds_no_such_latents_is_refused_in_a_sentence(
    api: Any, route: str, body: bytes, kind: str, status: int, code: str, says: str
) -> None:
    found = problem(api.post(route, content=body, headers={"Content-Type": kind} if kind else {}))
    assert (found["status"], found["code"]) == (status, code)
    assert says in found["detail"]
    if status == 422:
        assert [error["parameter"] for error in found["errors"]] == ["latents"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_body_over_the_setting_is_413_and_is_not_kept(serve: Callable[..., Any], route: str, streamed: bool) -> None:
    api = serve(settings=Settings(limits=LimitSettings(body_bytes=1_000)))
    largest = npy(some(13))
    assert len(largest["content"]) <= 1_000
    assert api.post(route, **largest).status_code == 200

    async def endless() -> Any:
        for _ in range(11):
            yield b"0" * 100
        raise AssertionError("it was read to the end")

    content: Any = endless() if streamed else b"0" * 1_001
    answer = api.post(route, content=content, headers={"Content-Type": "application/x-npy"})
    found = problem(answer)
    assert (found["status"], found["code"]) == (413, "body_too_large")
    assert "at most 1000 bytes" in found["detail"]
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("route", ROUTES)
def test_too_many_rows_are_refused(serve: Callable[..., Any], route: str) -> None:
    api = serve(settings=Settings(limits=LimitSettings(max_n=5)))
    assert api.post(route, **npy(some(5))).status_code == 200
    found = problem(api.post(route, **npy(some(6))))
    assert (found["status"], found["code"]) == (422, "too_many_samples")


def test_decode_says_which_format_holds_as_many_rows(serve: Callable[..., Any]) -> None:
    api = serve(settings=Settings(limits=LimitSettings(sheet_rows=4)))
    found = problem(api.post("/decode?format=png", **npy(some(5))))
    assert "npz up to" in found["detail"]
    assert [error["parameter"] for error in found["errors"]] == ["latents"]


@pytest.mark.parametrize(
    ("path", "status", "code", "parameter"),
    [
        ("/decode?model=nope", 404, "model_not_found", "model"),
        ("/score?model=nope", 404, "model_not_found", "model"),
        ("/score?model=plain", 422, "network_missing", "model"),
        ("/decode?format=bmp", 406, "not_acceptable", None),
        ("/decode?n=3", 422, "invalid_parameters", "n"),
        ("/score?format=npz", 422, "invalid_parameters", "format"),
        ("/score?model=points&model=points", 422, "invalid_parameters", "model"),
    ],
)
def test_a_wrong_parameter_is_named(api: Any, path: str, status: int, code: str, parameter: str | None) -> None:
    found = problem(api.post(path, **npy(some(1))))
    assert (found["status"], found["code"]) == (status, code)
    assert [error["parameter"] for error in found.get("errors", [])] == ([parameter] if parameter else [])


@pytest.mark.parametrize("route", ROUTES)
def test_the_routes_take_post_alone(api: Any, route: str) -> None:
    answer = api.get(route)
    assert problem(answer)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "POST"


def test_a_draining_server_refuses_them_too(api: Any) -> None:
    api.engine.stop_admission()
    for route in ROUTES:
        assert problem(api.post(route, **npy(some(1))))["code"] == "draining"


@pytest.mark.parametrize("route", ROUTES)
def test_a_latent_that_would_overflow_a_network_is_the_callers_mistake(api: Any, route: str) -> None:
    found = problem(api.post(route, **npy(np.stack([np.ones(16, np.float32), np.full(16, 3e38, np.float32)]))))
    assert found["status"] == 422 and "within +-1e+06; those of row 1 do not" in found["detail"]
    assert api.post(route, **npy(np.full((1, 16), 1e6, np.float32))).status_code == 200


def test_a_network_that_raises_fails_its_request_and_nothing_else(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    importance = api.engine.model("images").importance
    monkeypatch.setattr(importance, "score", lambda z: z[:, 0] * float("nan"))
    assert "NaN" in problem(api.post("/score", **npy(some(1))))["detail"]
    assert api.post("/decode", **npy(some(1))).status_code == 200


def test_openapi_describes_query_and_body(api: Any) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    for route, names in (("/decode", ["model", "timeout", "format"]), ("/score", ["model", "timeout"])):
        operation = paths[route]["post"]
        assert [item["name"] for item in operation["parameters"]] == names
        assert list(operation["requestBody"]["content"]) == [
            "application/json", "application/x-npy", "application/octet-stream",
        ]  # fmt: skip
        assert {"200", "400", "413", "415", "422"} <= set(operation["responses"])
    assert "application/x-npy" in api.get("/docs").text


def test_padding_of_a_decode_is_in_the_books(api: Any) -> None:
    api.post("/decode", **npy(some(BATCH + 1)))
    assert api.metric("winnow_rows_wasted_total", reason="padding") == BATCH - 1
    assert api.metric("winnow_delivered_rows_total", model="images") == BATCH + 1
    assert books_balance(api.engine)


def test_a_cancelled_decode_stops_at_the_next_batch_and_a_sample_waits_for_one_turn_of_it(
    start: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    bundle, shapes = engine.model("images"), []
    forward = bundle.generator.forward

    def watched(z: Any) -> Any:
        shapes.append(len(z))
        if small.done() and not large.done():
            assert large.cancel()
        return forward(z)

    monkeypatch.setattr(bundle.generator, "forward", watched)
    with engine._queue._changed:
        large = engine.evaluate(DECODE, some(100 * BATCH))
        small = engine.evaluate(DECODE, some(1))
    assert small.result(timeout=60).n == 1
    with pytest.raises(CancelledError):
        large.result(timeout=60)
    assert engine.evaluate(SCORE, some(1)).result(timeout=60).rows is None
    assert set(shapes) == {BATCH}
    assert len(shapes) < 100
    assert engine.metrics.value("winnow_queue_rows") == 0
    assert engine.metrics.value("winnow_rows_wasted_total", reason="cancelled") == (len(shapes) - 1) * BATCH
    assert books_balance(engine)


def test_the_engine_checks_latents_itself(start: Callable[..., Engine]) -> None:
    engine = start()
    for wrong in (some(0), some(1, 15), some(1).astype(np.float64), some(1)[0], some(1) * np.float32("inf")):
        with pytest.raises(ValueError, match="latents must be"):
            engine.evaluate(DECODE, wrong)
    with pytest.raises(NetworkMissing, match="/score needs a network 'importance'"):
        engine.evaluate(SCORE, some(1, 2), "plain")


def test_weights_in_json_are_exact(api: Any) -> None:
    text = api.post("/score", **npy(some(20))).text
    weights = np.array(json.loads(text)["weights"], np.float32)
    exact = api.engine.evaluate(SCORE, some(20)).result(timeout=60).weights
    assert np.array_equal(weights, exact)
