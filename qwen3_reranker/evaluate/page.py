"""A summary -> one page of HTML with its plots, without scripts or other files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape

import numpy as np

from qwen3_reranker.evaluate import plots
from qwen3_reranker.evaluate.report import CASCADES, DEPTHS, DIFFERENCES, ReportSection, remarks, sections, verdict
from qwen3_reranker.evaluate.summary import MODEL, CascadeCurve, Summary
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
    """The report as one self-contained page. tuning: the result of choosing among instructions, if there is one."""
    verdict_of = tuning.verdict if tuning else verdict(summary)
    parts = [f'<h1>Evaluation</h1><p class="verdict">{escape(verdict_of)}</p>']
    for section in sections(summary, tuning):
        remark = f'<p class="dim">{escape(section.remark)}</p>' if section.remark else ""
        parts.append(f"<h2>{escape(section.title)}</h2>{remark}{_plot(section, summary)}{wide(section.table.html())}")
        if section.title == DIFFERENCES and summary.is_ordered:
            parts += _differences(summary)
    notes = "".join(f"<li>{escape(line)}</li>" for line in remarks(summary))
    parts.append(f"<footer><h2>What was measured</h2><ul>{notes}</ul></footer>")
    return whole_page("Evaluation", "".join(parts))


def whole_page(title: str, body: str) -> str:
    """A self-contained page of HTML in the style of all reports."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _plot(section: ReportSection, summary: Summary) -> str:
    """The plot above a table, if it has one."""
    if section.title == DEPTHS:
        first = summary.systems[0]
        lines = {system.label: system.depth_curve for system in summary.systems if system.kind == MODEL}
        keys = (f'<span class="key c{n % 6}">{escape(label)}</span>' for n, label in enumerate(lines, start=1))
        return wide(plots.curves(lines, summary.mean(first), first.label)) + "".join(keys)
    if section.title == CASCADES and all(each.share_of_time(each.first) is not None for each in summary.curves):
        return wide(plots.tradeoffs(dict(map(partial(_tradeoff, summary), summary.curves)), section.title))
    if section.title.endswith(summary.headline_name):
        return wide(
            plots.intervals([(each.label, summary.mean(each), *summary.interval(each)) for each in summary.systems])
        )
    return ""


def _tradeoff(summary: Summary, curve: CascadeCurve) -> tuple[str, list[tuple[str, float, float, float, float]]]:
    """A line from the first model alone over its cascades to the second alone."""
    bands = [(str(point.parts.band), point.system) for point in curve.points]
    named = [(curve.first.label, curve.first), *bands, (curve.then.label, curve.then)]
    return f"{curve.first.label}, then {curve.then.label}", [
        (name, curve.share_of_time(system) or 0.0, summary.mean(system), *summary.interval(system))
        for name, system in named
    ]


def _differences(summary: Summary) -> Iterator[str]:
    """What each model gains on the first stage, query by query."""
    first = summary.systems[0]
    for system in (each for each in summary.systems if each.kind == MODEL):
        values = np.concatenate(
            [
                summary.headline(system, place).values_Q - summary.headline(first, place).values_Q
                for place in range(len(summary.sets))
            ]
        )
        yield (
            f"<h2>{escape(system.label)}, query by query</h2>"
            f'<p class="dim">Its {escape(summary.headline_name)} minus that of {escape(first.label)}, best first.</p>'
            + wide(plots.differences(values.tolist()))
        )


def wide(content: str) -> str:
    """Content that may be wider than the screen, with a scroll bar of its own."""
    return f'<div class="wide">{content}</div>'
