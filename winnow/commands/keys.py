"""``winnow keys new NAME``: a fresh API key, and the line of the keys file for it."""

from __future__ import annotations

import argparse
from typing import Any


def register(commands: Any) -> None:
    parser = commands.add_parser(
        "keys",
        help="make API keys",
        description="The server reads the file of WINNOW_AUTH__KEYS_FILE when it starts and again on SIGHUP.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="print a fresh secret and the line of the keys file for it")
    new.add_argument("name", help="whose key it is; it stands in every access line")
    new.add_argument("--admin", action="store_true", help="the key may use /admin")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from service.http.keys import new_key

    secret, line = new_key(args.name, args.admin)
    print(f"for the client, shown once:  {secret}")
    print(f"for the keys file:           {line}")
    return 0
