"""What a request may say beside its texts: which model, what instruction, how much to read, which kind of score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import WithJsonSchema as Schema

from qwen3_reranker.records import Limits
from qwen3_reranker.serve.dialects.fields import Body, Count, CountOrMost, Flag, Side, one_of


def _truncate(value: object) -> str:
    """Whether to cut and which end: "none", "end" or "start"; a boolean cuts the end or refuses."""
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


class Options(Body):
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
    truncate_prompt_tokens: CountOrMost | None = Field(
        None, description="Read so many tokens of the whole prompt, template included; -1 for what the model can."
    )
    truncate: Truncate | None = Field(None, description="Cut what does not fit, or with false refuse the request.")
    truncation_side: Side | None = Field(None, description="Which end is cut: right unless told.")

    def limits(self) -> Limits:
        """How much of the texts may be read, and what happens to the rest."""
        side = self.truncation_side or ("left" if self.truncate == "start" else "right")
        row = self.truncate_prompt_tokens
        return Limits(
            document_tokens=self.max_tokens_per_doc or None,
            query_tokens=self.max_tokens_per_query or None,
            row_tokens=row if row and row > 0 else None,
            keep="start" if side == "right" else "end",
            truncate=self.truncate != "none",
        )

    def instructed(self) -> str | None:
        """The instruction, by whichever name; a blank one is none."""
        named = self.chat_template_kwargs.instruction if self.chat_template_kwargs else None
        instruction = self.instruction or named
        return instruction if instruction and instruction.strip() else None

    def raw(self) -> bool:
        """Whether scores are to be logits."""
        return self.use_activation is False if self.raw_scores is None else self.raw_scores
