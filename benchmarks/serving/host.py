"""``winnow`` that also knows the generators of ``benchmarks.workloads``, which no shipped bundle uses, and whose
metrics can be silenced: SIGUSR1 makes every observation do nothing, SIGUSR2 makes them count again.

python -m benchmarks.serving.host serve --bundles FOLDER
"""

from __future__ import annotations

import signal
import sys

from prometheus_client import Counter, Gauge, Histogram

from benchmarks.workloads import make_known
from winnow.cli import main

OBSERVATIONS = {Counter: ("inc",), Gauge: ("inc", "dec", "set"), Histogram: ("observe",)}
WORKING = {(kind, name): getattr(kind, name) for kind, names in OBSERVATIONS.items() for name in names}

# At import, not under __main__: a process that this one spawns imports this module again and knows it too.
make_known()


def silence(*_: object) -> None:
    """What is left of an observation is its call and the look-up of its labels."""
    for kind, name in WORKING:
        setattr(kind, name, lambda *_: None)


def speak(*_: object) -> None:
    for (kind, name), working in WORKING.items():
        setattr(kind, name, working)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, silence)
    signal.signal(signal.SIGUSR2, speak)
    sys.exit(main())
