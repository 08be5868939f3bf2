"""A quantised folder scores as transformers does with its decoded matrices, whatever runs it; tools say what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from qwen3_reranker import Reranker
from qwen3_reranker.convert import convert
from qwen3_reranker.doctor import check_files
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint, write_small_checkpoint
from testing.layouts import write_adapter, write_classifier, write_embedding_model
from testing.model_card import ModelCard
from testing.quantised import KINDS, Kind, write_quantised
from testing.texts import documents

pytestmark = pytest.mark.slow

WEIGHTS = "model.safetensors"
TOLERANCE = 1e-4
PAIRS = [("What is the capital of China?", text) for text in documents(4, 10, 40)]
# Every matrix is whole groups of 32 and none is whole blocks of 24 and 20.
SHAPE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "head_dim": 16}
YES, NO = 494, 437  # in the tokenizer of few words


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network behind a tokenizer of few words."""
    return write_small_checkpoint(tmp_path_factory.mktemp("base"), initializer_range=0.2, **SHAPE)


@pytest.fixture(scope="module")
def written(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The base in a format, written once each."""
    made: dict[str, Path] = {}

    def write(kind: str) -> Path:
        if kind not in made:
            made[kind] = write_quantised(tmp_path_factory.mktemp("quantised"), base, KINDS[kind])
        return made[kind]

    return write


def logits(folder: Path, **options: Any) -> np.ndarray:
    with Reranker(str(folder), **options) as reranker:
        return reranker.logits(PAIRS)


def far(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left - right).max())


# One of each family of formats; the next test shows that every kind gives the decoded tensors.
@pytest.mark.parametrize("kind", ["FP8, a scale a block", "AWQ", "MLX 4-bit"])
def test_logits_are_those_of_transformers_with_the_decoded_matrices(
    kind: str, qwen3_tokenizer_file: Path, tmp_path: Path
) -> None:
    base = write_checkpoint(
        tmp_path / "base", vocab_size=151_669, initializer_range=0.2, tokenizer_file=qwen3_tokenizer_file, **SHAPE
    )
    folder = write_quantised(tmp_path / "quantised", base, KINDS[kind])
    expected = ModelCard(folder / "decoded").logits(PAIRS)
    assert expected.std() > 0.1, "logits so small would prove nothing"
    assert far(logits(folder), expected) < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_is_the_decoded_one(kind: str, written: Callable[[str], Path]) -> None:
    folder = written(kind)
    expected = load_file(folder / "decoded" / WEIGHTS)
    checkpoint = open_checkpoint(folder)
    assert set(checkpoint.tensors) == set(expected)
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(tensor.read(), expected[name].numpy(), name)
        if len(tensor.shape) == 2:
            some = np.array([tensor.shape[0] - 1, 0, 7])
            np.testing.assert_array_equal(tensor.rows(some), expected[name].numpy()[some], name)


RUN = {
    "float32": {},
    "int8": {"precision": "int8"},
    "reference": {"backend": "reference"},
    "torch": {"backend": "torch", "device": "cpu"},
}


@pytest.mark.parametrize("options", RUN.values(), ids=RUN)
@pytest.mark.parametrize("kind", ["AWQ", "MLX 4-bit"])
def test_whatever_runs_it_scores_as_it_does_with_the_decoded_matrices(
    kind: str, options: dict[str, Any], written: Callable[[str], Path]
) -> None:
    folder = written(kind)
    assert far(logits(folder, **options), logits(folder / "decoded", **options)) < TOLERANCE


def quantise_head(folder: Path, kind: Kind, stem: str) -> None:
    """Store the head as the other matrices of the folder, and of its decoded twin, are."""
    weight = f"{stem}weight"
    parts, value = kind.quantise(load_file(folder / "decoded" / WEIGHTS)[weight])
    for path, head in (
        (folder / WEIGHTS, {stem + suffix: part for suffix, part in parts.items()}),
        (folder / "decoded" / WEIGHTS, {weight: value}),
    ):
        kept = {name: values for name, values in load_file(path).items() if name != weight}
        save_file({name: values.contiguous() for name, values in (kept | head).items()}, path)


@pytest.mark.parametrize("kind", ["W4A16_ASYM", "W8A8", "FP8, a scale a row"])
def test_a_classifier_may_be_quantised_its_head_included(kind: str, base: Path, tmp_path: Path) -> None:
    """llm-compressor quantises every Linear layer that it is not told to leave, and the head of a classifier is one."""
    plain = write_classifier(tmp_path / "plain", base, yes_id=YES, no_id=NO)
    folder = write_quantised(tmp_path / "quantised", plain, KINDS[kind])
    quantise_head(folder, KINDS[kind], "score.")
    assert open_checkpoint(folder).layout == "seq-cls"
    assert far(logits(folder), logits(folder / "decoded")) < TOLERANCE


def test_a_head_of_its_own_may_be_quantised(base: Path, tmp_path: Path) -> None:
    """MLX quantises lm_head where a model is not tied."""
    untied = write_small_checkpoint(tmp_path / "untied", initializer_range=0.2, tied=False, **SHAPE)
    kind = KINDS["MLX 4-bit"]
    folder = write_quantised(tmp_path / "quantised", untied, kind)
    quantise_head(folder, kind, "lm_head.")
    assert open_checkpoint(folder).head.tensor.dtype == "MLX 4-bit"
    assert far(logits(folder), logits(folder / "decoded")) < TOLERANCE


def test_an_adapter_is_added_to_what_its_quantised_base_decodes_to(
    written: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = written("GPTQ 4-bit, ordered")
    shapes = {f"model.layers.{index}.mlp.down_proj": (64, 96) for index in range(2)}
    adapted = [write_adapter(tmp_path / each.name, each, shapes) for each in (folder, folder / "decoded")]
    found, expected = map(logits, adapted)
    assert far(found, expected) < TOLERANCE
    assert far(found, logits(folder)) > 0.01


def test_an_embedding_model_may_be_quantised(written: Callable[[str], Path], tmp_path: Path) -> None:
    folder = written("W4A16")
    model = write_embedding_model(tmp_path / "model", folder)
    expected = open_checkpoint(folder / "decoded")
    checkpoint = open_checkpoint(model)
    assert checkpoint.layout == "embedding"
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(tensor.read(), expected.tensors[name].read(), name)


@pytest.mark.parametrize("to", ["hf", "gguf"])
@pytest.mark.parametrize("quantize", [None, "bf16"])
def test_it_converts_as_its_decoded_numbers_and_says_so(
    to: str, quantize: str | None, written: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = written("GPTQ 4-bit, ordered")
    path = tmp_path / ("new.gguf" if to == "gguf" else "new")
    conversion = convert(open_checkpoint(folder), path, to, quantize)
    assert (conversion.exact, conversion.decoded) == (quantize is None, quantize is None)
    expected = load_file(folder / "decoded" / WEIGHTS)
    for name, tensor in open_checkpoint(path).tensors.items():
        assert tensor.dtype == (quantize.upper() if quantize and len(tensor.shape) == 2 else "F32") or to == "hf"
        atol = 0 if quantize is None else 0.01
        np.testing.assert_allclose(tensor.read(), expected[name].numpy(), rtol=0, atol=atol, err_msg=name)
    assert far(logits(path), logits(folder / "decoded")) < (TOLERANCE if quantize is None else 0.2)


def test_a_converted_folder_names_the_type_that_holds_all_its_matrices(tmp_path: Path) -> None:
    """Loaders bring every matrix to the type that config.json names."""
    base = write_small_checkpoint(tmp_path / "base", dtype="BF16", **SHAPE)
    folder = write_quantised(tmp_path / "quantised", base, KINDS["AWQ"])
    convert(open_checkpoint(folder), tmp_path / "new", "hf")
    assert open_checkpoint(tmp_path / "new").embedding_tensor.dtype == "BF16"
    assert json.loads((tmp_path / "new" / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.parametrize(
    ("kind", "faults"),
    [("AWQ", []), ("MLX 4-bit", ["quantized-head"]), ("MLX 8-bit", []), ("W8A16, a scale a group", [])],
)
def test_the_doctor_finds_fault_with_a_head_in_few_bits_alone(
    kind: str, faults: list[str], written: Callable[[str], Path]
) -> None:
    assert [finding.fault.name for finding in check_files(written(kind)).findings] == faults
