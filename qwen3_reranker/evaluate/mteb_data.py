"""Rows of mteb -> texts and labelled sets, as mteb's wrappers give them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.evaluate.labelled import LabelledSet
from qwen3_reranker.evaluate.measures import P_MRR, Measure

_OUR_KINDS = {"ndcg": "nDCG", "map": "AP", "mrr": "RR", "recall": "R", "precision": "P", "hit_rate": "success"}


@dataclass(frozen=True, slots=True)
class MtebQuery:
    """A query's text and, in instruction tasks, the instruction that belongs to it."""

    text: str
    instruction: str | None


def require_mteb() -> None:
    """Raise UnavailableError where mteb is not installed."""
    if find_spec("mteb") is None:
        raise UnavailableError(
            'tasks of mteb need mteb, which is not installed: pip install "qwen3_reranker[evaluate]"'
        )


def document_texts(corpus: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By id, the title, a space and the text, as mteb joins them."""
    return {str(row["id"]): f"{row.get('title') or ''} {row['text']}".strip() for row in corpus}


def queries_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, MtebQuery]:
    """By id, a query and its instruction apart. mteb's own `text` of an instruction task holds both."""
    return {str(row["id"]): MtebQuery(_conversation(row["text"]), row.get("instruction") or None) for row in rows}


def measure_of(main_score: str) -> Measure:
    """Our measure of a task's main score, such as ndcg_at_10. Raises InputError for one that we do not have."""
    found = re.fullmatch(r"([a-z_]+)_at_(\d+)", main_score)
    if main_score == P_MRR:
        return Measure(P_MRR)
    if found is None or found[1] not in _OUR_KINDS:
        raise InputError(f"mteb's main score {main_score!r} is not one of our measures")
    return Measure(_OUR_KINDS[found[1]], int(found[2]))


def load(name: str, split: str) -> Any:
    """The task with its data; raises UnavailableError, in one line, where they cannot be reached."""
    require_mteb()
    import mteb

    for talker in ("huggingface_hub", "datasets", "mteb"):
        # What they would say of a network that fails, again at every try, is said once below.
        logging.getLogger(talker).setLevel(logging.ERROR)
    task: Any = mteb.get_task(name, eval_splits=[split])
    try:
        task.load_data()
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    except Exception as error:
        # What a missing network raises depends on datasets, huggingface_hub and the task's own loader.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UnavailableError(
            f"the data of mteb's task {name} cannot be reached ({reason}); a stored run and its judgements can be "
            "measured without: --on qrels.txt --first-stage run.trec"
        ) from None
    return task


def labelled_sets(
    task: Any, split: str, instruction: str | None = None, measure: Measure | None = None
) -> list[LabelledSet]:
    """A set for each subset of a task that holds its data.

    instruction: for queries that bring none; None takes the prompt in the task's metadata, if it has one. measure: None
    takes the task's main score.
    """
    name = task.metadata.name
    judged_by = measure or measure_of(task.metadata.main_score)
    changed = _changed(task) if judged_by.kind == P_MRR else {}
    return [
        _labelled(name, subset, splits[split], task, instruction, judged_by, changed)
        for subset, splits in task.dataset.items()
        if split in splits
    ]


def _labelled(
    name: str,
    subset: str,
    data: Mapping[str, Any],
    task: Any,
    instruction: str | None,
    measure: Measure,
    changed: Mapping[str, list[str]],
) -> LabelledSet:
    documents, queries = document_texts(data["corpus"]), queries_of(data["queries"])
    qrels = {
        str(query): {str(document): int(label) for document, label in labels.items()}
        for query, labels in data["relevant_docs"].items()
        if labels
    }
    lists = data.get("top_ranked")
    return LabelledSet(
        name=name if subset == "default" else f"{name}/{subset}",
        group=name,
        qrels=qrels,
        queries={query: queries[query].text for query in qrels},
        documents=documents,
        instruction=instruction if instruction is not None else task_instruction(task.metadata),
        instructions={query: each.instruction for query, each in queries.items() if each.instruction is not None},
        candidates=None if lists is None else dict(_candidates(lists, qrels)),
        changed=changed,
        measure=measure,
        excludes_itself=bool(task.ignore_identical_ids),
        language=_language(task.metadata.hf_subsets_to_langscripts.get(subset, ())),
    )


def _language(languages: Sequence[str]) -> str:
    """The one language of a subset, without its script; nothing where it mixes several."""
    names = {each.partition("-")[0] for each in languages}
    return names.pop() if len(names) == 1 else ""


def task_instruction(metadata: Any) -> str | None:
    """What a task's metadata ask of queries, or None."""
    prompt = metadata.prompt
    found = prompt.get("query") if isinstance(prompt, Mapping) else prompt
    return found if isinstance(found, str) else None


def _candidates(lists: Mapping[Any, Iterable[Any]], qrels: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    for query, documents in lists.items():
        if str(query) in qrels:
            # Best first, where the data say so.
            yield str(query), {str(document): float(-place) for place, document in enumerate(documents)}


def _changed(task: Any) -> dict[str, list[str]]:
    """By query, the documents that the changed instruction makes irrelevant, from the task's own data."""
    if (known := getattr(task, "changed_documents", None)) is not None:
        return dict(known)
    from datasets import load_dataset

    source = task.metadata.dataset
    rows = load_dataset(source["path"], "qrel_diff", split="qrel_diff", revision=source["revision"])
    return {row["query-id"]: list(row["corpus-ids"]) for row in rows}


def _conversation(text: Any) -> str:
    """A query's text; turns of a conversation as mteb joins them."""
    if isinstance(text, str):
        return text
    return "; ".join(turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in text)
