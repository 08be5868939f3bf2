"""A local model -> hidden states and logits of a server's rows.

Legend: N rows, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.doctor.hypotheses import Prompt
from qwen3_reranker.errors import InputError
from qwen3_reranker.records import QueryPrefix, Receipt, Row
from qwen3_reranker.registry import SPECS
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.tokens import Tokens

Ids = NDArray[np.int32]
Pair = tuple[str, str]


class ReferenceModel:
    """A local model that scores a server's rows under any prompt.

    reranker: a loaded model, which the caller closes.
    """

    def __init__(self, reranker: Reranker) -> None:
        if SPECS[reranker.options.backend].applies_head:
            raise InputError(f"a reference gives hidden states, which the {reranker.options.backend} backend does not")
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
        """Vectors that a server may multiply the hidden state by. The right one is "yes - no"."""
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
