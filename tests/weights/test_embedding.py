"""embedding: a network without a head opens as one, with its prompts; other poolings and layers are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.layouts import edit_json, write_adapter, write_embedding_model

POOLING, SETTINGS, INPUT = "1_Pooling/config.json", "config_sentence_transformers.json", "sentence_bert_config.json"
PROMPTS = {"query": "Instruct: Find\nQuery:", "document": "Text: "}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("bare_names", "modules"), [(True, True), (True, False), (False, True)])
def test_a_network_without_a_head_opens_with_the_tensors_of_its_base(
    tmp_path: Path, bare_names: bool, modules: bool, tied: bool, shards: int, dtype: str
) -> None:
    base = write_checkpoint(tmp_path / "base", tied=tied, shards=shards, dtype=dtype)
    judge = open_checkpoint(base)
    folder = write_embedding_model(tmp_path / "embedding", base, bare_names=bare_names, modules=modules)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.layout, checkpoint.stored_head, checkpoint.prompts) == ("embedding", None, {})
    assert checkpoint.config.tie_word_embeddings
    assert set(checkpoint.tensors) == set(judge.tensors) - {"lm_head.weight"}
    for name, tensor in checkpoint.tensors.items():
        assert tensor.name == name
        np.testing.assert_array_equal(tensor.read(), judge.tensors[name].read())
    assert checkpoint.num_bytes == checkpoint.config.num_parameters * (4 if dtype == "F32" else 2)


def test_its_head_is_an_error_that_says_what_it_is_for(base: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_embedding_model(tmp_path, base))
    with pytest.raises(CheckpointError, match=r"an embedding model, which has no yes/no head; .*Embedder.*Reranker"):
        _ = checkpoint.head


def test_a_network_saved_alone_may_be_called_so(base: Path, tmp_path: Path) -> None:
    folder = write_embedding_model(tmp_path, base)
    edit_json(folder / "config.json", architectures=["Qwen3Model"])
    assert open_checkpoint(folder).layout == "embedding"


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (PROMPTS, PROMPTS),
        ({"query": "q: ", "passage": "p: ", "corpus": "c: "}, {"query": "q: ", "document": "p: "}),
        ({"query": "", "document": ""}, {"query": "", "document": ""}),
        ({"sts": "s: "}, {}),
    ],
)
def test_the_prompts_are_those_that_sentence_transformers_takes(
    base: Path, tmp_path: Path, stored: dict[str, str], found: dict[str, str]
) -> None:
    assert open_checkpoint(write_embedding_model(tmp_path, base, prompts=stored)).prompts == found


def test_newer_files_name_one_pooling(base: Path, tmp_path: Path) -> None:
    folder = write_embedding_model(tmp_path, base)
    pooling = {"embedding_dimension": 32, "pooling_mode": "lasttoken", "include_prompt": True}
    (folder / POOLING).write_text(json.dumps(pooling))
    assert open_checkpoint(folder).layout == "embedding"
    edit_json(folder / POOLING, pooling_mode=["lasttoken", "mean"])
    with pytest.raises(CheckpointError, match=r"expected last-token pooling .* got \['lasttoken', 'mean'\]"):
        open_checkpoint(folder)


def configured(name: str, **changes: Any) -> Callable[[Path], object]:
    return lambda folder: edit_json(folder / name, **changes)


def listed(*kinds: str, path: str = "1_Pooling") -> Callable[[Path], object]:
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": path if n else ""} for n, kind in enumerate(kinds)
    ]
    return lambda folder: (folder / "modules.json").write_text(json.dumps(modules))


DAMAGE: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "mean": (
        configured(POOLING, pooling_mode_lasttoken=False, pooling_mode_mean_tokens=True),
        (POOLING, "expected last-token pooling", "['mean_tokens']"),
    ),
    "first": (configured(POOLING, pooling_mode="cls"), (POOLING, "expected last-token pooling", "['cls']")),
    "two": (configured(POOLING, pooling_mode_max_tokens=True), (POOLING, "'max_tokens', 'lasttoken'")),
    "dense layer": (listed("Transformer", "Pooling", "Dense", "Normalize"), ("modules.json", "'Dense'", "Qwen3-Emb")),
    "a head as well": (listed("Transformer", "Pooling", "LogitScore"), ("modules.json", "'LogitScore'")),
    "other order": (listed("Pooling", "Transformer"), ("modules.json", "Transformer, Pooling and Normalize")),
    "parent folder": (listed("Transformer", "Pooling", path="../x"), ("modules.json", "'../x'", "refused")),
    "no pooling's file": (lambda folder: (folder / POOLING).unlink(), (POOLING, "cannot be read")),
    "other width": (configured(POOLING, word_embedding_dimension=31), (POOLING, "must be 32", "got 31")),
    "lower case": (
        lambda folder: (folder / INPUT).write_text('{"do_lower_case": true}'),
        (INPUT, "do_lower_case is set"),
    ),
    "prompts a list": (configured(SETTINGS, prompts=["x"]), (SETTINGS, "prompts must be an object")),
    "prompt no text": (configured(SETTINGS, prompts={"query": 3}), (SETTINGS, "'query' must be a text, got 3")),
    "surrogate": (configured(SETTINGS, prompts={"document": "\ud800"}), (SETTINGS, "'document' is not valid Unicode")),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), ("model.safetensors", "missing")),
    "shape": (configured("config.json", intermediate_size=47), ("'layers.0.mlp.gate_proj.weight'", "[47, 32]")),
    "layer missing": (configured("config.json", num_hidden_layers=3), ("'layers.2.", "is missing")),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_qwen3_embedding_is_refused_and_says_where(
    damage: Callable[[Path], object], said: tuple[str, ...], base: Path, tmp_path: Path
) -> None:
    damage(write_embedding_model(tmp_path, base, prompts=PROMPTS))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert all(part in message for part in said), message
    assert message.isprintable()


@pytest.mark.parametrize(("pooling", "layout"), [(3, "embedding"), (4, "gguf"), (0, "gguf"), (None, "gguf")])
def test_a_gguf_file_says_by_its_pooling_what_it_is(
    base: Path, tmp_path: Path, pooling: int | None, layout: str
) -> None:
    path = write_gguf(tmp_path / "x.gguf", base, labels=None, fields={"qwen3.pooling_type": pooling})
    checkpoint = open_checkpoint(path)
    assert (checkpoint.layout, checkpoint.stored_head is None) == (layout, layout == "embedding")
    for name, tensor in open_checkpoint(base).tensors.items():
        np.testing.assert_array_equal(checkpoint.tensors[name].read(), tensor.read())


def test_a_gguf_embedding_model_needs_no_language_models_head(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", tied=False)
    path = write_gguf(tmp_path / "x.gguf", base, labels=None, fields={"qwen3.pooling_type": 3})
    assert "lm_head.weight" not in open_checkpoint(path).tensors


@pytest.mark.parametrize(("pooling", "name"), [(1, "mean"), (2, "cls")])
def test_other_poolings_of_gguf_are_refused(base: Path, tmp_path: Path, pooling: int, name: str) -> None:
    path = write_gguf(tmp_path / "x.gguf", base, labels=None, fields={"qwen3.pooling_type": pooling})
    with pytest.raises(CheckpointError, match=rf"pooling_type is {pooling} \({name}\); a Qwen3-Embedding has 3"):
        open_checkpoint(path)


def test_an_adapter_of_an_embedding_model_says_to_merge_it_first(base: Path, tmp_path: Path) -> None:
    embedding = write_embedding_model(tmp_path / "embedding", base)
    folder = write_adapter(tmp_path / "adapter", embedding, {"model.layers.0.self_attn.q_proj": (32, 32)})
    with pytest.raises(CheckpointError, match=r"base must not be an embedding model.*merge_and_unload"):
        open_checkpoint(folder)
