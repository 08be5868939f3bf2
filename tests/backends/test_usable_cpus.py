"""The number of threads heeds the processors that a process may run on and a container's quota of them."""

import os
from pathlib import Path

import pytest

from qwen3_reranker.backends.cpu import usable_cpus as module
from qwen3_reranker.backends.cpu.usable_cpus import usable_cpus


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


GROUP = "sys/fs/cgroup"
CASES = {
    "no control groups": ({}, 8),
    "version 2, no quota": ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "max 100000\n"}, 8),
    "version 2, half a processor": ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "50000 100000\n"}, 1),
    "version 2, two and a half": ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "250000 100000\n"}, 3),
    "version 2, more than there are": ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "6400000 100000\n"}, 8),
    "version 2, a group above is the narrower": (
        {
            "proc/self/cgroup": "0::/pods/one\n",
            f"{GROUP}/pods/one/cpu.max": "max 100000\n",
            f"{GROUP}/pods/cpu.max": "400000 100000\n",
            f"{GROUP}/cpu.max": "max 100000\n",
        },
        4,
    ),
    "version 2, the host's path in a container": (
        {"proc/self/cgroup": "0::/docker/0123\n", f"{GROUP}/cpu.max": "200000 100000\n"},
        2,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n0::/a\n",
            f"{GROUP}/cpu,cpuacct/a/cpu.cfs_quota_us": "150000\n",
            f"{GROUP}/cpu,cpuacct/a/cpu.cfs_period_us": "50000\n",
            f"{GROUP}/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            f"{GROUP}/cpu,cpuacct/cpu.cfs_period_us": "50000\n",
        },
        3,
    ),
    "version 1, no quota": (
        {
            "proc/self/cgroup": "1:cpu:/\n",
            f"{GROUP}/cpu/cpu.cfs_quota_us": "-1\n",
            f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
    "damaged files": ({"proc/self/cgroup": "nonsense\n0::/\n1:cpu\n", f"{GROUP}/cpu.max": "1 0\n"}, 8),
    "an empty file": ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": ""}, 8),
}


@pytest.mark.parametrize(("files", "expected"), CASES.values(), ids=CASES)
def test_the_narrowest_quota_of_a_container_is_rounded_up_to_processors(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert usable_cpus(write(tmp_path, files)) == expected


def test_a_quota_above_the_processors_allowed_adds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    files = {"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "400000 100000\n"}
    assert usable_cpus(write(tmp_path, files)) == 1
