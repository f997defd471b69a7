"""The verbs that need no server, and what importing them costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest

from winnow import cli
from winnow.cli import main
from winnow.client import Client, ServerProblem
from winnow.commands.serve import nested_flags
from winnow.failure import TRAINING_ONLY

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_sample_writes_the_default_bundles_samples(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "-n", "30"]) == 0
    assert capsys.readouterr().out == "samples.png\n"
    assert (workplace / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_sample_takes_a_name_or_a_folder_and_the_ending_tells_the_format(workplace: Path) -> None:
    assert main(["sample", "points", "-n", "5", "--seed", "1", "-o", "a.npz"]) == 0
    assert main(["sample", "bundles/points", "-n", "5", "--seed", "1", "-o", "b.npz"]) == 0
    assert (workplace / "a.npz").read_bytes() == (workplace / "b.npz").read_bytes()
    with np.load(BytesIO((workplace / "a.npz").read_bytes())) as arrays:
        assert arrays["points"].shape == (5, 2)


@pytest.mark.parametrize(
    ("out", "magic"),
    [("a.jpg", b"\xff\xd8"), ("a.webp", b"RIFF"), ("a.npy", b"\x93NUMPY"), ("a.jsonl", b'{"index":0,'),
     ("a.safetensors", (b"{"))],
)  # fmt: skip
def test_every_format_has_its_ending(workplace: Path, out: str, magic: bytes) -> None:
    assert main(["sample", "points", "-n", "3", "--seed", "1", "-o", out]) == 0
    body = (workplace / out).read_bytes()
    assert body[8 if out.endswith("safetensors") else 0 :].startswith(magic)
    assert not list(workplace.glob("*.part"))


def test_what_exists_and_is_no_file_is_written_to_and_not_replaced(workplace: Path) -> None:
    (workplace / "link.npy").symlink_to("/dev/null")
    assert main(["sample", "points", "-o", "link.npy"]) == 0
    assert (workplace / "link.npy").is_symlink()
    assert not Path("/dev/null").is_file()


class Broken(httpx.SyncByteStream):
    """A body that a server could not finish."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"the beginning"
        raise httpx.RemoteProtocolError("incomplete chunked read")


def test_a_body_that_was_cut_off_leaves_the_file_as_it_was(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Broken()))
    monkeypatch.setattr("winnow.client.Client", lambda url, key: Client(url, transport))
    (workplace / "a.zip").write_text("before")
    assert main(["sample", "points", "-o", "a.zip", "--server", "http://test"]) == 2
    assert "incomplete chunked read" in capsys.readouterr().err
    assert sorted(path.name for path in workplace.iterdir()) == ["a.zip", "bundles"]
    assert (workplace / "a.zip").read_text() == "before"


def test_a_refused_stream_is_the_servers_problem() -> None:
    answer = httpx.Response(503, json={"detail": "full", "code": "overloaded"}, headers={"Retry-After": "7"})
    client = Client("http://test", httpx.MockTransport(lambda _: answer))
    with client, pytest.raises(ServerProblem, match="full") as problem:
        list(client.stream(n=3, format="zip"))
    assert problem.value.retry_after == 7


def test_sample_writes_to_standard_output(workplace: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["sample", "points", "-n", "2", "--format", "json", "-o", "-"]) == 0
    assert len(json.loads(capfdbinary.readouterr().out)["latents"]) == 2


def test_a_new_key_comes_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "new", "alice", "--admin"]) == 0
    secret, line = (text.split(":  ")[1].strip() for text in capsys.readouterr().out.splitlines())
    assert line == f"alice:{sha256(secret.encode()).hexdigest()} admin"


