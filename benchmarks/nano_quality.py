"""How well a model reranks BM25's top 100 on the development sets: python -m benchmarks.nano_quality --dev FOLDER"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.train.bm25 import Bm25

DEPTH = 100
CUT = 10
RANDOM_NEGATIVES = 5
SEED = 17

Score = Callable[[str, Sequence[str], str], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class DevSet:
    """One evaluation set; `relevant` maps a query's id to its documents' gains."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    instructions: dict[str, str]
    relevant: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Row:
    """nDCG@10 of every order of the same lists, and pairs of a relevant and a random document in the right order."""

    name: str
    documents: int
    queries: int
    by_chance: float
    bm25: float
    model: float
    oracle: float
    right_pairs: float
    pairs: int


def read(folder: Path, root: Path) -> DevSet:
    """A set in BEIR layout; a title stands on a line of its own before its text."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    documents, queries, instructions = {}, {}, {}
    for line in (folder / "corpus.jsonl").open(encoding="utf-8"):
        fields = json.loads(line)
        documents[fields["_id"]] = "\n".join(filter(None, (fields.get("title", ""), fields["text"])))
    for line in (folder / "queries.jsonl").open(encoding="utf-8"):
        fields = json.loads(line)
        queries[fields["_id"]] = fields["text"]
        instructions[fields["_id"]] = fields.get("metadata", {}).get("instruction", meta["instruction"])
    relevant: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, gain = line.split("\t")
        if float(gain) > 0:
            relevant.setdefault(query, {})[document] = float(gain)
    return DevSet(folder.relative_to(root).as_posix(), documents, queries, instructions, relevant)


def measure(dev: DevSet, score: Score, most_queries: int) -> Row:
    """Rerank BM25's list of each query; queries beyond `most_queries` are left out by a fixed draw."""
    rng = random.Random(f"{SEED}/{dev.name}")
    chosen = sorted(query for query in dev.queries if dev.relevant.get(query))
    chosen = sorted(rng.sample(chosen, min(most_queries, len(chosen))))
    ids = list(dev.documents)
    index = Bm25(list(dev.documents.values()), SEED)
    sums, right = np.zeros(4), []
    for query in chosen:
        gains = dev.relevant[query]
        listed = [ids[place] for place in index.top(dev.queries[query], DEPTH)]
        others = [ids[rng.randrange(len(ids))] for _ in range(RANDOM_NEGATIVES)]
        positive = rng.choice(sorted(gains))
        extra = [positive, *(other for other in others if other not in gains)]
        texts = [dev.documents[document] for document in (*listed, *extra)]
        logits = score(dev.queries[query], texts, dev.instructions[query])
        order = np.argsort(-logits[: len(listed)], kind="stable")
        listed_gains = np.array([gains.get(document, 0.0) for document in listed])
        best = _dcg(np.sort(list(gains.values()))[::-1])
        chance = listed_gains.mean() * _dcg(np.ones(len(listed)))
        sums += (
            np.array([chance, _dcg(listed_gains), _dcg(listed_gains[order]), _dcg(np.sort(listed_gains)[::-1])]) / best
        )
        yes, random_D = logits[len(listed)], logits[len(listed) + 1 :]
        right += ((yes > random_D) + 0.5 * (yes == random_D)).tolist()
    means = (sums / len(chosen)).tolist()
    return Row(dev.name, len(ids), len(chosen), *means, float(np.mean(right)), len(right))


def _dcg(gains: NDArray[np.float64]) -> float:
    gains = gains[:CUT]
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def table(rows: Sequence[Row]) -> str:
    """Markdown: one line a set, then the mean over sets."""
    lines = [
        "| set | documents | queries | random | BM25 | nano | ceiling | positive above random document |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_cells(row.name, f"{row.documents:,}", f"{row.queries:,}", _figures(row)) for row in rows]
    figures = np.array([_figures(row) for row in rows])
    lines.append(_cells("mean over sets", "", "", figures.mean(axis=0).tolist()))
    pairs = sum(row.pairs for row in rows)
    overall = sum(row.right_pairs * row.pairs for row in rows) / pairs
    lines.append(f"\nPairwise accuracy over all {pairs:,} pairs of a relevant and a random document: {overall:.3f}")
    return "\n".join(lines)


def _figures(row: Row) -> list[float]:
    return [row.by_chance, row.bm25, row.model, row.oracle, row.right_pairs]


def _cells(name: str, documents: str, queries: str, figures: Sequence[float]) -> str:
    return f"| {name} | {documents} | {queries} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def main() -> None:
    """Measure and print the table; progress goes to the error stream."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nano_quality", description=__doc__)
    parser.add_argument("--dev", type=Path, required=True, help="folder of evaluation sets in BEIR layout")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--queries", type=int, default=50, help="queries a set at most")
    parser.add_argument("--max-length", type=int, default=640, help="tokens a row may hold")
    parser.add_argument("--only", nargs="*", help="names of sets, such as tldr/en")
    options = parser.parse_args()
    rows = []
    with Reranker(options.model, max_length=options.max_length) as reranker:

        def score(query: str, documents: Sequence[str], instruction: str) -> NDArray[np.float32]:
            return reranker.logits([(query, document) for document in documents], instruction)

        for meta in sorted(options.dev.rglob("meta.json")):
            dev = read(meta.parent, options.dev)
            if not options.only or dev.name in options.only:
                began = time.monotonic()
                rows.append(measure(dev, score, options.queries))
                row = rows[-1]
                print(f"{row.name}: {row.model:.3f} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if not rows:
        parser.error(f"no sets below {options.dev}: expected folders in BEIR layout, each with a meta.json")
    print(table(rows))


if __name__ == "__main__":
    main()
