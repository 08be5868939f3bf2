"""What the rerank dialects have in common: how a query and its documents are read, results, and the error for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from qwen3_reranker.serve.ask import Answer, Ask
from qwen3_reranker.serve.dialects.fields import Count, Documents, Flag, Query
from qwen3_reranker.serve.dialects.options import Options
from qwen3_reranker.serve.documents import echo_of, text_of
from qwen3_reranker.serve.problems import Problem, invalid

MAX_DOCUMENTS = 1000
EXAMPLE_QUERY = "How are rainbows made?"
EXAMPLE_DOCUMENTS = ("Drops of water part sunlight into its colours.", "The library opens at nine.")
_DETAILS = "details"


class RerankBody(Options):
    """A query and what to rank for it, under every name that a client gives it."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Options.spellings,
        "documents": ("documents", "texts", "passages", "items", "input", "docs"),
        "top_n": ("top_n", "top_k"),
        "return_documents": ("return_documents", "return_text", "return_input"),
    }

    query: Query = Field(description="What the documents are judged for.")
    documents: Documents = Field(
        description="Texts, or records, which are judged as lines of `name: value`; by default at most 1,000."
    )
    top_n: Count | None = Field(None, description="How many results, best first; 0 or null for all.")
    return_documents: Flag = Field(False, description="Give each document back with its result.")
    rank_fields: list[str] | None = Field(None, description="The fields of a record to judge, in that order.")
    return_details: Flag = Field(
        False, description="Add logit, probability and what was read and cut, in tokens, to each result."
    )

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two documents, by the dialect's own names."""
        query, documents, top_n = (cls._names(name)[0] for name in ("query", "documents", "top_n"))
        return {query: EXAMPLE_QUERY, documents: list(EXAMPLE_DOCUMENTS), top_n: 2}


class EchoingBody(RerankBody):
    """The same where documents come back unless they are declined."""

    return_documents: Flag = Field(True, description="Give each document back with its result.")


class Details(TypedDict):
    """What a result rests on; the rest of a text, beyond what was kept, was not read."""

    logit: float
    probability: float
    document_tokens: int
    kept_document_tokens: int
    query_tokens: int
    kept_query_tokens: int


class Result(TypedDict):
    """One document's score and its place in the request."""

    index: int
    relevance_score: float
    document: NotRequired[dict[str, Any] | str]
    details: NotRequired[Details]


class TokenUsage(TypedDict):
    """Tokens as separate rows would hold them."""

    prompt_tokens: int
    total_tokens: int


class ErrorFacts(TypedDict):
    """OpenAI's error."""

    message: str
    type: str
    param: str | None
    code: str


class Error(TypedDict):
    """One error for every client: OpenAI's reads `error`, Cohere's `message`, Voyage's, Jina's and others' `detail`."""

    id: str
    error: ErrorFacts
    message: str
    detail: str


class RerankDialect:
    """A dialect with one query: `read` is the same for all, `write` is each one's own."""

    name: str
    request: type[RerankBody] = RerankBody
    response: Any
    error: Any = Error

    def __init__(self, max_documents: int = MAX_DOCUMENTS) -> None:
        self._max_documents = max_documents

    def read(self, body: Mapping[str, Any], route: str) -> Ask:
        """What a body asks for. Raises Problem."""
        asked = self.request.of(body)
        place = asked.place("documents")
        texts = self.texts(asked.documents, asked.rank_fields, place)
        echoes: list[Any] | None = None
        if asked.return_documents:
            whole = [echo_of(*pair) for pair in zip(asked.documents, texts, strict=True)]
            echoes = texts if self.echoes_strings(body) else whole
        return Ask(
            queries=(asked.query,) * len(texts),
            documents=texts,
            model=asked.model or None,
            instruction=asked.instructed(),
            top_n=asked.top_n or None,
            raw_scores=asked.raw(),
            echoes=echoes,
            documents_at=place,
            limits=asked.limits(),
            form=_DETAILS if asked.return_details else "",
            warnings=asked.warnings(body),
        )

    def texts(self, documents: Sequence[Any], rank_fields: Sequence[str] | None, place: str) -> list[str]:
        """The texts of documents that stand at `place`. Raises Problem for too many, and for what is no text."""
        if len(documents) > self._max_documents:
            raise invalid("too_many_documents", f"`{place}` must hold at most {self._max_documents} documents", place)
        return [text_of(document, rank_fields, f"{place}.{number}") for number, document in enumerate(documents)]

    def echoes_strings(self, body: Mapping[str, Any]) -> bool:
        """Whether documents go back as the strings that were judged, and not as objects."""
        return False

    def write_problem(self, problem: Problem, request_id: str) -> tuple[int, Any]:
        """The error for every client."""
        return problem.status, error_of(problem, request_id)


def best_first(ask: Ask, answer: Answer) -> Iterator[tuple[int, float, Any]]:
    """Place, score and document of each result; None for the document where none was asked for."""
    scores = answer.scores(ask)
    for place in answer.order:
        yield int(place), float(scores[place]), None if ask.echoes is None else ask.echoes[place]


def results_of(ask: Ask, answer: Answer) -> Iterator[Result]:
    """Results, best first, with documents and details where they were asked for."""
    for place, score, document in best_first(ask, answer):
        result: Result = {"index": place, "relevance_score": score}
        if document is not None:
            result["document"] = document
        if ask.form == _DETAILS:
            receipt = answer.receipts[place]
            result["details"] = {
                "logit": float(answer.logits[place]),
                "probability": float(answer.probabilities[place]),
                "document_tokens": receipt.document_tokens,
                "kept_document_tokens": receipt.kept_tokens,
                "query_tokens": receipt.query_tokens,
                "kept_query_tokens": receipt.kept_query_tokens,
            }
        yield result


def token_usage(answer: Answer) -> TokenUsage:
    """What is charged; all of it is prompt."""
    return {"prompt_tokens": answer.spent.prompt_tokens, "total_tokens": answer.spent.prompt_tokens}


def search_units(ask: Ask) -> int:
    """Cohere's unit of billing: a query with up to 100 documents."""
    return max(1, -(-len(ask.documents) // 100))


def error_of(problem: Problem, request_id: str) -> Error:
    """The canonical error."""
    facts: ErrorFacts = {
        "message": problem.message,
        "type": problem.kind,
        "param": problem.parameter,
        "code": problem.code,
    }
    return {"id": request_id, "error": facts, "message": problem.message, "detail": problem.message}
