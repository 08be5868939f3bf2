"""What `bench` measured -> a table for people, JSON for programs, Markdown for pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TextIO

from qwen3_reranker.bench import BenchReport, BenchWorkload, Measured
from qwen3_reranker.cli.terminal import coloured, visible

_KINDS = ("products", "attention", "rest")
_HEADS = ("docs/s", "tokens/s", "computed/s", "ratio")
_MIB = 1 << 20
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class BenchSetting:
    """What was asked for."""

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
    else:
        lines = _markdown if form == "markdown" else _table
        for line in lines(setting, described, report, coloured(stream)):
            stream.write(line + "\n")


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
    }


def _markdown(
    setting: BenchSetting, workloads: dict[str, BenchWorkload], report: BenchReport, _: bool
) -> Iterator[str]:
    yield f"{visible(setting.model)}: {setting.words}\n"
    yield f"| workload | precision | {' | '.join((*_HEADS, *_KINDS))} |"
    yield "|---|---|" + "---:|" * (len(_HEADS) + len(_KINDS))
    for each in report.measured:
        what = f"{each.workload}: {_described(workloads[each.workload])}"
        yield f"| {what} | {each.precision} | {' | '.join((*_rates(each), *_shares(each)))} |"
    yield f"\n{_peaks(report)}"


def _table(
    setting: BenchSetting, workloads: dict[str, BenchWorkload], report: BenchReport, colour: bool
) -> Iterator[str]:
    bold, dim, plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "")
    rows = [[each.precision, *_rates(each), *_shares(each)] for each in report.measured]
    heads = ["", *_HEADS, *_KINDS]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    # Where all columns do not fit, the shares stand on a line of their own.
    beside = len(heads) if sum(widths) + len(_INDENT) * len(widths) <= shutil.get_terminal_size().columns else 5

    def aligned(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return _INDENT + _INDENT.join([first, *others][:beside])

    yield f"{bold}{visible(setting.model)}{plain}"
    yield f"{_INDENT}{setting.words}"
    last = ""
    for each, row in zip(report.measured, rows, strict=True):
        if each.workload != last:
            last = each.workload
            yield f"\n{bold}{last}{plain}  {dim}{_described(workloads[last])}{plain}"
            yield f"{dim}{aligned(heads)}{plain}"
        yield aligned(row)
        if beside < len(heads):
            shares = ", ".join(f"{kind} {share}" for kind, share in zip(_KINDS, _shares(each), strict=True))
            yield f"{_INDENT * 2}{dim}{shares}{plain}"
    yield f"\n{_peaks(report)}"


def _described(workload: BenchWorkload) -> str:
    queries = "1 query" if workload.queries == 1 else f"{workload.queries} queries"
    documents = len(workload.pairs) // workload.queries
    what = "1 document" if documents == 1 else f"{documents} documents"
    cut = f", {workload.cut_documents:,} cut by --max-length" if workload.cut_documents else ""
    return f"{queries} x {what} of {workload.mean_document_tokens:,.0f} tokens{cut}"


def _rates(each: Measured) -> tuple[str, ...]:
    documents = each.documents_per_second
    return (
        f"{documents:,.0f}" if documents >= 99.95 else f"{documents:#.3g}",
        f"{each.tokens_per_second:,.0f}",
        f"{each.computed_per_second:,.0f}",
        f"{each.ratio:.2f}x",
    )


def _shares(each: Measured) -> tuple[str, ...]:
    return tuple(f"{share:.0%}" for share in each.shares)


def _peaks(report: BenchReport) -> str:
    sizes = (f"{precision} {size / _MIB:,.0f} MiB" for precision, size in report.peak_bytes.items())
    return f"peak memory: {', '.join(sizes)}"
