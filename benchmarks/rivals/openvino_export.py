"""Checkpoints in the forms that OpenVINO is given, exported by optimum-intel with 8-bit weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from optimum.exporters.openvino.convert import export_tokenizer
from optimum.intel import OVModelForCausalLM, OVModelForSequenceClassification, OVWeightQuantizationConfig
from optimum.intel.openvino.modeling_base import OVBaseModel
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from benchmarks.rivals.weights import linked, yes_no_difference

PAD = 151_643


def causal(model: Path, prepared: Path) -> None:
    """The causal model with keys and values as input and output; as state, long rows are slow."""
    source = linked(model, prepared.with_name(f"{prepared.name}-source"), "config.json", "model.safetensors")
    _export(source, prepared, OVModelForCausalLM, stateful=False, use_cache=True)


def classifier(model: Path, prepared: Path) -> None:
    """The same network with one output, yes - no, as `Qwen3ForSequenceClassification`: no logits over all words."""
    source = linked(model, prepared.with_name(f"{prepared.name}-source"))
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    one_label = {"id2label": {"0": "relevant"}, "label2id": {"relevant": 0}, "pad_token_id": PAD}
    config |= {"architectures": ["Qwen3ForSequenceClassification"], **one_label}
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = load_file(model / "model.safetensors")
    tensors["score.weight"] = torch.from_numpy(yes_no_difference(model))[None]
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    _export(source, prepared, OVModelForSequenceClassification)


def _export(source: Path, prepared: Path, kind: type[OVBaseModel], **options: bool) -> None:
    weights = OVWeightQuantizationConfig(bits=8, sym=True)
    model = kind.from_pretrained(str(source), export=True, compile=False, quantization_config=weights, **options)
    model.save_pretrained(prepared)
    export_tokenizer(AutoTokenizer.from_pretrained(str(source)), prepared)
    shutil.rmtree(source)
