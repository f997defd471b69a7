"""How much of the machine others took while we measured: what makes one run's milliseconds comparable to another's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
# The fields of the first line of /proc/stat (man 5 proc): user, nice, system, idle, iowait, irq, softirq, ...
IDLE_FIELDS, FIRST_GUEST = (3, 4), 8


class Moment(NamedTuple):
    """Clock, processor seconds of the whole machine, and of this process with the children it has waited for."""

    clock: float
    busy: float
    ours: float


def moment(stat: Path = Path("/proc/stat")) -> Moment:
    ticks = [int(field) for field in stat.read_text().splitlines()[0].split()[1:]][:FIRST_GUEST]
    busy = sum(value for index, value in enumerate(ticks) if index not in IDLE_FIELDS) / TICKS
    times = os.times()
    return Moment(times.elapsed, busy, sum(times[:4]))


def others(before: Moment, after: Moment) -> float:
    """Processors that other processes kept busy between two moments, on average."""
    busy, ours = after.busy - before.busy, after.ours - before.ours
    return max(0.0, busy - ours) / max(after.clock - before.clock, 1 / TICKS)
