"""schemathesis against a real server's OpenAPI document: `python -m benchmarks.schema_fuzz` (extra: fuzz)."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from benchmarks.fuzz import BUNDLES, running_server

# Not among them: positive_data_acceptance. A method's parameter beside another method fits the document, which cannot
# say that they exclude each other, and is refused.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "allow_header_conformance", "negative_data_rejection",
)  # fmt: skip

# Overloaded or draining, and a deadline that cannot be kept: the server's word, not its failure.
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schema_fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="most requests of one operation and phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundles", type=Path, nargs="+", default=BUNDLES)
    args = parser.parse_args(arguments)
    program = which("schemathesis", path=str(Path(sys.executable).parent)) or which("schemathesis")
    if program is None:
        raise SystemExit("schemathesis is not installed; `make fuzz` does that, or pip install -e '.[fuzz]'")
    command = [program, "run", "--seed", str(args.seed), "-n", str(args.examples), "--checks", ",".join(CHECKS),
               "--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--continue-on-failure"]  # fmt: skip
    # It keeps notes of its runs where it stands, and looks there for its settings.
    with running_server(args.bundles) as url, TemporaryDirectory() as folder:
        (Path(folder) / "schemathesis.toml").write_text(SETTINGS)
        return subprocess.run([*command, f"{url}/openapi.json"], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
