"""A finished run -> its model card: what it was made from, before and after, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.prompt import Template
from qwen3_reranker.train.group_measures import gain_interval
from qwen3_reranker.train.options import TrainOptions
from qwen3_reranker.train.trainer import Standing


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run was made from.

    template: the prompt that was taught. data: name -> sha256 of the examples. versions: library -> version.
    """

    base: str
    revision: str | None
    template: Template
    data: Mapping[str, str]
    queries: int
    held_out: int
    versions: Mapping[str, str]
    command: str


def card(origin: Origin, options: TrainOptions, standing: Standing) -> str:
    """The README.md of the model's folder, with the front matter that the Hub reads."""
    relation = "adapter" if options.method == "lora" else "finetune"
    front = {"base_model": origin.base, "base_model_relation": relation, "pipeline_tag": "text-ranking"}
    lines = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in front.items()),
        "library_name: peft" if options.method == "lora" else "library_name: transformers",
        "tags: [reranker, qwen3]",
        "---",
        "",
        f"# A fine-tune of {origin.base}",
        "",
        f"{'LoRA adapter' if options.method == 'lora' else 'All weights'}, trained with qwen3_reranker on "
        f"{origin.queries:,} queries, {standing.best_step or standing.step:,} steps of {options.batch_groups} queries, "
        f"loss {options.loss}.",
        "",
        *_before_and_after(origin, standing),
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
        "transformers, vLLM, sentence-transformers or llama.cpp, and proves that scores stay.",
        "",
        f"Instruction where none was given: `{origin.template.default_instruction}`",
        "",
        "Prompt:",
        "",
        "```text",
        origin.template.written(origin.template.default_instruction or "", "{query}", "{document}").rstrip("\n"),
        "```",
        "",
        "## Made by",
        "",
        "```sh",
        origin.command,
        "```",
        "",
        *_table("data", "sha256 of the examples", origin.data),
        *_table("library", "version", origin.versions),
        *_table("setting", "value", options.to_json()),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _before_and_after(origin: Origin, standing: Standing) -> list[str]:
    before, after = standing.start, standing.best
    if before is None or after is None or not before.per_query:
        return ["Nothing was held out, so nothing is known of its quality.", ""]
    if standing.best_step == 0:
        note = "**No evaluation beat the start model.** These are the last weights; the numbers are the start's."
        after = before
    else:
        gain, low, high = gain_interval(before, after)
        note = f"nDCG@10 moved by {gain:+.4f} (95 % interval {low:+.4f} to {high:+.4f}, bootstrap over queries)."
    first, then = before.to_json(), after.to_json()
    return [
        f"| {origin.held_out:,} held-out queries | before | after |",
        "|---|---|---|",
        *(f"| {name} | {first[name]:.4f} | {then[name]:.4f} |" for name in first),
        "",
        note,
        "",
    ]


def _table(name: str, meaning: str, rows: Mapping[str, Any]) -> list[str]:
    return [f"| {name} | {meaning} |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items()), ""]
