"""Cascades of two models -> a table of quality and time, the chosen band in words, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qwen3_reranker.evaluate.summary import CascadeCurve, Summary, System
from qwen3_reranker.row_table import Column, RowTable, cut_end


def cascade_rows(summary: Summary) -> RowTable:
    """A row a band of each first model, between that model alone and the second one alone."""
    rows = []
    for curve in summary.curves:
        rows.append(_row(summary, curve, curve.first, "0%", ["", ""]))
        for point in curve.points:
            each, judged = point.minus_then, f"{point.parts.then_pairs / max(point.parts.pairs, 1):.0%}"
            difference = [f"{each.difference:+.3f}", f"{each.low:+.3f} to {each.high:+.3f}"]
            rows.append(_row(summary, curve, point.system, judged, difference))
    if summary.curves:
        rows.append(_row(summary, summary.curves[-1], summary.curves[-1].then, "100%", ["", ""]))
    numbers = ["of pairs", summary.headline_name, "95 % interval", "minus last", "95 % interval", "ms a query", "time"]
    return RowTable([Column("system", fit=cut_end), *(Column(each, right=True) for each in numbers)], rows)


def _row(summary: Summary, curve: CascadeCurve, system: System, judged: str, difference: Sequence[str]) -> list[str]:
    low, high = summary.interval(system)
    share = curve.share_of_time(system)
    time = ["", ""] if share is None else [f"{1000 * sum(system.seconds) / len(system.seconds):,.1f}", f"{share:.0%}"]
    return [system.label, judged, f"{summary.mean(system):.3f}", f"{low:.3f} to {high:.3f}", *difference, *time]


def cascade_remark(summary: Summary) -> str:
    """How bands are compared, and where times come from."""
    if not summary.curves:
        return ""
    then = summary.curves[0].then.label
    return (
        f"The first model scores every list, and {then} a band of its best: the share of pairs. Both were measured "
        "alone on the same lists. A cascade takes the time of the first, and that of the second for the share of the "
        f"characters that it scores; time is a share of that of {then} alone. A band is good enough where its "
        f"interval, and those of all larger bands, are above -{summary.margin:g}."
    )


def chosen_sentence(curve: CascadeCurve) -> str:
    """Which band a cascade needs, in words."""
    models, point = f"{curve.first.label}, then {curve.then.label}", curve.chosen
    if point is None:
        return f"{models}: no band is shown to be at most {curve.margin:g} worse than the second model alone."
    share, each = curve.share_of_time(point.system), point.minus_then
    time = "" if share is None else f", in {share:.0%} of its time"
    return (
        f"{models}: {point.parts.band} is the smallest band that is shown to be at most {curve.margin:g} worse than "
        f"the second model alone, {each.difference:+.3f} [{each.low:+.3f}, {each.high:+.3f}]{time}."
    )


def curve_json(summary: Summary, curve: CascadeCurve) -> dict[str, Any]:
    """Every number of a curve, for programs."""
    return {
        "first": curve.first.label,
        "then": curve.then.label,
        "margin": curve.margin,
        "chosen_band": None if curve.chosen is None else curve.chosen.parts.band,
        "bands": [
            {
                **asdict(point.parts),
                "mean": summary.mean(point.system),
                "interval": summary.interval(point.system),
                "minus_then": asdict(point.minus_then),
                "share_of_time": curve.share_of_time(point.system),
            }
            for point in curve.points
        ],
    }
