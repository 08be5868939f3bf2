"""CrossEncoder without torch: what it imports, what its arguments mean, and what it refuses by name."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.compat import CrossEncoder
from qwen3_reranker.compat.legacy_spellings import _note
from qwen3_reranker.compat.model_options import device_options, dtype_options, encoder_options
from qwen3_reranker.errors import CheckpointError, InputError, UnavailableError
from testing.layouts import edit_json, write_cross_encoder

PAIRS = [("take back my last commit", "git reset"), ("take back my last commit", "Simmer the rice.")]


@pytest.fixture(scope="module")
def encoder(small_checkpoint: Path) -> CrossEncoder:
    return CrossEncoder(small_checkpoint)


def of_torch(name: str) -> Any:
    """An object whose class says that it is of torch.nn."""
    return type(name, (), {"__module__": "torch.nn.modules.activation"})()


def test_scoring_imports_no_torch_and_importing_takes_a_third_of_a_second_of_processor_time() -> None:
    code = """
import sys, time
before = time.process_time()
from qwen3_reranker.compat import CrossEncoder
took = time.process_time() - before
documents = ["Simmer the rice.", "git reset undoes the last commit"]
assert CrossEncoder("nano").rank("take back my last commit", documents, top_k=1)[0]["corpus_id"] == 1
print(took, *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, *modules = done.stdout.split()
    assert not {name.split(".")[0] for name in modules} & {"torch", "transformers", "huggingface_hub", "rich", "typer"}
    # Thrice the bound, for slow machines.
    assert float(took) < 0.9


def test_scores_are_probabilities_or_logits_of_the_reranker_inside(
    encoder: CrossEncoder, small_reranker: Reranker
) -> None:
    np.testing.assert_array_equal(encoder.predict(PAIRS), small_reranker.probabilities(PAIRS))
    logits = encoder.predict(PAIRS, activation_fn=of_torch("Identity"))
    np.testing.assert_array_equal(logits, small_reranker.logits(PAIRS))
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.predict(PAIRS), encoder.predict(PAIRS))


def test_scores_that_saturate_are_ordered_by_their_logits(encoder: CrossEncoder) -> None:
    flat = encoder.rank(PAIRS[0][0], [document for _, document in PAIRS], activation_fn=np.ones_like)
    best = encoder.rank(PAIRS[0][0], [document for _, document in PAIRS])
    assert [each["score"] for each in flat] == [1.0, 1.0]
    assert [each["corpus_id"] for each in flat] == [each["corpus_id"] for each in best]


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (of_torch("Softmax"), "over one label"),
        (3, "a function of scores"),
        (float, "a function of scores"),
        (lambda scores: scores[:1], "one score for each of 2"),
    ],
)
def test_an_activation_that_gives_no_score_of_each_pair_is_refused(
    activation: Any, said: str, encoder: CrossEncoder
) -> None:
    with pytest.raises(InputError, match=said):
        encoder.predict(PAIRS, activation_fn=activation)


