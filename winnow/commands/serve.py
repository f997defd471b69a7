"""``winnow serve``: every bundle of a folder over HTTP."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any


def register(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve every bundle under bundles/ over HTTP",
        description="Flags beat environment variables (WINNOW_HTTP__BIND), those beat the settings file.",
    )
    parser.add_argument("--config", type=Path, help="settings file, TOML (also WINNOW_CONFIG)")
    parser.add_argument("--bundles", help="folder of bundles, or one bundle (default: bundles)")
    parser.add_argument("--default-model", help="model of requests that name none (default: fashion-mnist)")
    parser.add_argument("--bind", dest="http__bind", metavar="HOST:PORT", help="default: 127.0.0.1:8000")
    parser.add_argument("--devices", help="where networks run: cpu, cuda:0,cuda:1, ... (default: auto)")
    parser.add_argument("--threads", dest="engine__threads", help="CPU threads for torch (default: what is allowed)")
    parser.add_argument("--batch-rows", dest="engine__batch_rows", help="rows of one generator call")
    parser.add_argument("--proposal-block", dest="engine__proposal_block", help="latents weighed in one call")
    parser.add_argument("--max-n", dest="limits__max_n", help="most samples of one request")
    text = "serve weights that the quality gate rejected"
    parser.add_argument("--allow-rejected-weights", action="store_true", default=None, help=text)
    parser.add_argument("--log", help="auto, json or pretty")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    # Process 1 of a container loses a signal that it does not handle, and the imports below take seconds.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from service.http.server import serve
    from service.logs import configure_logs
    from service.settings import load_settings

    settings = load_settings(nested_flags(vars(args)), os.environ, args.config)
    configure_logs(settings.log)
    return serve(settings)


def nested_flags(given: dict[str, Any]) -> dict[str, Any]:
    """``{"http__bind": x}`` -> ``{"http": {"bind": x}}``, without flags that were not given."""
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name in ("verb", "run", "config"):
            continue
        *sections, leaf = name.split("__")
        target = nested
        for section in sections:
            target = target.setdefault(section, {})
        target[leaf] = value
    return nested
