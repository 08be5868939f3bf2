"""How well a model reranks BM25's best 100 on the development sets: python -m benchmarks.nano_quality --dev FOLDER

Everything is the package's own `evaluate`; what is added is the order of chance, and how often a relevant document
scores above a random one.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qwen3_reranker import Reranker
from qwen3_reranker.evaluate import (
    Candidate,
    FirstStage,
    LabelledSet,
    Measure,
    Summary,
    bm25,
    compared,
    evaluate,
    markdown,
    read_sets,
    score_run,
)

DEPTH = 100
RANDOM_NEGATIVES = 5
SEED = 17
NDCG = Measure("nDCG", 10)


def by_chance(labelled: LabelledSet, stage: FirstStage) -> float:
    """nDCG@10 of the same lists in no order: every document scores alike."""
    run = {query: dict.fromkeys(scores, 0.0) for query, scores in stage.run.items()}
    return score_run(labelled, run, [NDCG])[NDCG].mean


def right_pairs(labelled: LabelledSet, reranker: Reranker) -> list[float]:
    """For each pair of a relevant and a random document, 1 where the relevant one scores above, 0.5 for a tie."""
    rng = random.Random(f"{SEED}/{labelled.name}")
    ids, right = list(labelled.documents), []
    for query, labels in labelled.qrels.items():
        positive = rng.choice(sorted(document for document, label in labels.items() if label > 0))
        others = [ids[rng.randrange(len(ids))] for _ in range(RANDOM_NEGATIVES)]
        texts = [labelled.documents[each] for each in (positive, *(other for other in others if other not in labels))]
        pairs = [(labelled.queries[query], text) for text in texts]
        yes, *random_D = reranker.logits(pairs, labelled.instruction_of(query)).tolist()
        right += [(yes > other) + 0.5 * (yes == other) for other in random_D]
    return right


def table(summary: Summary, chance: Sequence[float], pairs: Sequence[Sequence[float]]) -> str:
    """Markdown: one line a set, then the mean over sets."""
    lines = [
        "| set | documents | queries | random | BM25 | model | both fused | ceiling | positive above random document |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows = []
    for place, facts in enumerate(summary.sets):
        values = [summary.headline(system, place).mean for system in summary.systems]
        rows.append([chance[place], *values, float(np.mean(pairs[place]))])
        lines.append(_cells(facts.name, f"{facts.documents:,}", f"{facts.queries:,}", rows[-1]))
    lines.append(_cells("mean over sets", "", "", np.mean(rows, axis=0).tolist()))
    every = np.concatenate(pairs)
    lines.append(
        f"\nPairwise accuracy over all {len(every):,} pairs of a relevant and a random document: {every.mean():.3f}"
    )
    return "\n".join(lines)


def _cells(name: str, documents: str, queries: str, figures: Sequence[float]) -> str:
    return f"| {name} | {documents} | {queries} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def main() -> None:
    """Measure and print the table and the report; progress goes to the error stream."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nano_quality", description=__doc__)
    parser.add_argument("--dev", type=Path, required=True, help="folder of evaluation sets in BEIR layout")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--queries", type=int, default=50, help="queries a set at most")
    parser.add_argument("--max-length", type=int, default=640, help="tokens a row may hold")
    parser.add_argument("--only", nargs="*", help="names of sets, such as tldr/en")
    parser.add_argument("--work", type=Path, default=Path(".bench/quality"), help="where logits and lists are kept")
    options = parser.parse_args()
    sets = [each for each in read_sets(options.dev) if not options.only or each.name in options.only]
    if not sets:
        parser.error(f"no sets of these names below {options.dev}")
    sets = [labelled.drawn(options.queries, SEED) for labelled in sets]
    stages = [bm25(labelled, DEPTH, SEED, options.work / "first-stages") for labelled in sets]
    candidate = Candidate(Path(options.model).name, options.model, options={"max_length": options.max_length})
    last = 0.0

    def progress(share: float) -> None:
        nonlocal last
        if share - last >= 0.05:
            last = share
            print(f"{share:.0%}", file=sys.stderr, flush=True)

    summary = compared(evaluate(sets, stages, [candidate], options.work, seed=SEED, on_progress=progress))
    with Reranker(options.model, max_length=options.max_length) as reranker:
        pairs = [right_pairs(labelled, reranker) for labelled in sets]
    print(table(summary, [by_chance(*each) for each in zip(sets, stages, strict=True)], pairs))
    print("\n" + markdown(summary))


if __name__ == "__main__":
    main()
