"""`winnow serve` as a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> dict[str, Any]:
    return {
        "args": [sys.executable, "-m", "winnow", *arguments],
        "env": {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        "text": True,
        "stderr": subprocess.PIPE,
        "stdout": subprocess.PIPE,
    }


class Server:
    """A running `winnow serve` on a free port; its log lines as they came."""

    def __init__(self, *arguments: str, prelude: str = "") -> None:
        """``prelude``: Python that runs before the command, for faults."""
        options = command("serve", "--bind", "127.0.0.1:0", "--threads", "1", *arguments)
        if prelude:
            options["args"][1:3] = ["-c", f"{prelude}\nimport sys\nfrom winnow.cli import main\nsys.exit(main())"]
        self.process = subprocess.Popen(**options)
        assert self.process.stderr is not None
        self.lines: list[dict[str, Any]] = []
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == "listening":
                break
        else:
            pytest.fail(f"it never listened: {self.lines}")
        self.url = self.lines[-1]["url"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        """Gone, whatever a test made of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=60)
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode


def one_line(error: str) -> str:
    assert error.startswith("winnow: ")
    assert error.count("\n") == 1
    return error


def write_keys(*names: str) -> None:
    """A keys file in the working directory; the secret of each key is its name."""
    lines = (f"{name}:{hashlib.sha256(name.encode()).hexdigest()}\n" for name in names)
    Path("keys").write_text("".join(lines))
