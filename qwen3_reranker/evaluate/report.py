"""A summary -> tables, sentences, a page of Markdown, and JSON of every number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qwen3_reranker.evaluate.cascade_report import cascade_remark, cascade_rows, chosen_sentence, curve_json
from qwen3_reranker.evaluate.summary import FIRST_STAGE, FUSION, MODEL, SIGNIFICANT, Summary, System, SystemComparison
from qwen3_reranker.evaluate.tuning import Tuning
from qwen3_reranker.row_table import Column, RowTable, cut_end

INSTRUCTIONS, SETS, LANGUAGES = "Instructions", "Sets", "Languages"
DIFFERENCES, DEPTHS, CASCADES = "Differences", "How deep to rerank", "Quality and time of cascades"
_HOW_DIFFERENCES = (
    "Mean differences with 95 % bootstrap intervals over queries; p of a two-sided paired randomisation test, "
    "corrected for the number of comparisons (Holm)."
)
_MOST_NAMED = 10
# Columns of names; all others hold numbers.
_NAMES = ("system", "minus", "set", "language", "measure")


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A table of the report, and what it shows."""

    title: str
    table: RowTable
    remark: str = ""


def sections(summary: Summary, tuning: Tuning | None = None) -> list[ReportSection]:
    """The tables of the report, in order. tuning: the result of choosing among instructions, if there is one."""
    headline = f"Mean {summary.headline_name}"
    found = [
        *([ReportSection(INSTRUCTIONS, tuning_rows(tuning), tuning_remark(tuning))] if tuning else []),
        ReportSection(headline, system_rows(summary)),
        ReportSection(SETS, set_rows(summary)),
        ReportSection(LANGUAGES, language_rows(summary)),
        ReportSection(DIFFERENCES, comparison_rows(summary), _HOW_DIFFERENCES),
        ReportSection(CASCADES, cascade_rows(summary), cascade_remark(summary)),
        ReportSection(DEPTHS, depth_rows(summary), f"{headline} when only the first documents are reranked."),
    ]
    return [section for section in found if section.table.rows]


def markdown(summary: Summary, tuning: Tuning | None = None) -> str:
    """The report as one page of Markdown. tuning: the result of choosing among instructions, if there is one."""
    parts = ["# Evaluation", tuning.verdict if tuning else verdict(summary)]
    for section in sections(summary, tuning):
        parts += [f"## {section.title}", *([section.remark] if section.remark else []), section.table.markdown()]
    parts += ["## What was measured", "\n".join(f"- {line}" for line in remarks(summary))]
    return "\n\n".join(parts) + "\n"


def verdict(summary: Summary) -> str:
    """One paragraph: whether each model made the lists better, in words."""
    by_system = {each.system: each for each in summary.comparisons if each.baseline == summary.systems[0].label}
    sentences = [_sentence(by_system[each.label]) for each in summary.systems if each.label in by_system]
    if not summary.is_ordered:
        sentences += [_measured(summary, each) for each in summary.systems if each.kind == MODEL]
        sentences += [_sentence(each) for each in summary.comparisons]
        sentences.append(_without_order(summary))
    sentences += [chosen_sentence(curve) for curve in summary.curves]
    return " ".join(sentences) or "No model was evaluated."


def _measured(summary: Summary, system: System) -> str:
    low, high = summary.interval(system)
    return f"{system.label}: {summary.headline_name} {summary.mean(system):.3f} [{low:.3f}, {high:.3f}]."


def _without_order(summary: Summary) -> str:
    named = ", ".join(each.name for each in summary.sets if not each.is_ordered)
    return (
        f"The lists of {named} have no order, so there is no first stage to be better than; {summary.systems[0].label} "
        f"is what chance gives: {summary.mean(summary.systems[0]):.3f}."
    )


def _sentence(each: SystemComparison) -> str:
    p = shown_p(each.corrected_p)
    change = f"{each.difference:+.3f} [{each.low:+.3f}, {each.high:+.3f}], p {p if p.startswith('<') else f'= {p}'}"
    if not each.significant:
        return f"{each.system} is not shown to differ from {each.baseline}: {change}."
    return f"{each.system} is {'better' if each.difference > 0 else 'worse'} than {each.baseline}: {change}."


def system_rows(summary: Summary) -> RowTable:
    """A row a system: the main measure with its interval, each further one, and the time of a query."""
    extra = [measure for measure in summary.measures if any(each.measure != measure for each in summary.sets)]
    # Beside a first stage whose time is unknown, that of judging is in the remarks alone.
    timed = ["p50, ms", "p95, ms"] if summary.systems[0].latency else []
    rows = []
    for number, system in enumerate(summary.systems, start=1):
        low, high = summary.interval(system)
        cells = [f"{summary.mean(system, measure):.3f}" for measure in extra]
        if timed:
            cells += [f"{1000 * seconds:,.1f}" for seconds in system.latency or ()] or ["", ""]
        rows.append([str(number), system.label, f"{summary.mean(system):.3f}", f"{low:.3f} to {high:.3f}", *cells])
    return _table(
        ["", "system", summary.headline_name, "95 % interval", *(measure.name for measure in extra), *timed], rows
    )


