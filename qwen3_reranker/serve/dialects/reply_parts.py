"""The parts that replies of several dialects share."""

from __future__ import annotations

from typing import Any

from qwen3_reranker.serve.dialects.base import JsonArray, JsonObject, JsonOptional, JsonValue, ScoredPair
from qwen3_reranker.serve.dialects.bodies import DETAILS

ID = JsonValue(str, lambda pair: pair.result.request_id)
MODEL = JsonValue(str, lambda pair: pair.result.model)
CREATED = JsonValue(int, lambda pair: pair.result.created)
INDEX = JsonValue(int, lambda pair: pair.index)
SCORE = JsonValue(
    float,
    lambda pair: float((pair.result.logits if pair.request.raw_scores else pair.result.probabilities)[pair.index]),
)
LOGIT = JsonValue(float, lambda pair: float(pair.result.logits[pair.index]))
PROBABILITY = JsonValue(float, lambda pair: float(pair.result.probabilities[pair.index]))
NAME = JsonValue(str | None, lambda pair: pair.request.echoes[pair.index])
DOCUMENT = JsonOptional(
    lambda pair: pair.request.echoes is not None,
    JsonValue(dict[str, Any] | str, lambda pair: pair.request.echoes[pair.index]),
)
TEXT = JsonOptional(DOCUMENT.when, JsonValue(str, DOCUMENT.part.of))
PROMPT_TOKENS = JsonValue(int, lambda pair: pair.result.usage.prompt_tokens)
COST = JsonOptional(lambda pair: pair.result.cost is not None, JsonValue(float, lambda pair: float(pair.result.cost)))
#: Cohere's unit of billing: a query with up to 100 documents.
SEARCH_UNITS = JsonValue(int, lambda pair: max(1, -(-len(pair.request.documents) // 100)))
SECONDS = JsonValue(float, lambda pair: pair.result.seconds.total)
TOKEN_USAGE = JsonObject(
    "TokenUsage", "Tokens that are charged.", prompt_tokens=PROMPT_TOKENS, total_tokens=PROMPT_TOKENS
)
RESULT = JsonObject(
    "Result",
    "One document's score and its index in the request.",
    index=INDEX,
    relevance_score=SCORE,
    document=DOCUMENT,
    duplicates=JsonOptional(
        lambda pair: pair.request.selection.fold is not None,
        JsonValue(list[int], lambda pair: list(pair.result.selection.duplicates.get(pair.index, ()))),
    ),
    details=JsonOptional(
        lambda pair: pair.request.form == DETAILS,
        JsonObject(
            "Details",
            "What a score is based on; tokens of a text that were not kept were not read. is_lower_bound: a long text "
            "was not counted to its end, so what was cut has at least so many tokens.",
            logit=LOGIT,
            probability=PROBABILITY,
            document_tokens=JsonValue(int, lambda pair: pair.result.receipts[pair.index].document_tokens),
            kept_document_tokens=JsonValue(int, lambda pair: pair.result.receipts[pair.index].kept_tokens),
            query_tokens=JsonValue(int, lambda pair: pair.result.receipts[pair.index].query_tokens),
            kept_query_tokens=JsonValue(int, lambda pair: pair.result.receipts[pair.index].kept_query_tokens),
            is_lower_bound=JsonValue(bool, lambda pair: pair.result.receipts[pair.index].is_lower_bound),
        ),
    ),
)
ABSTENTION = JsonOptional(
    lambda pair: pair.request.min_probability is not None,
    JsonObject(
        "Abstention",
        "What min_probability left out. none_of_these: no document has that probability; is_calibrated: whether a "
        "calibration gave the probabilities.",
        none_of_these=JsonValue(bool, lambda pair: pair.result.none_of_these),
        left_out=JsonValue(int, lambda pair: pair.result.left_out),
        best_probability=JsonValue(float, lambda pair: max(pair.result.probabilities)),
        is_calibrated=JsonValue(bool, lambda pair: bool(pair.result.is_calibrated)),
    ),
)
SELECTION = JsonOptional(
    lambda pair: pair.result.selection is not None,
    JsonObject(
        "Selection",
        "What became of the documents that fold, diversity and fit did not choose, by their indices. tokens: of the "
        "chosen together, null without fit. too_long: of more tokens than fit alone. left_out: did not fit beside the "
        "chosen ones, or are beyond top_n. Each folded one is among the `duplicates` of another.",
        tokens=JsonValue(int | None, lambda pair: pair.result.selection.tokens),
        folded=JsonValue(
            list[int], lambda pair: sorted(each for some in pair.result.selection.duplicates.values() for each in some)
        ),
        too_long=JsonValue(list[int], lambda pair: list(pair.result.selection.too_long)),
        left_out=JsonValue(list[int], lambda pair: list(pair.result.selection.left_out)),
    ),
)
RESULTS = JsonArray(RESULT, ScoredPair.best_first)
