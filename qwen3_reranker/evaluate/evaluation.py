"""Sets and systems -> a summary of first stage, models, fusions and oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from qwen3_reranker.evaluate.cascades import BandChoice, CascadeParts, reranked_above, seconds_of_band, work_of_band
from qwen3_reranker.evaluate.first_stage import FirstStage, fused, oracle, stored
from qwen3_reranker.evaluate.judging import Cost, belonging, judge, model_facts
from qwen3_reranker.evaluate.labelled import LabelledSet, Run, weights
from qwen3_reranker.evaluate.logits_file import LogitsFile, file_name
from qwen3_reranker.evaluate.measures import Measure
from qwen3_reranker.evaluate.scores import RunScores, score_run
from qwen3_reranker.evaluate.significance import weighted_mean
from qwen3_reranker.evaluate.summary import (
    CASCADE,
    FIRST_STAGE,
    FUSION,
    MODEL,
    ORACLE,
    PART,
    UNORDERED,
    Summary,
    System,
    facts_of,
)
from qwen3_reranker.reranker import Reranker

RUN_ENDINGS = (".trec", ".run")
DEPTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One system to evaluate: a model or server with options and an instruction, or a stored run (`model`).

    instruction: None for the data's own. label: its name in tables.
    """

    label: str
    model: str
    instruction: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_run(self) -> bool:
        """Whether it is a TREC run rather than a model."""
        return self.model.endswith(RUN_ENDINGS)


