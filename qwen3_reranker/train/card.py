"""A run -> its model card: data, settings, quality, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qwen3_reranker.hub.model_card import card_text, origin, use
from qwen3_reranker.prompt import Template
from qwen3_reranker.train.group_measures import gain_interval
from qwen3_reranker.train.run import TrainRun
from qwen3_reranker.train.saving import AdapterBase
from qwen3_reranker.train.trainer import TrainState

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def card(run: TrainRun, base: AdapterBase | None, template: Template, state: TrainState) -> str:
    """The README.md of the model's folder, with front matter for the Hub.

    base: of an adapter, None for a whole checkpoint. template: the prompt of training.
    """
    options = run.options
    is_lora = options.method == "lora"
    made_from = origin(base.name if base else run.model)
    versions = {library: version(library) for library in ("qwen3_reranker", "torch")}
    body = [
        f"# A fine-tune of {made_from.name}",
        "",
        f"{'LoRA adapter' if is_lora else 'All weights'}, trained with qwen3_reranker on {len(run.data):,} queries, "
        f"{state.best_step or state.step:,} steps of {options.batch_groups} queries, loss {options.loss}.",
        "",
        *_before_and_after(len(run.held_out), state),
        *use(template),
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
    return card_text(
        made_from,
        "lora" if is_lora else "causal-lm",
        body,
        relation="adapter" if is_lora else "finetune",
        results=_results(run, state),
    )


def _results(run: TrainRun, state: TrainState) -> list[EvalResult]:
    """The quality of the weights that were written, as the Hub lists it; empty where it is not known."""
    from huggingface_hub import EvalResult

    after = state.best
    if after is None or not after.per_query or state.best_step == 0:
        return []
    return [
        EvalResult(
            task_type="text-ranking",
            dataset_type="held-out",
            dataset_name=f"{len(run.held_out):,} held-out queries",
            dataset_args={"sha256": run.digests["held out"]},
            metric_type=name,
            metric_name=name,
            metric_value=round(value, 4),
        )
        for name, value in after.to_json().items()
        if name != "bce"
    ]


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
