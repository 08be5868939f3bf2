"""The layers in plain numpy, float32: runs where no compiler was, and what the native kernels are held against.

A layer is three rounds of work that threads share: strips of tokens into queries, keys and values; pieces of segments
through attention; strips of tokens through the rest. In the last layer, only tokens that end a row go all the way.

Shapes: T tokens of a batch, F of them end a row, D hidden, H query heads, G key/value heads, R = H / G, E head_dim,
O = H * E.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.engine import Floats, Kept, store_kept
from qwen3_reranker.backends.cpu.layout import BatchLayout, Piece, strips
from qwen3_reranker.backends.cpu.numpy_operations import attend, linear, mlp, norm_rotate, rms_norm, rotation
from qwen3_reranker.backends.cpu.numpy_threads import Threads
from qwen3_reranker.backends.cpu.numpy_weights import LayerWeights, read_layers
from qwen3_reranker.weights import Checkpoint


class NumpyEngine:
    """A checkpoint's layers widened to float32 in memory."""

    def __init__(self, checkpoint: Checkpoint, num_threads: int) -> None:
        self.config = checkpoint.config
        self.num_threads = num_threads
        self.threads = Threads(num_threads)
        self.layers = read_layers(checkpoint)

    def start(self, layout: BatchLayout, kept: Kept, x_TD: Floats) -> _Pass:
        """A batch whose tokens have the word vectors `x_TD`, (tokens, hidden), which it overwrites."""
        return _Pass(self, layout, kept, x_TD)

    def running(self) -> AbstractContextManager[None]:
        """While it lasts, BLAS starts no threads of its own."""
        return self.threads.undisturbed()

    def timings(self) -> None:
        """Nothing: numpy keeps no clocks."""
        return None

    def renew(self) -> None:
        """Nothing: what a batch writes to is its own."""

    def close(self) -> None:
        """Drop the weights, end the threads."""
        self.layers.clear()
        self.threads.close()


class _Pass:
    """One batch on its way through the layers; its arrays are used again in every layer."""

    def __init__(self, engine: NumpyEngine, layout: BatchLayout, kept: Kept, x_TD: Floats) -> None:
        config = engine.config
        tokens, heads, groups = len(layout.tokens_T), config.num_attention_heads, config.num_key_value_heads
        self._eps = config.rms_norm_eps
        self._head_dim = config.head_dim
        self._num_queries = heads * config.head_dim
        self._threads = engine.threads
        self._layers = engine.layers
        self._layout = layout
        self._kept = kept
        self._cos, self._sin = rotation(layout.positions_T, config.head_dim, config.rope_theta)
        self._x_TD = x_TD
        self._q_HTE = np.empty((heads, tokens, config.head_dim), dtype=np.float32)
        self._k_GTE = np.empty((groups, tokens, config.head_dim), dtype=np.float32)
        self._v_GTE = np.empty((groups, tokens, config.head_dim), dtype=np.float32)
        self._mixed_TO = np.empty((tokens, self._num_queries), dtype=np.float32)

    def layer(self, index: int) -> None:
        """One layer for every token."""
        weights = self._layers[index]

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

        self._threads.each(project, self._layout.strips)
        store_kept(self._kept, self._layout, index, self._k_GTE, self._v_GTE)
        self._threads.each(mix, self._layout.tasks)
        self._threads.each(finish, self._layout.strips)

    def last_layer(self, index: int) -> Floats:
        """Keys and values of every token, then one query for each token that ends a row: (F, D)."""
        weights = self._layers[index]

        def project(strip: slice) -> None:
            normed_TD = rms_norm(self._x_TD[strip], weights.attention_norm_D, self._eps)
            self._keys_values(linear(normed_TD, weights.qkv_OD[self._num_queries :]), weights, strip)

        self._threads.each(project, self._layout.strips)
        store_kept(self._kept, self._layout, index, self._k_GTE, self._v_GTE)
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

        self._threads.each(finish, strips(len(leaves), self._threads.num_threads))
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
