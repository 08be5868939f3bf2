"""safetensors: our reader agrees with the safetensors package, and damage is always a CheckpointError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import StoredTensor
from qwen3_reranker.weights.safetensors import MAX_HEADER_BYTES, TensorEntry, read_entries
from testing.checkpoints import safetensors_bytes

TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@pytest.mark.parametrize("dtype", TORCH)
def test_tensors_written_by_the_safetensors_package_come_back_equal(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    random = torch.Generator().manual_seed(0)
    written = {f"w{n}": torch.randn(n, 7, generator=random).to(TORCH[dtype]) for n in range(1, 5)}
    save_file({**written, "steps": torch.arange(3), "mask": torch.tensor([True])}, path, metadata={"format": "pt"})
    entries = read_entries(path)
    assert set(entries) == {*written, "steps", "mask"}
    for name, values in written.items():
        entry = entries[name]
        assert (entry.dtype, entry.shape) == (dtype, tuple(values.shape))
        tensor = StoredTensor(name, entry.shape, entry.dtype, entry.source, entry.offset, entry.num_bytes)
        np.testing.assert_array_equal(tensor.read(), values.float().numpy())


def line(begin: Any = 0, end: Any = 8, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TWICE = json.dumps(line())
HEADERS: dict[str, tuple[Any, str]] = {
    "overlap": ({"a": line(), "w": line(4, 12)}, "tensor 'w': overlaps .* must begin at 8, got 4"),
    "hole": ({"w": line(4, 12)}, "tensor 'w': leaves a hole .* must begin at 0, got 4"),
    "truncated": ({"w": line(0, 80, (20,))}, "tensor 'w': truncated: .* fetch the file again"),
    "trailing bytes": ({"w": line(0, 4, (1,))}, "expected the file to end with its last tensor"),
    "bytes for shape": ({"w": line(0, 16)}, r"tensor 'w': expected 8 bytes for F32 \[2\], got 16"),
    "huge shape": ({"w": line(0, 16, (10**18,) * 60)}, "tensor 'w': expected .* got 16"),
    "absurd sizes": (b'{"w":{"dtype":"F32","shape":[%s],"data_offsets":[0,16]}}' % (b"9" * 5000), "tensor 'w': shape"),
    "many dimensions": ({"w": line(0, 16, (1,) * 65)}, "tensor 'w': shape"),
    "negative shape": ({"w": line(0, 16, (-2, -2))}, "tensor 'w': shape must be a list of sizes"),
    "boolean shape": ({"w": line(0, 16, (True,))}, "tensor 'w': shape must be a list of sizes"),
    "offsets backwards": ({"w": line(16, 0)}, r"tensor 'w': data_offsets must be \[begin, end\]"),
    "negative offsets": ({"w": line(-8, 8)}, "tensor 'w': data_offsets must be"),
    "no offsets": ({"w": {"dtype": "F32", "shape": []}}, "tensor 'w': data_offsets must be"),
    "no dtype": ({"w": line(dtype=None)}, "tensor 'w': dtype must be a string"),
    "not an entry": ({"w": [1]}, "tensor 'w': expected an object"),
    "same name twice": (f'{{"w": {TWICE}, "w": {TWICE}}}'.encode(), "header: 'w' appears twice"),
    "same field twice": (b'{"w":{"dtype":"F32","dtype":"F32"}}', "header: 'dtype' appears twice"),
    "a list": (b"[]", "expected a JSON object, got list"),
    "broken JSON": (b'{"w":', "not JSON"),
    "nothing": (b"", "not JSON"),
    "nested": (b"[" * 100_000, "nested too deeply"),
    "not UTF-8": (b'{"\xff":1}', "not UTF-8 at byte 2"),
    "lone surrogate": (b'{"\\ud800":1}', r"tensor '\\ud800': expected an object"),
    "newline in a name": (b'{"a\\nb":1}', r"tensor 'a\\nb': expected an object"),
}


@pytest.mark.parametrize(("header", "said"), HEADERS.values(), ids=HEADERS)
def test_a_damaged_header_is_an_error_naming_file_and_tensor(header: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes(header, bytes(16)))
    assert_refused(path, said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got 0 bytes"),
        (b"\x01\0\0", "got 3 bytes"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{}", "beyond the limit of 100,000,000"),
        (b"\xff" * 8, "beyond the limit"),
        ((3).to_bytes(8, "little") + b"{}", "truncated: the header needs 3 bytes, the file has 2"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "a Git LFS pointer"),
        ((40).to_bytes(8, "little") + b"no header of JSON, but forty bytes of it", "JSON"),
    ],
)
def test_a_file_that_is_not_safetensors_is_an_error_naming_it(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert_refused(path, said)


def test_a_file_that_cannot_be_opened_is_an_error_naming_it(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none.safetensors", "cannot be read")
    assert_refused(tmp_path, "cannot be read")


def assert_refused(path: Path, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        read_entries(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


SMALL = safetensors_bytes({"__metadata__": {"format": "pt"}, "a": line(), "b": line(8, 16, (2, 2), "BF16")}, bytes(16))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(SMALL)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content) - 1))
        content[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content[: draw(st.integers(1, len(content)))]) if draw(st.booleans()) else bytes(content)


@pytest.fixture(scope="module")
def fuzzed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.safetensors"


@given(content=st.one_of(damaged(), st.binary(max_size=64), st.binary(max_size=64).map(safetensors_bytes)))
def test_any_damage_gives_tensors_within_the_file_or_a_checkpoint_error(content: bytes, fuzzed_file: Path) -> None:
    fuzzed_file.write_bytes(content)
    entries = entries_or_refusal(fuzzed_file)
    assert all(entry.offset + entry.num_bytes <= len(content) for entry in entries.values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@given(
    header=st.dictionaries(
        st.text(max_size=4), JSON | st.fixed_dictionaries({"dtype": JSON, "shape": JSON, "data_offsets": JSON})
    )
)
def test_any_header_gives_entries_or_a_checkpoint_error(header: dict[str, Any], fuzzed_file: Path) -> None:
    fuzzed_file.write_bytes(safetensors_bytes(header))
    assert set(entries_or_refusal(fuzzed_file)) <= set(header)


def entries_or_refusal(path: Path) -> Mapping[str, TensorEntry]:
    """The file's entries, none if it is refused; the refusal is one line that names the file."""
    try:
        return read_entries(path)
    except CheckpointError as error:
        message = str(error)
    assert str(path) in message
    assert message.isprintable()
    return {}
