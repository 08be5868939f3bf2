"""What is kept on disk belongs to one content of weights, is made once, and is never needed."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker, plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.backends.cpu.array_file import PARTIAL, Arrays
from qwen3_reranker.backends.cpu.constant_prefix import compute_prefix
from qwen3_reranker.backends.cpu.disk_cache import FOLDER, DiskCache
from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.records import Receipt, Row
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from tests.backends.test_array_file import no_file_larger_than

SHAPES = {"values": ("float32", (1000,))}
PREFIX = np.arange(10, 16, dtype=np.int32)


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, which is not the tester's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user" / "qwen3_reranker"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many bytes as are worth keeping something of, nearly all of them word vectors."""
    return write_checkpoint(tmp_path_factory.mktemp("large"), vocab_size=1_100_000, dtype="BF16")


def made(folder: Path, recipe: str = "recipe") -> tuple[Arrays, bool]:
    """The arrays of a cache that is opened for them, and whether they had to be made."""
    calls = []

    def fill(arrays: Arrays) -> None:
        arrays["values"][...] = np.arange(1000)
        calls.append(recipe)

    arrays = DiskCache(open_checkpoint(str(folder)), enabled=True).arrays(recipe, SHAPES, fill)
    assert np.array_equal(arrays["values"], np.arange(1000, dtype=np.float32))
    return arrays, bool(calls)


def kept_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}


def backend(folder: Path, **options: object) -> CpuBackend:
    settings = {"max_batch_tokens": 100, "prefix_cache_tokens": 0, "precision": "int8", **options}
    return CpuBackend(open_checkpoint(str(folder)), constant_prefix=PREFIX, **settings)


def states(opened: CpuBackend) -> np.ndarray:
    rows = [Row(np.append(PREFIX, [last, 7]).astype(np.int32), (6,), Receipt(0, 0, 0, 0)) for last in range(4)]
    return run_all(opened.steps(plan.build(rows, 4))).hidden_ND


def test_arrays_are_made_once_for_each_recipe(folder: Path) -> None:
    assert [made(folder, recipe)[1] for recipe in ("a", "b", "a", "b")] == [True, True, False, False]
    assert len(kept_in(folder / FOLDER)) == 2


