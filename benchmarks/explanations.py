"""What explanations cost and find: tokens of the tree beside those of separate rows, and evidence found.

    python -m benchmarks.explanations SETS/jaquad_dev SETS/cisi --queries 150

SETS/...: sets in BEIR layout. They have no spans of answers, so evidence is made: a document that is relevant to a
query is put at a random place between its neighbours of the corpus file that are not, and the sentences of the relevant
one are the evidence. A hit: the best sentence is evidence, by what it scores alone, and by what it adds (its
contribution). Beside them: BM25 of the query over the sentences, and chance, which is the evidence's share of them.

Shares of tokens are of those that deleting each sentence takes row by row, and of both methods row by row for "both".
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.documents.sentences import sentences
from qwen3_reranker.evaluate.beir import read_folder
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.significance import mean_interval
from qwen3_reranker.explanation import SentenceTexts
from qwen3_reranker.search.bm25 import Bm25

LENGTHS = (50, 100, 200, 400, 800, 1600, 3200)
# Documents on each side of the relevant one that it is hidden between, and those that it is hidden in together.
NEIGHBOURS, HIDDEN_IN = 4, 2
METHODS = ("alone", "contribution", "BM25 of sentences", "chance")


def main() -> None:
    """Print the table of costs and the table of hit rates, a set at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, help="folders in BEIR layout")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--queries", type=int, default=150, help="queries of each set, drawn by seed 0")
    options = parser.parse_args()
    with Reranker(options.model, prefix_cache_tokens=0) as reranker:
        found = {folder.name: read_folder(folder) for folder in options.sets}
        print("| set | document tokens | sentences | deleting, row by row | deleting in a tree | both | alone |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for name, labelled in found.items():
            for length in LENGTHS:
                print(f"| {name} | {cost(reranker, labelled, length)} |", flush=True)
        print(f"\n| set | queries | sentences | {' | '.join(METHODS)} | alone - BM25 |")
        print(f"|---|---:|---:|{'---:|' * (len(METHODS) + 1)}")
        for name, labelled in found.items():
            print(f"| {name} | {evidence(reranker, labelled, options.queries)} |", flush=True)


def cost(reranker: Reranker, labelled: LabelledSet, length: int) -> str:
    """Cells of one length: means over five documents made of the set's texts until they have so many tokens."""
    texts = list(labelled.documents.values())
    query = next(iter(labelled.queries.values()))
    measured = []
    for number in range(5):
        document = _of_length(reranker, texts[number * len(texts) // 5 :] + texts, length)
        parts = SentenceTexts.of(document)
        count, texts = len(parts.spans), parts.texts
        kinds = [texts[:1] + texts[count + 1 :], texts, texts[: count + 1]]
        tokens = [each for kind in kinds for each in _tokens(reranker, query, kind)]
        measured.append([*_document_tokens(reranker, [document]), count, *tokens])
    document_tokens, number_of, deleting, tree, all_rows, both, _, alone = np.mean(measured, axis=0)
    shares = f"{tree / deleting:.0%} | {both / all_rows:.0%} | {alone / deleting:.0%}"
    return f"{document_tokens:,.0f} | {number_of:.0f} | {deleting:,.0f} | {shares}"


def _tokens(reranker: Reranker, query: str, texts: Sequence[str]) -> tuple[int, int]:
    """Tokens of separate rows, and those of the tree."""
    rows = reranker.rows([query] * len(texts), texts)
    return sum(len(row.ids) for row in rows), reranker.runner.plan(rows).num_tokens


def _of_length(reranker: Reranker, texts: Sequence[str], length: int) -> str:
    """Texts in a row, ended at the sentence's end nearest to so many tokens."""
    document = ""
    for text in texts:
        document += text + "\n"
        if _document_tokens(reranker, [document])[0] >= length:
            break
    ends = [end for _, end in sentences(document, len(document))]
    counts = _document_tokens(reranker, [document[:end] for end in ends])
    return document[: min(zip(ends, counts, strict=True), key=lambda each: abs(each[1] - length))[0]]


def _document_tokens(reranker: Reranker, texts: Sequence[str]) -> list[int]:
    return [row.receipt.document_tokens for row in reranker.rows(["?"] * len(texts), texts)]


def evidence(reranker: Reranker, labelled: LabelledSet, most_queries: int) -> str:
    """Cells of one set: hit rates, each with its 95 % bootstrap interval over queries."""
    hits: list[list[float]] = []
    counts = []
    for query, instruction, document, start, end in _hidden(labelled, most_queries):
        explained = reranker.explain(query, document, instruction)
        parts = explained.sentences
        is_evidence = np.array(
            [min(each.end, end) - max(each.start, start) > (each.end - each.start) / 2 for each in parts]
        )
        texts = [each.text for each in parts]
        by_method = [
            np.array([each.alone for each in parts]),
            np.array([each.contribution for each in parts]),
            Bm25(texts).scores(query),
            np.zeros(len(parts)),
        ]
        hits.append([_share_of_best(scores, is_evidence) for scores in by_method])
        counts.append(len(parts))
    values = np.array(hits).T
    cells = [_with_interval(each, ".0%") for each in values]
    return " | ".join(
        [f"{len(hits)}", f"{statistics.mean(counts):.0f}", *cells, _with_interval(values[0] - values[2], "+.0%")]
    )


def _hidden(labelled: LabelledSet, most_queries: int) -> Iterator[tuple[str, str | None, str, int, int]]:
    """Query, instruction, document, and where in it the relevant text begins and ends."""
    names = list(labelled.documents)
    chosen = random.Random(0)
    queries = sorted(labelled.qrels)
    for name in chosen.sample(queries, min(most_queries, len(queries))):
        relevant = {each for each, label in labelled.qrels[name].items() if label > 0}
        target = chosen.choice(sorted(relevant & set(names)))
        place = names.index(target)
        near = [each for each in names[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1] if each not in relevant]
        others = chosen.sample(near, min(HIDDEN_IN, len(near)))
        texts = [_without_title(labelled.documents[each]) for each in [*others, target]]
        order = chosen.sample(range(len(texts)), len(texts))
        before = "".join(texts[each] + "\n\n" for each in order[: order.index(len(texts) - 1)])
        document = "\n\n".join(texts[each] for each in order)
        yield labelled.queries[name], labelled.instruction_of(name), document, len(before), len(before) + len(texts[-1])


def _without_title(document: str) -> str:
    """The text below the title, which would give away what belongs together."""
    title, _, text = document.partition("\n")
    return text or title


def _share_of_best(scores: NDArray[np.float32], is_evidence: NDArray[np.bool_]) -> float:
    """1 if the best sentence is evidence; of several best ones, the share that is."""
    return float(is_evidence[scores == scores.max()].mean())


def _with_interval(values: NDArray[np.float64], form: str) -> str:
    low, high = mean_interval([values], [1.0])
    return f"{values.mean():{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
