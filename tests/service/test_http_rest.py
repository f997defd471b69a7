"""Models, probes, metrics, pages, and clients that hang up."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message
from tiny_bundles import BATCH

from sampling.methods import METHODS
from sampling.randomness import Counters


def test_models_are_listed_with_what_they_can_do(api: Any) -> None:
    document = api.get("/models").json()
    assert document["default"] == "images"
    found = {model["name"]: model for model in document["models"]}
    assert found["images"]["methods"][:2] == ["prior", "latentrs"]
    assert "latentrs" not in found["plain"]["methods"]
    assert found["images"]["max_n"]["png"] == 4096
    one = api.get("/models/images").json()
    assert one["manifest"]["prior"] == {"kind": "normal", "dim": 16}
    assert api.get("/models/nope").json()["code"] == "model_not_found"


def test_a_report_is_served_as_it_lies_there(serve: Any, bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()
    for file in (bundles / "points").iterdir():
        (tmp_path / "points" / file.name).write_bytes(file.read_bytes())
    api = serve(tmp_path, None)
    assert api.get("/models/points/report").json()["code"] == "report_not_found"
    (tmp_path / "points" / "report.json").write_text('{"fid": 1}')
    assert api.get("/models/points/report").json() == {"fid": 1}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_probes_answer_in_a_word_or_in_full(api: Any, path: str) -> None:
    assert api.get(path).text == "ok\n"
    assert api.get(f"{path}?verbose").json()["status"] == "ok"


def test_metrics_exist_at_zero_before_the_first_request(api: Any) -> None:
    text = api.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name in ("winnow_requests", "winnow_samples", "winnow_proposals", "winnow_accepted", "winnow_decoded_rows"):
        assert families[name].samples, name
        assert all(sample.value == 0 for sample in families[name].samples), name
    assert families["winnow_ready"].samples[0].value == 1
    assert {sample.labels["model"] for sample in families["winnow_model_info"].samples} >= {"images", "plain"}
    smallest = min(
        float(s.labels["le"]) for s in families["winnow_request_duration_seconds"].samples if "le" in s.labels
    )
    assert smallest == 0.0005
    assert "_created" not in text


def test_a_request_is_counted_once_by_method_and_outcome(api: Any) -> None:
    api.post("/sample?n=3")
    api.post("/sample?n=0")
    api.post("/sample?method=prior&format=bmp")
    assert api.metric("winnow_requests_total", method="latentrs", outcome="ok") == 1
    assert api.metric("winnow_requests_total", method="none", outcome="invalid") == 1
    assert api.metric("winnow_requests_total", method="prior", outcome="invalid") == 1
    assert api.metric("winnow_samples_total", model="images", method="latentrs") == 3
    assert api.metric("winnow_stage_duration_seconds_count", stage="encode") == 1
    assert api.metric("winnow_request_duration_seconds_count", method="latentrs") == 1


def test_info_tells_what_decides_the_bits(api: Any) -> None:
    info = api.get("/info").json()
    assert {"torch", "threads", "code"} <= set(info["environment"])
    assert info["devices"] == ["cpu"]
    assert info["reproducibility"]["images"]["batch_rows"] == BATCH
    assert info["reproducibility"]["images"]["mode"] in ("rows mix", "own slots")
    assert info["fingerprints"]["images"] == api.post("/sample").headers["sample-fingerprint"]


def test_another_batch_shape_is_another_fingerprint(serve: Any) -> None:
    marks = {serve(batch_rows=rows).post("/sample").headers["sample-fingerprint"] for rows in (4, 8)}
    assert len(marks) == 2


def test_another_law_of_the_stream_is_another_fingerprint_and_etag(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/sample?seed=1&format=npz"
    before, again = serve().get(path), serve().get(path)
    assert (before.content, before.headers["etag"]) == (again.content, again.headers["etag"])
    draw = Counters.draw
    monkeypatch.setattr(Counters, "draw", lambda *arguments: (draw(*arguments), draw(*arguments))[1])
    after = serve().get(path)
    assert after.content != before.content
    assert after.headers["sample-fingerprint"] != before.headers["sample-fingerprint"]
    assert after.headers["etag"] != before.headers["etag"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_fetch_nothing_from_elsewhere(api: Any, path: str) -> None:
    answer = api.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
    assert "http" not in re.sub(r"http-equiv|https?://json-schema", "", answer.text)


def test_docs_show_every_operation(api: Any) -> None:
    text = api.get("/docs").text
    for path in api.get("/openapi.json").json()["paths"]:
        assert f"{path}</code>" in text
    assert all(name in text for name in METHODS)


def test_every_request_leaves_one_access_line(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="winnow.access"):
        api.post("/sample?n=3&seed=1", headers={"X-Request-ID": "line-1"})
        api.get("/nope")
    first, second = (vars(record) for record in caplog.records if record.name == "winnow.access")
    assert (first["request_id"], first["n"], first["method"], first["outcome"]) == ("line-1", 3, "latentrs", "ok")
    assert first["bytes"] > 0
    assert first["decode_ms"] > 0
    assert (second["status"], second["outcome"]) == (404, "invalid")


def test_a_client_that_hangs_up_stops_costing(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = api.engine.catalog.models["images"].bundle.generator
    forward, started, gone = generator.forward, threading.Event(), threading.Event()

    def slow(z: Any) -> Any:
        started.set()
        assert gone.wait(60)
        return forward(z)

    monkeypatch.setattr(generator, "forward", slow)
    sent: list[Message] = []

    async def hang_up() -> None:
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Message:
            if (message := next(messages, None)) is not None:
                return message
            await asyncio.to_thread(started.wait, 60)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/sample",
            "raw_path": b"/sample", "query_string": b"n=50000&format=npz", "headers": [], "scheme": "http",
            "server": ("test", 80), "client": ("test", 1), "root_path": "",
        }  # fmt: skip
        await api.app(scope, receive, send)

    asyncio.run(hang_up())
    gone.set()
    assert api.engine.close(timeout=60)
    assert sent[0]["status"] == 499
    assert api.metric("winnow_requests_total", method="latentrs", outcome="cancelled") == 1
    assert api.metric("winnow_rows_wasted_total", reason="cancelled") <= 8
    assert api.metric("winnow_decoded_rows_total", model="images") <= 8


def test_concurrent_requests_of_every_kind_get_what_they_asked_for(api: Any) -> None:
    kinds = ["n=1", "n=33", "n=7&seed=1", "n=7&seed=1&format=npz", "n=9&format=json", "model=points&n=99", "n=0"]
    answers = api.together([("POST", f"/sample?{kind}") for kind in kinds * 5])
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 200, 422] * 5
    assert [answer.headers.get("sample-count") for answer in answers] == ["1", "33", "7", "7", "9", "99", None] * 5
    assert len({answer.content for answer in answers[2::7]}) == 1
    assert len({answer.content for answer in answers[3::7]}) == 1
    json.loads(answers[4].content)
    decoded = sum(api.metric("winnow_decoded_rows_total", model=model) for model in ("images", "points"))
    delivered = sum(api.metric("winnow_delivered_rows_total", model=model) for model in ("images", "points"))
    assert decoded == delivered + api.metric("winnow_rows_wasted_total", reason="padding")