def test_the_same_content_in_two_folders_has_one_name(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    made(folder)
    made(tmp_path / "copy")
    assert kept_in(folder / FOLDER) == kept_in(tmp_path / "copy" / FOLDER)


def test_weights_of_other_content_or_another_shape_of_network_have_another_name(folder: Path) -> None:
    made(folder)
    names = kept_in(folder / FOLDER)
    write_checkpoint(folder, seed=1)
    assert made(folder)[1]
    names |= kept_in(folder / FOLDER)
    write_checkpoint(folder, seed=1, rope_theta=10_000)
    assert made(folder)[1]
    assert len(names | kept_in(folder / FOLDER)) == 3


def test_beside_a_model_only_what_was_made_of_its_present_weights_stays(folder: Path) -> None:
    for recipe in ("a", "a-b", "b"):
        made(folder, recipe)
    [of_others] = [name for name in kept_in(folder / FOLDER) if name.startswith("a-b-")]
    write_checkpoint(folder, seed=1)
    made(folder, "a")
    assert len(kept_in(folder / FOLDER)) == 3
    assert of_others in kept_in(folder / FOLDER)
    assert not made(folder, "a")[1]


def test_in_the_users_folder_what_was_made_of_other_models_stays(folder: Path, user_folder: Path) -> None:
    (folder / FOLDER).write_text("")
    made(folder)
    write_checkpoint(folder, seed=1)
    made(folder)
    assert len(kept_in(user_folder)) == 2


@pytest.mark.parametrize("replaced", [False, True], ids=["written to", "replaced"])
def test_weights_that_change_while_they_are_read_are_an_error_and_nothing_is_kept(folder: Path, replaced: bool) -> None:
    weights = folder / "model.safetensors"

    def fill(arrays: Arrays) -> None:
        status, content = weights.stat(), bytearray(weights.read_bytes())
        content[-1] ^= 1
        if replaced:
            weights.unlink()
        weights.write_bytes(content)
        os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(CheckpointError, match="the checkpoint changed"):
        DiskCache(open_checkpoint(str(folder)), enabled=True).arrays("recipe", SHAPES, fill)
    assert not kept_in(folder / FOLDER)


def test_a_digest_is_remembered_for_one_path_and_not_for_any_of_its_name(
    folder: Path, tmp_path: Path, user_folder: Path
) -> None:
    same = shutil.copytree(folder, tmp_path / "same", copy_function=os.link)
    for each in (folder, same):
        (each / FOLDER).write_text("")
        made(each)
    assert len(json.loads((user_folder / "digests.json").read_text())) == 2


def test_a_prefix_that_one_variant_computed_is_not_read_by_another(folder: Path) -> None:
    checkpoint, variants = open_checkpoint(str(folder)), native_module().variants()

    def bits(variant: str, enabled: bool) -> bytes:
        prefix = compute_prefix(checkpoint, PREFIX, DiskCache(checkpoint, enabled), variant, 1)
        return prefix._keys_values.tobytes()

    for variant in variants * 2:
        assert bits(variant, enabled=True) == bits(variant, enabled=False)
    assert len(kept_in(folder / FOLDER)) == len(variants)


def test_a_weight_that_changes_behind_equal_size_and_time_is_noticed(folder: Path) -> None:
    made(folder)
    weights = folder / "model.safetensors"
    status = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert made(folder)[1]


def test_a_damaged_file_is_said_and_made_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(folder)
    [kept] = [path for path in (folder / FOLDER).iterdir() if path.suffix == ".safetensors"]
    content = bytearray(kept.read_bytes())
    content[-2000] ^= 1
    kept.write_bytes(content)
    assert made(folder)[1]
    assert "is damaged" in caplog.text
    assert not made(folder)[1]


def test_a_pipe_in_place_of_a_file_does_not_stop_the_start(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(folder)
    for path in (folder / FOLDER).iterdir():
        path.unlink()
        os.mkfifo(path)
    assert made(folder)[1]
    assert "not a regular file" in caplog.text
    assert not made(folder)[1]


def test_what_killed_processes_left_is_removed_when_the_cache_is_opened(folder: Path) -> None:
    made(folder)
    left = folder / FOLDER / f"recipe{PARTIAL}"
    left.touch()
    os.utime(left, (time.time() - 25 * 3600,) * 2)
    assert not made(folder)[1]
    assert not left.exists()


def test_remembered_digests_that_make_no_sense_are_forgotten(folder: Path) -> None:
    made(folder)
    for nonsense in ("", "[1]", '{"a": 1}', "[" * 100_000):
        (folder / FOLDER / "digests.json").write_text(nonsense)
        assert not made(folder)[1]


def test_beside_a_model_that_cannot_be_written_the_users_folder_keeps_it(folder: Path, user_folder: Path) -> None:
    # A file in the folder's place is what not even the administrator can write into.
    (folder / FOLDER).write_text("")
    assert made(folder)[1]
    assert not made(folder)[1]
    assert len(kept_in(user_folder)) == 1


def test_a_users_folder_that_is_named_by_half_a_path_is_not_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FOLDER).write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "half")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made(folder)
    assert kept_in(tmp_path / "home" / ".cache" / "qwen3_reranker")
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize("obstacle", ["no folder", "no room"])
def test_where_nothing_can_be_kept_the_arrays_are_the_same_and_a_warning_says_so(
    folder: Path, user_folder: Path, caplog: pytest.LogCaptureFixture, obstacle: str
) -> None:
    if obstacle == "no folder":
        (folder / FOLDER).write_text("")
        user_folder.parent.write_text("")
        assert made(folder)[1]
        assert made(folder)[1]
        assert "cannot be kept on disk" in caplog.text
    else:
        with no_file_larger_than(2000):
            assert made(folder)[1]
        assert "File too large" in caplog.text
        assert not kept_in(folder / FOLDER) | kept_in(user_folder)


def test_a_large_model_keeps_panels_and_prefix_and_the_next_start_gives_the_same_bits(
    large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = states(backend(large))
    assert {name.split("-")[0] for name in kept_in(large / FOLDER)} == {"int8", "prefix"}
    caplog.set_level(logging.INFO)
    again = backend(large)
    assert "not there yet" not in caplog.text
    shutil.rmtree(large / FOLDER)
    assert np.array_equal(states(again), first)
    assert np.array_equal(states(backend(large, disk_cache=False)), first)
    assert not (large / FOLDER).exists()


def test_bfloat16_keeps_the_prefix_alone_and_the_next_start_gives_the_same_bits(
    large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = states(backend(large, precision="bfloat16"))
    [kept] = kept_in(large / FOLDER)
    assert kept.startswith("prefix-")
    caplog.set_level(logging.INFO)
    assert np.array_equal(states(backend(large, precision="bfloat16")), first)
    # It is in float32 whatever comes after it, so 8 bits read it too.
    backend(large, precision="int8")
    assert not [record.message for record in caplog.records if "/prefix-" in record.message]
    shutil.rmtree(large / FOLDER)
    assert np.array_equal(states(backend(large, precision="bfloat16", disk_cache=False)), first)


def test_a_large_model_that_nothing_can_be_kept_of_runs_after_one_warning(
    large: Path, tmp_path: Path, user_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(large, tmp_path / "same", copy_function=os.link)
    (folder / FOLDER).write_text("")
    user_folder.parent.write_text("")
    assert np.array_equal(states(backend(folder)), states(backend(folder, disk_cache=False)))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_small_model_and_one_asked_not_to_keep_anything_write_nothing(
    folder: Path, large: Path, user_folder: Path
) -> None:
    states(backend(folder))
    states(backend(large, disk_cache=False))
    with Reranker("nano", precision="int8") as nano:
        nano.rank("q", ["d"])
        assert not (nano.checkpoint.folder / FOLDER).exists()
    for each in (folder / FOLDER, large / FOLDER, user_folder):
        assert not each.exists()