def test_stored_names_of_functions_are_followed_if_they_are_torchs(
    small_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_cross_encoder(tmp_path, small_checkpoint, ids=(494, 437), prompt="Find it")
    stored = {
        "torch.nn.modules.linear.Identity": "Identity()",
        "torch.nn.modules.activation.Sigmoid": "Sigmoid()",
        "os.system": "Sigmoid()",
        None: "Sigmoid()",
    }
    for name, expected in stored.items():
        edit_json(folder / "config_sentence_transformers.json", activation_fn=name)
        assert repr(CrossEncoder(folder).activation_fn) == expected
    assert "'os.system' of the checkpoint is not loaded" in caplog.text
    edit_json(folder / "config_sentence_transformers.json", activation_fn="torch.nn.NoSuch")
    with pytest.raises(UnavailableError, match=r"torch\.nn\.NoSuch"):
        CrossEncoder(folder)
    edit_json(folder / "config_sentence_transformers.json", prompts={"query": "Find it", "other": 3})
    with pytest.raises(CheckpointError, match="prompts"):
        CrossEncoder(folder)


def test_a_stored_prompt_is_the_instruction_and_an_empty_one_is_the_templates(
    small_checkpoint: Path, small_reranker: Reranker, tmp_path: Path
) -> None:
    encoder = CrossEncoder(write_cross_encoder(tmp_path, small_checkpoint, ids=(494, 437), prompt="Find it"))
    assert (encoder.prompts, encoder.default_prompt_name) == ({"query": "Find it"}, "query")
    np.testing.assert_array_equal(encoder.predict(PAIRS), small_reranker.probabilities(PAIRS, "Find it"))
    np.testing.assert_array_equal(encoder.predict(PAIRS, prompt=""), small_reranker.probabilities(PAIRS))
    other = CrossEncoder(tmp_path, prompts={"own": "Find the command"}, default_prompt_name="own")
    np.testing.assert_array_equal(other.predict(PAIRS), small_reranker.probabilities(PAIRS, "Find the command"))
    with pytest.raises(InputError, match="default_prompt_name 'nope'"):
        CrossEncoder(tmp_path, default_prompt_name="nope")


def test_what_has_no_counterpart_is_refused_by_name(encoder: CrossEncoder) -> None:
    refused: dict[str, dict[str, Any]] = {
        "modules": {"modules": []},
        "onnx": {"backend": "onnx"},
        "num_labels=2": {"num_labels": 2},
        "num_labels=3": {"config_kwargs": {"num_labels": 3}},
        "'load_in_8bit'": {"model_kwargs": {"load_in_8bit": True}},
        "'truncation_side'": {"processor_kwargs": {"truncation_side": "left"}},
        "unknown option 'speed'": {"speed": 9},
        "float16": {"model_kwargs": {"dtype": "float16"}},
        "cuda:0, cuda:1": {"device": ["cuda:0", "cuda:1"]},
    }
    for said, options in refused.items():
        with pytest.raises(InputError, match=said):
            CrossEncoder("nano", **options)
    with pytest.raises(InputError, match="open already: give max_length"):
        CrossEncoder(encoder.reranker, max_length=300)
    with pytest.raises(InputError, match="does not move"):
        encoder.to("cuda")
    with pytest.raises(InputError, match=r"inputs\[1\]"):
        encoder.predict([PAIRS[0], ("alone",)])
    with pytest.raises(InputError, match="got str"):
        encoder.predict("text")


@pytest.mark.parametrize("device", [None, "", "cpu", "cpu:0", ["cpu", "cpu"], []])
def test_a_device_without_a_name_is_the_cpu(device: object) -> None:
    assert device_options(device) == {}


def test_devices_dtypes_and_lengths_are_options_of_a_reranker() -> None:
    assert device_options("cuda:1") == device_options(1) == device_options(["cuda:1"])
    assert device_options("mps") == {"backend": "torch", "device": "mps"}
    assert dtype_options("torch.bfloat16", {}) == dtype_options("bf16", {}) == {"precision": "bfloat16"}
    assert dtype_options("auto", {}) == dtype_options(None, {}) == dtype_options("float32", {}) == {}
    keywords = {
        "model_kwargs": {"torch_dtype": "float16", "device_map": "cuda", "attn_implementation": "sdpa"},
        "processor_kwargs": {"model_max_length": 300, "padding_side": "left"},
        "config_kwargs": {"num_labels": 1},
    }
    meant = encoder_options("cpu", None, None, keywords)
    assert meant == {"max_length": 300, "backend": "torch", "device": "cuda", "precision": "float16"}


def test_a_longer_document_is_cut_where_max_length_says(encoder: CrossEncoder, small_checkpoint: Path) -> None:
    long = [(PAIRS[0][0], "git reset " * 200)]
    short = CrossEncoder(small_checkpoint, max_length=300)
    assert (short.max_length, short.get_max_seq_length()) == (300, 300)
    expected = short.predict(long)
    short.max_length = 8192
    assert short.predict(long) == encoder.predict(long) != expected
    with pytest.raises(InputError, match="positions"):
        short.max_length = 1_000_000


def test_an_old_spelling_works_and_is_noted_once(small_checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    _note.cache_clear()
    with caplog.at_level(logging.WARNING):
        encoder = CrossEncoder(model_name=small_checkpoint, automodel_args={"torch_dtype": "float32"}, cache_dir=None)
        assert encoder.predict(sentences=PAIRS).shape == encoder.predict(sentences=PAIRS, num_workers=4).shape == (2,)
    notes = [record.getMessage() for record in caplog.records if "legacy" in record.name]
    assert notes.count("the argument sentences is called inputs now") == 1
    assert "the argument num_workers has no effect" in notes
    assert CrossEncoder(small_checkpoint, 1, 400, None, "cpu").max_length == 400


def test_training_and_merging_name_their_commands(encoder: CrossEncoder) -> None:
    for train in (encoder.fit, encoder.old_fit):
        with pytest.raises(UnavailableError, match=r"qwen3-reranker train run examples\.jsonl --model "):
            train(train_dataloader=[], epochs=1)
    with pytest.raises(UnavailableError, match="qwen3-reranker train merge"):
        CrossEncoder.merge([])
    assert not hasattr(encoder, "model")
    with pytest.raises(AttributeError, match="no torch module"):
        _ = encoder.model


def test_a_folder_with_other_weights_is_not_saved_over(encoder: CrossEncoder, tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    with pytest.raises(InputError, match="other weights"):
        encoder.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="safetensors alone"):
        encoder.save_pretrained(tmp_path, safe_serialization=False)
    assert [path.name for path in tmp_path.iterdir()] == ["model-00001-of-00002.safetensors"]


def test_a_model_is_saved_over_the_folder_it_was_opened_from(encoder: CrossEncoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path / "model")
    opened = CrossEncoder(tmp_path / "model")
    opened.activation_fn = of_torch("Identity")
    opened.save_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(opened.predict(PAIRS), CrossEncoder(tmp_path / "model").predict(PAIRS))
    opened.activation_fn = np.tanh
    with pytest.raises(InputError, match="before saving"):
        opened.save_pretrained(tmp_path / "model")