def comparison_rows(summary: Summary) -> RowTable:
    """A row a comparison."""
    rows = [
        [
            each.system,
            each.baseline,
            f"{each.difference:+.3f}",
            f"{each.low:+.3f} to {each.high:+.3f}",
            shown_p(each.corrected_p),
            f"{each.won:,}, {each.lost:,}, {each.tied:,}",
        ]
        for each in summary.comparisons
    ]
    return _table(["system", "minus", "difference", "95 % interval", "p", "better, worse, same"], rows)


def set_rows(summary: Summary) -> RowTable:
    """A row a set: its size, its ceiling, what each system gains. A * stands where p < 0.05."""
    several = len({each.measure for each in summary.sets}) > 1
    rows = [
        [
            facts.name,
            *([facts.measure.name] * several),
            f"{facts.queries:,}",
            f"{facts.recall:.1%}",
            *_system_cells(alone, summary.is_ordered),
        ]
        for facts, alone in zip(summary.sets, summary.by_set, strict=True)
    ]
    return _table(["set", *(["measure"] * several), "queries", "found", *_system_heads(summary)], rows)


def language_rows(summary: Summary) -> RowTable:
    """A row a language with the means over its sets, as in `set_rows`. None for one language."""
    rows = [
        [
            language,
            str(len(own.sets)),
            f"{sum(facts.queries for facts in own.sets):,}",
            *_system_cells(own, summary.is_ordered),
        ]
        for language, own in summary.by_language.items()
    ]
    heads = ["language", "sets", "queries", *_system_heads(summary)]
    return _table(heads, rows if len(rows) > 1 else [])


def _system_heads(summary: Summary) -> list[str]:
    numbers = range(1, len(summary.systems) + 1)
    return [str(number) for number in numbers] + [
        f"{number} minus 1"
        for number, system in zip(numbers, summary.systems, strict=True)
        if summary.is_ordered and _gains(system)
    ]


def _system_cells(summary: Summary, is_ordered: bool) -> list[str]:
    if not is_ordered:
        return [f"{summary.mean(system):.3f}" for system in summary.systems]
    found = {each.system: each for each in summary.comparisons if each.baseline == summary.systems[0].label}
    means = [
        f"{summary.mean(system):.3f}" + ("*" if _gains(system) and found[system.label].p < SIGNIFICANT else "")
        for system in summary.systems
    ]
    gains = [found[system.label] for system in summary.systems if _gains(system)]
    return means + [f"{each.difference:+.3f} ({each.low:+.3f} to {each.high:+.3f})" for each in gains]


def _gains(system: System) -> bool:
    return system.kind in (MODEL, FUSION)


def tuning_rows(tuning: Tuning) -> RowTable:
    """A row an instruction, the winner first."""
    rows = [[each.label, f"{each.chosen_on:.3f}", f"{each.held_out:.3f}"] for each in tuning.tried]
    return _table(["system", f"{tuning.measure} where chosen", "held out"], rows)


def tuning_remark(tuning: Tuning) -> str:
    """How the winner was chosen and judged."""
    return (
        f"{len(tuning.tried)} instructions were compared on {tuning.choosing_queries:,} queries, and the winner judged "
        f"on {tuning.held_out_queries:,} others. Where it was chosen, the best lead over {tuning.baseline} has p = "
        f"{tuning.choosing_p:.3f}, allowing for its being the best of so many."
    )


def depth_rows(summary: Summary) -> RowTable:
    """A column a depth, and a row a model; none where there is one depth."""
    models = [system for system in summary.systems if system.kind == MODEL and summary.is_ordered]
    depths = list(models[0].depth_curve) if models else []
    rows = [[system.label, *(f"{value:.3f}" for value in system.depth_curve.values())] for system in models]
    return _table(["system", *map(str, depths)], rows if len(depths) > 1 else [])


