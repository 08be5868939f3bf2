"""A fit -> verdict, tables and remarks, as Markdown and as one page of HTML with plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from qwen3_reranker.calibrate.answering import Answering
from qwen3_reranker.calibrate.fitting import Fit, HeldThreshold
from qwen3_reranker.calibrate.reliability import Figure, Reliability
from qwen3_reranker.evaluate import plots
from qwen3_reranker.evaluate.page import whole_page, wide
from qwen3_reranker.evaluate.report import ReportSection
from qwen3_reranker.row_table import Column, RowTable

ERRORS, RELIABLE, ANSWERS, RISK = "Errors", "Reliability", "Answering or none of these", "Risk and coverage"
_HOW_ANSWERS = (
    "What --min-probability P gives. answered: queries with a hit; precision: of those, the best hit is relevant; "
    "recall: of queries whose list holds a relevant document, it is shown first; silence right: of queries without a "
    "hit, the best one would have been wrong; refusal: lists without their relevant documents that get no hit."
)
_RISK_POINTS = 200


def verdict(fit: Fit) -> str:
    """What calibration did to the error, and what a threshold for a precision holds, in words."""
    before, after = fit.before.error, fit.after.error
    words = (
        f"On held-out queries the expected calibration error goes from {_shown(before)} to {_shown(after)}, which is "
        f"{fit.ratio.value:.2f} [{fit.ratio.low:.2f}, {fit.ratio.high:.2f}] of it; method {fit.calibration.map.method}."
    )
    return " ".join([words, *map(_held, fit.held)])


def _held(held: HeldThreshold) -> str:
    if held.min_probability is None:
        return f"No probability holds a precision of {held.precision:g} on these queries."
    start = f"For a precision of {held.precision:g} take --min-probability {_rounded_down(held.min_probability):g}"
    if held.held_out is None:
        return f"{start}; too few queries to say what it holds on others."
    found = held.held_out
    return (
        f"{start}: thresholds chosen like this answered {_shown(found.answered)} of queries that did not choose them, "
        f"with a precision of {_shown(found.precision)}."
    )


def sections(fit: Fit) -> list[ReportSection]:
    """The tables of the report, in order."""
    share = fit.calibration.data["relevant"] / fit.calibration.data["pairs"]
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in fit.losses.items())
    return [
        ReportSection(
            ERRORS,
            _table(
                ["probabilities", "ECE", "95 % interval", "of equal counts", "Brier"],
                [_errors("the model's own", fit.before), _errors("calibrated", fit.after)],
            ),
            "ECE: expected calibration error over 15 bins of equal width, and of equal counts; held-out queries. One "
            "probability for every pair, the share of relevant pairs, has no ECE and a Brier score of "
            f"{share * (1 - share):.4f}: what is below that is what the logits tell. Log loss of methods: {losses}.",
        ),
        ReportSection(
            RELIABLE,
            _table(
                ["probability", "pairs", "mean", "relevant"],
                [
                    [
                        f"{each.least:.2f} to {each.most:.2f}",
                        f"{each.pairs:,}",
                        f"{each.mean:.3f}",
                        _share(each.relevant),
                    ]
                    for each in fit.after.bins
                ],
            ),
            "Calibrated probabilities of held-out queries: their mean, and the share of pairs that is relevant.",
        ),
        ReportSection(ANSWERS, answer_rows(fit.answers), _HOW_ANSWERS),
        ReportSection(RISK, risk_rows(fit.risk_coverage), "Wrong answers among those given, the surest queries first."),
    ]


def risk_rows(curve: Sequence[tuple[float, float]]) -> RowTable:
    """The share of wrong answers where a tenth of the queries is answered, two tenths, and so on."""
    points = dict.fromkeys(next(each for each in curve if each[0] >= tenths / 10) for tenths in range(1, 11))
    return _table(["answered", "wrong"], [[_share(answered), _share(wrong)] for answered, wrong in points])


def answer_rows(answers: Sequence[Answering]) -> RowTable:
    """A row a threshold."""
    heads = ["P", "answered", "precision", "95 % interval", "recall", "95 % interval", "silence right", "95 % interval"]
    rows = [
        [
            f"{each.threshold:.2f}",
            _share(each.answered.value),
            *(cell for of in (each.precision, each.recall, each.silence) for cell in (_share(of.value), _interval(of))),
            _share(each.refusal.value),
        ]
        for each in answers
    ]
    return _table([*heads, "refusal"], rows)


def remarks(fit: Fit) -> Iterator[str]:
    """What a reader must know to believe the numbers, a sentence each."""
    data, made = fit.calibration.data, fit.calibration
    share = data["relevant"] / data["pairs"]
    yield (
        f"{data['queries']:,} queries, {data['pairs']:,} pairs, {data['relevant']:,} relevant ({share:.2%}); "
        f"{', '.join(data['sets'])}; lists: {', '.join(data['first_stages'])}."
    )
    yield (
        "A calibrated probability holds for pairs drawn as these were. Another first stage, depth or kind of text has "
        "another share of relevant pairs, and then it is wrong: calibrate on pairs like those that you rank."
    )
    yield "Documents without a label count as not relevant."
    yield (
        "Queries were cut into 5 folds; each was measured by a map whose method and numbers came from the other four. "
        "Intervals: 95 %, bootstrap over queries. ECE is above 0 even for perfect probabilities, by chance."
    )
    facts = made.scored_with
    yield f"Model {facts.get('model')}, weights {facts.get('model_fingerprint')}, precision {facts.get('precision')}."
    named = made.instructions
    yield (
        "Instructions varied from query to query, so any is accepted."
        if named is None
        else f"Instructions: {'; '.join('none' if each is None else repr(each) for each in named)}."
    )


def markdown(fit: Fit) -> str:
    """The report as one page of Markdown."""
    parts = ["# Calibration", verdict(fit)]
    for section in sections(fit):
        parts += [f"## {section.title}", section.remark, section.table.markdown()]
    parts += ["## What was measured", "\n".join(f"- {line}" for line in remarks(fit))]
    return "\n\n".join(parts) + "\n"


def page(fit: Fit) -> str:
    """The report as one self-contained page, with the reliability diagram and the curve of risk over coverage."""
    lines = {
        name: [(each.mean, each.relevant) for each in of.bins]
        for name, of in (("the model's own", fit.before), ("calibrated", fit.after))
    }
    keys = "".join(f'<span class="key c{number}">{name}</span>' for number, name in enumerate(lines, start=1))
    step = max(1, len(fit.risk_coverage) // _RISK_POINTS)
    curve = [*fit.risk_coverage[::step], fit.risk_coverage[-1]]
    plot_of = {
        RELIABLE: wide(plots.shares(lines, "Share relevant by probability", diagonal=True)) + keys,
        RISK: wide(plots.shares({RISK: curve}, RISK)),
    }
    parts = [f'<h1>Calibration</h1><p class="verdict">{escape(verdict(fit))}</p>']
    for each in sections(fit):
        parts.append(f'<h2>{each.title}</h2><p class="dim">{escape(each.remark)}</p>{plot_of.get(each.title, "")}')
        parts.append(wide(each.table.html()))
    notes = "".join(f"<li>{escape(line)}</li>" for line in remarks(fit))
    return whole_page("Calibration", f"{''.join(parts)}<footer><h2>What was measured</h2><ul>{notes}</ul></footer>")


def _errors(name: str, of: Reliability) -> list[str]:
    return [name, f"{of.error.value:.4f}", _interval(of.error, 4), _shown(of.error_by_count, 4), _shown(of.brier, 4)]


def _rounded_down(probability: float) -> float:
    """Few digits, and never above: the hit that the threshold came from is still shown."""
    return int(probability * 1000) / 1000


def _share(value: float) -> str:
    return "" if value != value else f"{value:.3f}"


def _interval(of: Figure, digits: int = 3) -> str:
    return "" if of.low != of.low else f"{of.low:.{digits}f} to {of.high:.{digits}f}"


def _shown(of: Figure, digits: int = 3) -> str:
    return f"{of.value:.{digits}f} [{of.low:.{digits}f}, {of.high:.{digits}f}]"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> RowTable:
    return RowTable([Column(head, right=number > 0) for number, head in enumerate(heads)], rows)
