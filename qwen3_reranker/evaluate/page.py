"""A summary -> one page of HTML with its plots inside: no script, no font, nothing from another host."""

from __future__ import annotations

from html import escape

import numpy as np

from qwen3_reranker.evaluate import plots
from qwen3_reranker.evaluate.report import (
    DIFFERENCES,
    comparison_rows,
    depth_rows,
    language_rows,
    remarks,
    set_rows,
    system_rows,
    tuning_remark,
    tuning_rows,
    verdict,
)
from qwen3_reranker.evaluate.summary import MODEL, Summary
from qwen3_reranker.evaluate.tuning import Tuning

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #69727d; --paper: #fff; --line: #d9dee4;
  --c0: #69727d; --c1: #2563a8; --c2: #b4540a; --c3: #2c7a3f; --c4: #8a3ea8; --c5: #a8273d }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --dim: #98a2ad; --paper: #14171b; --line: #353b43;
  --c0: #98a2ad; --c1: #74b0f0; --c2: #f0a060; --c3: #74c98a; --c4: #cf94e8; --c5: #f08a9a } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
.verdict { font-size: 1.1rem } .dim, footer { color: var(--dim); font-size: .9rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
td.number, th.number { text-align: right } svg { width: 100%; min-width: 34rem; height: auto; margin: .6rem 0 }
.key { margin-right: 1.2rem } .key::before { content: "●"; margin-right: .4rem } .key.c1 { color: var(--c1) }
.key.c2 { color: var(--c2) } .key.c3 { color: var(--c3) } .key.c4 { color: var(--c4) } .key.c5 { color: var(--c5) }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) } .grid, .axis { stroke: var(--line) }
.whisker { stroke-width: 3; stroke-linecap: round; opacity: .45 } .line { fill: none; stroke-width: 2.5 }
.level { stroke: var(--c0); stroke-width: 2; stroke-dasharray: 5 4 } .area { fill: var(--c1); opacity: .7 }
.c0 { stroke: var(--c0) } .c1 { stroke: var(--c1) } .c2 { stroke: var(--c2) } .c3 { stroke: var(--c3) }
.c4 { stroke: var(--c4) } .c5 { stroke: var(--c5) }
.dot.c0 { fill: var(--c0) } .dot.c1 { fill: var(--c1) } .dot.c2 { fill: var(--c2) } .dot.c3 { fill: var(--c3) }
.dot.c4 { fill: var(--c4) } .dot.c5 { fill: var(--c5) }
"""


def page(summary: Summary, tuning: Tuning | None = None) -> str:
    """The report as one self-contained page; tuning: the result of choosing among instructions, if there is one."""
    first = summary.systems[0]
    models = [system for system in summary.systems if system.kind == MODEL]
    bars = [(each.label, summary.mean(each), *summary.interval(each)) for each in summary.systems]
    parts = [
        f'<h1>Evaluation</h1><p class="verdict">{escape(tuning.verdict if tuning else verdict(summary))}</p>',
        *([f"<p>{escape(tuning_remark(tuning))}</p>{_wide(tuning_rows(tuning).html())}"] if tuning else []),
        f"<h2>{escape(summary.headline_name)}</h2>{_wide(plots.intervals(bars))}{_wide(system_rows(summary).html())}",
    ]
    if summary.comparisons:
        parts.append(f'<h2>Differences</h2><p class="dim">{DIFFERENCES}</p>{_wide(comparison_rows(summary).html())}')
    for system in models if summary.is_ordered else ():
        values = np.concatenate(
            [
                summary.headline(system, place).values_Q - summary.headline(first, place).values_Q
                for place in range(len(summary.sets))
            ]
        )
        parts.append(
            f"<h2>{escape(system.label)}, query by query</h2>"
            f'<p class="dim">Its {escape(summary.headline_name)} minus that of {escape(first.label)}, best first.</p>'
            + _wide(plots.differences(values.tolist()))
        )
    depths, languages = depth_rows(summary), language_rows(summary)
    if depths.rows:
        lines = {system.label: system.depth_curve for system in models}
        parts.append(
            '<h2>How deep to rerank</h2><p class="dim">When only the first documents of a list are reranked.</p>'
            + _wide(plots.curves(lines, summary.mean(first), first.label))
            + "".join(f'<span class="key c{n % 6}">{escape(label)}</span>' for n, label in enumerate(lines, start=1))
            + _wide(depths.html())
        )
    parts.append(f"<h2>Sets</h2>{_wide(set_rows(summary).html())}")
    if languages.rows:
        parts.append(f"<h2>Languages</h2>{_wide(languages.html())}")
    notes = "".join(f"<li>{escape(line)}</li>" for line in remarks(summary))
    parts.append(f"<footer><h2>What was measured</h2><ul>{notes}</ul></footer>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _wide(content: str) -> str:
    """What may be wider than a small screen, to be moved from side to side in a place of its own."""
    return f'<div class="wide">{content}</div>'
