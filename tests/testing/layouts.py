"""The other layouts of a checkpoint, made from a causal-LM folder: classifier, CrossEncoder, LoRA adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

CLASSIFIER = "Qwen3ForSequenceClassification"
SINGLE, ADAPTER = "model.safetensors", "adapter_model.safetensors"
TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
LOGIT_SCORE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"


def edit_json(path: Path, **changes: Any) -> None:
    """Change fields of a JSON object; None removes one."""
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not None}))


def edit_tensors(path: Path, **changes: torch.Tensor | None) -> None:
    """Change tensors of a safetensors file; None removes one."""
    tensors = {**load_file(path), **changes}
    save_file({name: values for name, values in tensors.items() if values is not None}, path)


def write_classifier(folder: Path, base: Path, *, yes_id: int, no_id: int, labels: Sequence[str] | None = None) -> Path:
    """What vLLM's conversion writes (one row, yes - no), or with `labels` two rows in that order."""
    shutil.copytree(base, folder, dirs_exist_ok=True)
    words = load_file(base / SINGLE)["model.embed_tokens.weight"].float()
    rows = {"yes": words[yes_id], "no": words[no_id]}
    score = torch.stack([rows[label] for label in labels] if labels else [rows["yes"] - rows["no"]])
    edit_tensors(folder / SINGLE, **{"score.weight": score})
    named = dict(enumerate(labels or ["LABEL_0"]))
    label2id = {label: row for row, label in named.items()}
    edit_json(folder / "config.json", architectures=[CLASSIFIER], id2label=named, label2id=label2id)
    return folder


def write_cross_encoder(
    folder: Path, base: Path, *, ids: tuple[int, int | None] | None, prompt: str | None = None
) -> Path:
    """What CrossEncoder.save_pretrained adds to a folder; without `ids` there is no LogitScore."""
    shutil.copytree(base, folder, dirs_exist_ok=True)
    modules = [{"idx": 0, "name": "0", "path": "", "type": TRANSFORMER}]
    if ids is not None:
        modules.append({"idx": 1, "name": "1", "path": "1_LogitScore", "type": LOGIT_SCORE})
        (folder / "1_LogitScore").mkdir(exist_ok=True)
        score = {"true_token_id": ids[0], "false_token_id": ids[1], "module_input_name": "causal_logits"}
        (folder / "1_LogitScore" / "config.json").write_text(json.dumps(score))
    (folder / "modules.json").write_text(json.dumps(modules))
    prompts = {"default_prompt_name": prompt and "query", "prompts": {} if prompt is None else {"query": prompt}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "CrossEncoder", **prompts}))
    forward = {"method": "forward", "method_output_name": "logits"}
    modalities = {"text": forward, "message": {**forward, "format": "flat"}}
    task, output = ("sequence-classification", "scores") if ids is None else ("text-generation", "causal_logits")
    reads = {"transformer_task": task, "modality_config": modalities, "module_output_name": output}
    (folder / "sentence_bert_config.json").write_text(json.dumps(reads))
    return folder


def write_adapter(
    folder: Path,
    base: Path | str,
    shapes: Mapping[str, tuple[int, int]],
    *,
    rank: int = 4,
    alpha: float = 8,
    spread: float = 0.3,
    seed: int = 0,
    **settings: Any,
) -> Path:
    """What PeftModel.save_pretrained writes; `shapes` are those of the adapted modules, (outputs, inputs)."""
    folder.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for module, (outputs, inputs) in shapes.items():
        for name, shape in (("lora_A", (rank, inputs)), ("lora_B", (outputs, rank))):
            values = spread * torch.randn(shape, generator=random)
            tensors[f"base_model.model.{module}.{name}.weight"] = values
    save_file(tensors, folder / ADAPTER)
    fields = {
        "peft_type": "LORA",
        "base_model_name_or_path": str(base),
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted({module.rpartition(".")[2] for module in shapes}),
        "bias": "none",
        "use_dora": False,
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps({**fields, **settings}))
    return folder
