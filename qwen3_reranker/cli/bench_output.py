"""What `bench` measured -> a table for people, JSON for programs, Markdown for pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import TextIO

from qwen3_reranker.bench import BenchReport, BenchWorkload, Measured
from qwen3_reranker.cli.rate_text import rate_text
from qwen3_reranker.cli.terminal import console_for, print_line, print_table, visible
from qwen3_reranker.drift import MEAN_LIMIT, fastest_within_limit
from qwen3_reranker.row_table import GAP, Column, RowTable

_KINDS = ("products", "attention", "rest")
_HEADS = ("docs/s", "tokens/s", "computed/s", "ratio")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class BenchSetting:
    """What ran, and how."""

    model: str
    kernels: str
    threads: int
    rounds: int

    @property
    def words(self) -> str:
        """In one line."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        rounds = "1 round" if self.rounds == 1 else f"medians of {self.rounds} rounds"
        return f"{self.kernels} kernels, {threads}, {rounds}"


def write_bench(
    setting: BenchSetting, workloads: Sequence[BenchWorkload], report: BenchReport, form: str, stream: TextIO
) -> None:
    """Write the workloads that were measured, in one of `bench`'s formats."""
    described = {workload.name: workload for workload in workloads}
    if form == "json":
        json.dump(_facts(setting, described, report), stream, indent=2)
        stream.write("\n")
    elif form == "markdown":
        rows = [
            [f"{each.workload}: {_described(described[each.workload])}", each.precision, *_rates(each), *_shares(each)]
            for each in report.measured
        ]
        table = RowTable([Column("workload"), Column("precision"), *_columns((*_HEADS, *_KINDS))], rows).markdown()
        stream.write(f"{visible(setting.model)}: {setting.words}\n\n{table}\n\n{_closing(report)}\n")
    else:
        _write_tables(setting, described, report, stream)


def _facts(setting: BenchSetting, workloads: dict[str, BenchWorkload], report: BenchReport) -> dict[str, object]:
    measured = []
    for each in report.measured:
        fields = asdict(each)
        shares = fields.pop("shares")
        measured.append({**fields, "shares": dict(zip(_KINDS, shares, strict=True))})
    names = dict.fromkeys(each.workload for each in report.measured)
    return {
        **asdict(setting),
        "workloads": {
            name: {
                "queries": workloads[name].queries,
                "pairs": len(workloads[name].pairs),
                "mean_document_tokens": workloads[name].mean_document_tokens,
                "tokens": workloads[name].tokens,
                "cut_documents": workloads[name].cut_documents,
            }
            for name in names
        },
        "measured": measured,
        "peak_bytes": report.peak_bytes,
        "mean_deltas": report.mean_deltas,
        "mean_limit": MEAN_LIMIT,
        "advised": fastest_within_limit(report.documents_per_second, deltas)
        if (deltas := report.mean_deltas)
        else None,
    }


def _write_tables(
    setting: BenchSetting, workloads: dict[str, BenchWorkload], report: BenchReport, stream: TextIO
) -> None:
    from rich.text import Text

    console = console_for(stream)
    rows = [[each.precision, *_rates(each), *_shares(each)] for each in report.measured]
    heads = ("", *_HEADS, *_KINDS)
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    columns = [Column(width=widths[0]), *_columns(heads[1:], widths[1:])]
    # Where all columns do not fit, the shares have a line of their own.
    is_wide = RowTable(columns, rows).is_within(console.width - len(GAP))
    shown = len(heads) if is_wide else len(heads) - len(_KINDS)
    print_line(console, Text(visible(setting.model), style="bold"))
    print_line(console, f"{GAP}{setting.words}")
    last = ""
    for each, row in zip(report.measured, rows, strict=True):
        is_first, last = each.workload != last, each.workload
        if is_first:
            described = Text(f"  {_described(workloads[last])}", style="dim")
            print_line(console, Text(f"\n{last}", style="bold"), described)
        print_table(RowTable(columns[:shown], [row[:shown]]), console, indent=GAP, headed=is_first)
        if not is_wide and each.shares:
            shares = ", ".join(f"{kind} {share}" for kind, share in zip(_KINDS, _shares(each), strict=True))
            print_line(console, GAP * 2, Text(shares, style="dim"))
    print_line(console, f"\n{_closing(report)}")


def _columns(heads: Sequence[str], widths: Sequence[int | None] = ()) -> list[Column]:
    return [Column(head, right=True, width=width) for head, width in zip_longest(heads, widths)]


def _described(workload: BenchWorkload) -> str:
    queries = "1 query" if workload.queries == 1 else f"{workload.queries} queries"
    documents = len(workload.pairs) // workload.queries
    what = "1 document" if documents == 1 else f"{documents} documents"
    cut = f", {workload.cut_documents:,} cut by --max-length" if workload.cut_documents else ""
    return f"{queries} x {what} of {workload.mean_document_tokens:,.0f} tokens{cut}"


def _rates(each: Measured) -> tuple[str, ...]:
    return (
        rate_text(each.documents_per_second),
        f"{each.tokens_per_second:,.0f}",
        f"{each.computed_per_second:,.0f}",
        f"{each.ratio:.2f}x",
    )


def _shares(each: Measured) -> tuple[str, ...]:
    return tuple(f"{share:.0%}" for share in each.shares)


def _closing(report: BenchReport) -> str:
    """What is said of all workloads together, a line each."""
    sizes = (f"{precision} {size / _MIB:,.0f} MiB" for precision, size in report.peak_bytes.items())
    lines = [f"peak memory: {', '.join(sizes)}"]
    if deltas := report.mean_deltas:
        advised = fastest_within_limit(report.documents_per_second, deltas)
        lines += [
            f"mean |delta logit|: {', '.join(f'{precision} {delta:.4f}' for precision, delta in deltas.items())}",
            f"advised: {advised}, the fastest here with a mean of at most {MEAN_LIMIT}",
        ]
    return "\n".join(lines)
