"""Screened rankings beside all documents in float32, list by list in turns: the same best, the share rechecked, time.

    python -m benchmarks.screening --on DATA/cacm DATA/vaswani_npl             # nano; a few minutes
    python -m benchmarks.screening --on DATA/cacm --layers 4 --lists 20        # 0.6B's width, random weights

DATA/...: folders in BEIR's format. A list holds the documents of a sample that share most words with a query, cut to
`--characters`. The second table repeats the choice of what to recheck on the same logits with other confidences.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.records import DocumentScores, Receipt, Screen, Usage
from qwen3_reranker.score import probabilities
from qwen3_reranker.screening import screened_lists
from testing.checkpoints import write_nano_checkpoint

Result = TypeVar("Result")
_SAMPLE = 3000
_CONFIDENCES = (0.5, 0.9, 0.99, 0.999, 0.9999)
_SHAPE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "dtype": "BF16",
}


@dataclass
class Measured:
    """One precision's screens of all lists, each list in turn with float32."""

    seconds: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    same: int = 0
    rechecked: list[int] = field(default_factory=list)
    logits: list[NDArray[np.float32]] = field(default_factory=list)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", nargs="+", type=Path, required=True, help="folders with corpus.jsonl and queries.jsonl")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--layers", type=int, help="so many layers of 0.6B's width with random weights, and no model")
    parser.add_argument("--precisions", nargs="+", default=["int8", "bfloat16"])
    parser.add_argument("--lists", type=int, default=100)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--characters", type=int, default=500)
    parser.add_argument("--top-k", type=int, default=10)
    options = parser.parse_args()
    lists = list(_lists(options.on, options.lists, options.documents, options.characters))
    with tempfile.TemporaryDirectory() as folder:
        if options.layers:
            options.model = write_nano_checkpoint(Path(folder), num_hidden_layers=options.layers, **_SHAPE)
        measure(options.model, lists, options.precisions, options.top_k)


def measure(model: str | Path, lists: Sequence[tuple[str, list[str]]], precisions: Sequence[str], top_k: int) -> None:
    """Each list in float32, screened in each precision, and in that precision alone."""
    by_precision = {name: Measured() for name in precisions}
    exact = Reranker(model)
    alone = {name: Reranker(model, precision=name) for name in precisions}
    seconds: list[float] = []
    logits: list[NDArray[np.float32]] = []
    # Weights are loaded, and pages are in memory, before the first list counts.
    for turn, (query, texts) in enumerate([lists[0], *lists]):
        whole, time_of_all = _timed(partial(exact.score, query, texts))
        best = _best(whole.logits, top_k)
        for name, found in by_precision.items():
            ranking, time_of_screened = _timed(partial(exact.rank, query, texts, top_k, screen=name))
            rough, time_alone = _timed(partial(alone[name].score, query, texts))
            if not turn or ranking.screening is None:
                continue
            found.seconds.append(time_of_screened)
            found.alone.append(time_alone)
            found.same += [(hit.index, hit.logit) for hit in ranking] == [(i, whole.logits[i].item()) for i in best]
            found.rechecked.append(ranking.screening.rechecked)
            found.logits.append(rough.logits)
        if turn:
            seconds.append(time_of_all)
            logits.append(whole.logits)
    spread = np.mean([each.std() for each in logits])
    print(f"\n{len(lists)} lists of {len(lists[0][1])} documents, top {top_k}, load {os.getloadavg()[0]:.1f}; ", end="")
    print(f"float32: {np.median(seconds):.2f} s a list, logits spread by {spread:.2f} in a list\n")
    print("| screen | same best with the same logits | rechecked, mean | most | drift / spread ", end="")
    print("| time, median of lists | the screen alone |\n|---|---|---|---|---|---|---|")
    for name, found in by_precision.items():
        drift = np.mean([(a - b).std() for a, b in zip(logits, found.logits, strict=True)]) / spread
        share, own = (np.median(np.array(each) / seconds) for each in (found.seconds, found.alone))
        print(f"| {name} | {found.same} of {len(lists)} | {np.mean(found.rechecked):.1f} ", end="")
        print(f"| {max(found.rechecked)} | {drift:.4f} | {share:.0%} of float32's | {own:.0%} |")
    print("\n| screen | confidence | same best | rechecked, mean |\n|---|---|---|---|")
    for name, found in by_precision.items():
        for confidence in _CONFIDENCES:
            same, rechecked = _chosen(logits, found.logits, Screen(name, confidence, top_k))
            print(f"| {name} | {confidence:g} | {same} of {len(lists)} | {rechecked:.1f} |")


def _chosen(
    exact: Sequence[NDArray[np.float32]], rough: Sequence[NDArray[np.float32]], screen: Screen
) -> tuple[int, float]:
    """Lists with the exact best, and documents rechecked in the mean, on logits that are known."""
    same, rechecked = 0, 0
    for exact_N, rough_N in zip(exact, rough, strict=True):
        texts = [str(index) for index in range(len(exact_N))]
        [scores] = screened_lists([("", texts)], screen, _known(rough_N), _known(exact_N), None)
        same += _best(scores.logits, screen.top_k) == _best(exact_N, screen.top_k)
        rechecked += int(np.isfinite(scores.logits).sum())
    return same, rechecked / len(exact)


def _known(logits_N: NDArray[np.float32]) -> Callable[[str, Sequence[str], Callable[[float], None]], DocumentScores]:
    def scores(query: str, texts: Sequence[str], on_progress: Callable[[float], None]) -> DocumentScores:
        found = logits_N[[int(text) for text in texts]]
        return DocumentScores(found, probabilities(found), (Receipt(1, 1, 1, 1),) * len(texts), Usage(0, 0, 0, 0))

    return scores


def _best(logits_N: NDArray[np.float32], top_k: int) -> list[int]:
    best: list[int] = np.argsort(-logits_N, kind="stable")[:top_k].tolist()
    return best


def _timed(call: Callable[[], Result]) -> tuple[Result, float]:
    begun = time.perf_counter()
    return call(), time.perf_counter() - begun


def _lists(folders: Sequence[Path], count: int, size: int, characters: int) -> Iterator[tuple[str, list[str]]]:
    """Queries of each set in turn, with documents that share words with them."""
    draw = random.Random(1)
    sets = [(_texts(each / "corpus.jsonl"), _texts(each / "queries.jsonl")) for each in folders]
    for index in range(count):
        corpus, queries = sets[index % len(sets)]
        query = draw.choice(queries)
        words = set(query.lower().split())
        sample = draw.sample(corpus, min(len(corpus), _SAMPLE))
        sample.sort(key=lambda text: -len(words & set(text.lower().split())))
        yield query, list(dict.fromkeys(text[:characters] for text in sample))[:size]


def _texts(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [text for line in lines if (text := json.loads(line)["text"].strip())]


if __name__ == "__main__":
    main()
