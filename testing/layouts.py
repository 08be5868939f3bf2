"""The other layouts of a checkpoint, made from a causal-LM one: classifier, CrossEncoder, embedding model, adapter."""

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


def write_embedding_model(
    folder: Path,
    base: Path,
    *,
    bare_names: bool = True,
    modules: bool = True,
    prompts: Mapping[str, str] | None = None,
) -> Path:
    """What Qwen3-Embedding is published as: no head, last-token pooling, a tokenizer that ends texts.

    bare_names: tensors named without "model.". modules: with the files of sentence-transformers, which store `prompts`.
    """
    shutil.copytree(base, folder, dirs_exist_ok=True)
    for file in folder.glob("*.safetensors"):
        _write_network(file, bare_names)
    if (index := folder / f"{SINGLE}.index.json").exists():
        weight_map = json.loads(index.read_text())["weight_map"]
        kept = {name: file for name, file in weight_map.items() if name != "lm_head.weight"}
        edit_json(index, weight_map={_network_name(name, bare_names): file for name, file in kept.items()})
    if (tokenizer := folder / "tokenizer.json").exists():
        _end_texts(tokenizer)
    if not modules:
        return folder
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    pooling = {f"pooling_mode_{mode}": mode == "lasttoken" for mode in modes}
    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": width, **pooling, "include_prompt": True})
    )
    settings = {"default_prompt_name": None, "similarity_fn_name": "cosine"}
    if prompts is not None:
        settings["prompts"] = dict(prompts)
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def _network_name(name: str, bare: bool) -> str:
    return name.removeprefix("model.") if bare else name


def _write_network(file: Path, bare: bool) -> None:
    tensors = {name: values for name, values in load_file(file).items() if name != "lm_head.weight"}
    save_file({_network_name(name, bare): values for name, values in tensors.items()}, file, {"format": "pt"})


def _end_texts(path: Path) -> None:
    """Let the tokenizer end every text as that of Qwen3-Embedding does; that of Qwen3-Reranker ends none."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    [end] = [token for token in fields["added_tokens"] if token["content"] == "<|endoftext|>"]
    name, text = end["content"], {"Sequence": {"id": "A", "type_id": 0}}
    closed = {"SpecialToken": {"id": name, "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [text, closed],
        "pair": [text, closed, {"Sequence": {"id": "B", "type_id": 0}}, closed],
        "special_tokens": {name: {"id": name, "ids": [end["id"]], "tokens": [name]}},
    }
    fields["post_processor"] = {"type": "Sequence", "processors": [fields["post_processor"], template]}
    path.write_text(json.dumps(fields), encoding="utf-8")
    config = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": name}
    (path.parent / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 131072}))


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
