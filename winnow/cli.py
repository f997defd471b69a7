"""The command ``winnow``: one module a verb under winnow/commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from winnow.failure import advice

# In the order of `winnow --help`. Each module has register(subparsers), which sets ``run``, and run(args) -> exit
# code; what is heavy it imports inside run, so that no verb pays for another one.
VERBS = ("serve", "sample", "train", "evaluate", "models", "data", "keys")
INTERRUPTED = 130
REFUSED = 2


def build_parser() -> argparse.ArgumentParser:
    """All verbs."""
    parser = argparse.ArgumentParser(prog="winnow", description="Filtered samples of pre-trained generators.")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        import_module(f"winnow.commands.{verb}").register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code. Expected failures are one line on stderr, Ctrl-C is quiet."""
    args = build_parser().parse_args(arguments)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `winnow ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (told := advice(error)) is None:
            raise
        print(f"winnow: {told}", file=sys.stderr)
        return REFUSED
    return code


if __name__ == "__main__":
    sys.exit(main())
