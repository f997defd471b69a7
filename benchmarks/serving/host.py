"""``winnow`` that also knows the generators of ``benchmarks.workloads``, which no shipped bundle uses.

python -m benchmarks.serving.host serve --bundles FOLDER
"""

from __future__ import annotations

import sys

from benchmarks.workloads import make_known
from winnow.cli import main

# At import, not under __main__: a process that this one spawns imports this module again and knows it too.
make_known()

if __name__ == "__main__":
    sys.exit(main())
