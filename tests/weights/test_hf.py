"""hf: folders as they are published open; whatever is missing or wrong is one line naming file and tensor."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from qwen3_reranker.errors import CheckpointError, UnreadTensorsError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import to_stored, write_checkpoint
from testing.layouts import write_classifier

EMBEDDING, HEAD, QUERY = "model.embed_tokens.weight", "lm_head.weight", "model.layers.1.self_attn.q_proj.weight"
SINGLE, INDEX, LAST_SHARD = "model.safetensors", "model.safetensors.index.json", "model-00003-of-00003.safetensors"


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_every_needed_tensor_opens_with_its_published_name_and_values(
    tied: bool, shards: int, dtype: str, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, tied=tied, shards=shards, dtype=dtype))
    stored = {name: values for path in tmp_path.glob("*.safetensors") for name, values in load_file(path).items()}
    assert set(checkpoint.tensors) == set(stored)
    for name, tensor in checkpoint.tensors.items():
        assert (tensor.name, tensor.dtype, tensor.shape) == (name, dtype, tuple(stored[name].shape))
        np.testing.assert_array_equal(tensor.read(), stored[name].float().numpy())
    assert checkpoint.head.tensor.name == (EMBEDDING if tied else HEAD)
    assert checkpoint.num_bytes == sum(values.nbytes for values in stored.values())
    assert checkpoint.num_bytes == checkpoint.config.num_parameters * (4 if dtype == "F32" else 2)


def test_a_checkpoint_knows_its_parts_by_name(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path))
    assert (checkpoint.name, checkpoint.folder) == (str(tmp_path), tmp_path)
    assert checkpoint.layer(1).query is checkpoint.tensors[QUERY]
    assert checkpoint.embedding_tensor.name == EMBEDDING
    assert checkpoint.final_norm_tensor.shape == (32,)
    assert checkpoint.tensors[QUERY].file == tmp_path / SINGLE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_head_stored_beside_tied_words_that_equals_them_is_no_event(
    dtype: torch.dtype, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_checkpoint(tmp_path, dtype="BF16")
    words = load_file(tmp_path / SINGLE)[EMBEDDING]
    replace(**{HEAD: words.to(dtype)})(tmp_path)
    checkpoint = open_checkpoint(tmp_path)
    assert HEAD not in checkpoint.tensors
    assert (checkpoint.head.tensor.name, checkpoint.head.note) == (EMBEDDING, "")
    assert not caplog.messages


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 3])
def test_a_head_stored_beside_tied_words_that_differs_judges_as_in_transformers(
    shards: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoModelForCausalLM

    write_checkpoint(tmp_path, tied=True, store_head=True, shards=shards)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.head.tensor is checkpoint.tensors[HEAD]
    assert not checkpoint.config.tie_word_embeddings
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).lm_head.weight
    np.testing.assert_array_equal(checkpoint.head.tensor.read(), theirs.detach().numpy())
    assert "lm_head.weight is used though config.json ties it" in caplog.text


def test_one_number_of_a_stored_head_makes_it_another(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    words = load_file(tmp_path / SINGLE)[EMBEDDING].clone()
    words[-1, -1] += 1
    replace(**{HEAD: words})(tmp_path)
    assert open_checkpoint(tmp_path).head.tensor.name == HEAD


LAYER = "model.layers.{}.self_attn.q_proj.weight"
# Whatever a file holds beside the network: (tensors, what the error says, or nothing where it opens)
EXTRAS: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "old buffers": ({"model.rotary_emb.inv_freq": torch.ones(4)}, ""),
    "old buffers of layers": ({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, ""),
    "scales of a cache": ({"model.layers.0.self_attn.k_proj.k_scale": torch.ones(1)}, ""),
    "more layers": ({LAYER.format(2): torch.ones(32, 32), LAYER.format(3): torch.ones(32, 32)}, "write 4 if they"),
    "a bias": ({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}, "'model.layers.0.self_attn.q_proj.bias'"),
    "a value head": ({"v_head.summary.weight": torch.ones(1, 32)}, "'v_head.summary.weight'; a Qwen3 network has no"),
    "a projector": ({"projector.0.weight": torch.ones(4, 32)}, "1 of 25 tensors would not be read"),
    "a scale": ({"model.layers.0.mlp.up_proj.weight_scale": torch.ones(1)}, "up_proj.weight_scale'"),
}


@pytest.mark.parametrize(("tensors", "said"), EXTRAS.values(), ids=EXTRAS)
def test_a_tensor_that_nothing_reads_is_an_error_unless_it_can_change_nothing(
    tensors: dict[str, torch.Tensor], said: str, tmp_path: Path
) -> None:
    replace(**tensors)(write_checkpoint(tmp_path))
    if not said:
        assert open_checkpoint(tmp_path).tensors.keys().isdisjoint(tensors)
        return
    with pytest.raises(UnreadTensorsError, match=re.escape(said)) as caught:
        open_checkpoint(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / SINGLE))


def test_layers_beyond_those_configured_are_an_error_in_shards_too(tmp_path: Path) -> None:
    configure(num_hidden_layers=1)(write_checkpoint(tmp_path, shards=3))
    with pytest.raises(UnreadTensorsError, match="num_hidden_layers says 1 layers, but tensors of layer 1 are there"):
        open_checkpoint(tmp_path)


def test_a_head_beside_a_classifier_is_left_alone_and_the_note_says_so(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "base", tied=False)
    folder = write_classifier(tmp_path / "model", tmp_path / "base", yes_id=1, no_id=2)
    checkpoint = open_checkpoint(folder)
    assert HEAD not in checkpoint.tensors
    assert checkpoint.head.note == "score.weight; lm_head.weight, which is there too, is not used"


def test_links_into_a_cache_are_followed(tmp_path: Path) -> None:
    blobs = write_checkpoint(tmp_path / "blobs", shards=2)
    (tmp_path / "snapshot").mkdir()
    for path in blobs.iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(os.path.relpath(path, tmp_path / "snapshot"))
    assert open_checkpoint(tmp_path / "snapshot").num_bytes


def test_the_tokenizer_is_asked_for_only_when_it_is_needed(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: missing; copy tokenizer\.json"):
        _ = checkpoint.tokenizer
    (tmp_path / "tokenizer.json").write_text("{}")
    assert checkpoint.tokenizer.source == str(tmp_path / "tokenizer.json")


def test_a_tokenizer_of_an_older_form_is_to_be_written_anew_with_what_was_added_to_it(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path))
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"AutoTokenizer\.from_pretrained\(.*\)\.save_pretrained\("):
        _ = checkpoint.tokenizer


def configure(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


def replace(**tensors: torch.Tensor | None) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        kept = {**load_file(folder / SINGLE), **tensors}
        save_file({name: values for name, values in kept.items() if values is not None}, folder / SINGLE)

    return damage


def map_weights(name: str, shard: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        index["weight_map"][name] = shard
        (folder / INDEX).write_text(json.dumps(index))

    return damage


def without_prefix_and_pooling(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    save_file({name.removeprefix("model."): values for name, values in tensors.items()}, folder / SINGLE)
    (folder / "modules.json").write_text('[{"type": "x.Transformer", "path": ""}]')


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def with_unmerged_adapter(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    query = tensors.pop(QUERY)
    tensors[QUERY.replace(".weight", ".base_layer.weight")] = query
    save_file({f"base_model.model.{name}": values for name, values in tensors.items()}, folder / SINGLE)


def with_a_shard_of_another(folder: Path) -> None:
    (folder / INDEX).unlink()
    (folder / LAST_SHARD).write_bytes(b"")


def only_first_shard(folder: Path) -> None:
    (folder / INDEX).unlink()
    (folder / "model-00002-of-00002.safetensors").unlink()


def same_shard(folder: Path) -> None:
    (folder / INDEX).unlink()
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder / "model-00002-of-00002.safetensors")


def only(*names: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / SINGLE).unlink()
        for name in names:
            (folder / name).write_bytes(b"x")

    return damage


def folder_instead(folder: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / SINGLE).mkdir()


def forget(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        del index["weight_map"][name]
        (folder / INDEX).write_text(json.dumps(index))

    return damage


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - 5)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


SEQUENCE = "Qwen3ForSequenceClassification"
WORDS = torch.ones(320, 32)
# what is wrong: (shards, what the error names and says, damage)
DAMAGE: dict[str, tuple[int, tuple[str, ...], Callable[[Path], None]]] = {
    "no config": (1, ("config.json", "missing"), remove("config.json")),
    "broken config": (1, ("config.json", "not JSON"), write("config.json", b"{")),
    "config not an object": (1, ("config.json", "expected a JSON object"), write("config.json", b"[1]")),
    "config not UTF-8": (1, ("config.json", "not UTF-8"), write("config.json", b'"\xe9"')),
    "other network": (1, ("config.json", "'bert'", "nothing is damaged"), configure(model_type="bert")),
    "no model type": (1, ("config.json", "model_type is missing"), configure(model_type=None)),
    "saved with its adapter": (1, (SINGLE, "merge_and_unload"), with_unmerged_adapter),
    "shards of two": (2, (INDEX, "00002 and of 00003", "two checkpoints"), with_a_shard_of_another),
    "a shard without an index": (2, ("model-00002-of-00002", "shard missing, and so is", INDEX), only_first_shard),
    "the same shard twice": (2, ("model-00002-of-00002", "lies in model-00001-of-00002.safetensors too"), same_shard),
    "Git LFS pointer": (1, (SINGLE, "a Git LFS pointer", "git lfs pull"), write(SINGLE, POINTER)),
    "LFS pointer of a config": (1, ("config.json", "git lfs pull"), write("config.json", POINTER)),
    "web page": (1, (SINGLE, "a web page"), write(SINGLE, b"\n<!DOCTYPE html><html>not found</html>")),
    "text": (1, (SINGLE, "begins with b'Repository not f'"), write(SINGLE, b"Repository not found, or so it seems")),
    "absurd layers": (1, ("layers.2.", "missing"), configure(num_hidden_layers=10**18)),
    "absurd words": (1, ("config.json", "vocab_size"), configure(vocab_size=10**4000)),
    "seq-cls": (1, ("config.json", SEQUENCE, "never made up"), configure(architectures=[SEQUENCE])),
    "other architecture": (1, ("config.json", "Qwen3Model"), configure(architectures=["Qwen3Model"])),
    "architectures not a list": (1, ("config.json", "architectures"), configure(architectures=3)),
    "seq-cls weights": (1, (SINGLE, "'score.weight'", SEQUENCE), replace(**{"score.weight": torch.ones(1, 32)})),
    "no head": (1, (SINGLE, HEAD, "never made up"), configure(tie_word_embeddings=False)),
    "missing tensor": (1, (SINGLE, QUERY, "missing"), replace(**{QUERY: None})),
    "shape": (1, (SINGLE, QUERY, "expected shape [32, 32]", "got [32, 31]"), replace(**{QUERY: torch.ones(32, 31)})),
    "configured otherwise": (1, (SINGLE, EMBEDDING, "[321, 32]", "[320, 32]"), configure(vocab_size=321)),
    "int8": (1, (SINGLE, EMBEDDING, "'I8'", "BF16"), replace(**{EMBEDDING: WORDS.to(torch.int8)})),
    "float8": (1, (SINGLE, EMBEDDING, "'F8_E4M3'"), replace(**{EMBEDDING: WORDS.to(torch.float8_e4m3fn)})),
    "float64": (1, (SINGLE, EMBEDDING, "'F64'", "save the model in float32"), replace(**{EMBEDDING: WORDS.double()})),
    "bare names, no pooling": (1, (SINGLE, EMBEDDING, "no Pooling", "Qwen3-Embedding"), without_prefix_and_pooling),
    "truncated": (1, (SINGLE, "model.norm.weight", "truncated"), cut(SINGLE)),
    "empty": (1, (SINGLE, "got 0 bytes"), write(SINGLE, b"")),
    "a folder": (1, (SINGLE, "cannot be read"), folder_instead),
    "nothing": (1, (SINGLE, "missing"), only()),
    "pickle": (1, (SINGLE, "never read", "save_pretrained"), only("pytorch_model.bin")),
    "GGUF": (1, ("model.gguf", "GGUF"), only("model.gguf")),
    "adapter": (1, ("adapter_config.json", "not JSON"), only("adapter_config.json", "adapter_model.safetensors")),
    "index not JSON": (3, (INDEX, "not JSON"), write(INDEX, b"nope")),
    "index without map": (3, (INDEX, "weight_map"), write(INDEX, b"{}")),
    "missing shard": (3, (LAST_SHARD, "shard missing", "'model.layers.1."), remove(LAST_SHARD)),
    "truncated shard": (3, (LAST_SHARD, "model.norm.weight", "truncated"), cut(LAST_SHARD)),
    "absent from shard": (3, (LAST_SHARD, f"'{EMBEDDING}' is missing"), map_weights(EMBEDDING, LAST_SHARD)),
    "parent folder": (3, (INDEX, EMBEDDING, "refused"), map_weights(EMBEDDING, "../x.safetensors")),
    "absolute path": (3, (INDEX, EMBEDDING, "refused"), map_weights(EMBEDDING, "/x.safetensors")),
    "other separator": (3, (INDEX, EMBEDDING, "refused"), map_weights(EMBEDDING, "..\\x.safetensors")),
    "not a shard": (3, (INDEX, EMBEDDING, "refused"), map_weights(EMBEDDING, "config.json")),
    "no name": (3, (INDEX, EMBEDDING, "refused"), map_weights(EMBEDDING, None)),
    "not listed": (3, (INDEX, QUERY, "missing"), forget(QUERY)),
}


@pytest.mark.parametrize(("shards", "said", "damage"), DAMAGE.values(), ids=DAMAGE)
def test_whatever_is_wrong_is_one_line_naming_file_and_tensor(
    shards: int, said: tuple[str, ...], damage: Callable[[Path], None], tmp_path: Path
) -> None:
    damage(write_checkpoint(tmp_path, shards=shards))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / said[0]) in message or said[0] in message
    assert all(part in message for part in said)
    assert message.isprintable()
    assert len(message) < 500 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("wrapped", "shards"),
    [
        ("_orig_mod.{}", 1),
        ("module.{}", 3),
        ("model.{}", 1),
        ("base_model.model.{}", 1),
        ("module._orig_mod.{}", 1),
        ("_orig_mod.module.model.{}", 1),
    ],
)
def test_names_that_a_wrapper_was_saved_with_are_read_past_it(wrapped: str, shards: int, tmp_path: Path) -> None:
    plain = open_checkpoint(write_checkpoint(tmp_path / "plain", tied=False))
    folder = write_checkpoint(tmp_path / "wrapped", tied=False, shards=shards)
    for path in folder.glob("*.safetensors"):
        save_file({wrapped.format(name): values for name, values in load_file(path).items()}, path)
    if shards > 1:
        index = json.loads((folder / INDEX).read_text())
        index["weight_map"] = {wrapped.format(name): file for name, file in index["weight_map"].items()}
        (folder / INDEX).write_text(json.dumps(index))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.layout == "causal-lm"
    for name, tensor in plain.tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name].read(), tensor.read())
    np.testing.assert_array_equal(checkpoint.head.rows(0, 1), plain.head.rows(0, 1))


def test_shards_without_an_index_are_read_where_all_are_there(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, shards=3)
    listed = {name: tensor.read() for name, tensor in open_checkpoint(folder).tensors.items()}
    (folder / INDEX).unlink()
    checkpoint = open_checkpoint(folder)
    assert checkpoint.tensors.keys() == listed.keys()
    for name, values in listed.items():
        np.testing.assert_array_equal(checkpoint.tensors[name].read(), values)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("fuzz"), num_hidden_layers=1, vocab_size=8, shards=2)


@given(data=st.data())
def test_any_damaged_byte_gives_a_readable_checkpoint_or_a_checkpoint_error(data: st.DataObject, fuzzed: Path) -> None:
    path = data.draw(st.sampled_from(sorted(fuzzed.iterdir())))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, min(len(whole), 1500) - 1))
    path.write_bytes(whole[:place] + data.draw(st.binary(max_size=2)) + whole[place + data.draw(st.integers(0, 2)) :])
    try:
        assert all(tensor.read().shape == tensor.shape for tensor in open_checkpoint(fuzzed).tensors.values())
        message = str(fuzzed)
    except CheckpointError as error:
        message = str(error)
    finally:
        path.write_bytes(whole)
    assert str(fuzzed) in message


@pytest.mark.parametrize("value", [0.0, 1.0, 1.00390625, 1.01171875, 3e38, -1e-40])
def test_the_factory_rounds_to_bfloat16_as_torch_does(value: float) -> None:
    expected = torch.tensor([value]).to(torch.bfloat16).view(torch.uint16).numpy()
    np.testing.assert_array_equal(to_stored(np.array([value], np.float32), "BF16"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_the_factorys_checkpoints_with_equal_weights(tied: bool, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    checkpoint = open_checkpoint(write_checkpoint(tmp_path, tied=tied, shards=2, dtype="BF16"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    state = model.state_dict()
    assert set(state) - {HEAD} == set(checkpoint.tensors) - {HEAD}
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(state[name].numpy(), tensor.read())
    np.testing.assert_array_equal(model.lm_head.weight.detach().numpy(), checkpoint.head.tensor.read())
