"""How many threads torch may use: the container's share of the machine, not the machine."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def cpu_quota(root: Path = CGROUP_ROOT) -> float | None:
    """CPUs that the cgroup allows (v2 ``cpu.max``, v1 ``cpu.cfs_*``), None where nothing limits them."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        limit, every = int(quota), int(period)
    except ValueError:  # v2 says "max"
        return None
    return limit / every if limit > 0 and every > 0 else None


def usable_threads(root: Path = CGROUP_ROOT) -> int:
    """The smaller of affinity and quota, at least 1. A fraction of a CPU counts as one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return affinity if quota is None else max(1, min(affinity, ceil(quota)))
