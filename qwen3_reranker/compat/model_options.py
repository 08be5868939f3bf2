"""Devices, dtypes and keyword dictionaries of other libraries -> options of a Reranker."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.reranker import Reranker

Options = dict[str, Any]

_DTYPE = ("dtype", "torch_dtype")
# What changes no score here: attention is exact in any case, and padding does not exist.
_NO_EFFECT = {
    "model_kwargs": ("attn_implementation", "low_cpu_mem_usage", "trust_remote_code", "use_safetensors", "use_cache"),
    "processor_kwargs": ("padding", "padding_side", "truncation", "use_fast", "trust_remote_code"),
    "config_kwargs": ("classifier_dropout", "trust_remote_code"),
}
_HALVES = {"fp16": "float16", "half": "float16", "bf16": "bfloat16", "fp32": "float32", "float": "float32"}


def opened(model: str | os.PathLike[str] | Reranker, options: Options, revision: str | None = None) -> Reranker:
    """A Reranker as it is, or the model of that name with the options that are not None.

    Raises InputError for options of a Reranker that is open already, and the errors of Reranker.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not isinstance(model, Reranker):
        return Reranker(model, revision=revision, **given)
    if given or revision is not None:
        names = ", ".join([*given, *(["revision"] if revision is not None else [])])
        raise InputError(f"the Reranker is open already: give {names} to it, or pass a model's name")
    return model


def device_options(device: object) -> Options:
    """Options that run a model on a device as torch names it: None, "" and cpu are our kernels, others are torch's.

    Raises InputError for several devices: a model runs on one.
    """
    if isinstance(device, list | tuple):
        names = sorted({_device_name(each) for each in device})
        if len(names) > 1:
            raise InputError(
                f"a model runs on one device, got {', '.join(names)}; open one in each of several processes, or serve "
                "it on each"
            )
        device = names[0] if names else None
    name = _device_name(device)
    if name == "auto":
        raise InputError('device "auto" is not known: name the device, such as cpu or cuda')
    return {} if name.partition(":")[0] == "cpu" else {"backend": "torch", "device": name}


def dtype_options(dtype: object, on_device: Options) -> Options:
    """The precision of a dtype, named or of torch; None and "auto" are float32, which takes no more memory here.

    on_device: options of the device. Raises InputError for float16 on a CPU.
    """
    name = str(dtype).removeprefix("torch.")
    name = _HALVES.get(name, name)
    if dtype is None or name in ("auto", "float32"):
        return {}
    if name == "float16" and not on_device:
        raise InputError(
            "float16 does not run on a CPU here: use bfloat16, or precision='int8', which is faster on most processors"
        )
    return {"precision": name}


def encoder_options(
    device: object,
    max_length: int | None,
    num_labels: int | None,
    keywords: Mapping[str, Mapping[str, Any] | None],
) -> Options:
    """The options that a CrossEncoder's arguments mean.

    keywords: its model_kwargs, processor_kwargs and config_kwargs. Raises InputError for a key in them that has no
    counterpart, and for several labels.
    """
    model = _known("model_kwargs", keywords, (*_DTYPE, "device_map"))
    processor = _known("processor_kwargs", keywords, ("model_max_length", "max_length"))
    config = _known("config_kwargs", keywords, ("num_labels",))
    labels = num_labels if num_labels is not None else config.get("num_labels")
    if labels not in (None, 1):
        raise InputError(f"a Qwen3-Reranker gives one score for a pair, got num_labels={labels!r}; leave it out")
    lengths = (max_length, processor.get("model_max_length"), processor.get("max_length"))
    on_device = device_options(model.get("device_map") or device)
    return {
        "max_length": _first(lengths),
        **on_device,
        **dtype_options(_first(model.get(name) for name in _DTYPE), on_device),
    }


def _device_name(device: object) -> str:
    if device is None or device == "":
        return "cpu"
    return f"cuda:{device}" if isinstance(device, int) else str(device)


def _known(name: str, keywords: Mapping[str, Mapping[str, Any] | None], known: tuple[str, ...]) -> Mapping[str, Any]:
    given = keywords[name] or {}
    for key in given:
        if key not in (*known, *_NO_EFFECT[name]):
            raise unknown(name, key, (*known, *_NO_EFFECT[name]), "what has a counterpart here is")
    return given


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)