def evaluate(
    sets: Sequence[LabelledSet],
    stages: Sequence[FirstStage],
    candidates: Sequence[Candidate],
    folder: Path,
    *,
    measures: Sequence[Measure] = (),
    seed: int = 0,
    cascade: BandChoice | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Summary:
    """Judge every list by every candidate; `compared` says what the differences are worth.

    measures: more than the one of each set. Lists without an order are fused with nothing.
    cascade: evaluate every other model as the first one of a cascade too. What both models say of a list is known then,
    so nothing is judged twice, and a cascade's seconds are those of both, by the share of the list's characters.
    folder: where logits are kept, a file for each candidate and set, and found again when a run was stopped.
    on_progress: called with the share done, up to 1. Raises what Reranker raises, and InputError for lists, runs and
    files that do not belong to the sets.
    """
    wanted = [tuple(dict.fromkeys((labelled.measure, *measures))) for labelled in sets]

    def scores(runs: Sequence[Run]) -> tuple[Mapping[Measure, RunScores], ...]:
        return tuple(
            score_run(labelled, stage.of_documents(run), of)
            for labelled, stage, run, of in zip(sets, stages, runs, wanted, strict=True)
        )

    is_ordered = all(stage.is_ordered for stage in stages)
    kind = FIRST_STAGE if is_ordered else UNORDERED
    all_parts = zip(*(stage.parts for stage in stages), strict=False)
    ordered = [
        System(_joined(s.name for s in each), of, scores([s.run for s in each]), seconds=_seconds(each))
        for each, of in ((stages, kind), *((parts, PART) for parts in all_parts))
    ]
    fusions = []
    judged = _all_judged(sets, stages, candidates, folder, on_progress)
    for candidate, runs, cost, seconds, settings in judged:
        # A stored run has documents, a model judges what the lists hold.
        first = [stage.of_documents(stage.run) if candidate.is_run else stage.run for stage in stages]
        curve = _depth_curve(sets, stages, first, runs)
        ordered.append(System(candidate.label, MODEL, scores(runs), settings, cost, curve, seconds))
        if not is_ordered:
            continue
        both = [fused(*each) for each in zip(first, runs, strict=True)]
        fusions.append(System(f"{candidate.label} + {ordered[0].label}", FUSION, scores(both)))
    if cascade is not None:
        for system, runs in _cascades(sets, stages, judged, cascade):
            ordered.append(replace(system, scores=scores(runs)))
    best = System("oracle", ORACLE, scores([oracle(*each) for each in zip(sets, stages, strict=True)]))
    systems = (*ordered, *fusions, best)
    return Summary(facts_of(sets, stages), systems, tuple(measures), seed, cascade.margin if cascade else 0.0)


_Judgement = tuple[Candidate, list[Run], Cost | None, list[float], Mapping[str, object]]


def _all_judged(
    sets: Sequence[LabelledSet],
    stages: Sequence[FirstStage],
    candidates: Sequence[Candidate],
    folder: Path,
    on_progress: Callable[[float], None] | None,
) -> list[_Judgement]:
    """Each candidate's logits of each set's lists, in the order of the candidates. A model is loaded once."""
    pairs = [sum(map(len, stage.run.values())) for stage in stages]
    total, done = max(sum(pairs) * sum(not each.is_run for each in candidates), 1), 0
    found: list[_Judgement] = []
    for (model, options), group in groupby(candidates, lambda each: (each.model, each.options)):
        if model.endswith(RUN_ENDINGS):
            runs: list[Run] = [stored(labelled, Path(model), None).run for labelled in sets]
            found += [(candidate, runs, None, [], {"run": model}) for candidate in group]
            continue
        with Reranker(model, **options) as reranker:
            facts, probe = model_facts(reranker), getattr(reranker, "probe_logits", ())
            for candidate in group:
                judged: list[Run] = []
                cost = Cost()
                seconds: list[float] = []
                settings: dict[str, Any] = {}
                for labelled, stage, some in zip(sets, stages, pairs, strict=True):

                    def advance(share: float, before: int = done, some: int = some) -> None:
                        if on_progress:
                            on_progress((before + share * some) / total)

                    settings = belonging(facts, labelled, stage, candidate.instruction)
                    with LogitsFile(folder / file_name(labelled.name), model, settings, probe) as file:
                        run, took = judge(reranker, labelled, stage, candidate.instruction, file, advance)
                        seconds += [file.judged[query].seconds for query in stage.run]
                    judged.append(run)
                    cost = cost + took
                    done += some
                of_sets = ("set", "set_sha256", "first_stage", "first_stage_sha256")
                found.append(
                    (candidate, judged, cost, seconds, {k: v for k, v in settings.items() if k not in of_sets})
                )
    return found


def _depth_curve(
    sets: Sequence[LabelledSet], stages: Sequence[FirstStage], first: Sequence[Run], runs: Sequence[Run]
) -> dict[int, float]:
    """The mean by depth. Only the first of a list are reranked, those below keep their order."""
    deepest = max(stage.depth for stage in stages)
    curve = {}
    for depth in (*(each for each in DEPTHS if each < deepest), deepest):
        values = [
            score_run(labelled, stage.of_documents(reranked_above(listed, run, depth)), [labelled.measure])[
                labelled.measure
            ].values_Q
            for labelled, stage, listed, run in zip(sets, stages, first, runs, strict=True)
        ]
        curve[depth] = weighted_mean(values, weights(sets))
    return curve


def _cascades(
    sets: Sequence[LabelledSet], stages: Sequence[FirstStage], judged: Sequence[_Judgement], choice: BandChoice
) -> Iterator[tuple[System, list[Run]]]:
    """Each other model's lists with the best of each band in the order of the chosen one; without scores."""
    [(_, then_runs, _, then_seconds, _)] = [each for each in judged if each[0].label == choice.then]
    for candidate, runs, _, seconds, _ in judged:
        if candidate.is_run or candidate.label == choice.then:
            continue
        for band in choice.bands:
            works = [work_of_band(*each, band) for each in zip(sets, stages, runs, strict=True)]
            both = [reranked_above(first, then, band) for first, then in zip(runs, then_runs, strict=True)]
            shares = [share for share_of, _, _ in works for share in share_of.values()]
            parts = CascadeParts(
                candidate.label, choice.then, band, sum(work[1] for work in works), sum(work[2] for work in works)
            )
            label = f"{candidate.label}, then {choice.then} for {band}"
            taken = seconds_of_band(seconds, then_seconds, shares)
            yield System(label, CASCADE, (), seconds=taken, cascade=parts), both


def _seconds(stages: Sequence[FirstStage]) -> list[float]:
    return [seconds for stage in stages for seconds in stage.seconds.values()]


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
