"""The specification: numpy in float64 or float32, row by row, nothing shared or fused.

Shapes: T tokens of one row, D hidden, H query heads, G key/value heads, E head_dim, I intermediate.
Formulas: the Qwen3 architecture as transformers computes it (models/qwen3/modeling_qwen3.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.plan import Plan
from qwen3_reranker.weights import Checkpoint, LayerTensors

Floats = NDArray[np.floating[Any]]


def open_backend(
    checkpoint: Checkpoint, options: EngineOptions, _constant_prefix: NDArray[np.int32]
) -> ReferenceBackend:
    """The checkpoint's network in the precision of the options."""
    return ReferenceBackend(checkpoint, np.dtype(options.precision))


class ReferenceBackend:
    """Runs each row of a plan on its own. Its bits do not depend on other rows."""

    def __init__(self, checkpoint: Checkpoint, dtype: DTypeLike = np.float64) -> None:
        self.config = checkpoint.config
        self._dtype = np.dtype(dtype)
        self._number = np.float32 if self._dtype == np.float32 else np.float64
        self._embedding = checkpoint.embedding_tensor
        self._final_norm_D = checkpoint.final_norm_tensor.read(self._dtype)
        self._layers = [
            checkpoint.layer(index).map(lambda tensor: tensor.read(self._dtype))
            for index in range(self.config.num_hidden_layers)
        ]

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The final state of each row's last token, row by row. Every token of every row is computed."""
        hidden_ND = np.empty((plan.num_rows, self.config.hidden_size), dtype=self._dtype)
        for index in range(plan.num_rows):
            with np.errstate(over="ignore", invalid="ignore"):  # the head refuses what is not finite
                hidden_ND[index] = self.row(plan.row(index))[-1]
            if on_progress:
                on_progress((index + 1) / plan.num_rows)
            yield
        return Executed(hidden_ND, computed_tokens=plan.num_row_tokens, cached_tokens=0)

    def close(self) -> None:
        """Drop the weights."""
        self._layers.clear()

    def in_forked_child(self, interrupted: bool) -> Backend:
        """Itself: it keeps nothing that a call writes to."""
        return self

    def row(self, tokens_T: NDArray[np.int32]) -> Floats:
        """The state after the final norm at every token of one row, (T, D)."""
        [x_TD] = deque(self.residual_stream(tokens_T), maxlen=1)
        return self._norm(x_TD, self._final_norm_D)

    def residual_stream(self, tokens_T: NDArray[np.int32]) -> Iterator[Floats]:
        """The residual stream of one row, (T, D): word vectors, then the sum after each layer."""
        x_TD = self._embedding.rows(tokens_T, self._dtype)
        yield x_TD
        rotation = self._rotation(len(tokens_T))
        for layer in self._layers:
            x_TD = x_TD + self._attention(layer, self._norm(x_TD, layer.attention_norm), rotation)
            x_TD = x_TD + self._mlp(layer, self._norm(x_TD, layer.mlp_norm))
            yield x_TD

    def _norm(self, x: Floats, weight: Floats) -> Floats:
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        scaled: Floats = x / np.sqrt(mean_square + self._number(self.config.rms_norm_eps))
        return scaled * weight

    def _mlp(self, layer: LayerTensors[Floats], x_TD: Floats) -> Floats:
        gate_TI = x_TD @ layer.gate.T
        with np.errstate(over="ignore"):  # exp of a large number is inf, and x / inf is the right 0
            swish_TI = gate_TI / (1 + np.exp(-gate_TI))
        mixed: Floats = (swish_TI * (x_TD @ layer.up.T)) @ layer.down.T
        return mixed

    def _attention(self, layer: LayerTensors[Floats], x_TD: Floats, rotation: tuple[Floats, Floats]) -> Floats:
        tokens, head_dim = len(x_TD), self.config.head_dim
        q_HTE: Floats = (x_TD @ layer.query.T).reshape(tokens, -1, head_dim).swapaxes(0, 1)
        k_GTE: Floats = (x_TD @ layer.key.T).reshape(tokens, -1, head_dim).swapaxes(0, 1)
        v_GTE = (x_TD @ layer.value.T).reshape(tokens, -1, head_dim).swapaxes(0, 1)
        q_HTE = _rotate(self._norm(q_HTE, layer.query_norm), *rotation)
        k_GTE = _rotate(self._norm(k_GTE, layer.key_norm), *rotation)
        group = self.config.num_attention_heads // self.config.num_key_value_heads
        future_TT = np.triu(np.ones((tokens, tokens), dtype=np.bool_), k=1)
        mixed_HTE = np.empty_like(q_HTE)
        for head in range(self.config.num_attention_heads):
            score_TT = q_HTE[head] @ k_GTE[head // group].T / self._number(head_dim**0.5)
            score_TT[future_TT] = -np.inf
            weight_TT = np.exp(score_TT - score_TT.max(axis=1, keepdims=True))
            mixed_HTE[head] = weight_TT / weight_TT.sum(axis=1, keepdims=True) @ v_GTE[head // group]
        joined: Floats = mixed_HTE.swapaxes(0, 1).reshape(tokens, -1) @ layer.output.T
        return joined

    def _rotation(self, tokens: int) -> tuple[Floats, Floats]:
        # The angles are float32 in every precision: that is how the models were trained and how transformers runs them.
        half = np.arange(0, self.config.head_dim, 2, dtype=np.float32) / np.float32(self.config.head_dim)
        frequency = np.float32(1.0) / np.float32(self.config.rope_theta) ** half
        angle_TE = np.tile(np.arange(tokens, dtype=np.float32)[:, None] * frequency, 2)
        angle_TE = angle_TE.astype(self._dtype)
        return np.cos(angle_TE), np.sin(angle_TE)


def _rotate(x: Floats, cos_TE: Floats, sin_TE: Floats) -> Floats:
    first, second = np.split(x, 2, axis=-1)
    rotated: Floats = x * cos_TE + np.concatenate((-second, first), axis=-1) * sin_TE
    return rotated
