"""Hugging Face TEI's /rerank and /predict: bare lists, times in headers, and errors of its own shape and statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NotRequired

from pydantic import BeforeValidator, Field
from pydantic import WithJsonSchema as Schema
from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.base import Reply
from qwen3_reranker.serve.dialects.fields import wrong
from qwen3_reranker.serve.dialects.options import Options
from qwen3_reranker.serve.dialects.rerank import (
    EXAMPLE_DOCUMENTS,
    EXAMPLE_QUERY,
    MAX_DOCUMENTS,
    RerankBody,
    RerankDialect,
    best_first,
)
from qwen3_reranker.serve.problems import Problem, invalid

LABEL = "LABEL_0"
_SINGLE = "single"
# Its statuses for what happened (router/src/http): no room is 429, and a failure of the model 424.
_ERRORS = {
    400: (422, "Validation"),
    429: (429, "Overloaded"),
    500: (424, "Backend"),
    503: (503, "Unhealthy"),
    504: (504, "Backend"),
}
_EMPTY = (400, "Empty")
_OVERLOADED = (429, "Overloaded")
_UNHEALTHY = frozenset({"accounts_unavailable", "draining", "loading"})


class TEIBody(RerankBody):
    """The same fields, TEI's names first."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **RerankBody.spellings,
        "documents": ("texts", "documents", "passages", "items", "input", "docs"),
        "return_documents": ("return_text", "return_documents", "return_input"),
        "truncation_side": ("truncation_direction", "truncation_side"),
    }


class Rank(TypedDict):
    """One text's score."""

    index: int
    score: float
    text: NotRequired[str]


class Prediction(TypedDict):
    """One pair's score under the model's one label."""

    score: float
    label: str


class TEIError(TypedDict):
    """TEI's error."""

    error: str
    error_type: str


class TEIRerank(RerankDialect):
    """/rerank."""

    name = "tei"
    request: type[RerankBody] = TEIBody
    response: Any = list[Rank]
    error: Any = TEIError

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Always."""
        return True

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """The list, best first."""
        ranks: list[Rank] = []
        for place, score, text in best_first(ask, answer):
            rank: Rank = {"index": place, "score": score}
            if text is not None:
                rank["text"] = text
            ranks.append(rank)
        return Reply(ranks, _headers(ask, answer))

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """TEI's status and error."""
        return _error(problem)


def _pairs(value: object) -> list[tuple[str, str]]:
    if not isinstance(value, list) or not value:
        raise wrong("invalid_type", "must be a pair of strings, or a list of such pairs")
    pairs = [value] if len(value) == 2 and isinstance(value[0], str) else value
    for number, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise wrong("invalid_type", f"must hold pairs of strings, query and document: number {number} is none")
    return [(query, document) for query, document in pairs]


_PAIR = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}


class PredictBody(Options):
    """Pairs to judge."""

    inputs: Annotated[
        list[tuple[str, str]],
        BeforeValidator(_pairs),
        Schema({"anyOf": [_PAIR, {"type": "array", "minItems": 1, "items": _PAIR}]}),
    ] = Field(description="A pair of query and document, or a list of pairs.")

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Two pairs."""
        return {"inputs": [[EXAMPLE_QUERY, document] for document in EXAMPLE_DOCUMENTS]}


class TEIPredict:
    """/predict: scores in the order of the pairs, one list of labels for each; of a single pair its list alone."""

    name = "tei-predict"
    request = PredictBody
    response: Any = list[Prediction] | list[list[Prediction]]
    error: Any = TEIError

    def __init__(self, max_pairs: int = MAX_DOCUMENTS) -> None:
        self._max_pairs = max_pairs

    def read(self, body: Mapping[str, Any], route: str) -> Ask:
        """What a body asks for. Raises Problem."""
        asked = PredictBody.of(body)
        pairs = asked.inputs
        if len(pairs) > self._max_pairs:
            raise invalid("too_many_documents", f"`inputs` must hold at most {self._max_pairs} pairs", "inputs")
        return Ask(
            queries=[query for query, _ in pairs],
            documents=[document for _, document in pairs],
            model=asked.model or None,
            instruction=asked.instructed(),
            raw_scores=asked.raw(),
            limits=asked.limits(),
            form=_SINGLE if isinstance(body["inputs"][0], str) else "",
            warnings=asked.warnings(body),
        )

    def write(self, ask: Ask, answer: Answer) -> Reply:
        """Scores in the order of the pairs."""
        scores = map(float, answer.scores(ask))
        predictions: list[list[Prediction]] = [[{"score": score, "label": LABEL}] for score in scores]
        return Reply(predictions[0] if ask.form == _SINGLE else predictions, _headers(ask, answer))

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """TEI's status and error."""
        return _error(problem)


def _error(problem: Problem) -> tuple[int, TEIError]:
    status, kind = _ERRORS.get(problem.status, (problem.status, "Validation"))
    if problem.code == "no_documents":
        status, kind = _EMPTY
    elif problem.status == 503 and problem.code not in _UNHEALTHY:
        status, kind = _OVERLOADED
    return status, {"error": problem.message, "error_type": kind}


def _headers(ask: Ask, answer: Answer) -> dict[str, str]:
    """Milliseconds and counts, as TEI's router names them."""
    timings = answer.timings
    times = {
        "x-compute-time": timings.total,
        "x-total-time": timings.total,
        "x-tokenization-time": timings.tokenising,
        "x-queue-time": timings.waiting,
        "x-inference-time": timings.computing,
    }
    return {
        "x-compute-characters": str(sum(map(len, ask.queries)) + sum(map(len, ask.documents))),
        "x-compute-tokens": str(answer.spent.prompt_tokens),
        **{name: str(round(seconds * 1000)) for name, seconds in times.items()},
    }
