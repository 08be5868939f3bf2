"""A checkpoint of any layout -> what a conversion writes: network, score head, tokenizer, prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from qwen3_reranker.convert.output_tensor import OutputTensor
from qwen3_reranker.convert.words_head import ReplacedRowsTensor
from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.weights import Checkpoint, Tensor, names
from qwen3_reranker.weights.encodings import Floats

#: A tensor -> the encoding to write it in.
EncodingOf = Callable[[Tensor], str]

#: The control tokens that configurations name.
END_OF_TEXT, END_OF_TURN = "<|endoftext|>", "<|im_end|>"
# A stored head may differ from the words' rows by this share of its largest number: 8 bits round so far.
_SAME_HEAD = 0.02


class SourceModel:
    """An open checkpoint that is converted.

    prompt: name of the model's prompt; None for what the files say. Raises what `Checkpoint.template` raises, and
    InputError for a prompt that no chat template can hold.
    """

    def __init__(self, checkpoint: Checkpoint, prompt: str | None = None) -> None:
        self.checkpoint = checkpoint
        head = checkpoint.head
        self.config = checkpoint.config
        if prompt is None and checkpoint.stored_prompt.is_open:
            raise InputError(
                f"{checkpoint.stored_prompt.note}. A conversion writes the prompt into the file for every later "
                "reader, so it must be named"
            )
        #: The model's prompt, which is written with the weights.
        self.template = checkpoint.template(prompt)
        if not self.template.prefix:
            raise InputError(
                f"the prompt {self.template.name} has no chat template, so no layout can store it; "
                "use the checkpoint as it is"
            )
        tokenizer = checkpoint.tokenizer
        #: The fields of tokenizer.json.
        self.tokenizer_fields: Mapping[str, Any] = tokenizer.fields
        self.tokens = Tokens(tokenizer, **self.template.constants, max_length=8192)
        #: The rows of yes and of no, (2, hidden_size) float32; the second is 0 if only their difference is stored.
        self.head_rows_2D: Floats = head.rows(*(() if head.labels else self.answer_ids))

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """Token ids of yes and no in the head, or of the one scoring word."""
        head = self.checkpoint.head
        if head.labels and head.tensor.name in (names.EMBEDDING, names.HEAD):
            return head.labels
        return tuple(self.tokens.word_id(word) for word in self.template.answers)

    def network(self, encoding_of: EncodingOf) -> Iterator[OutputTensor]:
        """Every tensor of the network under its published name, without a language-model head."""
        for name, tensor in self.checkpoint.tensors.items():
            if name != names.HEAD:
                yield OutputTensor(name, encoding_of(tensor), tensor)

    def words_head(self, encoding_of: EncodingOf, names_words: bool = False) -> list[OutputTensor]:
        """The untied language-model head, or nothing if the word vectors are the head.

        names_words: whether the layout names the scoring words, so that it can hold others than the prompt's.
        A label head that equals the two words' rows up to rounding becomes a whole matrix with these two rows.
        Raises CheckpointError for a trained classifier head, which is no pair of words.
        """
        head, ids = self.checkpoint.head, (self.tokens.yes_id, self.tokens.no_id)
        if head.tensor.name in (names.EMBEDDING, names.HEAD) and (names_words or head.labels in (None, ids)):
            return [] if head.tensor.name == names.EMBEDDING else [self._head_tensor(head.tensor, encoding_of)]
        words = self.checkpoint.tensors.get(names.HEAD, self.checkpoint.embedding_tensor)
        yes_D, no_D = words.rows(np.array(ids, dtype=np.int32))
        stored_D = self.head_rows_2D[0] - self.head_rows_2D[1]
        apart = np.abs(stored_D - (yes_D - no_D)).max()
        if not apart <= _SAME_HEAD * np.abs(stored_D).max():
            raise CheckpointError(
                f"{head.tensor.file}: {head.tensor.name} is not the difference of the words yes and no, so a "
                "causal-LM layout cannot hold it; convert to seq-cls or gguf, which have a head of their own"
            )
        if apart > 0:
            # The words were rounded and the head was not: replace the two rows by the head's own.
            rows_2D = self.head_rows_2D if self.head_rows_2D[1].any() else np.stack((stored_D + no_D, no_D))
            return [self._head_tensor(ReplacedRowsTensor.of(words, ids, rows_2D), encoding_of)]
        return [] if words.name == names.EMBEDDING else [self._head_tensor(words, encoding_of)]

    @staticmethod
    def _head_tensor(tensor: Tensor, encoding_of: EncodingOf) -> OutputTensor:
        return OutputTensor(names.HEAD, encoding_of(tensor), tensor)

    def control_id(self, token: str) -> int:
        """The id of a control token."""
        return self.tokens.control_ids[token]
