"""A model and a workload -> their memory, for `inspect`."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError

if TYPE_CHECKING:
    from qwen3_reranker.plan import WorkloadShape
    from qwen3_reranker.tokens import Tokens
    from qwen3_reranker.weights import Checkpoint

_FORM = re.compile(r"(\d{1,6})x(\d{1,6})x(\d{1,6})")
# The workload that a GPU's memory is stated for without --workload.
_USUAL = "1x100x120"
_MOST_ROWS = 1_000_000
# A query of usual length; `inspect` has none.
_QUERY = "how do I undo my last commit"


def parsed_workload(text: str | None) -> WorkloadShape | None:
    """1x100x120: one query, 100 documents of 120 tokens. Raises InputError for another form, or more than a million."""
    if text is None:
        return None
    from qwen3_reranker.plan import WorkloadShape

    found = _FORM.fullmatch(text.strip().lower())
    numbers = tuple(map(int, found.groups())) if found else (0, 0, 0)
    if not all(numbers) or numbers[0] * numbers[1] > _MOST_ROWS:
        raise InputError(
            f"--workload is QUERIESxDOCUMENTSxTOKENS, as 1x100x120, of at most {_MOST_ROWS:,} pairs; got {text!r}"
        )
    return WorkloadShape(*numbers)


def memory_facts(
    checkpoint: Checkpoint, tokens: Tokens, options: EngineOptions, asked: WorkloadShape | None
) -> dict[str, Any]:
    """An upper bound of ranking's memory, item by item. For a workload, its own bound, and its tokens."""
    from qwen3_reranker.backends.cpu.memory import memory_needed
    from qwen3_reranker.backends.opening import require_library
    from qwen3_reranker.plan import split, workload_plan

    workload = asked or (parsed_workload(_USUAL) if options.backend == "torch" else None)
    facts: dict[str, Any] = {"max_length": tokens.max_length, **options.memory_options()}
    length = tokens.max_length
    if workload is not None:
        # Texts that are embedded share nothing that is worth stating.
        prefix, head = (0, 0) if checkpoint.stored_head is None else _shared_tokens(checkpoint, tokens, options)
        plan = workload_plan(
            workload,
            prefix_tokens=prefix,
            query_prefix_tokens=head,
            suffix_tokens=len(tokens.suffix_ids),
            max_length=tokens.max_length,
        )
        length = len(plan.row(0))
        facts["workload"] = {
            **asdict(workload),
            "row_tokens": length,
            "cut_tokens": prefix + head + workload.document_tokens + len(tokens.suffix_ids) - length,
            "prompt_tokens": plan.num_row_tokens,
            "computed_tokens": plan.num_tokens,
            "batches": len(split(plan, options.batch_tokens)),
        }
        options = options.for_tokens(plan.num_tokens)
    if options.backend == "torch":
        require_library(options.backend)
        from qwen3_reranker.backends.torch.memory import device_memory_needed

        items = device_memory_needed(checkpoint.config, options, plan)
    else:
        items = memory_needed(
            checkpoint,
            options,
            max_length=length,
            tokenizer_entries=tokens.num_entries,
            prefix_tokens=len(tokens.prefix_ids),
        )
    facts["items"] = [asdict(item) for item in items]
    facts["total_bytes"] = sum(item.num_bytes for item in items)
    return facts


def _shared_tokens(checkpoint: Checkpoint, tokens: Tokens, options: EngineOptions) -> tuple[int, int]:
    """Tokens of the template's prefix, and of instruction, labels and a usual query."""
    heads, tails = checkpoint.template(options.prompt).pieces(None, [_QUERY], [""])
    prefix, _, head = tokens.encode(heads, tails)[0].boundaries
    return prefix, head - prefix
