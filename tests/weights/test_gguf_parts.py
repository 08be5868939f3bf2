"""gguf_parts: a model in several files is the model in one; a part that is missing or of another is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf

FIRST, SECOND, LAST = (f"x-0000{number}-of-00003.gguf" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("folder"), vocab_size=64)


@pytest.fixture
def parts(folder: Path, tmp_path: Path) -> Path:
    """A folder with the three parts of one model."""
    (tmp_path / "parts").mkdir()
    assert write_gguf(tmp_path / "parts" / "x.gguf", folder, tensors_of_a_part=10).name == FIRST
    return tmp_path / "parts"


@pytest.mark.parametrize("given", [FIRST, SECOND, LAST, ""])
def test_any_part_or_the_folder_of_them_opens_as_the_whole_file_bit_for_bit(
    given: str, parts: Path, folder: Path, tmp_path: Path
) -> None:
    whole = open_checkpoint(write_gguf(tmp_path / "x.gguf", folder))
    split = open_checkpoint(parts / given)
    assert split.config == whole.config
    assert split.tensors.keys() == whole.tensors.keys()
    for name, tensor in split.tensors.items():
        np.testing.assert_array_equal(tensor.read(), whole.tensors[name].read())
    np.testing.assert_array_equal(split.head.rows(0, 1), whole.head.rows(0, 1))
    assert {tensor.file.name for tensor in split.tensors.values()} == {FIRST, SECOND, LAST}


def test_a_first_part_without_tensors_holds_the_metadata(folder: Path, tmp_path: Path) -> None:
    whole = gguf.GGUFReader(write_gguf(tmp_path / "whole.gguf", folder))
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "qwen3", split_max_tensors=20, small_first_shard=True)
    for field in whole.fields.values():
        if field.name.startswith("qwen3."):
            kinds = (field.types[0], field.types[-1] if len(field.types) > 1 else None)
            writer.add_key_value(field.name, field.contents(), *kinds)
    for tensor in whole.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    [first, *_] = writer.format_shard_names(tmp_path / "x.gguf")
    assert not gguf.GGUFReader(first).tensors
    assert open_checkpoint(first).tensors.keys() == open_checkpoint(tmp_path / "whole.gguf").tensors.keys()


def remove(name: str) -> Callable[[Path, Path], object]:
    return lambda parts, folder: (parts / name).unlink()


def cut(parts: Path, folder: Path) -> None:
    (parts / LAST).write_bytes((parts / LAST).read_bytes()[:-1000])


def exchange(parts: Path, folder: Path) -> None:
    shutil.copy(parts / LAST, parts / SECOND)


def foreign_number_of_tensors(parts: Path, folder: Path) -> None:
    other = write_checkpoint(parts / "other", vocab_size=64, num_hidden_layers=1)
    write_gguf(parts / "other" / "x.gguf", other, tensors_of_a_part=5)
    shutil.copy(parts / "other" / LAST, parts / LAST)


def foreign_tensors(parts: Path, folder: Path) -> None:
    """The third part holds what the second one does."""
    content = bytearray((parts / SECOND).read_bytes())
    place = content.index(b"split.no") + len("split.no") + 4
    assert content[place : place + 2] == b"\1\0"
    content[place] = 2
    (parts / LAST).write_bytes(content)


DAMAGE: dict[str, tuple[str, str, Callable[[Path, Path], object]]] = {
    "no first part": (FIRST, "missing, part 1 of the 3", remove(FIRST)),
    "no last part": (LAST, "missing, part 3 of the 3", remove(LAST)),
    "cut part": (LAST, "truncated", cut),
    "another part's content": (SECOND, "split.no and split.count must be 1 and 3, .* got 2 and 3", exchange),
    "a part of a smaller model": (LAST, "too; the parts are not of one model", foreign_number_of_tensors),
    "the same tensors twice": (LAST, f"lies in {SECOND} too", foreign_tensors),
}


@pytest.mark.parametrize(("file", "said", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_a_part_that_is_missing_damaged_or_foreign_is_named(
    file: str, said: str, damage: Callable[[Path, Path], object], parts: Path, folder: Path
) -> None:
    damage(parts, folder)
    given = SECOND if file == FIRST else FIRST
    with pytest.raises(CheckpointError, match=said) as caught:
        open_checkpoint(parts / given)
    assert str(caught.value).startswith(str(parts / file))


def test_parts_that_hold_fewer_tensors_than_they_say_are_refused(parts: Path) -> None:
    content = (parts / FIRST).read_bytes()
    key = b"split.tensors.count"
    place = content.index(key) + len(key) + 4
    (parts / FIRST).write_bytes(content[:place] + (99).to_bytes(4, "little") + content[place + 4 :])
    with pytest.raises(CheckpointError, match=r"split\.tensors\.count is 99, but its 3 parts hold 2\d"):
        open_checkpoint(parts)


def test_two_models_in_parts_are_two_files_to_choose_from(parts: Path, folder: Path) -> None:
    write_gguf(parts / "y-Q8_0.gguf", folder, tensors_of_a_part=10)
    with pytest.raises(InputError, match=rf"holds 2 GGUF files \({FIRST}, y-Q8_0-00001-of-00003\.gguf\)"):
        open_checkpoint(parts)
    assert open_checkpoint(f"{parts}:q8_0").tensors
