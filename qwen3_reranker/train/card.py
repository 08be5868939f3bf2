"""A run -> its model card: data, settings, quality, and how to use it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from qwen3_reranker.prompt import Template
from qwen3_reranker.train.group_measures import gain_interval
from qwen3_reranker.train.run import TrainRun
from qwen3_reranker.train.saving import AdapterBase
from qwen3_reranker.train.trainer import TrainState


def card(run: TrainRun, base: AdapterBase | None, template: Template, state: TrainState) -> str:
    """The README.md of the model's folder, with front matter for the Hub.

    base: of an adapter, None for a whole checkpoint. template: the prompt of training.
    """
    options = run.options
    is_lora = options.method == "lora"
    name = base.name if base else os.fspath(run.model)
    relation = "adapter" if is_lora else "finetune"
    front = {"base_model": name, "base_model_relation": relation, "pipeline_tag": "text-ranking"}
    versions = {library: version(library) for library in ("qwen3_reranker", "torch")}
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in front.items()),
        "library_name: peft" if is_lora else "library_name: transformers",
        "tags: [reranker, qwen3]",
        "---",
        "",
        f"# A fine-tune of {name}",
        "",
        f"{'LoRA adapter' if is_lora else 'All weights'}, trained with qwen3_reranker on {len(run.data):,} queries, "
        f"{state.best_step or state.step:,} steps of {options.batch_groups} queries, loss {options.loss}.",
        "",
        *_before_and_after(len(run.held_out), state),
        "## Use",
        "",
        "```python",
        "from qwen3_reranker import Reranker",
        "",
        'reranker = Reranker("path/of/this/folder")',
        'ranking = reranker.rank("query", ["a document", "another"])',
        "```",
        "",
        "`qwen3-reranker convert FOLDER DESTINATION --to hf|seq-cls|sentence-transformers|gguf` writes it for "
        "transformers, vLLM, sentence-transformers or llama.cpp, and proves that scores stay the same.",
        "",
        f"Default instruction: `{template.default_instruction}`",
        "",
        "Prompt:",
        "",
        "```text",
        template.written(template.default_instruction or "", "{query}", "{document}").rstrip("\n"),
        "```",
        "",
        "## Made by",
        "",
        "```sh",
        run.command,
        "```",
        "",
        *_table("data", "sha256 of the examples", run.digests),
        *_table("library", "version", versions),
        *_table("setting", "value", options.to_json()),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _before_and_after(held_out: int, state: TrainState) -> list[str]:
    before, after = state.start, state.best
    if before is None or after is None or not before.per_query:
        return ["Nothing was held out, so its quality is unknown.", ""]
    if state.best_step == 0:
        note = "**No evaluation beat the start model.** These are the last weights; the numbers are the start's."
        after = before
    else:
        gain, low, high = gain_interval(before, after)
        note = f"nDCG@10 changed by {gain:+.4f} (95 % interval {low:+.4f} to {high:+.4f}, bootstrap over queries)."
    first, then = before.to_json(), after.to_json()
    return [
        f"| {held_out:,} held-out queries | before | after |",
        "|---|---|---|",
        *(f"| {name} | {first[name]:.4f} | {then[name]:.4f} |" for name in first),
        "",
        note,
        "",
    ]


def _table(name: str, meaning: str, rows: Mapping[str, Any]) -> list[str]:
    return [f"| {name} | {meaning} |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]
