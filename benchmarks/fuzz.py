"""Fuzz a real server: `python -m benchmarks.fuzz --requests 10000 --seed 0`; exit code 1 when it finds something.

What may never be: a 500 (503 and 504 are the server's word), an answer that is not documented, an error that is not our
problem document, a server that is dead or slow to answer at the end, decoded rows that the books do not have.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.fuzz_requests import FuzzRequest, Requests
from service.http.problems import CODES, PROBLEM_MEDIA_TYPE

BUNDLES = (Path("bundles/digits"), Path("bundles/gaussians-25"))
"""The quickest of images and of points."""
CLIENTS = 4
ANSWER_SECONDS = 60.0
FIELDS = {"type", "title", "status", "detail", "instance", "code"}
SHOWN = 20


@dataclass
class Findings:
    """``answers``: how many by status and code. ``wrong``: what should not have been, each with its request."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@contextmanager
def running_server(bundles: Sequence[Path]) -> Iterator[str]:
    """The URL of `winnow serve` on a free port of loopback, with these bundles and no other."""
    with TemporaryDirectory() as folder:
        for bundle in bundles:
            (Path(folder) / bundle.resolve().name).symlink_to(bundle.resolve())
        with _running_server(folder) as url:
            yield url


@contextmanager
def _running_server(bundles: str) -> Iterator[str]:
    command = [sys.executable, "-m", "winnow", "serve", "--bundles", bundles, "--bind", "127.0.0.1:0", "--log", "json"]
    environment = {**os.environ, "WINNOW_HTTP__HEAD_SECONDS": "2", "WINNOW_HTTP__BODY_SECONDS": "2"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    lines = (json.loads(line) for line in process.stderr)
    url = next((line["url"] for line in lines if line["event"] == "listening"), None)
    if url is None:
        raise SystemExit("the server never listened; `winnow serve --bundles FOLDER` says why")
    reader = threading.Thread(target=lambda: [None for _ in lines])  # else it blocks once the pipe is full
    reader.start()
    try:
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join()


def exchange(address: tuple[str, int], request: FuzzRequest) -> Answer | None:
    """Send it, read one answer; None where the server closed without one or the client left."""
    with socket.create_connection(address, timeout=ANSWER_SECONDS) as wire:
        try:
            wire.sendall(request.data)
            if request.leaves:
                return None
            # A request that was cut short gets its answer, too: nothing more will come.
            wire.shutdown(socket.SHUT_WR) if request.route is None else None
            answer = http.client.HTTPResponse(wire, method=request.data.split(b" ", 1)[0].decode("latin-1"))
            answer.begin()
            return Answer(answer.status, answer.headers, answer.read())
        except (ConnectionError, http.client.BadStatusLine, http.client.IncompleteRead):
            return None


def fault(request: FuzzRequest, answer: Answer | None, document: dict[str, Any]) -> str | None:
    """What is wrong with an answer, None where nothing is."""
    if answer is None:
        return None if request.leaves or request.route is None else "closed without an answer"
    if answer.status >= 500 and answer.status not in (503, 504):
        return f"status {answer.status}: {answer.body[:300]!r}"
    if not answer.headers["X-Request-ID"] or answer.headers["X-Content-Type-Options"] != "nosniff":
        return "a header that every answer has is missing"
    head = request.data.startswith(b"HEAD ")
    if answer.status >= 400 and not head and (reason := _not_a_problem(answer)):
        return reason
    if request.route is not None:
        verb, path = request.route
        documented = document["paths"][path][verb]["responses"]
        elsewhere = "{" in path and answer.status == 404  # a name with a slash is another path
        same_verb = request.data.split(b" ", 1)[0] == verb.upper().encode()
        if (
            same_verb
            and not elsewhere
            and str(answer.status) not in documented
            and f"{answer.status // 100}XX" not in documented
        ):
            return f"status {answer.status} is not documented"
    return None


def _not_a_problem(answer: Answer) -> str | None:
    if answer.headers["Content-Type"] != PROBLEM_MEDIA_TYPE:
        return f"status {answer.status} with {answer.headers['Content-Type']}"
    problem = json.loads(answer.body)
    if not set(problem) >= FIELDS or (problem["status"], problem["title"]) != CODES.get(problem["code"]):
        return f"not our problem: {problem}"
    if problem["status"] != answer.status:
        return f"another status in the body: {problem}"
    if not problem["instance"].endswith(answer.headers["X-Request-ID"]):
        return f"an instance that is not the request id: {problem}"
    return None


def fuzz(url: str, count: int, seed: int) -> Findings:
    """``count`` requests from CLIENTS threads; which thread sends which is all that chance decides."""
    findings = Findings()
    document = httpx.get(f"{url}/openapi.json").json()
    models = httpx.get(f"{url}/models").json()
    dim = next(model["latent_dim"] for model in models["models"] if model["name"] == models["default"])
    requests = Requests(document, [model["name"] for model in models["models"]], dim, seed)
    parts = urlsplit(url)
    address, lock, left = (parts.hostname or "", parts.port or 80), threading.Lock(), iter(range(count))

    def work() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
                request = next(requests)
            try:
                answer = exchange(address, request)
                wrong = fault(request, answer, document)
            except TimeoutError:
                answer, wrong = None, f"no answer within {ANSWER_SECONDS:g} s"
            with lock:
                findings.answers[_label(answer)] += 1
                if wrong is not None:
                    findings.wrong.append(f"{wrong}\n    {request.data[:400]!r}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        for client in [pool.submit(work) for _ in range(CLIENTS)]:
            client.result()
    findings.wrong += aftermath(url)
    return findings


def _label(answer: Answer | None) -> str:
    if answer is None:
        return "none"
    if answer.headers["Content-Type"] != PROBLEM_MEDIA_TYPE or not answer.body:
        return str(answer.status)
    return f"{answer.status} {json.load(BytesIO(answer.body)).get('code')}"


def aftermath(url: str) -> list[str]:
    """Whether it still lives and its books balance, once nobody waits for it."""
    wrong = [
        f"{path} says {status}"
        for path in ("/livez", "/readyz")
        if (status := httpx.get(url + path).status_code) != 200
    ]
    if wrong:
        return wrong
    # The last request of all; when it is answered the work of those that left is over, too.
    httpx.post(f"{url}/sample?n=1&method=prior", timeout=ANSWER_SECONDS)
    for _ in range(100):
        decoded, delivered, wasted, waiting = books(httpx.get(f"{url}/metrics").text)
        if decoded == delivered + wasted + waiting:
            return []
        httpx.post(f"{url}/sample?n=1&method=prior", timeout=ANSWER_SECONDS)
    return [f"{decoded:g} rows decoded, {delivered:g} delivered, {wasted:g} wasted, {waiting:g} waiting"]


def books(exposition: str) -> tuple[float, float, float, float]:
    """Rows decoded, delivered, wasted and waiting by the server's own metrics."""
    totals: Counter[str] = Counter()
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            totals[sample.name] += sample.value  # type: ignore[assignment]
    names = (
        "winnow_decoded_rows_total",
        "winnow_delivered_rows_total",
        "winnow_rows_wasted_total",
        "winnow_supply_rows",
    )
    decoded, delivered, wasted, waiting = (float(totals[name]) for name in names)
    return decoded, delivered, wasted, waiting


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundles", type=Path, nargs="+", default=BUNDLES)
    args = parser.parse_args(arguments)
    with running_server(args.bundles) as url:
        findings = fuzz(url, args.requests, args.seed)
    for label, number in sorted(findings.answers.items()):
        print(f"{number:7}  {label}")
    print(f"{args.requests} requests, seed {args.seed}: {len(findings.wrong)} findings")
    for text in findings.wrong[:SHOWN]:
        print(f"  {text}")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