def test_models_lists_every_bundle_and_why_one_is_broken(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workplace / "bundles" / "other" / "importance.safetensors").unlink()
    assert main(["models"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("other   broken  ")
    assert "importance.safetensors" in first
    assert second == "points  ready   1, points 2, prior, latentrs, latentga, latentrsga, langevin, truncation"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["keys", "new", "no name"], "a line begins with name:sha256"),
        (["sample", "nope"], "neither a bundle folder nor a name under bundles/ (other, points)"),
        (["sample", "points", "-n", "0"], "n must be at least 1"),
        (["sample", "points", "--seed", "-1"], "the seed must lie in"),
        (["sample", "points", "--method", "drs"], "needs a network 'classifier'"),
        (["sample", "points", "--method", "nope"], "There is no method 'nope'"),
        (["sample", "points", "-o", "samples.bmp"], "no format is called 'bmp'"),
        (["sample", "points", "-o", "a.zip"], "zip cannot hold samples of points; png, jpeg, webp, npy, npz,"),
        (
            ["sample", "points", "-n", "9999999", "-o", "a.json"],
            "json holds at most 372827 samples of points; npy, npz,",
        ),
        (["sample", "points", "-o", "no/such/folder.png"], "cannot write"),
        (["sample", "points", "-n", "999999999"], "holds at most"),
        (["sample", "--server", "http://127.0.0.1:9"], "no answer from http://127.0.0.1:9"),
        (["sample", "--server", "127.0.0.1"], "no answer from"),
        (["models", "--bundles", "nowhere"], "no bundles under nowhere/"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    workplace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("winnow: ")
    assert error.count("\n") == 1
    assert says in error


def test_ctrl_c_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from winnow.commands import models

    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "run", interrupt)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == ""


def test_a_mistake_of_ours_is_not_dressed_up_as_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    from winnow.commands import models

    def mistake(_: object) -> int:
        raise KeyError("ours")

    monkeypatch.setattr(models, "run", mistake)
    with pytest.raises(KeyError):
        main(["models"])


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    assert f"winnow {verb}" in capsys.readouterr().out


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_parser_loads_nothing_heavy() -> None:
    assert not loaded_after("from winnow.cli import build_parser; build_parser()") & {"torch", "fastapi", "training"}


def test_serving_never_loads_training() -> None:
    code = "from winnow.cli import build_parser; build_parser(); import service.http.server, service.settings"
    found = loaded_after(code)
    assert "service" in found
    assert not found & {"training", "ot", "sklearn", "tensorboard", "scipy"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["data"],
        ["train", "gan", "--preset", "digits", "--out", "run"],
        ["train", "weights", "--bundle", str(ROOT / "bundles" / "digits"), "--data", "digits", "--out", "run"],
        ["evaluate", str(ROOT / "bundles" / "digits"), "--data", "digits"],
    ],
)
def test_without_the_extra_that_training_needs_the_command_says_which(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys; from winnow.failure import TRAINING_ONLY; sys.modules.update(dict.fromkeys(TRAINING_ONLY)); "
        f"from winnow.cli import main; sys.exit(main({arguments}))"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1 and "pip install 'winnow[train]'" in result.stderr


def test_the_names_of_that_extra_are_those_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    modules = {"pot": "ot", "scikit-learn": "sklearn"}
    names = [line.partition(">")[0] for line in extras["train"]]
    assert sorted(TRAINING_ONLY) == sorted(modules.get(name, name) for name in names)


def test_flags_nest_like_the_settings_and_those_not_given_are_absent() -> None:
    given = {"verb": "serve", "run": main, "config": None, "bundles": None, "http__bind": "h:1", "log": "json"}
    assert nested_flags(given) == {"http": {"bind": "h:1"}, "log": "json"}


@pytest.mark.parametrize(
    ("answer", "says", "code", "retry_after"),
    [
        (httpx.Response(503, json={"detail": "full", "code": "overloaded"}, headers={"Retry-After": "7"}), "full",
         "overloaded", 7.0),
        (httpx.Response(502, text="<html>"), "502 Bad Gateway", "unknown", None),
        (httpx.Response(500, json=[1]), "500", "unknown", None),
    ],
)  # fmt: skip
def test_whatever_a_server_answers_becomes_a_clear_exception(
    answer: httpx.Response, says: str, code: str, retry_after: float | None
) -> None:
    with (
        Client("http://test", httpx.MockTransport(lambda _: answer)) as client,
        pytest.raises(ServerProblem) as problem,
    ):
        client.sample()
    assert says in str(problem.value)
    assert (problem.value.code, problem.value.retry_after) == (code, retry_after)


def test_data_lists_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("fashion-mnist", "mnist", "digits", "gaussians-25", "swiss-roll"))
