"""Scores of systems on sets -> means, intervals, and significant differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qwen3_reranker.evaluate.cascades import CascadeParts
from qwen3_reranker.evaluate.first_stage import FirstStage
from qwen3_reranker.evaluate.judging import Cost
from qwen3_reranker.evaluate.labelled import LabelledSet, weights
from qwen3_reranker.evaluate.measures import Measure
from qwen3_reranker.evaluate.scores import RunScores
from qwen3_reranker.evaluate.significance import Values, holm, mean_interval, paired_p, weighted_mean

FIRST_STAGE, PART, MODEL, FUSION, ORACLE = "first stage", "part of the first stage", "model", "fusion", "oracle"
CASCADE = "cascade"
#: The kind of the first system where a set has lists without an order.
UNORDERED = "random order"
#: Below this a difference is called more than chance.
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class SetFacts:
    """One set as it was evaluated; measure: what it is judged by. weight: what it counts in means over sets.

    is_ordered: whether its lists have an order, which a system could make better.
    """

    name: str
    group: str
    language: str
    documents: int
    queries: int
    first_stage: str
    first_stage_sha256: str
    is_ordered: bool
    depth: int
    recall: float
    measure: Measure
    weight: float


@dataclass(frozen=True, slots=True)
class System:
    """One way to order the lists, with its scores of each set. depth_curve: the mean when fewer documents are reranked.

    settings: of a model, everything its logits depend on, set apart. cost: what judging took, over all sets. seconds:
    of each query of all sets, to retrieve or to judge its list; empty where they are not known. cascade: of two models.
    """

    label: str
    kind: str
    scores: tuple[Mapping[Measure, RunScores], ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    cost: Cost | None = None
    depth_curve: Mapping[int, float] = field(default_factory=dict)
    seconds: Sequence[float] = ()
    cascade: CascadeParts | None = None

    @property
    def latency(self) -> tuple[float, float] | None:
        """p50 and p95 of the seconds of a query."""
        if not self.seconds:
            return None
        p50, p95 = np.percentile(self.seconds, (50, 95)).tolist()
        return p50, p95


@dataclass(frozen=True, slots=True)
class SystemComparison:
    """One system minus another: mean difference, its interval, p, queries won and lost.

    corrected_p: by Holm's method, over all comparisons of the summary.
    """

    system: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    won: int
    lost: int
    tied: int
    corrected_p: float = 1.0

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below the threshold."""
        return self.corrected_p < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class CascadePoint:
    """A cascade with one band. minus_then: compared with the second model alone."""

    system: System
    parts: CascadeParts
    minus_then: SystemComparison


@dataclass(frozen=True, slots=True)
class CascadeCurve:
    """Two models, and their cascades, the smallest band first. margin: how much worse a cascade may be."""

    first: System
    then: System
    points: tuple[CascadePoint, ...]
    margin: float

    @property
    def chosen(self) -> CascadePoint | None:
        """The smallest band that is shown to be good enough. None for no band.

        The 95 % interval of its difference from the second model alone is above -margin, and so are those of all larger
        bands: a fixed sequence of tests needs no correction for their number.
        """
        found = None
        for point in reversed(self.points):
            if point.minus_then.low < -self.margin:
                break
            found = point
        return found

    def share_of_time(self, system: System) -> float | None:
        """The seconds that a system took, as a share of the second model's alone. None where they are not known."""
        whole = sum(self.then.seconds)
        return sum(system.seconds) / whole if whole and system.seconds else None


@dataclass(frozen=True, slots=True)
class Summary:
    """What an evaluation found; systems in the order of tables: first stage and its parts, models, cascades, fusions,
    oracle.

    measures: those besides the one of each set. margin: how much worse than its second model a cascade may be. Of
    `compared`: comparisons; by_set, each set alone; by_language, the sets of each language that is known, which count
    alike; curves, one for each first model of cascades.
    """

    sets: tuple[SetFacts, ...]
    systems: tuple[System, ...]
    measures: tuple[Measure, ...]
    seed: int
    margin: float = 0.0
    comparisons: tuple[SystemComparison, ...] = ()
    by_set: tuple[Summary, ...] = ()
    by_language: Mapping[str, Summary] = field(default_factory=dict)
    curves: tuple[CascadeCurve, ...] = ()

    def mean(self, system: System, measure: Measure | None = None) -> float:
        """The mean over sets of a measure; None for what each set is judged by."""
        return weighted_mean(self._values(system, measure), self._weights)

    def interval(self, system: System, measure: Measure | None = None) -> tuple[float, float]:
        """The 95 % bootstrap interval of `mean`."""
        return mean_interval(self._values(system, measure), self._weights, seed=self.seed)

    def headline(self, system: System, place: int) -> RunScores:
        """The scores of one set by what it is judged by."""
        return system.scores[place][self.sets[place].measure]

    @property
    def is_ordered(self) -> bool:
        """Whether the lists of every set have an order. Otherwise there is no first stage to gain on."""
        return all(each.is_ordered for each in self.sets)

    @property
    def headline_name(self) -> str:
        """What the sets are judged by, in words."""
        return ", ".join(dict.fromkeys(each.measure.name for each in self.sets))

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """By "system on set", the judged queries that it lacks, which count as 0. Those of the oracle repeat others."""
        return {
            f"{system.label} on {facts.name}": self.headline(system, place).missing
            for system in self.systems
            if system.kind in (FIRST_STAGE, UNORDERED, MODEL)
            for place, facts in enumerate(self.sets)
            if self.headline(system, place).missing
        }

    @property
    def _weights(self) -> list[float]:
        return [each.weight for each in self.sets]

    def _values(self, system: System, measure: Measure | None) -> list[Values]:
        return [system.scores[place][measure or facts.measure].values_Q for place, facts in enumerate(self.sets)]


