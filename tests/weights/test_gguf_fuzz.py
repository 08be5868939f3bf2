"""Whatever the bytes of a checkpoint's file, its reader keeps its promises; `benchmarks/fuzz.py` tries many more."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights.gguf_header import MOST_FIELDS, MOST_TENSORS, read_header
from testing.fuzzing import CORPUS, EDITS, READERS, broken_promise, edited, whole_files

pytestmark = pytest.mark.slow

FOUND = sorted(path for path in CORPUS.glob("*/*") if path.parent.name in READERS)
EDIT = st.tuples(st.sampled_from(EDITS), st.integers(0, 6000), st.integers(0, 2**31))


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    return {reader: whole_files(reader, tmp_path_factory.mktemp(reader)) for reader in READERS}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "case"


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_files_that_once_broke_a_promise_do_not_any_more(path: Path) -> None:
    assert broken_promise(path.parent.name, path, path.stat().st_size) is None


@pytest.mark.parametrize("reader", READERS)
def test_whole_files_are_read(reader: str, files: dict[str, list[bytes]], room: Path) -> None:
    for content in files[reader]:
        room.write_bytes(content)
        READERS[reader](room)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=80)
@given(edits=st.lists(EDIT, min_size=1, max_size=4), which=st.integers(0, 20), other=st.integers(0, 20))
def test_any_damage_is_a_checkpoint_error_in_little_time_and_memory(
    reader: str, edits: list[tuple[str, int, int]], which: int, other: int, files: dict[str, list[bytes]], room: Path
) -> None:
    some = files[reader]
    content = edited(some[which % len(some)], edits, some[other % len(some)])
    room.write_bytes(content)
    assert broken_promise(reader, room, len(content)) is None


@settings(max_examples=80)
@given(tail=st.binary(max_size=200), num_tensors=st.integers(0, 4), num_fields=st.integers(0, 4))
def test_any_bytes_behind_the_magic_are_a_checkpoint_error(
    tail: bytes, num_tensors: int, num_fields: int, room: Path
) -> None:
    room.write_bytes(preamble(num_tensors, num_fields) + tail)
    assert broken_promise("gguf", room, room.stat().st_size) is None


def preamble(num_tensors: int, num_fields: int, magic: bytes = b"GGUF", version: int = 3) -> bytes:
    return b"".join([magic, u32(version), u64(num_tensors), u64(num_fields)])


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def text(value: bytes) -> bytes:
    return u64(len(value)) + value


def field(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + u32(kind) + value


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + u32(len(shape)) + b"".join(map(u64, shape)) + u32(kind) + u64(offset)


LINE = (32,)
STRINGS, ARRAY = 8, 9
# what is wrong: (what the error says, the file)
HEADERS: dict[str, tuple[str, bytes]] = {
    "nothing": ("got 0 bytes", b""),
    "a few bytes": ("got 23 bytes", preamble(0, 0)[:-1]),
    "another magic": ("begins with b'GGML'", preamble(0, 0, b"GGML")),
    "version 1": ("version 1 is not read", preamble(0, 0, version=1)),
    "big-endian": ("version 3 in big-endian", preamble(0, 0, version=3 << 24)),
    "too many fields": ("1,025 metadata fields are beyond", preamble(0, MOST_FIELDS + 1)),
    "too many tensors": ("2,049 tensors are beyond", preamble(MOST_TENSORS + 1, 0)),
    "fields without bytes": ("truncated: 1,000 metadata fields", preamble(0, 1000)),
    "tensors without bytes": ("truncated: 2,000 tensors", preamble(2000, 0)),
    "key cut": ("truncated in a metadata key", preamble(0, 1) + u64(60_000) + bytes(20)),
    "endless key": ("a metadata key of 18,446,744,073,709,551,615 bytes", preamble(0, 1) + b"\xff" * 20),
    "key not ASCII": ("no ASCII", preamble(0, 1) + field(b"\xff", 4, u32(1))),
    "field twice": ("'a' appears twice", preamble(0, 2) + 2 * field(b"a", 4, u32(1))),
    "unknown type": ("'a': type 13 is unknown", preamble(0, 1) + field(b"a", 13, u32(1))),
    "truth value of 2": ("'a': a truth value", preamble(0, 1) + field(b"a", 7, b"\2")),
    "array of arrays": ("'a': arrays of arrays", preamble(0, 1) + field(b"a", ARRAY, u32(ARRAY) + u64(1))),
    "endless array": ("'a': truncated", preamble(0, 1) + field(b"a", ARRAY, u32(4) + u64(2**62))),
    "endless strings": ("'a': truncated", preamble(0, 1) + field(b"a", ARRAY, u32(STRINGS) + u64(2**61))),
    "endless string": ("'a': truncated: a string ends", preamble(0, 1) + field(b"a", STRINGS, b"\xff" * 8)),
    "second string behind the end": (
        "'a': truncated: a string begins",
        preamble(0, 1) + field(b"a", ARRAY, u32(STRINGS) + u64(2) + u64(2**40) + u64(0)),
    ),
    "alignment of 24": ("must be a power of two, got 24", preamble(0, 1) + field(b"general.alignment", 4, u32(24))),
    "alignment of 0": ("must be a power of two, got 0", preamble(0, 1) + field(b"general.alignment", 4, u32(0))),
    "alignment is a text": (
        "a whole number, got one string",
        preamble(0, 1) + field(b"general.alignment", 8, text(b"x")),
    ),
    "no dimension": ("tensor 'w': expected 1 to 4", preamble(1, 0) + tensor(b"w", (), 0, 0) + bytes(64)),
    "five dimensions": ("tensor 'w': expected 1 to 4", preamble(1, 0) + tensor(b"w", (1,) * 5, 0, 0)),
    "dimension of 0": ("tensor 'w': a dimension", preamble(1, 0) + tensor(b"w", (4, 0), 0, 0)),
    "long name": ("a tensor's name of 65 bytes", preamble(1, 0) + tensor(b"w" * 65, LINE, 0, 0)),
    "tensor twice": ("tensor 'w' appears twice", preamble(2, 0) + 2 * tensor(b"w", LINE, 0, 0)),
    "half a block": ("32 values of|no whole number of Q4_K", preamble(1, 0) + tensor(b"w", LINE, 12, 0) + bytes(64)),
    "odd offset": ("offset 8 is no multiple", preamble(1, 0) + tensor(b"w", LINE, 0, 8) + bytes(200)),
    "behind the end": ("tensor 'w': truncated", preamble(1, 0) + tensor(b"w", LINE, 0, 2**40) + bytes(200)),
    "larger than the file": ("tensor 'w': truncated", preamble(1, 0) + tensor(b"w", (2**63,) * 4, 0, 0) + bytes(200)),
    "overlap": (
        "tensor 'b': overlaps",
        preamble(2, 0) + tensor(b"a", LINE, 0, 0) + tensor(b"b", LINE, 0, 96) + bytes(400),
    ),
}


@pytest.mark.parametrize(("said", "content"), HEADERS.values(), ids=HEADERS)
def test_a_damaged_header_is_one_line_naming_file_and_field_or_tensor(said: str, content: bytes, room: Path) -> None:
    room.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_header(room)
    assert str(caught.value).startswith(str(room))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400 + len(str(room))


def test_a_header_may_hold_no_more_than_the_limits_and_takes_four_times_the_file_and_a_mib(room: Path) -> None:
    names = [f"{number:04x}".encode() for number in range(MOST_TENSORS)]
    fields = b"".join(field(name, 0, b"\0") for name in names[:MOST_FIELDS])
    content = preamble(MOST_TENSORS, MOST_FIELDS) + fields
    content += b"".join(tensor(name, LINE, 24, 32 * place) for place, name in enumerate(names))
    room.write_bytes(content + bytes(32 * MOST_TENSORS + 64))
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    header = read_header(room)
    assert tracemalloc.get_traced_memory()[1] - before < 4 * room.stat().st_size + (1 << 20)
    assert len(header.tensors) == MOST_TENSORS
