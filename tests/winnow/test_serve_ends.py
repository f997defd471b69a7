"""SIGTERM: what was admitted is finished, nothing else keeps the process, and it ends with 0."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
from served import Server, command, write_keys


def test_sigterm_finishes_what_was_admitted(server: Server) -> None:
    answers: list[httpx.Response] = []
    url = f"{server.url}/sample?n=100000&format=npz&method=prior"
    asking = threading.Thread(target=lambda: answers.append(httpx.post(url, timeout=120)))
    with httpx.Client(base_url=server.url, timeout=60) as probe:
        asking.start()
        while "winnow_queue_rows 0.0" in probe.get("/metrics").text:
            assert asking.is_alive(), "the request was over before the signal"
    assert server.stop() == 0
    asking.join()
    with np.load(BytesIO(answers[0].content)) as arrays:
        assert arrays["points"].shape == (100_000, 2)


def test_sigterm_does_not_wait_for_a_body_that_trickles_in(server: Server) -> None:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    head = "POST /decode HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        wire.sendall(f"{head}{{".encode())
        time.sleep(0.3)
        asked = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answer = wire.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: " in answer.lower() and b"draining" in answer
    assert server.process.wait(timeout=60) == 0
    assert time.monotonic() - asked < 20, "the grace period is 30 s"


def test_sigterm_while_it_still_loads_is_a_clean_end(workplace: Path) -> None:
    process = subprocess.Popen(**command("serve", "--bind", "127.0.0.1:0"))
    assert process.stderr is not None
    assert "model loaded" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


SIGNAL_AT_THE_FIRST_IMPORT = """
import os, signal, sys, types
from winnow.cli import main

class Slow(types.ModuleType):
    def __getattr__(self, name):
        os.kill(os.getpid(), signal.SIGTERM)

sys.modules["service.http.server"] = Slow("service.http.server")
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as for process 1 of a container
sys.exit(main(["serve"]))
"""


def test_sigterm_before_torch_is_imported_is_a_clean_end(workplace: Path) -> None:
    options = command()
    options["args"] = [sys.executable, "-c", SIGNAL_AT_THE_FIRST_IMPORT]
    process = subprocess.run(**options, timeout=60, check=False)
    assert process.returncode == 0, process.stderr


HANGING_DEVICE = """
import time
import service.engine.loop
service.engine.loop.take_turn = lambda *_: time.sleep(600)
"""


def test_a_device_that_hangs_keeps_neither_an_admin_call_nor_the_process(workplace: Path) -> None:
    (workplace / "winnow.toml").write_text("[http]\ngrace_seconds = 1.0\n[auth]\nkeys_file = 'keys'\n")
    write_keys("root")
    (workplace / "keys").write_text((workplace / "keys").read_text().strip() + " admin\n")
    answers: dict[str, httpx.Response] = {}
    with (
        Server("--default-model", "points", "--config", "winnow.toml", prelude=HANGING_DEVICE) as server,
        httpx.Client(base_url=server.url, timeout=60, headers={"Authorization": "Bearer root"}) as client,
    ):

        def ask(method: str, path: str) -> None:
            answers[method] = client.request(method, path)

        asking = [
            threading.Thread(target=ask, args=call, daemon=True)
            for call in (("POST", "/sample"), ("DELETE", "/admin/models/other"))
        ]
        asking[0].start()
        while "winnow_queue_requests 1.0" not in client.get("/metrics").text:
            assert asking[0].is_alive(), "the device does not hang"
        asking[1].start()
        asking[1].join(timeout=0.5)
        assert asking[1].is_alive(), "a model is taken away between two batches"
        began = time.monotonic()
        code = server.stop()
        for thread in asking:
            thread.join()
    assert code == 0
    assert time.monotonic() - began < 30
    assert {name: (answer.status_code, answer.json()["code"]) for name, answer in answers.items()} == {
        "DELETE": (503, "draining"),
        "POST": (503, "draining"),
    }
    assert "traceback" not in str(server.lines)


def test_what_outlives_the_grace_period_is_cut_off_and_the_end_is_clean(workplace: Path) -> None:
    (workplace / "winnow.toml").write_text("[http]\ngrace_seconds = 1.1\n")
    arguments = ("--default-model", "points", "--config", "winnow.toml", "--batch-rows", "1")
    with Server(*arguments) as server, httpx.Client(base_url=server.url, timeout=60) as probe:
        url = f"{server.url}/sample?n=100000&format=npz&method=prior"
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(httpx.post(url, timeout=60)), daemon=True)
        asking.start()
        while "winnow_queue_rows 0.0" in probe.get("/metrics").text:
            assert asking.is_alive(), "the request was over before the signal"
        assert server.stop() == 0
        asking.join()
    assert answers[0].json()["code"] == "draining"
    assert answers[0].headers["retry-after"] == "1", "nothing of the grace period is left"
    assert "traceback" not in str(server.lines)
