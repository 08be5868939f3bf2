"""A small net, then a large one: quality by band with intervals, two ways to choose the band, and the time of `rank`.

    python -m benchmarks.cascade --small small/ --large nano --on DATA/cacm DATA/codenn_sql
    python -m benchmarks.cascade --train DATA/train --small small/ --minutes 36     # makes small/ by nano's recipe

DATA/...: folders in BEIR's format; the lists are BM25's. Each net scores all lists once, in files that a later run
continues. The first table has cascades whose band is a number of documents. The second has, for the same number of
documents in the mean, those whose first logit is less than a margin below that of the best `--top-k`: an uncertain
band. The third times `rank` of both nets alone and of cascades, list by list in turns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from qwen3_reranker import Reranker
from qwen3_reranker.evaluate import FirstStage, LabelledSet, Measure, Run, bm25, mean_interval, read_sets, score_run
from qwen3_reranker.evaluate.cascades import reranked_above
from qwen3_reranker.evaluate.judging import belonging, judge, model_facts
from qwen3_reranker.evaluate.logits_file import LogitsFile, file_name
from qwen3_reranker.evaluate.significance import Values, weighted_mean

_MEASURE = Measure("nDCG", 10)


@dataclass(frozen=True)
class Judged:
    """Labelled sets with their lists, and what each net says of them."""

    sets: Sequence[LabelledSet]
    stages: Sequence[FirstStage]
    small: Sequence[Run]
    large: Sequence[Run]

    def values(self, runs: Sequence[Run]) -> list[Values]:
        """The measure of each query of each set."""
        return [
            score_run(labelled, run, [_MEASURE])[_MEASURE].values_Q
            for labelled, run in zip(self.sets, runs, strict=True)
        ]

    def by_number(self, band: int) -> list[Run]:
        """Cascades with so many documents in the band."""
        return [reranked_above(small, large, band) for small, large in zip(self.small, self.large, strict=True)]

    def by_margin(self, margin: float, top_k: int) -> tuple[list[Run], float]:
        """Cascades with the documents in the band that are at most so far below the best, and their mean number."""
        runs, counts = [], []
        for small, large in zip(self.small, self.large, strict=True):
            run: dict[str, dict[str, float]] = {}
            for query, scores in small.items():
                least = sorted(scores.values())[-top_k:][0] - margin
                counts.append(sum(score >= least for score in scores.values()))
                run |= reranked_above({query: scores}, large, counts[-1])
            runs.append(run)
        return runs, float(np.mean(counts))


def main() -> None:
    """Print the tables, or train the small net."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=Path, required=True, help="folder of the small net")
    parser.add_argument("--large", default="nano")
    parser.add_argument("--on", nargs="+", type=Path, default=[], help="labelled sets")
    parser.add_argument("--queries", type=int, default=25, help="of each set")
    parser.add_argument("--bands", nargs="+", type=int, default=[10, 15, 20, 30, 50])
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--timed", type=int, default=20, help="lists whose `rank` is timed")
    parser.add_argument("--folder", type=Path, default=Path("evaluation"), help="for logits, as `evaluate` keeps them")
    parser.add_argument("--train", type=Path, help="folder of training pairs: make the small net, and measure nothing")
    parser.add_argument("--minutes", type=float, default=36)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.small, options.minutes)
        return
    if not options.on:
        parser.error("name labelled sets with --on, or training pairs with --train")
    sets = [each.drawn(options.queries, 0) for place in options.on for each in read_sets(place)]
    stages = [bm25(each, 100, 0, options.folder / "first-stages") for each in sets]
    with Reranker(str(options.small)) as small, Reranker(options.large) as large:
        runs = [[_run(*each, net, options.folder) for each in zip(sets, stages, strict=True)] for net in (small, large)]
        judged = Judged(sets, stages, *runs)
        lists = sum(len(stage.run) for stage in stages)
        print(f"\n{len(sets)} sets, {lists} lists of 100 documents, sets count alike\n")
        quality(judged, options.bands)
        choices(judged, options.bands, options.top_k)
        times(judged, small, large, options.bands, options.top_k, options.timed)


