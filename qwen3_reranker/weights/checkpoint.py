"""An opened checkpoint: configuration, tokenizer's file, and the network's tensors on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError, UnsupportedModelError
from qwen3_reranker.prompt import TEMPLATES, Template, template
from qwen3_reranker.tokens import TokenizerJson
from qwen3_reranker.weights import names
from qwen3_reranker.weights.names import LayerTensors
from qwen3_reranker.weights.stored_prompt import NOTHING_STORED, StoredPrompt
from qwen3_reranker.weights.tensor import Tensor


@dataclass(frozen=True, slots=True)
class ScoreHead:
    """Where the judge's vector is: rows of yes and no, labelled ones, or a difference.

    labels: the rows of yes and of no; a single one where that row is yes - no already; None where the rows are those
    of a language-model head, found by the words' ids. note: what `inspect` says of its origin, if anything.
    """

    tensor: Tensor
    labels: tuple[int, ...] | None = None
    note: str = ""

    def rows(self, *answer_ids: int) -> NDArray[np.float32]:
        """The rows of yes and of no, (2, hidden_size) float32. A difference comes with a row of zeros.

        answer_ids: the words that judge where the rows are those of a language-model head, one or two of them.
        """
        rows = self.tensor.rows(np.array(self.labels or answer_ids, dtype=np.int32))
        return rows if len(rows) == 2 else np.concatenate((rows, np.zeros_like(rows)))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk; `name` is what the caller passed. All names and shapes agree with `config`.

    layout: causal-lm, seq-cls, sentence-transformers, gguf or lora; embedding for a model that judges nothing, in a
    folder or in GGUF. stored_head: None for an embedding model. stored_prompt: what the files say of the judge's
    prompt. instruction: the judge's, if its makers stored one as its default. prompts: what the makers of an embedding
    model put before a "query" and a "document", if they say so.
    """

    name: str
    folder: Path
    layout: str
    config: ModelConfig
    tensors: Mapping[str, Tensor] = field(repr=False)
    stored_head: ScoreHead | None
    read_tokenizer: Callable[[], TokenizerJson] = field(repr=False)
    stored_prompt: StoredPrompt = NOTHING_STORED
    instruction: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)

    @property
    def head(self) -> ScoreHead:
        """Where the judge's vector is; raises CheckpointError for an embedding model."""
        if self.stored_head is None:
            raise CheckpointError(
                f"{self.name}: an embedding model, which has no yes/no head; embed texts with Embedder, serve "
                "it with --embedder, or take a Qwen3-Reranker to rank them"
            )
        return self.stored_head

    def template(self, name: str | None = None) -> Template:
        """The prompt of that name, the files' or the card's, with the stored instruction.

        A variant that reproduces other code keeps its instruction, unless the files hold it. Raises InputError for an
        unknown name, and UnsupportedModelError for files of another judge where no name is given.
        """
        if name is not None:
            return template(name, self.instruction if name in ("card", self.stored_prompt.name) else None)
        if self.stored_prompt.unknown:
            raise UnsupportedModelError(
                f"{self.stored_prompt.unknown}; its scores under the prompt of Qwen3-Reranker would mean nothing. If "
                f"you know which prompt it was trained with, name it (prompt=, --prompt): {', '.join(TEMPLATES)}"
            )
        return template(self.stored_prompt.name or "card", self.instruction)

    @property
    def tokenizer(self) -> TokenizerJson:
        """The tokenizer's fields; raises CheckpointError where there is none or it cannot be read."""
        return self.read_tokenizer()

    def refuse_larger_tokenizer(self, num_entries: int) -> None:
        """Raise CheckpointError if token ids below `num_entries` go beyond the network's word vectors."""
        if num_entries > self.config.vocab_size:
            raise CheckpointError(
                f"{self.tokenizer.source}: has {num_entries} entries, but the network embeds only "
                f"{self.config.vocab_size} (vocab_size in config.json); this is another model's tokenizer"
            )

    @property
    def embedding_tensor(self) -> Tensor:
        """The word vectors, (vocab_size, hidden_size)."""
        return self.tensors[names.EMBEDDING]

    @property
    def final_norm_tensor(self) -> Tensor:
        """The norm after the last layer, (hidden_size,)."""
        return self.tensors[names.FINAL_NORM]

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors on disk."""
        return sum(tensor.num_bytes for tensor in self.tensors.values())

    def layer(self, index: int) -> LayerTensors[Tensor]:
        """The tensors of layer `index`, counted from 0."""
        return names.layer_names(index).map(self.tensors.__getitem__)
