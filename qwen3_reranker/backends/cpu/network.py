"""All layers over one batch's packed tokens; in the last, queries and the MLP only for tokens that end a row.

A layer is three rounds of work that threads share: strips of tokens into queries, keys and values; pieces of segments
through attention; strips of tokens through the rest.

Shapes: T tokens of a batch, F of them end a row, M rows end here, D hidden, H query heads, G key/value heads,
R = H / G, E head_dim, O = H * E.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.layout import BatchLayout, Piece, strips
from qwen3_reranker.backends.cpu.network_weights import LayerWeights, read_layers
from qwen3_reranker.backends.cpu.operations import attend, linear, mlp, norm_rotate, rms_norm, rotation
from qwen3_reranker.backends.cpu.threads import Threads
from qwen3_reranker.weights import Checkpoint

Floats = NDArray[np.float32]
# Keys and values of a segment in every layer: (layers, 2, key/value heads, tokens, head_dim).
KeysValues = NDArray[np.float32]
Kept = dict[int, KeysValues]


class Network:
    """A checkpoint's layers in float32."""

    def __init__(self, checkpoint: Checkpoint, threads: Threads) -> None:
        self.config = checkpoint.config
        self.threads = threads
        self._embedding = checkpoint.embedding_tensor
        self._norm_D = checkpoint.final_norm_tensor.read()
        self._layers = read_layers(checkpoint)

    def room(self, tokens: int) -> KeysValues:
        """Uninitialised keys and values of a segment of that many tokens."""
        config = self.config
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, tokens, config.head_dim)
        return np.empty(shape, dtype=np.float32)

    def run(self, layout: BatchLayout, kept: Kept, advance: Callable[[float], None]) -> Floats:
        """The state after the final norm of each row that ends in the batch, (M, D).

        Reads ancestors' keys and values from `kept`, and fills in those of the batch's own segments named there.
        """
        one_pass = _Pass(self, layout, kept)
        *inner, last = range(len(self._layers))
        for index in inner:
            one_pass.layer(index, self._layers[index])
            advance((index + 1) / len(self._layers))
        hidden_FD = one_pass.last_layer(last, self._layers[last])
        advance(1.0)
        return rms_norm(hidden_FD, self._norm_D, self.config.rms_norm_eps)[layout.leaf_of_row_M]

    def embed(self, tokens_T: NDArray[np.int32]) -> Floats:
        """The word vectors of the tokens, (T, D)."""
        embedded: Floats = self._embedding.rows(tokens_T)
        return embedded

    def close(self) -> None:
        """Drop the weights."""
        self._layers.clear()


