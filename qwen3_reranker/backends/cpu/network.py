"""A whole network on the CPU: word vectors in, every layer over one batch, the state after the final norm out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qwen3_reranker.backends.cpu.layout import BatchLayout
from qwen3_reranker.backends.cpu.native_engine import Floats, Kept, KeysValues, NativeEngine
from qwen3_reranker.weights import Checkpoint


class Network:
    """A checkpoint run by `engine`. Word vectors stay on disk and are read row by row."""

    def __init__(self, checkpoint: Checkpoint, engine: NativeEngine) -> None:
        self.config = checkpoint.config
        self.engine = engine
        self._embedding = checkpoint.embedding_tensor
        self._norm_D = checkpoint.final_norm_tensor.read()

    def room(self, tokens: int) -> KeysValues:
        """Uninitialised keys and values of a segment of that many tokens."""
        config = self.config
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, tokens, config.head_dim)
        return np.empty(shape, dtype=np.float32)

    def run(self, layout: BatchLayout, kept: Kept, advance: Callable[[float], None]) -> Floats:
        """The state after the final norm of each row that ends in the batch, (rows, hidden).

        Reads ancestors' keys and values from `kept`, and fills in those of the batch's own segments named there.
        """
        one_pass = self.engine.start(layout, kept, self._embedding.rows(layout.tokens_T))
        layers = self.config.num_hidden_layers
        for index in range(layers - 1):
            one_pass.layer(index)
            advance((index + 1) / layers)
        hidden_FD = one_pass.last_layer(layers - 1)
        advance(1.0)
        return rms_norm(hidden_FD, self._norm_D, self.config.rms_norm_eps)[layout.leaf_of_row_M]

    def close(self) -> None:
        """Drop the weights, end the engine's threads."""
        self.engine.close()


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """Scale the last axis to a root mean square of 1, times a weight."""
    mean_square = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
    scaled: Floats = x * (np.float32(1) / np.sqrt(mean_square + np.float32(eps)))
    scaled *= weight
    return scaled
