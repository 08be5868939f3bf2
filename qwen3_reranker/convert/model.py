"""What a conversion reads: a checkpoint of any layout -> its parts under published names, its judge, its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from qwen3_reranker.convert.part import Part
from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.weights import Checkpoint, Tensor, names
from qwen3_reranker.weights.encodings import Floats

#: How to write a tensor.
EncodingOf = Callable[[Tensor], str]

#: The control tokens that configurations name.
END_OF_TEXT, END_OF_TURN = "<|endoftext|>", "<|im_end|>"
# How far, of its largest number, a stored head may lie from the words' rows and still be theirs: 8 bits round so far.
_SAME_HEAD = 0.02


class Model:
    """A checkpoint, opened for conversion.

    prompt: the name of the judge's prompt; None for what the files say. Raises what `Checkpoint.template` raises, and
    InputError for a prompt that no chat template can hold.
    """

    def __init__(self, checkpoint: Checkpoint, prompt: str | None = None) -> None:
        self.checkpoint = checkpoint
        head = checkpoint.head
        self.config = checkpoint.config
        if prompt is None and checkpoint.stored_prompt.is_open:
            raise InputError(
                f"{checkpoint.stored_prompt.note}. A conversion writes the prompt for everybody who reads the "
                "file, so it must be named"
            )
        #: The judge's prompt, which is written with the weights.
        self.template = checkpoint.template(prompt)
        if not self.template.prefix:
            raise InputError(
                f"the prompt {self.template.name} has no chat template, so no layout can say that it is the judge's; "
                "use the checkpoint as it is"
            )
        tokenizer = checkpoint.tokenizer
        #: The fields of tokenizer.json.
        self.tokenizer_fields: Mapping[str, Any] = tokenizer.fields
        self.tokens = Tokens(tokenizer, **self.template.constants, max_length=8192)
        #: The rows of yes and of no, (2, hidden_size) float32; a difference stands beside zeros.
        self.head_rows_2D: Floats = head.rows(*(() if head.labels else self.answer_ids))

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """The words that judge in a language-model head: of yes and of no, or of one whose logit is the score."""
        head = self.checkpoint.head
        if head.labels and head.tensor.name in (names.EMBEDDING, names.HEAD):
            return head.labels
        return tuple(self.tokens.word_id(word) for word in self.template.answers)

    def network(self, encoding_of: EncodingOf) -> Iterator[Part]:
        """Every tensor of the network under its published name; a language-model head is not among them."""
        for name, tensor in self.checkpoint.tensors.items():
            if name != names.HEAD:
                yield Part(name, encoding_of(tensor), tensor)

    def words_head(self, encoding_of: EncodingOf, names_words: bool = False) -> list[Part]:
        """The untied language-model head, or nothing where the word vectors are the head.

        names_words: whether the layout says which words judge, so that it can hold others than the prompt's.
        Raises CheckpointError where the judge is no pair of words: a head of labels that was trained as such.
        """
        head = self.checkpoint.head
        if head.tensor.name in (names.EMBEDDING, names.HEAD) and (names_words or head.labels is None):
            return [] if self.config.tie_word_embeddings else [Part(names.HEAD, encoding_of(head.tensor), head.tensor)]
        if head.labels is not None:
            ids = np.array([self.tokens.yes_id, self.tokens.no_id], dtype=np.int32)
            yes_D, no_D = self.checkpoint.embedding_tensor.rows(ids)
            stored_D = self.head_rows_2D[0] - self.head_rows_2D[1]
            if np.abs(stored_D - (yes_D - no_D)).max() > _SAME_HEAD * np.abs(stored_D).max():
                raise CheckpointError(
                    f"{head.tensor.file}: {head.tensor.name} is not the difference of the words yes and no, so a "
                    "causal-LM layout cannot hold it; convert to seq-cls or gguf, which have a head of their own"
                )
        return []

    def control_id(self, token: str) -> int:
        """The id of a control token."""
        return self.tokens.control_ids[token]
