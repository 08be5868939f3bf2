"""Quality against size: the models of one table of published scores as points of a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qwen3_reranker.model_facts import ModelFacts

WIDTH, HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 24, 26, 44


@dataclass(frozen=True, slots=True)
class PlottedModel:
    """A point: x and y in pixels from the upper left corner."""

    facts: ModelFacts
    value: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class QualityPlot:
    """Points of models that were measured alike. baseline: its value and y in pixels; ticks: values and their y."""

    benchmark: str
    measure: str
    points: tuple[PlottedModel, ...]
    baseline: tuple[str, float] | None
    ticks: tuple[tuple[int, float], ...]


def quality_plot(model: ModelFacts, known: Sequence[ModelFacts]) -> QualityPlot | None:
    """The first row of a model's scores beside all that were measured alike. None where there is no other."""
    alike = [each for each in known if each.scores.source == model.scores.source]
    if len(alike) < 2:
        return None
    first = model.scores.rows[0]
    values = [float(each.scores.rows[0].value) for each in alike]
    shown = values if first.baseline is None else [*values, float(first.baseline)]
    low, high = math.floor(min(shown) / 2) * 2, math.ceil(max(shown) / 2) * 2
    sizes = [math.log(each.config.num_parameters) for each in alike]

    def y(value: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low), 1)

    def x(size: float) -> float:
        room = WIDTH - _LEFT - _RIGHT - 120
        return round(_LEFT + 60 + room * (size - min(sizes)) / (max(sizes) - min(sizes)), 1)

    return QualityPlot(
        benchmark=first.benchmark,
        measure=first.measure,
        points=tuple(
            PlottedModel(each, each.scores.rows[0].value, x(size), y(value))
            for each, size, value in zip(alike, sizes, values, strict=True)
        ),
        baseline=None if first.baseline is None else (first.baseline, y(float(first.baseline))),
        ticks=tuple((value, y(value)) for value in range(low, high + 1, 2)),
    )
