"""A network on the CPU over one batch: embeddings, all layers in one call of the kernels, and the final norm.

Shapes: T tokens of the batch, F of them end a row, M rows end in the batch, D hidden, E head_dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.attention_work import attention_work
from qwen3_reranker.backends.cpu.layer_weights import LayerWeights
from qwen3_reranker.backends.layout import lay_out
from qwen3_reranker.plan import Batch, Plan
from qwen3_reranker.weights import Checkpoint

Floats = NDArray[np.float32]
#: Keys and values of a segment in every layer: (layers, 2, key/value heads, tokens, head_dim).
KeysValues = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KernelSeconds:
    """Seconds that all threads together spent so far: in matrix products, in attention, in the rest.

    The rest is work on each token, such as norms and rounding. Waiting and Python are in none of the three.
    """

    products: float
    attention: float
    rest: float


class CpuForward:
    """The forward pass of a checkpoint. Embeddings stay on disk and are read row by row.

    transformer: the kernels' TransformerCpu for this network. layers: its weights.
    """

    def __init__(self, checkpoint: Checkpoint, transformer: Any, layers: LayerWeights) -> None:
        self.config = checkpoint.config
        self.transformer = transformer
        self._layers = layers
        self._embedding = checkpoint.embedding_tensor
        self._final_norm_D = checkpoint.final_norm_tensor.read()

    def new_kv(self, tokens: int) -> KeysValues:
        """Uninitialised keys and values of a segment of that many tokens."""
        config = self.config
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, tokens, config.head_dim)
        return np.empty(shape, dtype=np.float32)

    def __call__(
        self, plan: Plan, batch: Batch, kv_cache: Mapping[int, KeysValues], on_layer: Callable[[float], None]
    ) -> Floats:
        """The state after the final norm of each row that ends in the batch, (M, D).

        Reads ancestors' keys and values from `kv_cache`, and writes those of the batch's own segments that are there.
        on_layer: called after each layer with the part of the layers that is done; what it raises ends the call.
        """
        # Reading after the end of a file that was cut would end the process.
        self._layers.check_files()
        layout = lay_out(plan, batch)
        work = attention_work(plan, layout, kv_cache)
        num_layers, num_leaves = self.config.num_hidden_layers, len(layout.leaves_F)
        cosines, sines = rotary_angles(layout.positions_T, self.config.head_dim, self.config.rope_theta)
        hidden_FD = np.empty((num_leaves, self.config.hidden_size), dtype=np.float32)
        written = {segment: tokens.start for segment, tokens in layout.slices().items() if segment in kv_cache}
        self.transformer.forward(
            self._layers,
            x=self._embedding.rows(layout.tokens_T),
            cosines=cosines,
            sines=sines,
            all_queries=work.all_queries_N6,
            work_items=work.work_items,
            leaf_queries=work.leaf_queries_F6,
            kv_ranges=work.kv_ranges_R3,
            max_seqlen_k=work.max_seqlen_k,
            kv_cache=[kv_cache[segment] for segment in work.sources],
            new_kv=[kv_cache[segment] for segment in written],
            new_kv_starts=np.array(list(written.values()), dtype=np.int64),
            workspace=np.empty(self.transformer.workspace_floats(len(layout.tokens_T), num_leaves), dtype=np.float32),
            layer_done=lambda index: on_layer((index + 1) / num_layers),
            out=hidden_FD,
        )
        # numpy adds the squares in another order than the kernels do: this norm has its bits.
        return rms_norm(hidden_FD, self._final_norm_D, self.config.rms_norm_eps)[layout.leaf_of_row_M]

    def seconds(self) -> KernelSeconds:
        """What the time went to since the start."""
        return KernelSeconds(*self.transformer.spent())

    def close(self) -> None:
        """Drop the weights, end the threads."""
        self._layers.clear()
        # The threads belong to it, and end with it.
        self.transformer = None


def rms_norm(x_FD: Floats, weight_D: Floats, eps: float) -> Floats:
    """Scale each row to a root mean square of 1, times a weight."""
    mean_square_F1 = np.einsum("...i,...i->...", x_FD, x_FD)[..., None] / np.float32(x_FD.shape[-1])
    scaled_FD: Floats = x_FD * (np.float32(1) / np.sqrt(mean_square_F1 + np.float32(eps)))
    scaled_FD *= weight_D
    return scaled_FD


def rotary_angles(positions_T: NDArray[np.int64], head_dim: int, theta: float) -> tuple[Floats, Floats]:
    """Cosine and sine of each token's rotary angles, (T, E / 2); float32 angles, as the models were trained."""
    half = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequency = np.float32(1.0) / np.float32(theta) ** half
    angle = positions_T.astype(np.float32)[:, None] * frequency
    return np.cos(angle), np.sin(angle)
