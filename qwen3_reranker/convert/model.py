"""What a conversion reads: a checkpoint of any layout -> its parts under published names, its judge, its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from qwen3_reranker.convert.part import Part
from qwen3_reranker.convert.words_head import JudgesWords
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
        A head of labels that is the two words' but for the rounding of their vectors is put among the words, a whole
        matrix. Raises CheckpointError where the judge is no pair of words: one that was trained as such.
        """
        head, ids = self.checkpoint.head, (self.tokens.yes_id, self.tokens.no_id)
        if head.tensor.name in (names.EMBEDDING, names.HEAD) and (names_words or head.labels in (None, ids)):
            return [] if head.tensor.name == names.EMBEDDING else [self._head_part(head.tensor, encoding_of)]
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
            # The words were rounded, the judge was not: its rows stand among them, whole.
            rows_2D = self.head_rows_2D if self.head_rows_2D[1].any() else np.stack((stored_D + no_D, no_D))
            return [self._head_part(JudgesWords.of(words, ids, rows_2D), encoding_of)]
        return [] if words.name == names.EMBEDDING else [self._head_part(words, encoding_of)]

    @staticmethod
    def _head_part(tensor: Tensor, encoding_of: EncodingOf) -> Part:
        return Part(names.HEAD, encoding_of(tensor), tensor)

    def control_id(self, token: str) -> int:
        """The id of a control token."""
        return self.tokens.control_ids[token]
