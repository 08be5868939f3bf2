"""A file of arrays is whole or not there, and whatever was done to it is noticed before an array is believed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from qwen3_reranker.backends.cpu.array_file import (
    PARTIAL,
    Arrays,
    read_arrays,
    write_arrays,
)
from qwen3_reranker.errors import CheckpointError

SHAPES = {"bytes": ("uint8", (3, 5)), "scales": ("float32", (2, 3))}
EXPECTED = {
    "bytes": np.arange(15, dtype=np.uint8).reshape(3, 5),
    "scales": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
}
# Writes arrays of one value, again and again.
WRITER = """
import sys
from pathlib import Path
from qwen3_reranker.backends.cpu.array_file import write_arrays

def fill(arrays):
    arrays["a"][...] = int(sys.argv[2])

for _ in range(40):
    write_arrays(Path(sys.argv[1]), {"a": ("uint8", (100_000,))}, fill)
"""


def fill(arrays: Arrays) -> None:
    for name, values in EXPECTED.items():
        assert not arrays[name].any()
        arrays[name][...] = values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "arrays.safetensors"
    write_arrays(path, SHAPES, fill)
    return path


@contextmanager
def no_file_larger_than(num_bytes: int) -> Iterator[None]:
    """As on a full disk, writing stops in the middle, here with EFBIG instead of ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_whole(arrays: Arrays) -> None:
    assert list(arrays) == list(EXPECTED)
    for name, values in EXPECTED.items():
        assert arrays[name].dtype == values.dtype
        assert np.array_equal(arrays[name], values)


def test_arrays_come_back_read_only_and_the_file_is_one_that_other_programs_read(path: Path) -> None:
    arrays = read_arrays(path, SHAPES)
    assert_whole(arrays)
    assert not any(array.flags.writeable for array in arrays.values())
    loaded = load_file(path)
    loaded.pop("crc32")
    assert_whole({name: loaded[name] for name in EXPECTED})
    assert os.listdir(path.parent) == [path.name]


def test_one_changed_bit_is_noticed_wherever_it_is(path: Path) -> None:
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged"):
            read_arrays(path, SHAPES)


def test_a_file_of_another_length_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for other in (b"", content[:8], content[:-1], content + b"\0"):
        path.write_bytes(other)
        with pytest.raises(CheckpointError, match=f"expected {len(content)} bytes, got {len(other)}"):
            read_arrays(path, SHAPES)


@pytest.mark.parametrize(
    "other",
    [
        {**SHAPES, "bytes": ("uint8", (5, 3))},
        {**SHAPES, "bytes": ("uint8", (4, 5))},
        {**SHAPES, "scales": ("uint8", (2, 12))},
        {"bytes": SHAPES["bytes"], "sizes": SHAPES["scales"]},
        {"bytes": SHAPES["bytes"]},
    ],
    ids=["another shape", "more", "another type", "another name", "fewer"],
)
def test_a_file_of_other_arrays_is_refused(path: Path, other: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    with pytest.raises(CheckpointError, match=r"arrays\.safetensors"):
        read_arrays(path, other)


def test_a_missing_file_and_one_that_cannot_be_read_are_told_apart(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_arrays(path.with_name("missing"), SHAPES)
    # A folder stands for a file without permission, which the administrator would be let read.
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_arrays(path.parent, SHAPES)


def test_arrays_stay_as_they_are_when_their_file_is_replaced_or_deleted(path: Path) -> None:
    first = read_arrays(path, SHAPES)
    write_arrays(path, SHAPES, lambda arrays: None)
    second = read_arrays(path, SHAPES)
    path.unlink()
    assert_whole(first)
    assert not any(array.any() for array in second.values())


def test_a_disk_without_room_is_an_error_and_leaves_what_was_there(path: Path) -> None:
    with no_file_larger_than(100_000), pytest.raises(OSError, match="File too large"):
        write_arrays(path, {"a": ("uint8", (200_000,))}, lambda arrays: pytest.fail("nothing is to be filled"))
    assert_whole(read_arrays(path, SHAPES))
    assert os.listdir(path.parent) == [path.name]


def test_an_interruption_leaves_what_was_there(path: Path) -> None:
    def interrupted(arrays: Arrays) -> None:
        arrays["bytes"][...] = 9
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_arrays(path, SHAPES, interrupted)
    assert_whole(read_arrays(path, SHAPES))
    assert os.listdir(path.parent) == [path.name]


def test_what_a_killed_process_left_is_removed_after_a_day(path: Path) -> None:
    old, new = path.with_name(f"old{PARTIAL}"), path.with_name(f"new{PARTIAL}")
    old.touch()
    new.touch()
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    write_arrays(path, SHAPES, fill)
    assert sorted(os.listdir(path.parent)) == [path.name, new.name]


def test_the_file_is_for_whom_the_umask_says(path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_arrays(path, SHAPES, fill)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_processes_that_write_one_file_at_once_never_show_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "arrays.safetensors"
    shapes = {"a": ("uint8", (100_000,))}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), value]) for value in ("1", "2")]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            values = np.unique(read_arrays(path, shapes)["a"])
            assert len(values) == 1
            seen.update(values.tolist())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {1, 2}
    assert os.listdir(tmp_path) == [path.name]
