"""Numbers -> plots as inline SVG: intervals, differences query by query, curves over depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH = 720
_LABELS = 260
_ROW = 30
_NUMBERS = 64


def intervals(rows: Sequence[tuple[str, float, float, float]]) -> str:
    """A dot and a whisker for each (label, value, low, high), from 0."""
    highest = max((high for _, _, _, high in rows), default=1.0) or 1.0
    right = _WIDTH - _NUMBERS

    def x(value: float) -> float:
        return _LABELS + max(value, 0.0) / highest * (right - _LABELS)

    height = _ROW * len(rows) + 26
    parts = _vertical_grid(0.0, highest, x, height - 22)
    for number, (label, value, low, high) in enumerate(rows):
        y = _ROW * number + _ROW / 2
        parts += [
            _text(_LABELS - 12, y + 4, _shortened(label, 36), "end", label),
            f'<line class="whisker c{number % 6}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}"/>',
            f'<circle class="dot c{number % 6}" cx="{x(value):.1f}" cy="{y}" r="5"/>',
            _text(right + 10, y + 4, f"{value:.3f}"),
        ]
    return _svg(height, parts, "Mean and 95 % interval of each system")


def differences(values: Sequence[float]) -> str:
    """A bar for each query's difference, the greatest gain first. Wins and losses are seen at once."""
    ordered = sorted(values, reverse=True)
    highest = max((abs(value) for value in ordered), default=0.0) or 1.0
    height, left, right = 140, 44, _WIDTH - 8
    step = (right - left) / max(len(ordered), 1)
    middle = height / 2

    def y(value: float) -> float:
        return middle - value / highest * (middle - 8)

    # One outline for all bars keeps a page of thousands of queries small.
    points = " ".join(
        f"{left + step * number:.1f},{y(value):.1f} {left + step * (number + 1):.1f},{y(value):.1f}"
        for number, value in enumerate(ordered)
    )
    parts = [
        f'<polygon class="area" points="{left},{middle} {points} {right},{middle}"/>',
        f'<line class="axis" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>',
        *(
            _text(left - 8, y(value) + 4, f"{value:+.2f}" if value else "0", "end")
            for value in (highest, 0.0, -highest)
        ),
    ]
    return _svg(height, parts, "Difference from the first stage, query by query")


def curves(lines: Mapping[str, Mapping[int, float]], level: float, level_label: str) -> str:
    """A line for each label over depths, on a logarithmic axis, with a constant level."""
    depths = sorted({depth for line in lines.values() for depth in line})
    values = [value for line in lines.values() for value in line.values()] + [level]
    low, high = min(values), max(values)
    low, high = low - (high - low or 0.1) * 0.1, high + (high - low or 0.1) * 0.1
    height, left, right, bottom = 240, 52, _WIDTH - 16, 240 - 28
    span = math.log(depths[-1] / depths[0]) or 1.0

    def x(depth: float) -> float:
        return left + math.log(depth / depths[0]) / span * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - 8)

    parts = [f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>']
    parts += [_text(x(depth), bottom + 18, f"{depth:,}", "middle") for depth in depths]
    parts += [_text(left - 8, y(value) + 4, f"{value:.3f}", "end") for value in (low, (low + high) / 2, high)]
    parts.append(f'<line class="level" x1="{left}" x2="{right}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>')
    parts.append(_text(right, y(level) - 6, level_label, "end"))
    for number, (label, line) in enumerate(lines.items(), start=1):
        points = " ".join(f"{x(depth):.1f},{y(value):.1f}" for depth, value in line.items())
        parts.append(
            f'<polyline class="line c{number % 6}" points="{points}"><title>{escape(label)}</title></polyline>'
        )
    return _svg(height, parts, "Mean by the number of documents that are reranked")


def shares(lines: Mapping[str, Sequence[tuple[float, float]]], title: str, *, diagonal: bool = False) -> str:
    """A line for each label through points of two shares, from 0 to 1. diagonal: with the line of equal shares."""
    height, left, right, bottom = 300, 52, _WIDTH - 16, 300 - 28

    def x(value: float) -> float:
        return left + value * (right - left)

    def y(value: float) -> float:
        return bottom - value * (bottom - 8)

    parts = [f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>']
    for at in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [_text(x(at), bottom + 18, f"{at:.2f}", "middle"), _text(left - 8, y(at) + 4, f"{at:.2f}", "end")]
    if diagonal:
        parts.append(f'<line class="level" x1="{x(0)}" x2="{x(1)}" y1="{y(0)}" y2="{y(1)}"/>')
    for number, (label, line) in enumerate(lines.items(), start=1):
        points = " ".join(f"{x(first):.1f},{y(second):.1f}" for first, second in line)
        parts.append(
            f'<polyline class="line c{number % 6}" points="{points}"><title>{escape(label)}</title></polyline>'
        )
    return _svg(height, parts, title)


def tradeoffs(lines: Mapping[str, Sequence[tuple[str, float, float, float, float]]], title: str) -> str:
    """A line for each label through points of quality by time: (name, share of time, value, low, high), with whiskers.

    The share is of 0 to the longest; a whisker goes from low to high.
    """
    points = [point for line in lines.values() for point in line]
    longest = max(share for _, share, *_ in points)
    low, high = min(point[3] for point in points), max(point[4] for point in points)
    height, left, right, bottom = 300, 52, _WIDTH - 40, 300 - 28

    def x(share: float) -> float:
        return left + share / longest * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low or 1) * (bottom - 8)

    parts = _vertical_grid(0.0, longest, x, bottom)
    parts += [_text(left - 8, y(value) + 4, f"{value:.3f}", "end") for value in (low, (low + high) / 2, high)]
    for number, (label, line) in enumerate(lines.items(), start=1):
        path = " ".join(f"{x(share):.1f},{y(value):.1f}" for _, share, value, *_ in line)
        parts.append(f'<polyline class="line c{number % 6}" points="{path}"><title>{escape(label)}</title></polyline>')
        for name, share, value, least, most in line:
            at, style = f"{x(share):.1f}", f"c{number % 6}"
            parts += [
                f'<line class="whisker {style}" x1="{at}" x2="{at}" y1="{y(least):.1f}" y2="{y(most):.1f}"/>',
                f'<circle class="dot {style}" cx="{at}" cy="{y(value):.1f}" r="5"/>',
                _text(x(share) + 8, y(value) - 8, _shortened(name, 24), "start", name),
            ]
    return _svg(height, parts, title)


def _vertical_grid(low: float, high: float, x: object, bottom: float) -> list[str]:
    assert callable(x)
    steps = [low + (high - low) * part / 4 for part in range(5)]
    return [
        f'<line class="grid" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="0" y2="{bottom}"/>'
        + _text(x(at), bottom + 16, f"{at:.2f}", "middle")
        for at in steps
    ]


def _text(x: float, y: float, words: str, anchor: str = "start", title: str = "") -> str:
    inside = escape(words) + (f"<title>{escape(title)}</title>" if title and title != words else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{inside}</text>'


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
