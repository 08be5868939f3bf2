"""What a selection is worth: relevant documents among those that fit a prompt, with copies, budgets and diversity.

    python -m benchmarks.selection DEV/cacm DEV/cisi DEV/jaquad_dev DEV/iapp_thai_test DEV/wikitablequestions_unseen

Sets in BEIR layout. A list is BM25's first 40, judged by the model. Labels know no subtopics, so two are made: two
queries are asked as one, over the lists of both, and each is a subtopic. Copies are made too: three of ten documents
get one to three, with a header, without their end, or with four characters of each hundred changed.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qwen3_reranker import Hit, Reranker, select
from qwen3_reranker.evaluate.beir import read_folder
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.significance import mean_interval
from qwen3_reranker.search.bm25 import Bm25

DEPTH, BUDGETS, FOLD = 40, (500, 2000), 0.8
WEIGHTS = (0.1, 0.2, 0.3, 0.5)
SUBTOPIC_HITS = (2, 3, 5)


@dataclass(frozen=True)
class JudgedList:
    """A ranking of a query's documents and their copies. names: of each document, or of what it is a copy of."""

    hits: Sequence[Hit]
    names: Sequence[str]
    relevant: frozenset[str]
    num_documents: int

    @property
    def without_copies(self) -> list[Hit]:
        """The hits that are no copy."""
        return [hit for hit in self.hits if hit.index < self.num_documents]

    def recall(self, hits: Sequence[Hit]) -> float:
        """The share of the list's relevant documents that are there, a copy for its document."""
        return len({self.names[hit.index] for hit in hits} & self.relevant) / len(self.relevant)


def main() -> None:
    """Judge, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, help="folders in BEIR layout")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--queries", type=int, default=20, help="queries of each set, drawn by seed 0")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    sets = [read_folder(folder) for folder in options.sets]
    with Reranker(options.model, num_threads=options.threads) as reranker:
        judged = {each.name: list(judged_lists(reranker, each, options.queries)) for each in sets}
        print_packing(judged)
        print_copies(judged)
        print_diversity(judged)
        print_subtopics({each.name: list(two_part_lists(reranker, each, options.queries)) for each in sets})


def judged_lists(reranker: Reranker, labelled: LabelledSet, most: int) -> Iterator[JudgedList]:
    """The list of each query that has a relevant document in it."""
    chosen, index = random.Random(0), Bm25(list(labelled.documents.values()))
    for query in drawn(labelled, most):
        names = listed(labelled, index, query)
        relevant = frozenset(name for name in names if labelled.qrels[query].get(name, 0) > 0)
        if not relevant:
            continue
        copied = [name for name in names if chosen.random() < 0.3 for _ in range(chosen.randint(1, 3))]
        texts = [labelled.documents[name] for name in names]
        texts += [copy_of(labelled.documents[name], chosen) for name in copied]
        hits = reranker.rank(labelled.queries[query], texts, instruction=labelled.instruction_of(query))
        yield JudgedList(hits, [*names, *copied], relevant, len(names))


def two_part_lists(reranker: Reranker, labelled: LabelledSet, most: int) -> Iterator[tuple[JudgedList, JudgedList]]:
    """The ranking of two queries asked as one, with the relevant documents of each."""
    queries, index = drawn(labelled, most), Bm25(list(labelled.documents.values()))
    for first, second in zip(queries[::2], queries[1::2], strict=False):
        lists = [listed(labelled, index, query)[: DEPTH // 2] for query in (first, second)]
        names = list(dict.fromkeys([*lists[0], *lists[1]]))
        relevant = [
            frozenset(name for name in names if labelled.qrels[query].get(name, 0) > 0) for query in (first, second)
        ]
        if all(relevant):
            asked = f"{labelled.queries[first]} {labelled.queries[second]}"
            hits = reranker.rank(asked, [labelled.documents[name] for name in names])
            yield tuple(JudgedList(hits, names, each, len(names)) for each in relevant)  # type: ignore[misc]


def drawn(labelled: LabelledSet, most: int) -> list[str]:
    """So many judged queries, by seed 0."""
    queries = sorted(labelled.qrels)
    return random.Random(0).sample(queries, min(most, len(queries)))


def listed(labelled: LabelledSet, index: Bm25, query: str) -> list[str]:
    """BM25's first documents of a query."""
    names = list(labelled.documents)
    return [names[place] for place in index.top(labelled.queries[query], DEPTH)[0]]


