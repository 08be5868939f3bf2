"""The fields that rerank bodies share: texts, options, and how they become a ScoreRequest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.records import Limits
from qwen3_reranker.selection_options import SelectionOptions
from qwen3_reranker.serve.dialects.document_text import echo_of, text_of
from qwen3_reranker.serve.dialects.fields import (
    Count,
    CountOrMax,
    Documents,
    Flag,
    Probability,
    Query,
    RequestBody,
    Share,
    Side,
    TokenBudget,
    one_of,
)
from qwen3_reranker.serve.problems import Problem, invalid
from qwen3_reranker.serve.protocol import ScoreRequest

MAX_DOCUMENTS = 1000
EXAMPLE_QUERY = "How are rainbows made?"
EXAMPLE_DOCUMENTS = ("Drops of water part sunlight into its colours.", "The library opens at nine.")
DETAILS = "details"

Body = TypeVar("Body", bound=RequestBody)


def _truncate(value: object) -> str:
    """Whether to cut and which end: "none", "end" or "start". A boolean cuts the end or refuses."""
    if isinstance(value, bool):
        return "end" if value else "none"
    word = one_of("end", "start", "none", "true", "false")(value)
    return {"true": "end", "false": "none"}.get(word, word)


Truncate = Annotated[
    str,
    BeforeValidator(_truncate),
    Schema(
        {
            "anyOf": [
                {"type": "boolean"},
                {"type": "string", "enum": ["END", "START", "NONE", "end", "start", "none", "true", "false"]},
            ]
        }
    ),
]


class TemplateFields(BaseModel):
    """vLLM's way to give an instruction."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    instruction: str | None = None


class Options(RequestBody):
    """Fields that mean the same in every dialect."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "instruction": ("instruction", "instruct", "task", "prompt"),
        "use_activation": ("use_activation", "activation", "softmax"),
        "truncate": ("truncate", "truncation"),
        "truncation_side": ("truncation_side", "truncation_direction"),
        "max_tokens_per_doc": ("max_tokens_per_doc", "max_doc_length"),
    }
    unsupported: ClassVar[frozenset[str]] = frozenset(
        {"priority", "max_chunks_per_doc", "overlap_tokens", "return_embeddings", "provider", "mm_processor_kwargs"}
    )
    understood: ClassVar[frozenset[str]] = frozenset({"user", "request_id", "return_len", "encoding_format"})

    model: str | None = Field(None, description="The model's id or another of its names; without one, the default.")
    instruction: str | None = Field(None, description="What makes a document relevant; null for the model's own.")
    chat_template_kwargs: TemplateFields | None = None
    raw_scores: Flag | None = Field(None, description="Scores as logits, yes - no, instead of probabilities.")
    use_activation: Flag | None = Field(None, description="False for scores as logits.")
    max_tokens_per_doc: Count | None = Field(None, description="Read so many tokens of a document; 0 for no limit.")
    max_tokens_per_query: Count | None = Field(None, description="Read so many tokens of the query.")
    truncate_prompt_tokens: CountOrMax | None = Field(
        None, description="Read so many tokens of the whole prompt, template included; -1 for what the model can."
    )
    truncate: Truncate | None = Field(None, description="Cut what does not fit, or with false refuse the request.")
    truncation_side: Side | None = Field(None, description="Which end is cut; the right one by default.")

    def options(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same fields of a ScoreRequest."""
        named = self.chat_template_kwargs.instruction if self.chat_template_kwargs else None
        instruction = self.instruction or named
        side = self.truncation_side or ("left" if self.truncate == "start" else "right")
        row = self.truncate_prompt_tokens
        return {
            "model": self.model or None,
            "instruction": instruction if instruction and instruction.strip() else None,
            "raw_scores": self.use_activation is False if self.raw_scores is None else self.raw_scores,
            "limits": Limits(
                document_tokens=self.max_tokens_per_doc or None,
                query_tokens=self.max_tokens_per_query or None,
                row_tokens=row if row and row > 0 else None,
                keep="start" if side == "right" else "end",
                truncate=self.truncate != "none",
            ),
            "warnings": self.warnings(body),
        }


