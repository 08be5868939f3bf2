"""Labelled sets and a model -> logits and labels of all pairs, with the query of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.first_stage import FirstStage
from qwen3_reranker.evaluate.judging import belonging, judge, model_facts
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.logits_file import LogitsFile, file_name
from qwen3_reranker.jobs.pairs import Pair
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker

#: Fields of a record that may hold the label of a pair.
LABELS = ("label", "relevant")
# With more instructions than that, each query has its own, and a calibration is for any.
_MOST_INSTRUCTIONS = 20


@dataclass(frozen=True, slots=True, eq=False)
class JudgedPairs:
    """Pairs of all sets: logits_N and labels_N (0 or 1) float64, and queries_N, the place of each pair's query.

    query_texts: by place; the same text in two sets is one query. scored_with, instructions: what the logits depend on.
    """

    logits_N: NDArray[np.float64]
    labels_N: NDArray[np.float64]
    queries_N: NDArray[np.int64]
    query_texts: tuple[str, ...]
    sets: tuple[str, ...]
    first_stages: tuple[str, ...]
    scored_with: Mapping[str, Any]
    instructions: tuple[str | None, ...] | None


def judged_pairs(
    reranker: Reranker | RemoteReranker,
    model: str,
    sets: Sequence[LabelledSet],
    stages: Sequence[FirstStage],
    folder: Path,
    instruction: str | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> JudgedPairs:
    """Judge every list. A document without a label counts as not relevant, as it does in all measures.

    model: the name that it was opened by. folder: where logits are kept, in the files that `evaluate` writes and reads.
    instruction: for all queries, None for the data's own. Raises what `judge` and LogitsFile raise.
    """
    facts, probe = model_facts(reranker), getattr(reranker, "probe_logits", ())
    total, done = max(sum(len(stage.run) for stage in stages), 1), 0
    logits: list[float] = []
    labels: list[bool] = []
    queries: list[int] = []
    place_of: dict[str, int] = {}
    instructions: dict[str | None, None] = {}
    for labelled, stage in zip(sets, stages, strict=True):

        def advance(share: float, before: int = done, some: int = len(stage.run)) -> None:
            if on_progress:
                on_progress((before + share * some) / total)

        settings = belonging(facts, labelled, stage, instruction)
        with LogitsFile(folder / file_name(labelled.name), model, settings, probe) as file:
            run, _ = judge(reranker, labelled, stage, instruction, file, advance)
        done += len(stage.run)
        for query, scores in run.items():
            chosen = labelled.instruction_of(query) if instruction is None else instruction
            instructions[reranker.default_instruction if chosen is None else chosen] = None
            place = place_of.setdefault(labelled.queries[query], len(place_of))
            relevant = {document for document, label in labelled.qrels[query].items() if label > 0}
            logits += scores.values()
            labels += [stage.document_of.get(document, document) in relevant for document in scores]
            queries += [place] * len(scores)
    return JudgedPairs(
        np.array(logits, np.float64),
        np.array(labels, np.float64),
        np.array(queries, np.int64),
        tuple(place_of),
        tuple(labelled.name for labelled in sets),
        tuple(dict.fromkeys(f"{stage.name}, at most {stage.depth}" for stage in stages)),
        facts,
        tuple(instructions) if len(instructions) <= _MOST_INSTRUCTIONS else None,
    )


def labelled_pairs(name: str, pairs: Iterable[Pair]) -> LabelledSet:
    """A set of records with a query, a document and a label: 0 or false for not relevant, 1 and above for relevant.

    The documents of a query are its list, in no order. Raises InputError for a record without a label.
    """
    qrels: dict[str, dict[str, int]] = {}
    documents: dict[str, str] = {}
    id_of: dict[str, str] = {}
    for pair in pairs:
        found = next((pair.record[field] for field in LABELS if pair.record.get(field) is not None), None)
        document = id_of.setdefault(pair.document, f"d{len(id_of) + 1}")
        documents[document] = pair.document
        qrels.setdefault(pair.query, {})[document] = _label(found, pair.source)
    if not qrels:
        raise InputError(f"{name}: expected a labelled pair a record, got none")
    lists = {query: dict.fromkeys(labels, 0.0) for query, labels in qrels.items()}
    return LabelledSet(name, qrels, {query: query for query in qrels}, documents, candidates=lists)


def _label(value: object, source: str) -> int:
    words = {"true": 1, "false": 0, "yes": 1, "no": 0}
    if isinstance(value, str):
        value = words.get(value.strip().lower(), value)
    try:
        # Cells of CSV are texts.
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(
            f"{source}: expected the field {' or '.join(map(repr, LABELS))} with a number, 1 and above for relevant, "
            f"got {value!r:.40}"
        ) from None
    if not np.isfinite(number):
        raise InputError(f"{source}: expected a finite label, got {value!r:.40}")
    return int(number >= 1)
