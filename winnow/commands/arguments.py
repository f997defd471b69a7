"""Ranges of command-line arguments: what lies outside is argparse's error, with the option's name."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import inf, isfinite
from pathlib import Path
from tempfile import TemporaryFile

from winnow.failure import CommandFailed

MAX_SEED = 2**63 - 1 - 10_000_000  # training adds offsets to a seed, one for each of its streams
MAX_THREADS = 1_024


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argparse type: whole numbers from ``low`` to ``high``, both included."""

    def convert(text: str) -> int:
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        try:
            number = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"must be a whole number {limits}, not {text!r}") from error
        if number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"must be {limits}, not {number}")
        return number

    return convert


def real(low: float, high: float = inf, above: bool = False) -> Callable[[str], float]:
    """An argparse type: finite numbers from ``low`` (``above``: without it) to below ``high``."""

    def convert(text: str) -> float:
        limits = f"{'above' if above else 'at least'} {low:g}" + ("" if high == inf else f" and below {high:g}")
        try:
            number = float(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"must be a number {limits}, not {text!r}") from error
        if not isfinite(number) or number < low or number >= high or (above and number == low):
            raise argparse.ArgumentTypeError(f"must be a finite number {limits}, not {text}")
        return number

    return convert


positive_int = whole(1)
positive_float = real(0, above=True)
seed = whole(0, MAX_SEED)
threads = whole(1, MAX_THREADS)


def gate_limits(parser: argparse.ArgumentParser) -> None:
    """``--minimum-effect`` and ``--max-recall-loss`` of the quality gate."""
    text = "share of the prior's FID and unbiased distance that must be gained (default: 0.05)"
    parser.add_argument("--minimum-effect", type=real(0, 1), default=0.05, help=text)
    text = "of recall, absolute, that weights may cost (default: 0.03)"
    parser.add_argument("--max-recall-loss", type=real(0, 1), default=0.03, help=text)


def assignment(text: str) -> tuple[str, str]:
    """An argparse type: ``name=value``, or ``part.name=value``."""
    name, equals, value = text.partition("=")
    if not (equals and all(part.isidentifier() for part in name.split("."))):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, as in steps=20, not {text!r}")
    return name, value


def source(text: str) -> str:
    """An argparse type: the name or path of data, not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be the name or path of data, not empty")
    return text


def check_writable(folder: Path, option: str) -> None:
    """Raises CommandFailed unless ``folder`` is or could be made a folder to write into; leaves nothing behind."""
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.is_symlink() or path.exists())
        if not nearest.is_dir():
            raise CommandFailed(f"{option} {folder}: {nearest} is not a folder; name another one")
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise CommandFailed(f"{option} {folder}: cannot write there ({error.strerror}); name another folder") from error
