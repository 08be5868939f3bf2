"""--dry-run: the rows of a call -> their tokens, and the time and memory that they would take here."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.memory_facts import memory_facts
from qwen3_reranker.cli.progress import duration
from qwen3_reranker.cli.rate_text import byte_size, rate_text
from qwen3_reranker.cli.terminal import console_for, on_terminal, print_table
from qwen3_reranker.option_fields import option
from qwen3_reranker.registry import SPECS
from qwen3_reranker.row_table import Column, RowTable, wrapped

if TYPE_CHECKING:
    from qwen3_reranker.embedder import Embedder
    from qwen3_reranker.records import Row
    from qwen3_reranker.reranker import Reranker

#: Rows that are read as tokens; those of a longer call are taken to be like these.
SAMPLED_ROWS = 20_000
# What is computed to measure the rate: so many rows at first, and twice as many until it took so long.
_FIRST_ROWS, _ENOUGH_SECONDS = 4, 1.0


def dry_run_option() -> Any:
    """The field `dry_run`, with the flag --dry-run."""
    return option(
        False,
        "Compute nothing but a short measurement: print rows, distinct tokens, time and memory.",
        group="Output",
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call would compute.

    rows: pairs or texts. prompt_tokens: of separate rows; distinct_tokens: those that have to be computed; both of all
    rows, reckoned from sampled_rows. tokens_per_second: measured here, of distinct tokens. memory_bytes: at most, of
    the process on the cpu backend and of the device on torch; None on the reference.
    """

    rows: int
    sampled_rows: int
    cut_rows: int
    prompt_tokens: int
    distinct_tokens: int
    tokens_per_second: float
    seconds: float
    memory_bytes: int | None


def estimate(model: Reranker | Embedder, rows: Sequence[Row], num_rows: int) -> Estimate:
    """The estimate for num_rows rows that begin with these. It computes some of them, for about two seconds."""
    runner = model.runner
    tree = runner.plan(rows)
    scale = num_rows / len(rows) if rows else 0.0
    distinct = round(tree.num_tokens * scale)
    rate = _tokens_per_second(model, rows) if rows else 0.0
    return Estimate(
        rows=num_rows,
        sampled_rows=len(rows),
        cut_rows=round(sum(row.receipt.truncated for row in rows) * scale),
        prompt_tokens=round(tree.num_row_tokens * scale),
        distinct_tokens=distinct,
        tokens_per_second=rate,
        seconds=distinct / rate if rate else 0.0,
        memory_bytes=None
        if not SPECS[model.options.backend].states_memory
        else memory_facts(model.checkpoint, model.tokens, model.options, None)["total_bytes"],
    )


def write_estimate(found: Estimate, what: str, form: str | None) -> None:
    """Print it: a table on a terminal or where `form` says so, otherwise JSON. what: pairs or texts."""
    if form == "json" or (form is None and not on_terminal(sys.stdout)):
        print(json.dumps(asdict(found), indent=2))
        return
    saved = 1 - found.distinct_tokens / found.prompt_tokens if found.prompt_tokens else 0.0
    sampled = f"reckoned from the first {found.sampled_rows:,}" if found.sampled_rows < found.rows else ""
    cut = f"{found.cut_rows:,} of them are cut" if found.cut_rows else "none is cut"
    rows = [
        (what, f"{found.rows:,}", f"{cut}{', ' if sampled else ''}{sampled}"),
        ("tokens", f"{found.prompt_tokens:,}", "of separate rows"),
        ("distinct", f"{found.distinct_tokens:,}", f"tokens to compute ({saved:.0%} saved)"),
        ("rate", rate_text(found.tokens_per_second), "distinct tokens a second, just measured here"),
        ("time", f"about {duration(found.seconds)}", "without opening the model"),
    ]
    if found.memory_bytes is not None:
        rows.append(("memory", byte_size(found.memory_bytes), "at most; inspect says what for"))
    columns = [Column(), Column(right=True), Column(style="dim", fit=wrapped)]
    print_table(RowTable(columns, rows), console_for(sys.stdout), headed=False)


def _tokens_per_second(model: Reranker | Embedder, rows: Sequence[Row]) -> float:
    """Of rows from all over the list. The first run reads the weights and is not measured."""
    run = _measured(model)
    run(rows[:1])
    count = _FIRST_ROWS
    while True:
        # Neighbours stay together, as they share beginnings.
        start = max(0, (len(rows) - count) // 2)
        tokens, seconds = run(rows[start : start + count])
        if seconds >= _ENOUGH_SECONDS or count >= len(rows):
            return tokens / max(seconds, 1e-9)
        count *= 2


def _measured(model: Reranker | Embedder) -> Callable[[Sequence[Row]], tuple[int, float]]:
    def run(rows: Sequence[Row]) -> tuple[int, float]:
        start = time.perf_counter()
        executed = model.runner.execute(model.runner.plan(rows))
        return max(1, executed.computed_tokens), time.perf_counter() - start

    return run
