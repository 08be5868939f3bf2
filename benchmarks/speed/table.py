"""Markdown of what a race found: one table a workload, then what its columns mean."""

from __future__ import annotations

import numpy as np

from benchmarks.speed.participants import OURS
from benchmarks.speed.race import Outcome, Result

GIB = 2**30
SECONDS = ("s to load", "s, first call", "s, second call")
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
  take (neither attention nor head), over torch's rate for 1024 x 1024 x 3072 in the same rounds, in the participant's
  kind of product. It counts useful work alone, so who computes fewer tokens may pass 100%.
- **s to load, first call, second call**: from the start of a process until the model is loaded, then two calls for all
  documents. The second repeats the first, so who compiles code for each length has it. docs/s is the second call's.
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
    told = ", ".join(f"{rate:.0f} in {kind}" for kind, rate in outcome.rates.items())
    lines += [f"{spread}torch multiplies {told} (10^9 operations a second).", ""]
    heads = ["", "settings", "version", *(SECONDS if outcome.workload.fresh else ()), "docs/s", "tokens/s"]
    heads += [*(f"ours {name} / theirs" for name in ours), "computed", "peak RSS", "useful share", "max \\|Δ\\|"]
    lines += [_row(heads), _row(["---"] * len(heads))]
    ran = [result for result in outcome.results if result.seconds]
    lines += [_row(_cells(result, outcome, ours, operations_per_token)) for result in ran]
    lines += ["", *(_not_run(result) for result in outcome.results if not result.seconds)]
    return "\n".join(lines) + "\n"


def legend(outcomes: list[Outcome]) -> str:
    """What the columns mean."""
    names = {"ours-float32": "qwen3_reranker's float32", "card": "the card's code in float32"}
    referees = sorted({names[outcome.referee] for outcome in outcomes if outcome.referee})
    return LEGEND.format(referee=" or ".join(referees) or "float32 (which could not be computed)")


def _not_run(result: Result) -> str:
    return f"- Not run: {result.participant.title}, {result.participant.settings}: {result.problem}"


def _cells(result: Result, outcome: Outcome, ours: dict[str, float], operations: int) -> list[str]:
    who = result.participant
    kind = who.settings if who.products in who.settings else f"{who.settings} ({who.products} products)"
    documents, tokens = _rate(result.documents, result.seconds), _rate(result.tokens, result.seconds)
    least, total = min(result.documents), len(outcome.workload.pairs)
    cut = f" † {least} of {total}" if least < total else ""
    cut += f" (then {result.problem})".replace("|", "\\|") if result.problem else ""
    rate = outcome.rates[who.products]
    times = [result.loading, result.first, result.seconds] if outcome.workload.fresh else []
    return [
        *(who.title, kind, result.version),
        *(f"{np.median(seconds):.2f}" for seconds in times),
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
