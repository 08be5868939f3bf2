"""An opened checkpoint: its configuration, its tokenizer's file, and every tensor the network needs, still on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.weights import names
from qwen3_reranker.weights.names import Layer
from qwen3_reranker.weights.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on disk; `name` is what the caller asked for. All names and shapes agree with `config`."""

    name: str
    folder: Path
    config: ModelConfig
    tensors: Mapping[str, Tensor] = field(repr=False)

    @property
    def tokenizer_file(self) -> Path:
        """Path of tokenizer.json; raises CheckpointError where the folder has none."""
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(
                f"{path}: missing; copy tokenizer.json of the model that this checkpoint was made from into the folder"
            )
        return path

    @property
    def embedding_tensor(self) -> Tensor:
        """The word vectors, (vocab_size, hidden_size)."""
        return self.tensors[names.EMBEDDING]

    @property
    def head_tensor(self) -> Tensor:
        """The matrix whose rows are the words `yes` and `no`: the untied head's own, else the word vectors."""
        return self.tensors[names.EMBEDDING if self.config.tie_word_embeddings else names.HEAD]

    @property
    def final_norm_tensor(self) -> Tensor:
        """The norm behind the last layer, (hidden_size,)."""
        return self.tensors[names.FINAL_NORM]

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors on disk."""
        return sum(tensor.num_bytes for tensor in self.tensors.values())

    def layer(self, index: int) -> Layer[Tensor]:
        """The tensors of layer `index`, counted from 0."""
        return names.layer_names(index).map(self.tensors.__getitem__)
