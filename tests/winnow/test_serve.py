"""The real process: it serves, and what it cannot do it refuses in one line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from served import Server, command, one_line, write_keys

from service.http.server import is_loopback
from winnow.cli import main
from winnow.client import Client, ServerProblem


def test_it_serves_bundles_of_the_working_directory_and_sigterm_ends_it_with_0(server: Server) -> None:
    with Client(server.url) as client:
        samples = client.sample(n=50, method="latentrs", seed=3)
        assert samples.points is not None
        assert (samples.points.shape, samples.model, samples.seed) == ((50, 2), "points", 3)
        assert [model["name"] for model in client.models()] == ["other", "points"]
        with pytest.raises(ServerProblem, match="no method 'nope'") as refusal:
            client.sample(method="nope")
        assert (refusal.value.status, refusal.value.code) == (422, "method_unknown")
    assert httpx.get(f"{server.url}/readyz").text == "ok\n"
    assert server.stop() == 0
    access = [line for line in server.lines if line["logger"] == "winnow.access"]
    assert [line["status"] for line in access] == [200, 200, 422, 200]
    assert server.lines[-1]["event"] == "stopped"


def test_a_seed_gives_the_same_bytes_with_and_without_a_server(server: Server, workplace: Path) -> None:
    for fmt in ("png", "npz", "json"):
        offline = ["sample", "points", "-n", "40", "--seed", "6", "--out"]
        assert main([*offline, f"offline.{fmt}"]) == 0
        assert main([*offline, f"online.{fmt}", "--server", server.url]) == 0
        found = [(workplace / f"{name}.{fmt}").read_bytes() for name in ("offline", "online")]
        if fmt != "json":
            assert found[0] == found[1]
            continue
        documents = [json.loads(text) for text in found]
        for document in documents:
            del document["fingerprint"]  # the thread counts may differ
        assert documents[0] == documents[1]


def test_keys_are_asked_for_and_read_again_on_sighup(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_keys("alice")
    monkeypatch.setenv("WINNOW_AUTH__KEYS_FILE", "keys")
    server = Server("--default-model", "points")
    remote = ["sample", "points", "--server", server.url, "-n", "3", "--out", "s.npz"]
    with Client(server.url, key="alice") as alice, Client(server.url, key="bob") as bob, Client(server.url) as nobody:
        assert alice.models()
        for client, code in ((bob, "key_unknown"), (nobody, "key_missing")):
            with pytest.raises(ServerProblem) as refusal:
                client.models()
            assert (refusal.value.status, refusal.value.code) == (401, code)
        assert main(remote) == 2
        monkeypatch.setenv("WINNOW_API_KEY", "alice")
        assert main(remote) == 0
        write_keys("bob")
        server.process.send_signal(signal.SIGHUP)
        assert server.process.stderr is not None
        assert any(json.loads(line)["event"] == "keys read" for line in server.process.stderr)
        assert bob.models()
    assert server.stop() == 0


@pytest.mark.parametrize(("bind", "warned"), [("127.0.0.1:0", False), ("0.0.0.0:0", True)])
def test_beyond_loopback_without_keys_is_one_warning(workplace: Path, bind: str, warned: bool) -> None:
    server = Server("--default-model", "points", "--bind", bind)
    assert server.stop() == 0
    warnings = [line["event"] for line in server.lines if line["level"] == "warning"]
    assert ["auth.keys_file" in line for line in warnings] == [True] * warned


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.2", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("fe80::1%eth0", False)],
)
def test_loopback_is_known_by_its_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


def refused(*arguments: str) -> str:
    """The one line of a real process that would not start."""
    result = subprocess.run(**command("serve", *arguments), timeout=60, check=False)
    assert result.returncode == 2, result.stderr
    return one_line(result.stderr)


def break_bundle(name: str) -> None:
    Path("bundles", name, "generator.safetensors").write_bytes(b"damaged")


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--bundles", "nowhere"], {}, "no bundles under nowhere/"),
        (["--default-model", "nope"], {}, "choose one of other, points"),
        (["--bind", "nonsense"], {}, "is not host:port"),
        (["--bind", "192.0.2.1:80"], {}, "cannot listen on 192.0.2.1:80"),
        (["--config", "none.toml"], {}, "none.toml does not exist"),
        (["--threads", "0"], {}, "engine.threads"),
        (["--devices", "tpu:0"], {}, "'tpu:0' is no device"),
        ([], {"WINNOW_DEVICES": ""}, "no device is named"),
        ([], {"WINNOW_HTPP__BIND": "x"}, "did you mean WINNOW_HTTP__BIND?"),
        ([], {"WINNOW_LOG": "loud"}, "log: "),
        ([], {"WINNOW_AUTH__KEYS_FILE": "nowhere"}, "the keys file nowhere cannot be read"),
        ([], {"WINNOW_AUTH__KEYS_FILE": "bundles/points/bundle.json"}, "line 1: a line begins with name:sha256"),
        ([], {"WINNOW_QUOTA__ROWS_PER_MINUTE": "60"}, "quota.* counts by key, so it needs auth.keys_file"),
        ([], {"WINNOW_QUOTA__BURST": "60"}, "quota: burst needs requests_per_second"),
        ([], {"WINNOW_HTTP__CORS_ORIGINS": "https://a.test/"}, "is not an origin"),
    ],
)
def test_a_start_that_cannot_be_is_refused_in_one_line(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environment: dict[str, str],
    says: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # What belongs to a process, not to this one.
    monkeypatch.setattr("service.logs.configure_logs", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["serve", *arguments]) == 2
    assert says in one_line(capsys.readouterr().err)


def test_a_taken_port_is_refused_in_one_line(workplace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        message = refused("--bind", f"127.0.0.1:{holder.getsockname()[1]}")
    assert "cannot listen" in message
    assert "WINNOW_HTTP__BIND" in message


def test_a_broken_default_model_is_refused_and_another_broken_one_is_not(workplace: Path) -> None:
    break_bundle("other")
    assert "does not match the sha256" in refused("--default-model", "other")
    server = Server("--default-model", "points")
    assert server.stop() == 0
    broken = [line for line in server.lines if line["level"] == "error"]
    assert [line["model"] for line in broken] == ["other"]


def test_no_bundle_that_loads_is_refused(workplace: Path) -> None:
    break_bundle("other")
    break_bundle("points")
    assert "is broken" in refused("--bind", "127.0.0.1:0")
