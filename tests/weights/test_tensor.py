"""tensor: whole tensors and rows come back exactly, in bounded memory, or as an error."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.weights import StoredTensor, open_checkpoint
from qwen3_reranker.weights.safetensors import read_entries
from testing.checkpoints import safetensors_bytes, write_checkpoint

DTYPES = ("F32", "F16", "BF16")
EMBEDDING = "model.embed_tokens.weight"


def embedding(folder: Path, dtype: str = "F32", vocab_size: int = 320, hidden_size: int = 32) -> StoredTensor:
    write_checkpoint(folder, dtype=dtype, num_hidden_layers=1, vocab_size=vocab_size, hidden_size=hidden_size)
    return open_checkpoint(folder).tensors[EMBEDDING]


@pytest.mark.parametrize("dtype", DTYPES)
def test_reading_takes_little_memory_beside_the_result(dtype: str, tmp_path: Path) -> None:
    tensor = embedding(tmp_path, dtype, vocab_size=30_000, hidden_size=128)
    out = np.empty(tensor.shape, np.float32)
    assert out.nbytes > 14 << 20
    tracemalloc.start()
    try:
        tensor.read(out=out)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
        tracemalloc.reset_peak()
        tensor.rows(range(0, 30_000, 30))
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="resident memory is read from /proc")
def test_rows_all_over_a_matrix_do_not_make_it_resident(tmp_path: Path) -> None:
    tensor = embedding(tmp_path, "F32", vocab_size=200_000, hidden_size=64)
    tensor.rows([0])
    before = _resident_bytes()
    tensor.rows(range(0, 200_000, 100))
    assert _resident_bytes() - before < tensor.num_bytes // 4


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("width", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_those_of_the_whole_tensor_in_the_order_asked(dtype: str, width: type, tmp_path: Path) -> None:
    tensor = embedding(tmp_path, dtype)
    ids = np.random.default_rng(0).integers(0, tensor.shape[0], 300)
    whole = tensor.read(width)
    assert whole.dtype == width
    for chosen in (ids, ids.tolist(), [5], [7, 7, 3, 7]):
        rows = tensor.rows(chosen, width)
        assert rows.dtype == width
        np.testing.assert_array_equal(rows, whole[chosen])
    assert tensor.rows([], width).shape == (0, tensor.shape[1])


@pytest.mark.parametrize("stored", [0, 1, 0x3F80, 0x7F80, 0xFF80, 0x8000, 0x7FC1], ids=hex)
def test_bfloat16_widens_bit_for_bit(stored: int, tmp_path: Path) -> None:
    header = {"w": {"dtype": "BF16", "shape": [1, 1], "data_offsets": [0, 2]}}
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(header, stored.to_bytes(2, "little")))
    entry = read_entries(tmp_path / "x.safetensors")["w"]
    tensor = StoredTensor("w", entry.shape, entry.dtype, entry.source, entry.offset, entry.num_bytes)
    assert tensor.read().view(np.uint32).item() == stored << 16
    assert tensor.rows([0]).view(np.uint32).item() == stored << 16


def test_a_tensor_that_begins_at_an_odd_byte_reads_the_same(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    text = b'{"w":{"dtype":"F32","shape":[4,3],"data_offsets":[0,48]}}'
    text += b" " * (1 - len(text) % 2)
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(text, values.tobytes()))
    entry = read_entries(tmp_path / "x.safetensors")["w"]
    assert entry.offset % 2
    tensor = StoredTensor("w", entry.shape, entry.dtype, entry.source, entry.offset, entry.num_bytes)
    np.testing.assert_array_equal(tensor.read(), values)
    np.testing.assert_array_equal(tensor.rows([3, 0]), values[[3, 0]])


def test_read_fills_the_array_it_is_given(tmp_path: Path) -> None:
    tensor = embedding(tmp_path, "BF16")
    both = np.zeros((2, *tensor.shape), np.float32)
    assert tensor.read(out=both[1]).base is both
    np.testing.assert_array_equal(both[1], tensor.read())
    assert not both[0].any()


def test_an_array_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    tensor = embedding(tmp_path)
    read_only = np.empty(tensor.shape, np.float32)
    read_only.flags.writeable = False
    columns = np.empty(tensor.shape[::-1], np.float32).T
    for out in (np.empty(tensor.shape[::-1], np.float32), np.empty(tensor.shape), read_only, columns):
        with pytest.raises(InputError, match="out must be"):
            tensor.read(out=out)
    with pytest.raises(InputError, match="float32 or float64, got int8"):
        tensor.read(np.int8)
    with pytest.raises(InputError, match="float32 or float64, got int8"):
        tensor.rows([0], np.int8)


@pytest.mark.parametrize("ids", [[0, 320], [-1], [[1, 2]], [0.5]])
def test_an_id_that_is_no_row_is_an_error_that_names_the_tensor(ids: list[int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=EMBEDDING):
        embedding(tmp_path).rows(ids)


def test_a_file_that_changes_after_opening_is_an_error_and_not_other_weights(tmp_path: Path) -> None:
    tensor = embedding(tmp_path)
    tensor.rows([1])
    os.truncate(tensor.file, tensor.file.stat().st_size - 1)
    for look in (tensor.read, lambda: tensor.rows([1])):
        with pytest.raises(CheckpointError, match=r"model\.safetensors: changed since"):
            look()
    tensor.file.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read any more"):
        tensor.read()
