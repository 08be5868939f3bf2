"""gguf: a file holds the network that its folder held, in any of its types; whatever is wrong is one line naming it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from qwen3_reranker import Reranker, plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.cpu import CpuBackend
from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.heads import YesNoHead
from qwen3_reranker.weights import Checkpoint, open_checkpoint
from testing.checkpoints import write_checkpoint, write_small_checkpoint
from testing.gguf_files import RANDOM_SCALES, WRITTEN, gguf_name, values_of, write_gguf
from testing.rows import tree_rows
from testing.tokenizer import NANO_TOKENIZER

# Rows of whole blocks of 256.
SHAPE: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 64}
KINDS = (*WRITTEN, *RANDOM_SCALES)
QUERY = "which planet is red?"
DOCUMENTS = ["Mars is the red planet.", "Venus is hot.", "", "Jupiter has a large red spot, which is a storm."]
HEAD = "cls.output.weight"
QUERY_MATRIX = "blk.1.attn_q.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network behind a tokenizer of few words."""
    return write_small_checkpoint(tmp_path_factory.mktemp("folder"), initializer_range=0.1, **SHAPE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of a few words, without a tokenizer."""
    return write_checkpoint(tmp_path_factory.mktemp("plain"), vocab_size=64, initializer_range=0.1, **SHAPE)


def logits(model: Path, **options: Any) -> np.ndarray:
    with Reranker(str(model), **options) as reranker:
        return reranker.logits([(QUERY, document) for document in DOCUMENTS])


@pytest.mark.parametrize("alignment", [None, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_has_the_values_that_the_gguf_package_reads(
    kind: str, alignment: int | None, plain: Path, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "x.gguf", plain, kind=kind, alignment=alignment)
    checkpoint = open_checkpoint(path)
    assert (checkpoint.layout, checkpoint.folder, checkpoint.name) == ("gguf", tmp_path, str(path))
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    for name, tensor in [*checkpoint.tensors.items(), (HEAD, checkpoint.head.tensor)]:
        theirs = stored[HEAD if name == HEAD else gguf_name(name)]
        expected = dequantize(theirs.data, theirs.tensor_type)
        np.testing.assert_array_equal(tensor.read(), expected)
        assert tensor.dtype == theirs.tensor_type.name == (kind if len(tensor.shape) == 2 else "F32")
        if len(tensor.shape) == 2:
            np.testing.assert_array_equal(tensor.rows([1, 0]), expected[[1, 0]])
    assert len(checkpoint.tensors) + 1 == len(stored)


@pytest.mark.parametrize("tied", [True, False])
def test_the_configuration_is_that_of_the_folder(tied: bool, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, tied=tied, rms_norm_eps=1e-6, rope_theta=12_345.678, vocab_size=50)
    theirs = open_checkpoint(tmp_path).config
    with_head = open_checkpoint(write_gguf(tmp_path / "a.gguf", tmp_path)).config
    without = open_checkpoint(write_gguf(tmp_path / "b.gguf", tmp_path, labels=None)).config
    assert without == replace(theirs, rope_theta=without.rope_theta)
    assert np.float32(without.rope_theta) == np.float32(theirs.rope_theta)
    # The converter leaves the language-model head out where it writes a judge.
    assert with_head == replace(without, tie_word_embeddings=True)


@pytest.mark.parametrize("engine", [{}, {"backend": "reference", "precision": "float64"}], ids=str)
def test_a_float32_file_scores_as_its_folder_bit_for_bit_in_whatever_order_its_labels_are(
    engine: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    expected = logits(folder, **engine)
    assert np.ptp(expected) > 0.01
    for labels in (("yes", "no"), ("No", " YES")):
        rows = _rows(folder, ["yes" if "y" in label.lower() else "no" for label in labels])
        path = write_gguf(tmp_path / "x.gguf", folder, labels=labels, head=rows)
        np.testing.assert_array_equal(logits(path, **engine), expected)


def test_one_row_is_the_difference_of_yes_and_no(folder: Path, tmp_path: Path) -> None:
    yes, no = _rows(folder, ["yes", "no"])
    expected = logits(folder)
    # Programs of ggml leave trailing dimensions of 1 out.
    for head, labels in (((yes - no)[None], ["yes"]), (yes - no, None)):
        fields = {"qwen3.classifier.output_labels": labels}
        path = write_gguf(tmp_path / "x.gguf", folder, head=head, fields=fields)
        np.testing.assert_array_equal(logits(path), expected)


def test_a_file_without_a_head_gets_it_from_its_words_and_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_gguf(tmp_path / "x.gguf", folder, labels=None)
    with caplog.at_level(logging.WARNING):
        checkpoint = open_checkpoint(path)
    assert "the head is rebuilt from the rows of yes and no in token_embd.weight" in caplog.text
    assert checkpoint.head.note == f"rebuilt from token_embd.weight, as the file has no {HEAD}"
    np.testing.assert_array_equal(logits(path), logits(folder))


def test_a_file_with_its_own_language_model_head_is_judged_by_that(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = values_of(folder)["model.embed_tokens.weight"]
    path = write_gguf(tmp_path / "x.gguf", folder, labels=None, tensors={"output.weight": 2 * words})
    np.testing.assert_array_equal(logits(path), 2 * logits(folder))
    assert "output.weight" in caplog.text


# Whatever a file holds beside the network: (tensors, what the error says, or nothing where it opens)
EXTRAS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "divisors of 1": ({"rope_freqs.weight": np.ones(4, np.float32)}, ""),
    "divisors": ({"rope_freqs.weight": np.full(4, 2, np.float32)}, "'rope_freqs.weight' scales rotary positions"),
    "more layers": ({"blk.5.attn_q.weight": np.ones((32, 32), np.float32)}, "qwen3.block_count says 2 layers"),
    "a bias": ({"blk.0.attn_q.bias": np.ones(32, np.float32)}, "'blk.0.attn_q.bias'; a Qwen3 network has no"),
    "a projector": ({"mm.0.weight": np.ones((4, 32), np.float32)}, "1 of 26 tensors would not be read: 'mm.0.weight'"),
}


@pytest.mark.parametrize(("tensors", "said"), EXTRAS.values(), ids=EXTRAS)
def test_a_tensor_that_nothing_reads_is_an_error_unless_it_can_change_nothing(
    tensors: dict[str, np.ndarray], said: str, folder: Path, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "x.gguf", folder, tensors=tensors)
    if not said:
        assert open_checkpoint(path).layout == "gguf"
        return
    with pytest.raises(CheckpointError, match=re.escape(said)):
        open_checkpoint(path)


def test_a_language_model_head_beside_a_classifier_or_in_an_embedding_model_opens(tmp_path: Path) -> None:
    untied = write_checkpoint(tmp_path / "untied", tied=False)
    words = values_of(untied)["lm_head.weight"]
    judge = write_gguf(tmp_path / "x.gguf", untied, tensors={"output.weight": words})
    assert open_checkpoint(judge).head.tensor.name == "cls.output.weight"
    fields = {"qwen3.pooling_type": 3}
    embedding = write_gguf(tmp_path / "y.gguf", untied, labels=None, fields=fields, tensors={"output.weight": words})
    assert open_checkpoint(embedding).layout == "embedding"


def test_a_head_of_zeros_is_no_judge(folder: Path, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", folder, head=np.zeros((2, 256), np.float32))
    with pytest.raises(CheckpointError, match=r"cls\.output\.weight: the rows of yes and no are equal"):
        Reranker(str(path))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "F32"])
def test_every_type_runs_on_the_native_kernels_as_on_the_reference(kind: str, plain: Path, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_gguf(tmp_path / "x.gguf", plain, kind=kind))
    built = plan.build([replace(row, ids=row.ids % 64) for row in tree_rows(0, 3, 8)], 4)
    head = YesNoHead(checkpoint.head.rows(0, 1), HEAD)
    exact = head(run_all(ReferenceBackend(checkpoint).steps(built)).hidden_ND)
    assert np.ptp(exact) > 0.01
    native = run_all(CpuBackend(checkpoint, max_batch_tokens=4096, prefix_cache_tokens=0).steps(built))
    np.testing.assert_allclose(head(native.hidden_ND), exact, atol=2e-5 * np.abs(exact).max())


def test_types_may_differ_from_matrix_to_matrix(folder: Path, tmp_path: Path) -> None:
    kinds = {"token_embd.weight": "Q6_K", QUERY_MATRIX: "BF16", "blk.0.ffn_down.weight": "Q4_K", HEAD: "F16"}
    path = write_gguf(tmp_path / "x.gguf", folder, kind="Q8_0", kinds=kinds)
    assert {tensor.dtype for tensor in open_checkpoint(path).tensors.values()} == {
        "F32",
        "Q8_0",
        "Q6_K",
        "BF16",
        "Q4_K",
    }
    exact = logits(path, backend="reference", precision="float64")
    np.testing.assert_allclose(logits(path), exact, atol=2e-5 * np.abs(exact).max())
    np.testing.assert_allclose(logits(path, precision="int8x2"), exact, atol=0.05 * np.abs(exact).max())


def test_q8_0_moves_no_weight_further_than_half_a_step(plain: Path, tmp_path: Path) -> None:
    written = values_of(plain)
    for name, tensor in open_checkpoint(write_gguf(tmp_path / "x.gguf", plain, kind="Q8_0")).tensors.items():
        if len(tensor.shape) == 2:
            groups = written[name].reshape(-1, 32)
            step = np.abs(groups).max(axis=1, keepdims=True) / 127
            # The scale is rounded to 11 bits, which moves 127 steps by up to 1/16 of one.
            assert (np.abs(tensor.read().reshape(-1, 32) - groups) <= 0.5625 * step).all()


def _rows(folder: Path, words: list[str]) -> np.ndarray:
    ids = json.loads(NANO_TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"]
    rows: np.ndarray = values_of(folder)["model.embed_tokens.weight"][[ids[word] for word in words]]
    return rows


UINT = np.uint32
# what is wrong: (what the error says, changed fields, changed tensors)
DAMAGE: dict[str, tuple[tuple[str, ...], Mapping[str, Any], Mapping[str, np.ndarray | None]]] = {
    "other architecture": (("general.architecture", "'llama'", "qwen3"), {"general.architecture": "llama"}, {}),
    "one of a split": (
        ("split.count is 2", "found by their names", "-00001-of-00002.gguf"),
        {"split.count": np.uint16(2)},
        {},
    ),
    "no layers": (("num_hidden_layers", "got 0"), {"qwen3.block_count": 0}, {}),
    "more layers than tensors": (("'blk.2.attn_norm.weight' is missing",), {"qwen3.block_count": 2**31}, {}),
    "no width": (("'qwen3.embedding_length' is missing",), {"qwen3.embedding_length": None}, {}),
    "width is a text": (("'qwen3.embedding_length'", "a whole number"), {"qwen3.embedding_length": "256"}, {}),
    "width is a float": (("'qwen3.embedding_length'", "one float32"), {"qwen3.embedding_length": 256.0}, {}),
    "width is an array": (
        ("'qwen3.attention.head_count'", "an array of 2"),
        {"qwen3.attention.head_count": [4, 4]},
        {},
    ),
    "negative width": (("hidden_size", "got -1"), {"qwen3.embedding_length": np.int32(-1)}, {}),
    "another width": (("'token_embd.weight'", "[64, 512]"), {"qwen3.embedding_length": 512}, {}),
    "heads do not divide": (("num_attention_heads (5)",), {"qwen3.attention.head_count": 5}, {}),
    "epsilon is not finite": (("rms_norm_eps", "nan"), {"qwen3.attention.layer_norm_rms_epsilon": float("nan")}, {}),
    "no rotary base": (("'qwen3.rope.freq_base' is missing",), {"qwen3.rope.freq_base": None}, {}),
    "scaled rotary": (("rope_type is 'yarn'",), {"qwen3.rope.scaling.type": "yarn"}, {}),
    "scaled rotary, old": (("rope_type is 'linear'",), {"qwen3.rope.scale_linear": 2.0}, {}),
    "values of another width": (("qwen3.attention.value_length",), {"qwen3.attention.value_length": 32}, {}),
    "part of a head rotates": (("qwen3.rope.dimension_count",), {"qwen3.rope.dimension_count": 32}, {}),
    "sliding window": (("qwen3.attention.sliding_window",), {"qwen3.attention.sliding_window": 4096}, {}),
    "no words": (("'token_embd.weight'",), {}, {"token_embd.weight": None}),
    "words in one line": (("'token_embd.weight'", "two"), {}, {"token_embd.weight": np.ones(256, np.float32)}),
    "a matrix is missing": ((f"'{QUERY_MATRIX}' is missing",), {}, {QUERY_MATRIX: None}),
    "a matrix is turned": (
        ("'blk.0.ffn_up.weight'", "[512, 256]"),
        {},
        {"blk.0.ffn_up.weight": np.ones((256, 512), "f4")},
    ),
    "a matrix of whole numbers": ((f"'{QUERY_MATRIX}'", "got I8"), {}, {QUERY_MATRIX: np.ones((256, 256), np.int8)}),
    "two rows without labels": (
        ("output_labels", "none", "never guessed"),
        {"qwen3.classifier.output_labels": None},
        {},
    ),
    "other labels": (("output_labels", "'label_0'"), {"qwen3.classifier.output_labels": ["LABEL_0", "LABEL_1"]}, {}),
    "yes twice": (("output_labels",), {"qwen3.classifier.output_labels": ["yes", "yes"]}, {}),
    "three labels": (("output_labels", "2 rows"), {"qwen3.classifier.output_labels": ["yes", "no", "maybe"]}, {}),
    "labels are numbers": (("output_labels", "strings"), {"qwen3.classifier.output_labels": [1, 2]}, {}),
    "head of another width": ((f"'{HEAD}'", "[2, 128]"), {}, {HEAD: np.ones((2, 128), np.float32)}),
    "a dense layer": (("'cls.weight'",), {}, {"cls.weight": np.ones((256, 256), np.float32)}),
    "a bias": (("'cls.output.bias'",), {}, {"cls.output.bias": np.ones(2, np.float32)}),
}


@pytest.mark.parametrize(("said", "fields", "tensors"), DAMAGE.values(), ids=DAMAGE)
def test_whatever_is_wrong_is_one_line_naming_file_and_field_or_tensor(
    said: tuple[str, ...],
    fields: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray | None],
    plain: Path,
    tmp_path: Path,
) -> None:
    path = write_gguf(tmp_path / "x.gguf", plain, fields=fields, tensors=tensors)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert all(part in message for part in said), message
    assert message.isprintable()
    assert len(message) < 500 + len(str(path))


def test_the_tokenizer_is_asked_for_only_when_it_is_needed(plain: Path, tmp_path: Path) -> None:
    checkpoint: Checkpoint = open_checkpoint(write_gguf(tmp_path / "x.gguf", plain))
    with pytest.raises(CheckpointError, match=r"'tokenizer\.ggml\.model' is missing"):
        _ = checkpoint.tokenizer


def test_blocks_are_of_the_size_that_the_gguf_package_says() -> None:
    assert {GGMLQuantizationType[kind] for kind in KINDS} <= set(gguf.GGML_QUANT_SIZES)
