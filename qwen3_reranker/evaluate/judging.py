"""Lists -> logits, query by query, to compute a shared prefix once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.evaluate.first_stage import FirstStage
from qwen3_reranker.evaluate.labelled import LabelledSet, Run
from qwen3_reranker.evaluate.logits_file import LogitsFile, QueryLogits
from qwen3_reranker.prompt import is_blank
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.weights.fingerprint import cache_folders, fingerprint

# Below this, hashing takes no time, and the hash need not be stored next to the model.
_REMEMBERED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What judging took: pairs, tokens of separate rows, tokens computed, what was cut, seconds."""

    pairs: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    truncated_documents: int = 0
    seconds: float = 0.0
    truncated_queries: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.pairs + other.pairs,
            self.prompt_tokens + other.prompt_tokens,
            self.computed_tokens + other.computed_tokens,
            self.truncated_documents + other.truncated_documents,
            self.seconds + other.seconds,
            self.truncated_queries + other.truncated_queries,
        )


def model_fingerprint(reranker: Reranker) -> str:
    """A hash of all weights and of the tokenizer. That of large weights is stored next to them."""
    checkpoint = reranker.checkpoint
    remembered = reranker.options.disk_cache and checkpoint.num_bytes > _REMEMBERED_BYTES
    content = hashlib.sha256(fingerprint(checkpoint, cache_folders(checkpoint) if remembered else ()).encode())
    content.update(checkpoint.head.rows(*reranker.answer_ids).tobytes())
    content.update(repr(checkpoint.tokenizer.fields).encode())
    return content.hexdigest()[:24]


def model_facts(reranker: Reranker | RemoteReranker) -> dict[str, Any]:
    """What logits depend on beside the texts and the instruction; of a server, as far as it lets that be seen."""
    if isinstance(reranker, RemoteReranker):
        return reranker.identity()
    options = reranker.options
    return {
        "model": reranker.checkpoint.name,
        "model_fingerprint": model_fingerprint(reranker),
        "default_instruction": reranker.default_instruction,
        "prompt": options.prompt,
        "backend": options.backend,
        # Of the vllm backend, such as quantization.
        **({"engine_options": dict(options.engine_options)} if options.engine_options else {}),
        "precision": options.precision,
        "max_length": reranker.tokens.max_length,
        "special_tokens": options.special_tokens,
        "truncate_queries": options.truncate_queries,
    }


def belonging(
    facts: Mapping[str, Any], labelled: LabelledSet, stage: FirstStage, instruction: str | None
) -> dict[str, Any]:
    """Everything that the logits depend on.

    facts: the `model_facts`. instruction: None for the data's own, else the model's.
    """
    return {
        **facts,
        "instruction": instruction,
        "set": labelled.name,
        "set_sha256": labelled.digest(),
        "first_stage": stage.name,
        "first_stage_sha256": stage.sha256,
    }


def judge(
    reranker: Reranker | RemoteReranker,
    labelled: LabelledSet,
    stage: FirstStage,
    instruction: str | None,
    file: LogitsFile,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[Run, Cost]:
    """The logits of every list, and their cost. Those of the file are not computed again.

    instruction: for all queries; None takes the data's own. on_progress: called with the share of queries done.
    Raises InputError for lists that name unknown documents or have a blank query, and what Reranker.score raises.
    """
    if blank := [query for query in stage.run if is_blank(labelled.queries.get(query, "?"))]:
        raise InputError(f"{labelled.name}: the text of query {blank[0]} must not be blank; take the query out")
    run: dict[str, dict[str, float]] = {}
    cost = Cost()
    total = max(len(stage.run), 1)
    for number, (query, scores) in enumerate(stage.run.items()):
        known = file.judged.get(query)
        if known is None or known.documents != tuple(scores):

            def advance(share: float, before: int = number) -> None:
                if on_progress:
                    on_progress((before + share) / total)

            known = _logits_of(reranker, labelled, stage.texts, query, tuple(scores), instruction, advance)
            file.add(known)
        run[query] = dict(zip(known.documents, known.logits, strict=True))
        cost += Cost(
            len(known.documents),
            known.prompt_tokens,
            known.computed_tokens,
            known.truncated_documents,
            known.seconds,
            int(known.query_truncated),
        )
        if on_progress:
            on_progress((number + 1) / total)
    return run, cost


def _logits_of(
    reranker: Reranker | RemoteReranker,
    labelled: LabelledSet,
    passages: Mapping[str, str],
    query: str,
    documents: tuple[str, ...],
    instruction: str | None,
    on_progress: Callable[[float], None],
) -> QueryLogits:
    try:
        texts = [passages[each] if each in passages else labelled.documents[each] for each in documents]
    except KeyError as error:
        raise InputError(f"{labelled.name}: the list of query {query} names the unknown document {error}") from None
    chosen = labelled.instruction_of(query) if instruction is None else instruction
    began = time.perf_counter()
    scores = reranker.score(labelled.queries[query], texts, chosen, on_progress=on_progress)
    seconds = time.perf_counter() - began
    return QueryLogits(
        query,
        documents,
        tuple(scores.logits.tolist()),
        scores.usage.prompt_tokens,
        scores.usage.computed_tokens,
        scores.usage.truncated_documents,
        seconds=round(seconds, 4),
        query_truncated=any(receipt.query_truncated for receipt in scores.receipts[:1]),
    )
