"""Markdown of what a race found: one table a workload, then what its columns mean."""

from __future__ import annotations

import numpy as np

from benchmarks.speed.participants import OURS
from benchmarks.speed.race import Outcome, Result

GIB = 2**30
LEGEND = """\
Medians over rounds in which each participant scores the workload once, one after the other; int8 logits are those of
random weights, which say nothing about trained ones.

- **docs/s**: pairs scored a second, tokenising included. A dagger marks those that the time limit cut short; they are
  counted on what they finished.
- **tokens/s**: prompt tokens of those pairs a second, each pair's row counted in full.
- **ours / theirs**: our docs/s over theirs.
- **computed**: tokens computed, padding included, as a share of the tokens of separate rows.
- **peak RSS**: of the process during the call, weights included.
- **useful share**: multiplications and additions a second of the layers' matrix products that separate, unpadded rows
  take (neither attention nor head), over torch's rate for 1024 x 1024 x 3072 in the same rounds: int8 for 8-bit
  participants, float32 otherwise. It counts useful work alone, so who computes fewer tokens may pass 100%.
- **max |Δ|**: largest difference of a logit from {referee}.
"""


def table(outcome: Outcome, operations_per_token: int) -> str:
    """A heading, the rates, one row a participant."""
    ours = {
        result.participant.settings: _rate(result.documents, result.seconds)
        for result in outcome.results
        if result.participant in OURS and result.seconds
    }
    lines = [f"## {outcome.workload.name}: {outcome.workload.title}", ""]
    if outcome.reference is not None:
        low, high = outcome.reference.min(), outcome.reference.max()
        spread = f"logits from {low:.2f} to {high:.2f}, standard deviation {outcome.reference.std():.2f}; "
    else:
        spread = ""
    rates = outcome.rates
    lines += [f"{spread}torch multiplies at {rates['float32']:.0f} GFLOP/s, {rates['int8']:.0f} GOPS int8.", ""]
    heads = ["", "settings", "version", "docs/s", "tokens/s", *(f"ours {name} / theirs" for name in ours)]
    heads += ["computed", "peak RSS", "useful share", "max \\|Δ\\|"]
    lines += [_row(heads), _row(["---"] * len(heads))]
    for result in outcome.results:
        lines.append(_row(_cells(result, outcome, ours, operations_per_token, len(heads))))
    return "\n".join(lines) + "\n"


def legend(outcomes: list[Outcome]) -> str:
    """What the columns mean."""
    names = {"ours-float32": "qwen3_reranker's float32", "card": "the card's code in float32"}
    referees = sorted({names[outcome.referee] for outcome in outcomes if outcome.referee})
    return LEGEND.format(referee=" or ".join(referees) or "float32 (which could not be computed)")


def _cells(result: Result, outcome: Outcome, ours: dict[str, float], operations: int, width: int) -> list[str]:
    who = result.participant
    kind = f"{who.settings} (8-bit)" if who.integer and "int8" not in who.settings else who.settings
    names = [who.title, kind, result.version]
    if not result.seconds:
        return [*names, f"not run: {result.problem}".replace("|", "\\|"), *[""] * (width - 4)]
    documents, tokens = _rate(result.documents, result.seconds), _rate(result.tokens, result.seconds)
    least, total = min(result.documents), len(outcome.workload.pairs)
    cut = f" † {least} of {total}" if least < total else ""
    cut += f" (then {result.problem})".replace("|", "\\|") if result.problem else ""
    rate = outcome.rates["int8" if who.integer else "float32"]
    return [
        *names,
        f"{documents:.3g}{cut}",
        f"{tokens:.0f}",
        *(f"{speed / documents:.2f}x" for speed in ours.values()),
        _computed(result),
        _peak(result),
        f"{tokens * operations / (rate * 1e9):.0%}" if rate > 0 else "?",
        _difference(result, outcome),
    ]


def _rate(amounts: list[int], seconds: list[float]) -> float:
    return float(np.median([amount / took for amount, took in zip(amounts, seconds, strict=True)]))


def _computed(result: Result) -> str:
    shares = [part / whole for part, whole in zip(result.computed, result.tokens, strict=True) if part is not None]
    return f"{np.median(shares):.0%}" if shares else "?"


def _peak(result: Result) -> str:
    peaks = [peak for peak in result.peak_bytes if peak is not None]
    return f"{max(peaks) / GIB:.2f} GiB" if peaks else "?"


def _difference(result: Result, outcome: Outcome) -> str:
    if result.logits is None or outcome.reference is None:
        return "?"
    if result.participant.name == outcome.referee:
        return "(reference)"
    return f"{np.nanmax(np.abs(result.logits - outcome.reference)):.1e}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
