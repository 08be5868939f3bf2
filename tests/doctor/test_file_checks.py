"""Every planted fault of a checkpoint's files is named, exactly and alone; whole files are accused of nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from qwen3_reranker.doctor import check_files
from testing.chat_templates import ASSISTANT, OWN, plain
from testing.checkpoints import write_checkpoint
from testing.gguf_files import write_gguf
from testing.layouts import edit_tensors, write_classifier, write_embedding_model
from tests.doctor.conftest import found


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of single bytes, yes and no."""
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "n", "ye", "yes", "no"]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[("y", "e"), ("ye", "s"), ("n", "o")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made.save(str(path))
    return path


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def write_rows(folder: Path, name: str, value: float) -> None:
    """Overwrite the whole tensor with one value."""
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[:8], "little")
    begin, end = json.loads(content[8 : 8 + size])[name]["data_offsets"]
    content[8 + size + begin : 8 + size + end] = np.full((end - begin) // 4, value, np.float32).tobytes()
    path.write_bytes(content)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def swap_shards(folder: Path) -> None:
    first, second = sorted(folder.glob("model-*.safetensors"))
    first.write_bytes(second.read_bytes())


def quantise(folder: Path) -> None:
    path = folder / "model.safetensors"
    words = {"model.embed_tokens.weight": np.zeros((320 * 32 // 2, 1), np.uint8)}
    save_file({**load_file(path), **words}, path)
    edit(folder / "config.json", quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def classifier(folder: Path) -> None:
    edit(folder / "config.json", tie_word_embeddings=False)


FAULTS: dict[str, tuple[dict[str, Any], Callable[[Path], object]]] = {
    "unreadable-files": ({}, cut),
    "unread-format": ({}, quantise),
    "unsupported-model": ({}, lambda folder: edit(folder / "config.json", model_type="xlm-roberta")),
    "index-mismatch": ({"shards": 2}, swap_shards),
    "missing-head": ({}, classifier),
    "no-judge": ({"tied": False}, lambda folder: write_rows(folder, "lm_head.weight", 0.0)),
    "untied-head": ({"store_head": True}, lambda folder: None),
    "unread-tensors": ({}, lambda folder: edit(folder / "config.json", num_hidden_layers=1)),
    "wrong-tokenizer": ({"vocab_size": 200}, lambda folder: None),
    "damaged-weights": ({}, lambda folder: write_rows(folder, "model.norm.weight", float("nan"))),
    "other-config": ({}, lambda folder: edit(folder / "config.json", rope_theta=10_000)),
    "template-no-think-block": (
        {},
        lambda folder: (folder / "chat_template.jinja").write_text(plain(suffix=ASSISTANT)),
    ),
    "template-lost-newline": (
        {},
        lambda folder: (folder / "chat_template.jinja").write_text(plain().removesuffix("\n")),
    ),
    "other-judge": ({}, lambda folder: (folder / "chat_template.jinja").write_text(OWN)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_exactly(tmp_path: Path, tokenizer: Path, fault: str) -> None:
    shape, damage = FAULTS[fault]
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=tokenizer, **shape)
    damage(folder)
    assert found(check_files(folder)) == [fault]


@pytest.mark.parametrize("shape", [{}, {"tied": False}, {"shards": 3}, {"dtype": "BF16"}, {"num_hidden_layers": 1}])
def test_whole_files_are_accused_of_nothing(tmp_path: Path, tokenizer: Path, shape: dict[str, Any]) -> None:
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=tokenizer, **shape)
    (folder / "chat_template.jinja").write_text(plain())
    report = check_files(folder)
    assert found(report) == []
    assert not report.notes


def test_words_and_control_tokens_that_were_added_are_noted(tmp_path: Path, tokenizer: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=tokenizer)
    extended = Tokenizer.from_file(str(tokenizer))
    extended.add_tokens(["part-no", "C++26"])
    extended.add_special_tokens(["<|domain|>"])
    extended.save(str(folder / "tokenizer.json"))
    report = check_files(folder)
    assert found(report) == []
    assert report.notes[:2] == [
        "added words, which texts may contain: 2 ('part-no', 'C++26')",
        "added control tokens, which no text becomes by default: 1 ('<|domain|>')",
    ]


def test_the_bundled_model_is_accused_of_nothing() -> None:
    assert found(check_files("nano")) == []


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({}, []),
        ({"kind": "Q8_0"}, []),
        ({"kinds": {"cls.output.weight": "Q4_0"}}, ["quantized-head"]),
        ({"labels": None}, ["no-rank-head"]),
        ({"head": np.ones((2, 32), np.float32)}, ["no-judge"]),
    ],
    ids=str,
)
def test_a_gguf_file_is_accused_of_its_own_faults_alone(
    tmp_path: Path, tokenizer: Path, options: dict[str, Any], faults: list[str]
) -> None:
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=tokenizer, intermediate_size=64)
    assert found(check_files(write_gguf(tmp_path / "x.gguf", folder, **options))) == faults


@pytest.mark.parametrize("modules", [True, False])
def test_an_embedding_model_is_named_as_one_and_accused_of_nothing_else(tmp_path: Path, modules: bool) -> None:
    folder = write_embedding_model(tmp_path / "model", write_checkpoint(tmp_path / "base"), modules=modules)
    assert found(check_files(folder)) == ["embedding-model"]
    path = write_gguf(tmp_path / "x.gguf", tmp_path / "base", labels=None, fields={"qwen3.pooling_type": 3})
    assert found(check_files(path)) == ["embedding-model"]


def test_a_head_beside_a_classifier_is_noted(tmp_path: Path, tokenizer: Path) -> None:
    base = write_checkpoint(tmp_path / "base", tokenizer_file=tokenizer, tied=False)
    folder = write_classifier(tmp_path / "model", base, yes_id=1, no_id=2)
    edit(folder / "config.json", pad_token_id=1)
    report = check_files(folder)
    assert found(report) == []
    assert "the score head is score.weight; lm_head.weight, which is there too, is not used" in report.notes


def test_tensors_that_an_index_does_not_list_are_noted(tmp_path: Path, tokenizer: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", tokenizer_file=tokenizer, shards=2)
    edit_tensors(sorted(folder.glob("*.safetensors"))[0], extra=torch.ones(2))
    edit(folder / "model.safetensors.index.json", metadata={})
    assert "tensors that the index does not list, and nothing reads: 1 ('extra')" in check_files(folder).notes


@pytest.mark.parametrize(("pad", "faults"), [(1, []), (None, ["no-pad-token"])])
def test_a_classifier_without_a_padding_token_is_named(
    tmp_path: Path, tokenizer: Path, pad: int | None, faults: list[str]
) -> None:
    base = write_checkpoint(tmp_path / "base", tokenizer_file=tokenizer)
    folder = write_classifier(tmp_path / "model", base, yes_id=1, no_id=2)
    edit(folder / "config.json", pad_token_id=pad)
    assert found(check_files(folder)) == faults
