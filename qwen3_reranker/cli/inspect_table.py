"""The facts of `inspect` -> a table with a section a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from rich.text import Text

from qwen3_reranker.cli.rate_text import byte_size, rate_text
from qwen3_reranker.cli.terminal import console_for, print_line, print_table, visible
from qwen3_reranker.row_table import Column, RowTable, wrapped
from qwen3_reranker.weights.names import EMBEDDING, HEAD

Row = tuple[str, str, str]
# Cells of a precision's column, at least.
_DRIFT_CELLS = 7


def write_model(found: dict[str, Any], stream: TextIO) -> None:
    """Write a model's facts to a stream, as wide as the terminal or COLUMNS."""
    console, sections = console_for(stream), _sections(found)
    names = Column(width=max(len(str(row[0])) for table in sections.values() for row in table.rows))
    for number, (title, table) in enumerate(sections.items()):
        print_line(console, "\n" if number else "", Text(visible(title), style="bold"))
        print_table(RowTable([names, *table.columns[1:]], table.rows), console, indent="  ", headed=False)


def _sections(found: dict[str, Any]) -> dict[str, RowTable]:
    config, head, tokenizer, memory = (found[part] for part in ("config", "head", "tokenizer", "memory"))
    prefix = tokenizer["prefix_tokens"]
    dtypes = ", ".join(f"{count:,} in {dtype}" for dtype, count in found["tensors"].items())
    stored = [("tensors", dtypes, "")] + [("prompt", name, found["prompt_note"]) for name in (found["prompt"],) if name]
    stored += [("instruction", text, "") for text in (found["instruction"],) if text]
    stored += [(f"{role} prompt", repr(text), "") for role, text in found["prompts"].items() if text]
    files = [(name, byte_size(num_bytes), "") for name, num_bytes in found["files"].items()]
    kinds = f"{tokenizer['control_tokens']:,} of them control tokens"
    if tokenizer["added_words"]:
        kinds += f", {tokenizer['added_words']:,} words that were added"
    heads = f"of {config['head_dim']} numbers; {config['num_key_value_heads']} of keys and values"
    sections = {
        found["model"]: _section([("folder", found["folder"], ""), ("layout", found["layout"], ""), *files, *stored]),
        "Network": _section(
            [
                ("parameters", f"{found['parameters']:,}", ""),
                ("layers", f"{config['num_hidden_layers']:,}", ""),
                ("hidden size", f"{config['hidden_size']:,}", ""),
                ("MLP size", f"{config['intermediate_size']:,}", ""),
                ("heads", f"{config['num_attention_heads']:,}", heads),
                ("positions", f"{config['max_position_embeddings']:,}", f"rotary, base {config['rope_theta']:,.0f}"),
                ("words", f"{config['vocab_size']:,}", ""),
            ]
        ),
        "Head": _section(_head_rows(head)),
        "Tokenizer": _section(
            [
                ("entries", f"{tokenizer['entries']:,}", kinds),
                *([("prefix", f"{prefix:,} tokens", "the same before every query, computed once")] if prefix else []),
                ("suffix", f"{tokenizer['suffix_tokens']:,} tokens", f"after every {'document' if head else 'text'}"),
            ]
        ),
        **({"Workload": _section(_workload_rows(memory["workload"]))} if "workload" in memory else {}),
        "Memory at most": _section(
            [
                *((item["name"], byte_size(item["num_bytes"]), item["reason"]) for item in memory["items"]),
                ("together", byte_size(memory["total_bytes"]), ""),
            ],
            right=True,
        ),
    }
    if "drift" in found:
        sections["Drift from float32"] = _drift_table(found["drift"])
    return sections


def _section(rows: Sequence[Row], *, right: bool = False) -> RowTable:
    """Name, value and remark of each row. Without a remark, the value may go on past its column."""
    columns = [Column(), Column(right=right), Column(style="dim", fit=wrapped)]
    return RowTable(columns, [row if row[2] else row[:2] for row in rows])


def _drift_table(facts: dict[str, Any]) -> RowTable:
    """A column for each precision, and below them the one to use."""
    exact, precisions = facts["float32"], facts["precisions"]

    def row(name: str, field: str, form: str, remark: str) -> list[str]:
        return [name, *(f"{drift[field]:{form}}" for drift in precisions.values()), remark]

    blank = [""] * (len(precisions) - 1)
    rows = [
        ["", *precisions, f"{facts['documents']:,} built-in texts for {facts['queries']:,} queries"],
        row(
            "mean |delta logit|",
            "mean_delta",
            ".4f",
            f"float32: spread {exact['spread']:.2f}, {exact['lowest']:+.2f} to {exact['highest']:+.2f}",
        ),
        row("max |delta logit|", "max_delta", ".4f", "the document that moves most"),
        row("Kendall tau", "kendall_tau", ".3f", "1 is the same order; mean of queries"),
        row("top 10 kept", "top_overlap", ".1%", "mean of queries"),
        row("top 1 changed", "top1_changed", "d", f"of {facts['queries']:,} queries"),
        [
            "documents/s",
            *(rate_text(drift["documents_per_second"]) for drift in precisions.values()),
            f"float32: {rate_text(exact['documents_per_second'])}; in turns on this machine",
        ],
        ["advised", facts["advised"], *blank, f"the fastest here with a mean of at most {facts['mean_limit']}"],
    ]
    width = max(_DRIFT_CELLS, *map(len, precisions))
    columns = [Column(), *(Column(right=True, width=width) for _ in precisions), Column(style="dim", fit=wrapped)]
    return RowTable(columns, rows)


def _workload_rows(facts: dict[str, Any]) -> list[Row]:
    """Name, value and remark of each row about a workload."""
    named = f"{facts['queries']:,} x {facts['documents']:,}"
    saved = 1 - facts["computed_tokens"] / facts["prompt_tokens"]
    cut = f"{facts['cut_tokens']:,} of each document cut by --max-length; " if facts["cut_tokens"] else ""
    batches = "batch" if facts["batches"] == 1 else "batches"
    return [
        ("documents", named, f"queries, and documents of {facts['document_tokens']:,} tokens for each"),
        ("rows", f"{facts['row_tokens']:,} tokens", f"each; {cut}{facts['prompt_tokens']:,} in all"),
        ("computed", f"{facts['computed_tokens']:,}", f"tokens ({saved:.0%} saved), in {facts['batches']:,} {batches}"),
    ]


def _head_rows(head: dict[str, Any] | None) -> list[Row]:
    if head is None:
        return [("none", "an embedding model", "the last token's state is the vector")]
    is_word = head["tensor"] in (EMBEDDING, HEAD)
    judges = ("yes", "no") if len(head["rows"]) == 2 else ("the word" if is_word else "yes - no",)
    return [
        ("matrix", "tied" if head["tied"] else "its own", head["note"] or head["tensor"]),
        *((name, f"row {row:,}", "") for name, row in zip(judges, head["rows"], strict=True)),
    ]
