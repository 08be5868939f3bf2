"""How far calibrated probabilities of nano hold on labelled sets, by kind of text, as Markdown tables.

    python -m benchmarks.calibration DEV

DEV is a folder of sets in BEIR's layout. Lists are BM25's; logits are kept in --folder, so a second run takes a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.calibrate import Fit, JudgedPairs, fit, judged_pairs
from qwen3_reranker.calibrate.answering import Answering
from qwen3_reranker.calibrate.monotone_maps import sigmoid
from qwen3_reranker.calibrate.reliability import Figure, reliability
from qwen3_reranker.evaluate import LabelledSet, bm25, read_sets

# The kind of each set, by the beginning of its name.
KINDS = {
    "shell commands": ("tldr",),
    "questions, Japanese and Thai": ("jaquad", "iapp"),
    "code": ("codenn",),
    "English prose and tables": ("cacm", "cisi", "vaswani", "wikitable"),
}
PRECISIONS = (0.3, 0.5, 0.7, 0.8)
THRESHOLDS = (0.05, 0.1, 0.2)
HIGH = 0.4


def main() -> None:
    """Judge, and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dev", type=Path, help="folder of labelled sets")
    parser.add_argument("--queries", type=int, default=40, help="at most so many of a set")
    parser.add_argument("--depth", type=int, default=50, help="documents of a list")
    parser.add_argument("--folder", type=Path, default=Path("evaluation"), help="for logits and lists")
    options = parser.parse_args()
    sets = [each.drawn(options.queries, 0) for each in read_sets(options.dev)]
    with Reranker("nano") as nano:
        kinds = {
            name: judged(nano, [each for each in sets if each.name.startswith(starts)], options.depth, options.folder)
            for name, starts in KINDS.items()
        }
        every = judged(nano, sets, options.depth, options.folder)
    print(
        f"At most {options.queries} queries of each of {len(sets)} sets, BM25's first {options.depth}; nano, float32."
    )
    fits = {name: fit(pairs, precisions=PRECISIONS) for name, pairs in {"all": every, **kinds}.items()}
    print_errors(fits)
    print_high(fits)
    print_answers(fits)
    print_thresholds(fits)
    print_elsewhere(every, kinds, fits, options.depth)


def judged(nano: Reranker, sets: Sequence[LabelledSet], depth: int, folder: Path) -> JudgedPairs:
    """The pairs of these sets."""
    lists = [bm25(each, depth, 0, folder / "first-stages") for each in sets]
    return judged_pairs(nano, "nano", sets, lists, folder)


def print_errors(fits: dict[str, Fit]) -> None:
    """The error before and after, on held-out queries."""
    print("\n## Expected calibration error on held-out queries\n")
    print(
        "| pairs of | queries | relevant | map | before | after | after / before | Brier before | after | share alone |"
    )
    print("|---|---:|---:|---|---:|---:|---:|---:|---:|---:|")
    for name, found in fits.items():
        data = found.calibration.data
        share = data["relevant"] / data["pairs"]
        numbers = [found.before.error, found.after.error, found.ratio, found.before.brier, found.after.brier]
        facts = [name, f"{data['queries']:,}", f"{share:.1%}", found.calibration.map.method, *map(shown, numbers)]
        print(f"| {' | '.join(facts)} | {share * (1 - share):.3f} |")


def print_high(fits: dict[str, Fit]) -> None:
    """What the error of all pairs hides: how far the few high probabilities hold."""
    print(f"\n## Held-out pairs with a calibrated probability of at least {HIGH}\n")
    print("| pairs of | pairs | mean probability | relevant | share relevant |")
    print("|---|---:|---:|---:|---:|")
    for name, found in fits.items():
        # HIGH is the edge of a bin, so all pairs of a bin are on the side of their mean.
        high = [each for each in found.after.bins if each.mean >= HIGH]
        if not high:
            print(f"| {name} | 0 | - | - | - |")
            continue
        counts = [each.pairs for each in high]
        mean = np.average([each.mean for each in high], weights=counts)
        share = np.average([each.relevant for each in high], weights=counts)
        print(f"| {name} | {sum(counts)} | {mean:.2f} | {share * sum(counts):.0f} | {share:.2f} |")


