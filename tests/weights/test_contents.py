"""contents: a folder that holds no model says what it holds and what to take, and never that it must be fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen3_reranker.errors import CheckpointError, UnsupportedModelError
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint

EXPORTS = {
    "ONNX": ("onnx/model_q4.onnx", "onnx/model_quantized.onnx"),
    "OpenVINO": ("openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_tokenizer.bin"),
    "CTranslate2": ("model.bin", "shared_vocabulary.json"),
    "TensorRT": ("rank0.engine",),
    "Core ML": ("model.mlpackage/Manifest.json",),
    "TensorFlow": ("tf_model.h5",),
    "JAX": ("flax_model.msgpack",),
}


def fill(folder: Path, *names: str, content: bytes = b"{}") -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a model's small files, without weights."""
    write_checkpoint(tmp_path / "model", num_hidden_layers=1)
    (tmp_path / "model" / "model.safetensors").unlink()
    return tmp_path / "model"


def said(folder: Path) -> tuple[type[Exception], str]:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert "again" not in message
    return type(caught.value), message


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("configured", [True, False])
def test_an_export_is_named_with_what_to_take_instead(kind: str, configured: bool, folder: Path) -> None:
    if not configured:
        (folder / "config.json").unlink()
    fill(folder, *EXPORTS[kind])
    error, message = said(folder)
    assert error is UnsupportedModelError
    assert f"an export for {kind}, " in message
    assert "GGUF" in message
    assert "pickle" not in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", b"x"),
        ("pytorch_model-00001-of-00002.bin", b"x"),
        ("last.pt", b"x"),
        ("weights.bin", b"PK\3\4rest"),
        ("weights.bin", b"\x80\2rest"),
    ],
)
def test_pickles_alone_get_the_advice_for_pickles(name: str, content: bytes, folder: Path) -> None:
    fill(folder, name, content=content)
    error, message = said(folder)
    assert error is UnsupportedModelError
    assert "pickled weights" in message
    assert "save_pretrained(new_folder)" in message


def test_the_pickles_beside_an_export_are_what_can_be_converted(folder: Path) -> None:
    fill(folder, "pytorch_model.bin", "onnx/model.onnx")
    assert "pickled weights" in said(folder)[1]


def test_other_binary_files_are_not_taken_for_pickles(folder: Path) -> None:
    fill(folder, "weights.bin")
    assert "pickle" not in said(folder)[1]


def test_an_empty_folder_is_called_empty(tmp_path: Path) -> None:
    assert f"{tmp_path}: an empty folder; pass " in said(tmp_path)[1]


def test_sub_folders_that_hold_a_model_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "checkpoint-500/config.json", "checkpoint-1000/adapter_config.json", "runs/events")
    assert "sub-folders 'checkpoint-1000', 'checkpoint-500': pass " in said(tmp_path)[1]
    fill(tmp_path / "one", "checkpoint-500/adapter_config.json")
    assert f"sub-folder 'checkpoint-500': pass {tmp_path / 'one' / 'checkpoint-500'}" in said(tmp_path / "one")[1]


def test_weights_under_another_name_are_named(folder: Path) -> None:
    fill(folder, "model.fp16.safetensors")
    assert "'model.fp16.safetensors': if one is the whole model, call it model.safetensors" in said(folder)[1]
