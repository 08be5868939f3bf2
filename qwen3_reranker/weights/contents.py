"""A folder or a repository without a model -> an error that says what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from qwen3_reranker.errors import CheckpointError, UnsupportedModelError
from qwen3_reranker.json_object import shown

_PICKLES = re.compile(r"pytorch_model.*\.bin|.*\.(pt|pth|ckpt)")
# What torch.save writes begins like this: a zip archive, or a pickle of protocol 2 and later.
_PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# What marks an export, by the names of files in any folder.
_EXPORTS = (
    ("ONNX", re.compile(r".*\.onnx(_data)?")),
    ("OpenVINO", re.compile(r"openvino_.*\.(xml|bin)")),
    ("CTranslate2", re.compile(r"((shared|source|target)_)?vocabulary\.(json|txt)")),
    ("TensorRT", re.compile(r".*\.(engine|plan|trt)")),
    ("Core ML", re.compile(r".*\.(mlmodel|mlpackage|mlmodelc)")),
    ("TensorFlow", re.compile(r"tf_model\.h5|saved_model\.pb|.*\.tflite")),
    ("JAX", re.compile(r"flax_model\.msgpack")),
    ("ExecuTorch", re.compile(r".*\.pte")),
    ("diffusers", re.compile(r"model_index\.json|diffusion_pytorch_model.*")),
)
_MODEL, _ADAPTER = "config.json", "adapter_config.json"
_EXPECTED = "a Hugging Face folder with config.json, tokenizer.json and model.safetensors, or a GGUF file"
_MOST_NAMES = 10_000


def no_model(folder: Path, missing: str) -> CheckpointError:
    """Why `folder` cannot be opened. `missing` says what is not in it, its other files what it is."""
    paths = [path for _, path in zip(range(_MOST_NAMES), _one_level(folder), strict=False)]
    names = [path.relative_to(folder).as_posix() for path in paths]
    if not names:
        return CheckpointError(f"{folder}: an empty folder; pass {_EXPECTED}")
    other = foreign(names, lambda name: name.endswith(".bin") and _is_pickled(folder / name))
    if other:
        return UnsupportedModelError(f"{missing}; {other}")
    below = [name.partition("/")[0] for name in sorted(names) if name.count("/") == 1 and _is_model(name)]
    if below:
        places = list(dict.fromkeys(below))
        many = "sub-folders" if len(places) > 1 else "the sub-folder"
        return CheckpointError(f"{missing}; a model lies in {many} {_listed(places)}: pass {folder / places[-1]}")
    if any(name.endswith(".gguf") for name in names):
        return CheckpointError(f"{missing}; the folder holds GGUF: pass the .gguf file itself")
    others = [name for name in names if name.endswith(".safetensors")]
    if others:
        return CheckpointError(
            f"{missing}; it holds {_listed(others)}: if one is the whole model, call it model.safetensors, if it is an "
            f"adapter, its {_ADAPTER} is missing"
        )
    return CheckpointError(f"{missing}; expected {_EXPECTED}, got a folder of {_listed(names)}")


def foreign(names: Iterable[str], is_pickled: Callable[[str], bool] = lambda name: False) -> str:
    """What else than a model for this package files of these paths are. An empty text where nothing says so."""
    paths = {name: name.rpartition("/")[2] for name in names}
    pickles = any(_PICKLES.fullmatch(name) for name in paths.values())
    kind = next((kind for kind, pattern in _EXPORTS if any(map(pattern.fullmatch, paths.values()))), "")
    if pickles or (not kind and any(map(is_pickled, paths))):
        return (
            "it holds pickled weights, which are never read because loading them runs code: convert them with "
            "transformers, AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
        )
    if kind:
        return (
            f"it holds an export for {kind}, which is not run here: take the model that it was made from, in "
            "safetensors (such as Qwen/Qwen3-Reranker-0.6B), or a GGUF of it"
        )
    return ""


def _one_level(folder: Path) -> Iterable[Path]:
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield path
            if path.is_dir():
                yield from sorted(path.iterdir())


def _is_model(name: str) -> bool:
    return name.rpartition("/")[2] in (_MODEL, _ADAPTER)


def _is_pickled(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(_PICKLED)


def _listed(names: list[str]) -> str:
    return ", ".join(map(shown, names[:5])) + (", ..." if len(names) > 5 else "")
