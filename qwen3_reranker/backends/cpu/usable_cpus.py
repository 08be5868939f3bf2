"""How many processors this process may keep busy: those it may run on, or fewer by a container's quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path


def usable_cpus(root: Path = Path("/")) -> int:
    """At least 1; a quota of 2.5 processors counts as 3, so that no share of it is left unused. root: of the files."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The quotas, in processors, of the control groups that hold this process: versions 2 and 1 of Linux's files."""
    mounts = root / "sys/fs/cgroup"
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            controllers, group = [*line.split(":", 2), "", ""][1:3]
            if not controllers:
                for folder in _from_group_up(mounts, group):
                    yield from _quota(*_words(folder / "cpu.max", 2))
            elif "cpu" in controllers.split(","):
                for folder in _from_group_up(mounts / controllers, group):
                    yield from _quota(*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us"))


def _from_group_up(mount: Path, group: str) -> Iterator[Path]:
    # A group above may be the narrower one. In a container the path may be the host's, while the container's own group
    # is at the mount itself.
    path = mount / group.lstrip("/")
    yield path
    while path != mount and mount in path.parents:
        path = path.parent
        yield path


def _words(path: Path, count: int = 1) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").split()[:count]
    return []


def _quota(quota: str = "max", period: str = "") -> Iterator[float]:
    # "max" and -1 mean no quota.
    if quota.isdigit() and period.isdigit() and int(period):
        yield int(quota) / int(period)