class RerankBody(Options):
    """A query and its documents, under every name that clients use."""

    spellings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Options.spellings,
        "documents": ("documents", "texts", "passages", "items", "input", "docs"),
        "top_n": ("top_n", "top_k"),
        "return_documents": ("return_documents", "return_text", "return_input"),
    }

    query: Query = Field(description="What the documents are scored for.")
    documents: Documents = Field(
        description="Texts, or records, which are scored as lines of `name: value`; by default at most 1,000."
    )
    top_n: Count | None = Field(None, description="How many results, best first; 0 or null for all.")
    return_documents: Flag = Field(False, description="Give each document back with its result.")
    rank_fields: list[str] | None = Field(None, description="The fields of a record to score, in that order.")
    min_probability: Probability | None = Field(
        None, description="Leave out results with a smaller probability, so that none may be left."
    )
    fold: Share | None = Field(
        None,
        description="Fold a document into a better one if they share this much of their runs of four characters; its "
        "result then has `duplicates`. 0.8 finds copies with small changes.",
    )
    diversity: Probability | None = Field(
        None,
        description="Choose each next result by (1 - diversity) * probability - diversity * likeness to the most "
        "similar one chosen. Needs top_n or fit.",
    )
    fit: TokenBudget | None = Field(
        None, description="Choose the best documents that have at most so many of the model's tokens together."
    )
    return_details: Flag = Field(
        False, description="Add logit, probability and what was read and cut, in tokens, to each result."
    )

    @classmethod
    def example(cls) -> dict[str, Any]:
        """A query and two documents, by the dialect's own names."""
        query, documents, top_n = (cls._names(name)[0] for name in ("query", "documents", "top_n"))
        return {query: EXAMPLE_QUERY, documents: list(EXAMPLE_DOCUMENTS), top_n: 2}

    @classmethod
    def read(cls, body: Mapping[str, Any], max_documents: int, *, echo_texts: bool = False) -> ScoreRequest:
        """The request of a body. echo_texts: documents go back as the scored strings, not as objects."""
        read = cls.of(body)
        field = read.field("documents")
        if len(read.documents) > max_documents:
            raise invalid("too_many_documents", f"`{field}` must hold at most {max_documents} documents", field)
        texts = [
            text_of(document, read.rank_fields, f"{field}.{number}") for number, document in enumerate(read.documents)
        ]
        echoes: list[Any] | None = None
        if read.return_documents:
            pairs = zip(read.documents, texts, strict=True)
            echoes = list(texts) if echo_texts else [echo_of(document, text) for document, text in pairs]
        return ScoreRequest(
            queries=(read.query,) * len(texts),
            documents=texts,
            top_n=read.top_n or None,
            min_probability=read.min_probability,
            selection=SelectionOptions(fold=read.fold, diversity=read.diversity, fit=read.fit),
            echoes=echoes,
            documents_field=field,
            form=read.form,
            **read.options(body),
        )

    @property
    def form(self) -> str:
        """The variant of the reply."""
        return DETAILS if self.return_details else ""


class EchoingBody(RerankBody):
    """The same, where documents come back unless they are declined."""

    return_documents: Flag = Field(True, description="Give each document back with its result.")


def renamed(base: type[Body], name: str, meaning: str, **names: str) -> type[Body]:
    """A body with a dialect's own names of fields, the usual one first, such as top_n="top_k top_n"."""
    spellings = {**base.spellings, **{field: tuple(spelt.split()) for field, spelt in names.items()}}
    made: type[Body] = cast(Any, type(base))(
        name, (base,), {"spellings": spellings, "__doc__": meaning, "__module__": __name__}
    )
    return made


def read_nested(
    body: Mapping[str, Any],
    max_documents: int,
    *,
    read: Callable[[Mapping[str, Any], int], ScoreRequest],
    texts: str = "",
    options: str = "parameters",
) -> ScoreRequest:
    """The request of a body whose options, and perhaps texts, stand in objects of these names; Problems name them."""
    flat, place = dict(body), dict[str, str]()
    for part in filter(None, (options, texts)):
        fields = flat.pop(part, None)
        if not isinstance(fields, Mapping) and (part == texts or fields is not None):
            raise invalid("invalid_type", f"`{part}` must be an object", part)
        flat |= fields or {}
        place |= dict.fromkeys(fields or (), f"{part}.")
    try:
        return read(flat, max_documents)
    except Problem as problem:
        name = problem.parameter
        if name is None:
            raise
        field = name.split(".")[0]
        nested = f"{place.get(field, f'{texts}.' if texts and field not in body else '')}{name}"
        raise invalid(problem.code, problem.message.replace(f"`{name}`", f"`{nested}`"), nested) from None
