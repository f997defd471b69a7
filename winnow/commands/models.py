"""``winnow models``: the bundles of a folder, one line each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from winnow.failure import CommandFailed


def register(commands: Any) -> None:
    parser = commands.add_parser("models", help="list the bundles of a folder and whether they load")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="folder (default: bundles)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from service.engine.catalog import bundle_folders, load_model
    from service.engine.devices import choose_devices
    from service.engine.methods import available_methods

    folders = bundle_folders(args.bundles)
    if not folders:
        raise CommandFailed(f"no bundles under {args.bundles}/: train one with `winnow train`, or give --bundles")
    models = [load_model(folder, choose_devices(["cpu"])) for folder in folders]
    width = max(len(model.name) for model in models)
    for model in models:
        if model.bundle is None:
            print(f"{model.name:<{width}}  broken  {model.broken}")
            continue
        manifest = model.bundle.manifest
        shape = "x".join(str(size) for size in manifest.output.shape)
        methods = ", ".join(available_methods(model.bundle))
        print(f"{model.name:<{width}}  ready   {manifest.version}, {manifest.output.kind} {shape}, {methods}")
        for role, reason in model.bundle.withheld.items():
            print(f"{'':<{width}}          {role}: {reason}")
    return 0
