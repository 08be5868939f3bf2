"""The prompts that broken servers write, each with the faults that it shows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qwen3_reranker.prompt import template

_CARD = template("card")
_END_OF_USER = "<|im_end|>\n"
_GENERATION = f"{_END_OF_USER}<|im_start|>assistant\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to write a row: prefix | head | joint | tail | suffix.

    prefix, joint, suffix: constant texts. faults: names in the catalogue, none for the canonical prompt. labelled:
    whether instruction, query and document have their labels; if not, the head is query and `separator`. instruction:
    the default one; None for the reference's own.
    """

    description: str
    faults: tuple[str, ...] = ()
    prefix: str = _CARD.prefix
    separator: str = "\n"
    joint: str = ""
    suffix: str = _CARD.suffix
    instruction: str | None = None
    labelled: bool = True

    def head(self, query: str, instruction: str) -> str:
        """The text before the document, without the constants."""
        if not self.labelled:
            return query + self.separator
        return f"<Instruct>: {instruction}{self.separator}<Query>: {query}{self.separator}<Document>:"

    def tail(self, document: str) -> str:
        """The document as it follows the head."""
        return f" {document}" if self.labelled else document


CANONICAL = Prompt("the canonical prompt")
_BARE = Prompt("", ("no-template",), prefix="", suffix="", labelled=False, separator="")
_EVALUATION = "Given the user query, retrieval the relevant passages"

# Prompts that real servers and templates render (the model card's two codes, vLLM's and SGLang's templates, llama.cpp's
# fallback), the most likely first.
PROMPTS = (
    CANONICAL,
    replace(_BARE, description="query and document joined, nothing around them"),
    replace(_BARE, description="query, newline, document", separator="\n"),
    replace(_BARE, description="query, space, document", separator=" "),
    replace(_BARE, description="query and document, <|endoftext|> at the end", suffix="<|endoftext|>"),
    replace(_BARE, description="query and document, each with <|im_end|>", joint="<|im_end|>", suffix="<|im_end|>"),
    replace(
        _BARE, description="query and document, each with <|endoftext|>", joint="<|endoftext|>", suffix="<|endoftext|>"
    ),
    Prompt("labels without the chat around them", ("no-template",), prefix="", suffix=""),
    Prompt("without the system prompt", ("no-template",), prefix="<|im_start|>user\n"),
    Prompt("the assistant's turn opened, no think block", ("no-think-block",), suffix=_GENERATION),
    Prompt("the user's turn closed, nothing after it", ("no-think-block",), suffix=_END_OF_USER),
    Prompt("a think block that is never closed", ("no-think-block",), suffix=f"{_GENERATION}<think>\n"),
    Prompt("one newline at the end instead of two", ("lost-newline",), suffix=_CARD.suffix.removesuffix("\n")),
    Prompt("no newline at the end", ("lost-newline",), suffix=_CARD.suffix.rstrip("\n")),
    Prompt("the user's turn closed twice", ("doubled-tail",), suffix=_END_OF_USER + _CARD.suffix),
    Prompt("empty lines between the parts", ("double-newlines",), separator="\n\n"),
    Prompt(
        "empty lines between the parts, the user's turn closed twice (the model card's vLLM code)",
        ("double-newlines", "doubled-tail"),
        separator="\n\n",
        suffix=_END_OF_USER + _CARD.suffix,
    ),
    Prompt(
        "the default instruction with a full stop",
        ("other-instruction",),
        instruction=f"{_CARD.default_instruction}.",
    ),
    Prompt("the official evaluation's default instruction", ("other-instruction",), instruction=_EVALUATION),
    Prompt("an empty default instruction", ("other-instruction",), instruction=""),
    Prompt(
        "no think block, the instruction with a full stop (SGLang's template)",
        ("no-think-block", "other-instruction"),
        suffix=_GENERATION,
        instruction=f"{_CARD.default_instruction}.",
    ),
)