def quality(judged: Judged, bands: Sequence[int]) -> None:
    """Each band beside both nets alone."""
    print("| system | nDCG@10 | 95 % interval | minus small | 95 % interval | minus large | 95 % interval |")
    print("|---|---|---|---|---|---|---|")
    small, large = judged.values(judged.small), judged.values(judged.large)
    systems = [("first stage", judged.values([stage.run for stage in judged.stages])), ("small", small)]
    systems += [(f"small, then large for {band}", judged.values(judged.by_number(band))) for band in bands]
    for name, values in [*systems, ("large", large)]:
        cells = [_with_interval(values, ".3f")]
        cells += [
            _with_interval([a - b for a, b in zip(values, other, strict=True)], "+.3f") for other in (small, large)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


def choices(judged: Judged, bands: Sequence[int], top_k: int) -> None:
    """For each band by number, one by margin with as many documents in the mean."""
    print("\n| documents in the band, mean | band by number | by margin | by margin minus by number | 95 % interval |")
    print("|---|---|---|---|---|")
    for band in (each for each in bands if each > top_k):
        low, high = 0.0, 100.0
        for _ in range(40):
            margin = (low + high) / 2
            low, high = (margin, high) if judged.by_margin(margin, top_k)[1] < band else (low, margin)
        runs, mean = judged.by_margin(high, top_k)
        number, by_margin = judged.values(judged.by_number(band)), judged.values(runs)
        difference = [a - b for a, b in zip(by_margin, number, strict=True)]
        cells = (f"{_mean(each):.3f}" for each in (number, by_margin))
        print(f"| {band} and {mean:.1f} | {' | '.join(cells)} | {_with_interval(difference, '+.3f')} |")


def times(judged: Judged, small: Reranker, large: Reranker, bands: Sequence[int], top_k: int, count: int) -> None:
    """`rank` of both nets and of cascades, each list in turns; the first list counts for nothing."""
    lists = [
        (labelled.queries[query], [labelled.documents[each] for each in scores], labelled.instruction_of(query))
        for number in range(count)
        for labelled, stage in zip(judged.sets, judged.stages, strict=True)
        for query, scores in [*stage.run.items()][number : number + 1]
    ][:count]
    calls: dict[str, Callable[..., object]] = {"small": small.rank, "large": large.rank}
    calls |= {f"small, then large for {band}": partial(small.rank, then=large, band=band) for band in bands}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for query, texts, instruction in [lists[0], *lists]:
        for name, call in calls.items():
            begun = time.perf_counter()
            call(query, texts, top_k, instruction)
            seconds[name].append(time.perf_counter() - begun)
    print(f"\n{len(lists)} lists in turns, load {os.getloadavg()[0]:.1f}\n")
    print("| system | seconds of a list, median | of the large net's, median of lists |\n|---|---|---|")
    for name, each in seconds.items():
        share = np.median(np.array(each[1:]) / seconds["large"][1:])
        print(f"| {name} | {np.median(each[1:]):.3f} | {share:.0%} |")


def train(data: Path, folder: Path, minutes: float) -> None:
    """A net of a fifth of nano's weights beside the word vectors, by nano's recipe, from scratch."""
    from recipes.nano.recipe import Recipe
    from recipes.nano.recipe import train as run_recipe

    recipe = Recipe(hidden_size=128, intermediate_size=256, layers=3, head_dim=32, threads=1)
    schedule = replace(recipe.schedule, minutes=minutes, synthetic=(0.6, 0.2, 0.1))
    run_recipe(data, folder.with_name(f"{folder.name}-work"), folder, replace(recipe, schedule=schedule), False)


def _run(labelled: LabelledSet, stage: FirstStage, net: Reranker, folder: Path) -> Run:
    facts = belonging(model_facts(net), labelled, stage, None)
    with LogitsFile(folder / file_name(labelled.name), facts["model"], facts) as file:
        return judge(net, labelled, stage, None, file)[0]


def _mean(values: Sequence[Values]) -> float:
    return weighted_mean(values, [1 / len(values)] * len(values))


def _with_interval(values: Sequence[Values], digits: str) -> str:
    low, high = mean_interval(values, [1 / len(values)] * len(values))
    return f"{_mean(values):{digits}} | {low:{digits}} to {high:{digits}}"


if __name__ == "__main__":
    main()
