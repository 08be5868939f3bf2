"""Candidates of searches, judged by ours and by llama.cpp in Q8_0, in turns and without a budget.

    python -m benchmarks.speed --prepare --rivals llama-cpp      # compiles llama.cpp into .bench; some ten minutes
    python -m benchmarks.search --only index --work .bench/search      # files and an index of them
    python -m benchmarks.search_peers --search .bench/search           # ten minutes

The reranker has 0.6B's shape and random weights. Each round is another query, and every participant judges the same 40
passages of it, as the search gives them to the reranker.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.core import LAYERS_0_6B
from benchmarks.rivals.prompt import Rows
from benchmarks.search import random_queries
from benchmarks.speed.checkpoint import checkpoint
from benchmarks.speed.participants import ALL
from benchmarks.speed.race import Race
from benchmarks.speed.workloads import Workload
from qwen3_reranker.search import Index
from qwen3_reranker.search.results import text_to_judge

_PARTICIPANTS = ("ours-float32", "ours-int8", "llama-cpp", "llama-cpp-shared")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", type=Path, required=True, help="the folder that benchmarks.search worked in")
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="folder of checkpoints and environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=40)
    options = parser.parse_args()
    model, threads = checkpoint(options.work.resolve(), LAYERS_0_6B, 0.02), len(os.sched_getaffinity(0))
    race = Race(options.work.resolve(), model, threads, time_limit=600.0, patience=1800.0)
    rows, seconds = Rows(model), {name: list[float]() for name in _PARTICIPANTS}
    participants, tokens, documents = [ALL[name] for name in _PARTICIPANTS], list[int](), list[int]()
    try:
        with Index(options.search / "index", reranker=None) as index:
            for query in random_queries(options.search / "files", options.rounds):
                found = index.candidates(query, options.candidates)
                pairs = [(query, text_to_judge(hit.headings, hit.text)) for hit in found]
                lengths = [len(row) for row in rows.rows(pairs)]
                outcome = race.run(Workload("candidates", query, pairs, lengths), participants, 1)
                tokens.append(sum(lengths))
                documents.append(len(pairs))
                for result in outcome.results:
                    seconds[result.participant.name] += result.seconds or [float("nan")]
    finally:
        race.close()
    print(f"\n## {np.mean(documents):.0f} candidates, rows of {sum(tokens) / sum(documents):.0f} tokens, no budget")
    print(f"\nMedians of {options.rounds} queries, {threads} threads, load {os.getloadavg()[0]:.1f}.\n")
    print("| | settings | seconds | theirs / ours float32 | theirs / ours int8 |\n|---|---|---|---|---|")
    for name in _PARTICIPANTS:
        ratios = [f"{np.median(np.array(seconds[name]) / np.array(seconds[ours])):.2f}x" for ours in _PARTICIPANTS[:2]]
        who = ALL[name]
        print(f"| {who.title} | {who.settings} | {np.median(seconds[name]):.1f} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
