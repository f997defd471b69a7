"""The server under load, from outside: what each program measures stands in docs/benchmarks.md.

    python -m benchmarks.serve PROGRAM [--bundle bundles/fashion-mnist | --random-128] [--threads 2] [--json FILE]
    python -m benchmarks.serve fairness --seconds 30 --per-batch 0.5

Each starts a server of its own (or uses --url) and prints Markdown. Every dial of a program's ``Settings`` is a flag.
The exit code is 1 when a law does not hold, with --strict also when a goal is not met.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import types
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from benchmarks.serving import ceiling, drain, fairness, hangups, metering, mixed, overload, seeds, throughput
from benchmarks.serving.machine import moment, others
from benchmarks.serving.processes import ServerFailed, Target
from benchmarks.serving.report import Report
from benchmarks.serving.windows import MeasurementFailed
from service.engine.threads import usable_threads

PROGRAMS: dict[str, tuple[Callable[[Target, Any], Coroutine[Any, Any, Report]], type[Any]]] = {
    "throughput": (throughput.measure, throughput.Settings),
    "fairness": (fairness.measure, fairness.Settings),
    "overload": (overload.measure, overload.Settings),
    "mixed": (mixed.measure, mixed.Settings),
    "hangups": (hangups.measure, hangups.Settings),
    "drain": (drain.measure, drain.Settings),
    "seeds": (seeds.measure, seeds.Settings),
    "metrics": (metering.measure, metering.Settings),
    "ceiling": (ceiling.measure, ceiling.Settings),
}


def build_parser() -> argparse.ArgumentParser:
    """One verb a program, one flag a dial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    programs = parser.add_subparsers(dest="program", required=True, metavar="PROGRAM")
    for name, (work, settings) in PROGRAMS.items():
        told = sys.modules[work.__module__].__doc__ or ""
        program = programs.add_parser(name, help=told.strip().splitlines()[0], description=settings.__doc__)
        _add_target(program)
        for flag, (kind, many) in _dials(settings).items():
            options: dict[str, Any] = {"nargs": "+"} if many else {}
            program.add_argument(f"--{flag.replace('_', '-')}", type=kind, default=None, **options)
    return parser


def _add_target(program: argparse.ArgumentParser) -> None:
    program.add_argument("--bundle", type=Path, default=Path("bundles/fashion-mnist"))
    program.add_argument("--random-128", action="store_true", help="a 128x128x3 generator with random weights instead")
    program.add_argument("--threads", type=int, default=usable_threads(), help="torch's, on both sides")
    program.add_argument("--url", help="a server that runs already; then nothing is known of its CPU time and memory")
    program.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag of winnow serve, as in --server=--batch-rows=16",
    )
    program.add_argument("--json", type=Path, help="everything measured, as JSON")
    program.add_argument("--strict", action="store_true", help="an unmet goal is a failure, too")


def _dials(settings: type[Any]) -> dict[str, tuple[type, bool]]:
    """Fields that a flag can set: type, and whether there are several. Others (the classes of ``mixed``) cannot."""
    hints, found = get_type_hints(settings), {}
    for field in fields(settings):
        assert field.default is not MISSING, "every dial has a default"
        hint = hints[field.name]
        if isinstance(hint, types.UnionType):
            hint = next(part for part in get_args(hint) if part is not type(None))
        many = get_origin(hint) is tuple
        kind = get_args(hint)[0] if many else hint
        if kind in (int, float, str):
            found[field.name] = (kind, many)
    return found


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    work, kind = PROGRAMS[args.program]
    given = {name: getattr(args, name) for name in _dials(kind) if getattr(args, name) is not None}
    settings = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    target = Target(None if args.random_128 else args.bundle, args.threads, args.url, tuple(args.server))
    before = moment()
    try:
        report = asyncio.run(work(target, settings))
    except (ServerFailed, MeasurementFailed, ValueError) as error:
        print(f"benchmarks.serve: {error}", file=sys.stderr)
        return 2
    taken = others(before, moment())
    report.lines.append(f"{os.cpu_count()} processors, of which other processes took {taken:.2f} meanwhile.")
    report.facts["taken_by_others"] = taken
    print(report.markdown())
    if args.json:
        args.json.write_text(json.dumps(_finite(report.document()), indent=2) + "\n")
    return 0 if report.passed(args.strict) else 1


if __name__ == "__main__":
    # SIGTERM's own way would leave the server behind, perhaps stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise SystemExit(main())