def remarks(summary: Summary) -> Iterator[str]:
    """What a reader must know to believe the numbers, a sentence each."""
    yield (
        "Columns have the numbers of systems; found: the share of relevant documents that the lists hold, which no "
        "reranking can raise"
        + ("; *: p < 0.05 against the first stage on this set or language alone, not corrected" * summary.is_ordered)
        + "; in brackets, 95 % intervals."
    )
    if summary.systems[0].latency:
        yield (
            "p50 and p95: milliseconds of a query on the machine that ran it; a first stage retrieves a list, a model "
            "judges it, a fusion takes the time of both"
        )
    for facts in summary.sets:
        yield (
            f"{facts.name}: {facts.queries:,} queries, {facts.documents:,} documents, "
            + (f"lists of {facts.first_stage} to depth" if facts.is_ordered else "lists in no order, of at most")
            + f" {facts.depth}, sha256 {facts.first_stage_sha256[:16]}"
        )
    for system in summary.systems:
        if system.kind == MODEL and system.cost:
            cost = system.cost
            queries = f"{cost.truncated_queries:,} queries cut, " if cost.truncated_queries else ""
            saved = 1 - cost.computed_tokens / cost.prompt_tokens if cost.prompt_tokens else 0.0
            yield (
                f"{system.label}: {settings_line(system)}; {cost.pairs:,} pairs, {cost.prompt_tokens:,} tokens of "
                f"which {saved:.0%} were shared, {cost.truncated_documents:,} documents cut, "
                f"{queries}{cost.seconds:,.1f} s{_of_a_query(system)}"
            )
        elif system.kind == MODEL:
            yield f"{system.label}: {settings_line(system)}"
    yield from tie_remarks(summary)
    for place, missing in summary.missing.items():
        named = ", ".join(missing[:_MOST_NAMED]) + (", ..." if len(missing) > _MOST_NAMED else "")
        yield f"{place}: {len(missing):,} judged queries are missing and count as 0: {named}"
    yield f"Random draws begin at seed {summary.seed}."


def _of_a_query(system: System) -> str:
    return "" if system.latency is None else ", a query {:,.3f} s (p50) to {:,.3f} s (p95)".format(*system.latency)


def tie_remarks(summary: Summary) -> Iterator[str]:
    """What equal scores leave open, where there are any."""
    for system in summary.systems:
        if system.kind not in (FIRST_STAGE, MODEL):
            continue
        scores = [summary.headline(system, place) for place in range(len(summary.sets))]
        if not (tied := sum(each.tied for each in scores)):
            continue
        weights = [each.weight for each in summary.sets]
        low, high, trec = (
            sum(weight * float(values.mean()) for weight, values in zip(weights, column, strict=True))
            for column in zip(*((each.lowest_Q, each.highest_Q, each.trec_eval_Q) for each in scores), strict=True)
        )
        if high - low >= 0.0005:
            yield (
                f"{system.label}: equal scores in {tied:,} lists; the mean over their orders is shown, orders give "
                f"{low:.3f} to {high:.3f}, trec_eval's (by id) {trec:.3f}"
            )


def settings_line(system: System) -> str:
    """What a model's logits depend on, in one line."""
    settings = system.settings
    if "run" in settings:
        return f"stored run {settings['run']}"
    instruction = settings["instruction"]
    words = (
        f'instruction "{instruction}"' if instruction is not None else "instructions of the data, or else the model's"
    )
    if "route" in settings:
        facts: Any = settings["served"]
        served = ", ".join(f"{name} {value}" for name, value in facts.items()) or "nothing"
        return f"{settings['scores']} of {settings['model']}, which says of its model: {served}; {words}"
    names = ("backend", "precision", "prompt", "max_length")
    return (
        f"weights {settings['model_fingerprint']}, {', '.join(f'{name} {settings[name]}' for name in names)}, {words}"
    )


def as_json(summary: Summary, tuning: Tuning | None = None) -> dict[str, Any]:
    """Every number of the report, for programs."""
    return {
        "headline": summary.headline_name,
        "seed": summary.seed,
        "sets": [{**asdict(each), "measure": each.measure.name} for each in summary.sets],
        "systems": [_system_json(summary, system) for system in summary.systems],
        "comparisons": [asdict(each) for each in summary.comparisons],
        "cascades": [curve_json(summary, curve) for curve in summary.curves],
        "missing": {place: list(missing) for place, missing in summary.missing.items()},
        "tuning": None if tuning is None else {**asdict(tuning), "verdict": tuning.verdict},
    }


def _system_json(summary: Summary, system: System) -> dict[str, Any]:
    by_set = {}
    for facts, scores in zip(summary.sets, system.scores, strict=True):
        by_set[facts.name] = {
            measure.name: {
                "mean": each.mean,
                "trec_eval": float(each.trec_eval_Q.mean()),
                "lowest": float(each.lowest_Q.mean()),
                "highest": float(each.highest_Q.mean()),
            }
            for measure, each in scores.items()
        }
    return {
        "label": system.label,
        "kind": system.kind,
        "mean": summary.mean(system),
        "interval": summary.interval(system),
        "sets": by_set,
        "settings": dict(system.settings),
        "cost": asdict(system.cost) if system.cost else None,
        "latency": dict(zip(("p50", "p95"), system.latency, strict=True)) if system.latency else None,
        "depth_curve": {str(depth): value for depth, value in system.depth_curve.items()},
    }


def shown_p(p: float) -> str:
    """A p value as people write it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> RowTable:
    return RowTable([Column(head, fit=cut_end) if head in _NAMES else Column(head, right=True) for head in heads], rows)