def facts_of(sets: Sequence[LabelledSet], stages: Sequence[FirstStage]) -> tuple[SetFacts, ...]:
    """What there is to say of each set and its lists."""
    return tuple(
        SetFacts(
            name=labelled.name,
            group=labelled.group,
            language=labelled.language,
            documents=len(labelled.documents),
            queries=len(labelled.qrels),
            first_stage=stage.name,
            first_stage_sha256=stage.sha256,
            is_ordered=stage.is_ordered,
            depth=stage.depth,
            recall=_recall(labelled, stage),
            measure=labelled.measure,
            weight=weight,
        )
        for labelled, stage, weight in zip(sets, stages, weights(sets), strict=True)
    )


def compared(summary: Summary) -> Summary:
    """With every model and fusion compared with the first stage, fusions with their models, models with the first.

    So is each set by itself, and each language. Nothing is compared with lists that have no order.
    """
    alone = tuple(_part(summary, [place]) for place in range(len(summary.sets)))
    places: dict[str, list[int]] = {}
    for place, facts in enumerate(summary.sets):
        if facts.language:
            places.setdefault(facts.language, []).append(place)
    languages = {
        language: alone[own[0]] if len(own) == 1 else _part(summary, own) for language, own in sorted(places.items())
    }
    return replace(_with_comparisons(summary), by_set=alone, by_language=languages, curves=_curves(summary))


def _curves(summary: Summary) -> tuple[CascadeCurve, ...]:
    models = {system.label: system for system in summary.systems if system.kind == MODEL}
    found: dict[tuple[str, str], list[CascadePoint]] = {}
    for system in summary.systems:
        if (parts := system.cascade) is not None:
            point = CascadePoint(system, parts, _compared(summary, system, models[parts.then]))
            found.setdefault((parts.first, parts.then), []).append(point)
    return tuple(
        CascadeCurve(models[first], models[then], tuple(points), summary.margin)
        for (first, then), points in found.items()
    )


def _with_comparisons(summary: Summary) -> Summary:
    models, fusions = ([system for system in summary.systems if system.kind == kind] for kind in (MODEL, FUSION))
    pairs = [(system, summary.systems[0]) for system in (*models, *fusions) if summary.is_ordered]
    # Fusions have the order of their models; lists without an order have none.
    pairs += [(summary.systems[0], system) for system in summary.systems if system.kind == PART]
    pairs += [*zip(fusions, models, strict=False), *((model, models[0]) for model in models[1:])]
    found = [_compared(summary, system, baseline) for system, baseline in pairs]
    corrected = holm([each.p for each in found])
    comparisons = tuple(replace(each, corrected_p=p) for each, p in zip(found, corrected, strict=True))
    return replace(summary, comparisons=comparisons)


def _part(summary: Summary, places: Sequence[int]) -> Summary:
    """These sets alone, which count alike."""
    sets = tuple(replace(summary.sets[place], weight=1 / len(places)) for place in places)
    systems = tuple(
        replace(system, scores=tuple(system.scores[place] for place in places)) for system in summary.systems
    )
    return _with_comparisons(replace(summary, sets=sets, systems=systems))


def narrowed(summary: Summary, labels: Collection[str]) -> Summary:
    """With these models and their fusions alone, not compared yet."""
    models = [system.label for system in summary.systems if system.kind == MODEL]
    fusions = [system.label for system in summary.systems if system.kind == FUSION]
    kept = {*labels, *(fusion for model, fusion in zip(models, fusions, strict=False) if model in labels)}
    systems = tuple(
        each for each in summary.systems if each.kind in (FIRST_STAGE, PART, UNORDERED, ORACLE) or each.label in kept
    )
    return replace(summary, systems=systems, comparisons=(), by_set=(), by_language={}, curves=())


def _compared(summary: Summary, system: System, baseline: System) -> SystemComparison:
    differences = [
        summary.headline(system, place).values_Q - summary.headline(baseline, place).values_Q
        for place in range(len(summary.sets))
    ]
    set_weights = [each.weight for each in summary.sets]
    low, high = mean_interval(differences, set_weights, seed=summary.seed)
    all_N = np.concatenate(differences)
    return SystemComparison(
        system=system.label,
        baseline=baseline.label,
        difference=weighted_mean(differences, set_weights),
        low=low,
        high=high,
        p=paired_p(differences, set_weights, seed=summary.seed),
        won=int((all_N > 0).sum()),
        lost=int((all_N < 0).sum()),
        tied=int((all_N == 0).sum()),
    )


def _recall(labelled: LabelledSet, stage: FirstStage) -> float:
    """The mean share of relevant documents that a list holds. No reranking can find the others."""
    shares, listed = [], stage.of_documents(stage.run)
    for query, labels in labelled.qrels.items():
        relevant = [document for document, label in labels.items() if label > 0]
        found = listed.get(query, {})
        shares.append(sum(document in found for document in relevant) / len(relevant) if relevant else 0.0)
    return float(np.mean(shares))