def print_answers(fits: dict[str, Fit]) -> None:
    """What thresholds for a precision give on queries that did not choose them."""
    print("\n## Thresholds for a precision, on queries that did not choose them\n")
    print("| pairs of | asked | answered | precision | recall | silence right | refusal |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, found in fits.items():
        for held in found.held:
            figures = "no threshold holds it | | | |" if held.held_out is None else shown_answering(held.held_out)
            print(f"| {name} | {held.precision} | {figures} |")


def print_thresholds(fits: dict[str, Fit]) -> None:
    """Answers and "none of these" at fixed thresholds."""
    print("\n## Answers and none of these, at a calibrated probability of at least P\n")
    print("| pairs of | P | answered | precision | recall | silence right | refusal |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, found in fits.items():
        for of in (each for each in found.answers if each.threshold in THRESHOLDS):
            print(f"| {name} | {of.threshold} | {shown_answering(of)} |")


def print_elsewhere(every: JudgedPairs, kinds: dict[str, JudgedPairs], fits: dict[str, Fit], depth: int) -> None:
    """What a calibration does to pairs that were drawn otherwise than those that it was fitted on."""
    print("\n## Used elsewhere: the error of a calibration on pairs that it was not made for\n")
    print("| fitted on | used on | own probabilities | calibrated there | this calibration |")
    print("|---|---|---:|---:|---:|")
    for name, pairs in kinds.items():
        others = joined([each for other, each in kinds.items() if other != name])
        made = fit(others).calibration.map.probabilities
        print_row("all other kinds", name, pairs, fits[name].after.error, made)
    # Lists have the order of the first stage, and BM25's are all of this depth.
    assert len(every.logits_N) % depth == 0
    shallow = taken(every, np.arange(len(every.logits_N)) % depth < depth // 5)
    made = fits["all"].calibration.map.probabilities
    print_row(f"lists of {depth}", f"lists of {depth // 5}", shallow, fit(shallow).after.error, made)


def print_row(
    fitted_on: str,
    used_on: str,
    pairs: JudgedPairs,
    there: Figure,
    probabilities: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    """One calibration on pairs of another kind."""
    own, other = (
        reliability(values, pairs.labels_N, pairs.queries_N).error
        for values in (sigmoid(pairs.logits_N), probabilities(pairs.logits_N))
    )
    print(f"| {fitted_on} | {used_on} | {shown(own)} | {shown(there)} | {shown(other)} |")


def joined(several: Sequence[JudgedPairs]) -> JudgedPairs:
    """All pairs as one."""
    starts = np.cumsum([0, *(len(each.query_texts) for each in several)])
    return replace(
        several[0],
        logits_N=np.concatenate([each.logits_N for each in several]),
        labels_N=np.concatenate([each.labels_N for each in several]),
        queries_N=np.concatenate([each.queries_N + start for each, start in zip(several, starts, strict=False)]),
        query_texts=tuple(text for each in several for text in each.query_texts),
    )


def taken(pairs: JudgedPairs, which_N: NDArray[np.bool_]) -> JudgedPairs:
    """These pairs alone."""
    return replace(
        pairs, logits_N=pairs.logits_N[which_N], labels_N=pairs.labels_N[which_N], queries_N=pairs.queries_N[which_N]
    )


def shown_answering(of: Answering) -> str:
    """The five figures of a threshold."""
    return " | ".join(map(shown, (of.answered, of.precision, of.recall, of.silence, of.refusal)))


def shown(of: Figure) -> str:
    """A figure with its interval."""
    return "-" if of.value != of.value else f"{of.value:.3f} [{of.low:.3f}, {of.high:.3f}]"


if __name__ == "__main__":
    main()