class _Pass:
    """One batch on its way through the layers; its arrays are used again in every layer."""

    def __init__(self, network: Network, layout: BatchLayout, kept: Kept) -> None:
        config = network.config
        tokens, heads, groups = len(layout.tokens_T), config.num_attention_heads, config.num_key_value_heads
        self._eps = config.rms_norm_eps
        self._head_dim = config.head_dim
        self._num_queries = heads * config.head_dim
        self._each = network.threads.each
        self._num_threads = network.threads.num_threads
        self._layout = layout
        self._kept = kept
        self._cos, self._sin = rotation(layout.positions_T, config.head_dim, config.rope_theta)
        self._x_TD = network.embed(layout.tokens_T)
        self._q_HTE = np.empty((heads, tokens, config.head_dim), dtype=np.float32)
        self._k_GTE = np.empty((groups, tokens, config.head_dim), dtype=np.float32)
        self._v_GTE = np.empty((groups, tokens, config.head_dim), dtype=np.float32)
        self._mixed_TO = np.empty((tokens, self._num_queries), dtype=np.float32)

    def layer(self, index: int, weights: LayerWeights) -> None:
        """One layer for every token."""

        def project(strip: slice) -> None:
            normed_TD = rms_norm(self._x_TD[strip], weights.attention_norm_D, self._eps)
            qkv_TO = linear(normed_TD, weights.qkv_OD)
            self._queries(qkv_TO[:, : self._num_queries], weights, strip, self._q_HTE[:, strip])
            self._keys_values(qkv_TO[:, self._num_queries :], weights, strip)

        def mix(task: list[Piece]) -> None:
            for piece in task:
                mixed = self._attend(index, piece, self._q_HTE[:, piece.start : piece.stop])
                self._mixed_TO[piece.start : piece.stop] = mixed

        def finish(strip: slice) -> None:
            self._x_TD[strip] = self._finish(self._x_TD[strip], self._mixed_TO[strip], weights)

        self._each(project, self._layout.strips)
        self._keep(index)
        self._each(mix, self._layout.tasks)
        self._each(finish, self._layout.strips)

    def last_layer(self, index: int, weights: LayerWeights) -> Floats:
        """Keys and values of every token, then one query for each token that ends a row: (F, D)."""

        def project(strip: slice) -> None:
            normed_TD = rms_norm(self._x_TD[strip], weights.attention_norm_D, self._eps)
            self._keys_values(linear(normed_TD, weights.qkv_OD[self._num_queries :]), weights, strip)

        self._each(project, self._layout.strips)
        self._keep(index)
        leaves = np.array([piece.start for piece in self._layout.leaves], dtype=np.int64)
        hidden_FD = np.empty((len(leaves), self._x_TD.shape[1]), dtype=np.float32)

        def finish(strip: slice) -> None:
            x_FD = self._x_TD[leaves[strip]]
            normed_FD = rms_norm(x_FD, weights.attention_norm_D, self._eps)
            q_FO = linear(normed_FD, weights.qkv_OD[: self._num_queries])
            q_HFE = np.empty((self._q_HTE.shape[0], len(x_FD), self._head_dim), dtype=np.float32)
            self._queries(q_FO, weights, leaves[strip], q_HFE)
            mixed_FO = np.empty_like(q_FO)
            for place, piece in enumerate(self._layout.leaves[strip]):
                mixed_FO[place] = self._attend(index, piece, q_HFE[:, place : place + 1])[0]
            hidden_FD[strip] = self._finish(x_FD, mixed_FO, weights)

        self._each(finish, strips(len(leaves), self._num_threads))
        return hidden_FD

    def _queries(self, q_TO: Floats, weights: LayerWeights, where: slice | NDArray[np.int64], out_HTE: Floats) -> None:
        q_THE = q_TO.reshape(len(q_TO), -1, self._head_dim)
        norm_rotate(q_THE, weights.q_norm_E, self._eps, self._cos[where], self._sin[where], out_HTE)

    def _keys_values(self, kv_TO: Floats, weights: LayerWeights, strip: slice) -> None:
        kv_T2GE = kv_TO.reshape(len(kv_TO), 2, -1, self._head_dim)
        cos, sin = self._cos[strip], self._sin[strip]
        norm_rotate(kv_T2GE[:, 0], weights.k_norm_E, self._eps, cos, sin, self._k_GTE[:, strip])
        self._v_GTE[:, strip] = kv_T2GE[:, 1].swapaxes(0, 1)

    def _attend(self, index: int, piece: Piece, q_HQE: Floats) -> Floats:
        """What the piece's tokens take from the tokens they see, (Q, O)."""
        groups = len(self._k_GTE)
        ancestors = [
            (self._k_GTE[:, run[0] : run[1]], self._v_GTE[:, run[0] : run[1]])
            if isinstance(run, tuple)
            else (self._kept[run][index, 0], self._kept[run][index, 1])
            for run in piece.runs
        ]
        own = slice(piece.begin, piece.stop)
        q_GRQE = q_HQE.reshape(groups, len(q_HQE) // groups, *q_HQE.shape[1:])
        mixed_GRQE = attend(q_GRQE, self._k_GTE[:, own], self._v_GTE[:, own], ancestors)
        return mixed_GRQE.reshape(q_HQE.shape).swapaxes(0, 1).reshape(q_HQE.shape[1], -1)

    def _finish(self, x_TD: Floats, mixed_TO: Floats, weights: LayerWeights) -> Floats:
        x_TD = x_TD + linear(mixed_TO, weights.o_DO)
        x_TD += mlp(rms_norm(x_TD, weights.mlp_norm_D, self._eps), weights.gate_up_2ID, weights.down_DI)
        return x_TD

    def _keep(self, index: int) -> None:
        for segment, place in self._layout.places.items():
            if segment in self._kept:
                self._kept[segment][index, 0] = self._k_GTE[:, place]
                self._kept[segment][index, 1] = self._v_GTE[:, place]
