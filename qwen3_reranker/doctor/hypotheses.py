"""What a broken server computes: pairs -> token rows under each wrong prompt -> logits.

Legend: N rows, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.errors import InputError
from qwen3_reranker.prompt import template
from qwen3_reranker.records import QueryPrefix, Receipt, Row
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.tokens import Tokens

Ids = NDArray[np.int32]
Pair = tuple[str, str]

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


class ReferenceModel:
    """A local model that scores pairs under any prompt, with the rows that a server would make.

    reranker: a loaded model, which the caller closes.
    """

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        config = reranker.config
        frame: dict[str, Any] = {"prefix": "", "suffix": "", "max_length": config.max_position_embeddings}
        tokenizer = reranker.checkpoint.tokenizer
        self._literal = Tokens(tokenizer, **frame)
        self._parsing = Tokens(tokenizer, **frame, special_tokens="parse")
        # If the checkpoint names a default instruction, that one is right.
        if reranker.default_instruction is None:
            raise InputError(
                f"{reranker.checkpoint.name}: reads the prompt {reranker.options.prompt}; a reference must read "
                "Qwen3-Reranker's prompt, as the server does"
            )
        self._instruction = reranker.default_instruction
        self.max_length = config.max_position_embeddings
        self.heads = self._heads()

    @property
    def name(self) -> str:
        """The model's name, as the caller gave it."""
        return self._reranker.checkpoint.name

    def rows(
        self, prompt: Prompt, pairs: Sequence[Pair], instruction: str | None = None, *, parse: bool = False
    ) -> list[Ids]:
        """The token row of each pair, not truncated; `parse` lets user text become control tokens."""
        user = self._parsing if parse else self._literal
        prefix, joint, suffix = _ids(self._parsing, [prompt.prefix, prompt.joint, prompt.suffix])
        default = self._instruction if prompt.instruction is None else prompt.instruction
        wanted = default if instruction is None else instruction
        heads = _ids(user, [prompt.head(query, wanted) for query, _ in pairs])
        tails = _ids(user, [prompt.tail(document) for _, document in pairs])
        return [np.concatenate((prefix, head, joint, tail, suffix)) for head, tail in zip(heads, tails, strict=True)]

    def ends(self, prompt: Prompt) -> tuple[int, int]:
        """Token counts of the constants before the head and after the document."""
        prefix, suffix = _ids(self._parsing, [prompt.prefix]), _ids(self._parsing, [prompt.suffix])
        return len(prefix[0]), len(suffix[0])

    def hidden(self, rows: Sequence[Ids]) -> NDArray[np.float64]:
        """The hidden state at the last token of each row, (N, D)."""
        made = [Row(ids, (), Receipt(0, 0, 0, 0)) for ids in rows]
        runner = self._reranker.runner
        return runner.execute(runner.plan(made)).hidden_ND.astype(np.float64)

    def logits(self, rows: Sequence[Ids]) -> NDArray[np.float64]:
        """Logit yes - no of each row, (N,)."""
        return self.hidden(rows) @ self.heads["yes - no"]

    def _heads(self) -> dict[str, NDArray[np.float64]]:
        """Vectors that a server may multiply the hidden state by; the right one is "yes - no"."""
        head = self._reranker.checkpoint.head
        heads = {"yes - no": self._reranker.head.weight_D.astype(np.float64)}
        if head.labels is not None:
            return heads
        words = {word: _ids(self._literal, [word])[0] for word in ("yes", "no", " yes", " no", "Yes", "No")}
        for yes, no in ((" yes", " no"), ("Yes", "No")):
            if len(words[yes]) == len(words[no]) == 1:
                rows = head.tensor.rows(np.concatenate((words[yes], words[no]))).astype(np.float64)
                heads[f"{yes!r} - {no!r}"] = rows[0] - rows[1]
        heads["yes alone"] = head.tensor.rows(words["yes"]).astype(np.float64)[0]
        return heads


def _ids(tokens: Tokens, texts: Sequence[str]) -> list[Ids]:
    """The token ids of each text."""
    nothing = QueryPrefix("", "", "")
    return [row.ids for row in tokens.encode([nothing] * len(texts), texts)]
