"""``winnow sample``: samples into a file, from a bundle here or from a server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from winnow.commands.arguments import assignment
from winnow.failure import CommandFailed

# In the order of the engine's registry (a test compares): the parser must not wait for the engine's imports.
FORMATS = ("png", "jpeg", "webp", "zip", "npy", "npz", "safetensors", "json", "ndjson")
ENDINGS = {"jpg": "jpeg", "jsonl": "ndjson", **{name: name for name in FORMATS}}
# What every request may say; no method calls a parameter of its own so.
OPTIONS = ("method", "n", "seed", "format", "images", "model")


def register(commands: Any) -> None:
    parser = commands.add_parser("sample", help="write samples into a file, without a server or from one")
    parser.add_argument("bundle", nargs="?", help="folder, or name under bundles/ (with --server: a model's name)")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="where names are looked up")
    parser.add_argument("--method", help="how latents are chosen (default: latentrs where the bundle can)")
    # Not one option a parameter: the methods are read from torch code, which no --help should wait for, and a server
    # may have methods that this installation has not.
    parser.add_argument(
        "--set", metavar="NAME=VALUE", type=assignment, action="append", default=[],
        help="a parameter of the method, as in --set steps=20; repeat it for several",
    )  # fmt: skip
    parser.add_argument("-n", "--n", type=int, default=1, help="how many (default: 1)")
    parser.add_argument("--seed", type=int, help="the same seed gives the same samples")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of --out, else png")
    parser.add_argument("--images", action="store_true", help="json, ndjson: with the images or points")
    parser.add_argument("-o", "--out", help="file, - for standard output (default: samples.<format>)")
    parser.add_argument(
        "--server", metavar="URL", help="ask this server in place of loading a bundle (its key: WINNOW_API_KEY)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    args.set = _parameters(args.set)
    fmt = args.format or _format_of(args.out)
    pieces = _remote(args, fmt) if args.server else _local(args, fmt)
    out = args.out or f"samples.{fmt}"
    if out == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return 0
    try:
        _write(Path(out), pieces)
    except OSError as error:
        raise CommandFailed(f"cannot write {out}: {error.strerror}") from error
    print(out)
    return 0


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    """All of them or nothing: what is cut off leaves no file that looks whole. Raises OSError."""
    if path.exists() and not path.is_file():  # a pipe, a device
        with path.open("wb") as file:
            file.writelines(pieces)
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _parameters(given: list[tuple[str, str]]) -> dict[str, str]:
    """Raises CommandFailed for a name that is set twice or has an option of its own."""
    found: dict[str, str] = {}
    for name, value in given:
        if name in OPTIONS:
            raise CommandFailed(f"--set {name}={value}: {name} belongs to every method; it has its own argument")
        if name in found:
            raise CommandFailed(f"--set {name} is given twice; give it once")
        found[name] = value
    return found


def _format_of(out: str | None) -> str:
    suffix = Path(out).suffix.removeprefix(".") if out and out != "-" else ""
    if suffix and suffix not in ENDINGS:
        raise CommandFailed(f"no format is called {suffix!r}; give --format, one of {', '.join(FORMATS)}")
    return ENDINGS[suffix or "png"]


def _remote(args: argparse.Namespace, fmt: str) -> Iterator[bytes]:
    from winnow.client import Client

    with Client(args.server, key=os.environ.get("WINNOW_API_KEY")) as client:
        yield from client.stream(
            n=args.n, method=args.method, model=args.bundle, seed=args.seed, format=fmt, images=args.images or None,
            **args.set,
        )  # fmt: skip


def _folder(args: argparse.Namespace) -> Path:
    """What to load: one bundle, by path or by name, or where the default one is."""
    from models.bundle import MANIFEST_FILE

    root: Path = args.bundles
    if args.bundle is None:
        return root
    for folder in (Path(args.bundle), root / args.bundle):
        if (folder / MANIFEST_FILE).is_file():
            return folder
    names = ", ".join(sorted(path.parent.name for path in root.glob(f"*/{MANIFEST_FILE}"))) or "none"
    raise CommandFailed(f"{args.bundle} is neither a bundle folder nor a name under {root}/ ({names})")


def _local(args: argparse.Namespace, fmt: str) -> Iterator[bytes]:
    """The same engine and encoders as the server's: with its default settings a seed gives its bytes."""
    from service.engine.encoders.formats import largest, pieces, usable_formats
    from service.engine.encoders.limits import Limits
    from service.engine.engine import Engine
    from service.engine.options import EngineOptions
    from service.engine.rows import SampleRequest
    from service.metrics.registry import Metrics
    from service.settings import load_settings

    allowed = load_settings({}, os.environ).allow_rejected_weights
    engine = Engine(_folder(args), None, EngineOptions(allow_rejected_weights=allowed), Metrics())
    engine.start()
    try:
        bundle = engine.resolve(None, args.method, args.set).bundle
        usable = usable_formats(bundle, args.images)
        most = {name: largest(name, bundle, Limits(), args.images) for name in usable}
        others = ", ".join(name for name in usable if most[name] >= args.n)
        if fmt not in usable:
            raise CommandFailed(f"{fmt} cannot hold samples of {bundle.name}; {others} would do")
        if args.n > most[fmt]:
            raise CommandFailed(f"{fmt} holds at most {most[fmt]} samples of {bundle.name}; {others} would do")
        request = SampleRequest(args.n, None, args.method, args.seed, usable[fmt].decodes or args.images, args.set)
        future = engine.submit(request)
        try:
            yield from pieces(usable[fmt], future.result())
        finally:
            future.cancel()  # Ctrl-C need not wait for the rest
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    finally:
        engine.close()