def copy_of(text: str, chosen: random.Random) -> str:
    """The text with a small change."""
    kind = chosen.randrange(3)
    if kind == 0:
        return f"Home | Menu\n{text}"
    if kind == 1:
        return text[: len(text) * 9 // 10]
    letters = list(text)
    for start in range(chosen.randrange(100), len(letters) - 4, 100):
        letters[start : start + 4] = "xqzj"
    return "".join(letters)


# --- ways to fill a budget ---


def in_order(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """The best until one does not fit."""
    ends = np.cumsum([hit.receipt.document_tokens for hit in hits])
    return list(hits[: int(np.searchsorted(ends, budget, "right"))])


def passing_over(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """What `select` does."""
    return list(select(hits, fit=budget))


def by_density(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """The most probability for a token first."""
    return passing_over(sorted(hits, key=lambda hit: -hit.probability / max(1, hit.receipt.document_tokens)), budget)


def exactly(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """The set with the largest sum of probabilities: a knapsack, by dynamic programming over tokens."""
    best = np.zeros(budget + 1)
    is_taken = np.zeros((len(hits), budget + 1), bool)
    for place, hit in enumerate(hits):
        tokens = hit.receipt.document_tokens
        if tokens <= budget:
            taken = np.full(budget + 1, -1.0)
            taken[tokens:] = best[: budget + 1 - tokens] + hit.probability
            is_taken[place] = taken > best
            best = np.maximum(best, taken)
    chosen, room = [], budget
    for place in reversed(range(len(hits))):
        if is_taken[place, room]:
            chosen.append(hits[place])
            room -= hits[place].receipt.document_tokens
    return chosen[::-1]


WAYS: Mapping[str, Callable[[Sequence[Hit], int], list[Hit]]] = {
    "in order, to the first that does not fit": in_order,
    "in order, passing over (`fit`)": passing_over,
    "most probability for a token": by_density,
    "knapsack, exact": exactly,
}


# --- tables ---


def print_packing(judged: Mapping[str, Sequence[JudgedList]]) -> None:
    """Ways to fill a budget, over all lists."""
    print("## Ways to fill a budget\n")
    print("| tokens | way | sum of probabilities / the optimum's | recall of relevant documents | best hit is there |")
    print("|---:|---|---:|---:|---:|")
    for budget in BUDGETS:
        rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for each in [each for lists in judged.values() for each in lists]:
            hits = each.without_copies
            optimum = sum(hit.probability for hit in exactly(hits, budget)) or 1.0
            for name, way in WAYS.items():
                chosen = way(hits, budget)
                share = sum(hit.probability for hit in chosen) / optimum
                has_best = hits[0] in chosen or hits[0].receipt.document_tokens > budget
                rows[name].append((share, each.recall(chosen), float(has_best)))
        for name, values in rows.items():
            share, recall, best = np.array(values).T
            print(f"| {budget:,} | {name} | {share.mean():.3f} | {interval(recall)} | {best.mean():.0%} |")


def print_copies(judged: Mapping[str, Sequence[JudgedList]]) -> None:
    """What folding gives back where there are copies, and what it takes where there are none."""
    print(f"\n## Relevant documents in {BUDGETS[1]:,} tokens, with copies in the list\n")
    print("| set | lists | copies | folded | into another | plain | copies | folded | gain | plain, folded |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    everything: list[list[float]] = []
    totals = np.zeros(3, int)
    for name, lists in judged.items():
        values, counts = [], np.zeros(3, int)
        for each in lists:
            folded = select(each.hits, fold=FOLD)
            is_right = [each.names[hit.index] == each.names[other] for hit in folded for other in hit.duplicates]
            counts += (len(each.names) - each.num_documents, sum(is_right), len(is_right) - sum(is_right))
            packed = [
                passing_over(each.without_copies, BUDGETS[1]),
                passing_over(each.hits, BUDGETS[1]),
                list(select(each.hits, fold=FOLD, fit=BUDGETS[1])),
                list(select(each.without_copies, fold=FOLD, fit=BUDGETS[1])),
            ]
            values.append([each.recall(hits) for hits in packed])
        print_copies_row(name, values, counts)
        everything += values
        totals += counts
    print_copies_row("all", everything, totals)


def print_copies_row(name: str, values: Sequence[Sequence[float]], counts: Sequence[int]) -> None:
    """A row: counts of copies, and recall."""
    plain, copied, folded, plain_folded = np.array(values).T
    means = f"{plain.mean():.3f} | {copied.mean():.3f} | {folded.mean():.3f} | {interval(folded - copied, '+.3f')}"
    numbers = " | ".join(f"{each:,}" for each in counts)
    print(f"| {name} | {len(values)} | {numbers} | {means} | {plain_folded.mean():.3f} |")


def print_diversity(judged: Mapping[str, Sequence[JudgedList]]) -> None:
    """What diversity costs where a query has one subject."""
    print("\n## Recall of relevant documents of one question, by diversity\n")
    print(f"| tokens | none | {' | '.join(map(str, WEIGHTS))} | {WEIGHTS[2]} - none |")
    print(f"|---:|---:|{'---:|' * (len(WEIGHTS) + 1)}")
    lists = [each for some in judged.values() for each in some]
    for budget in BUDGETS:
        none = np.array([each.recall(passing_over(each.without_copies, budget)) for each in lists])
        by_weight = {
            weight: np.array(
                [each.recall(list(select(each.without_copies, diversity=weight, fit=budget))) for each in lists]
            )
            for weight in WEIGHTS
        }
        cells = " | ".join(f"{values.mean():.3f}" for values in by_weight.values())
        print(f"| {budget:,} | {none.mean():.3f} | {cells} | {interval(by_weight[WEIGHTS[2]] - none, '+.3f')} |")


def print_subtopics(found: Mapping[str, Sequence[tuple[JudgedList, JudgedList]]]) -> None:
    """The share of the two parts of a question that some hit answers."""
    print("\n## Parts of a two-part question that are answered among the first k, by diversity\n")
    print(f"| set | questions | k | none | {' | '.join(map(str, WEIGHTS))} | {WEIGHTS[2]} - none |")
    print(f"|---|---:|---:|---:|{'---:|' * (len(WEIGHTS) + 1)}")
    everything = {**found, "all": [pair for pairs in found.values() for pair in pairs]}
    for name, pairs in everything.items():
        for count in SUBTOPIC_HITS:
            none = np.array([answered(pair, pair[0].hits[:count]) for pair in pairs])
            by_weight = {
                weight: np.array(
                    [answered(pair, list(select(pair[0].hits, count, diversity=weight))) for pair in pairs]
                )
                for weight in WEIGHTS
            }
            cells = " | ".join(f"{values.mean():.3f}" for values in by_weight.values())
            difference = interval(by_weight[WEIGHTS[2]] - none, "+.3f")
            print(f"| {name} | {len(pairs)} | {count} | {none.mean():.3f} | {cells} | {difference} |")


def answered(pair: tuple[JudgedList, JudgedList], hits: Sequence[Hit]) -> float:
    """The share of the parts with a relevant document among the hits."""
    return sum(each.recall(hits) > 0 for each in pair) / 2


def interval(values: np.ndarray, form: str = ".3f") -> str:  # type: ignore[type-arg]
    """The mean with its 95 % bootstrap interval over lists."""
    low, high = mean_interval([values], [1.0])
    return f"{values.mean():{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
