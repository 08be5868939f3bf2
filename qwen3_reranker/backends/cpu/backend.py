"""Runs a plan batch by batch: all layers over the packed tokens, every distinct prefix once.

Shapes: T tokens of a batch, D hidden, H query heads, G key/value heads, R = H / G, E head_dim, L tokens of a segment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.base import Executed, OnProgress
from qwen3_reranker.backends.cpu.layout import BatchLayout, lay_out
from qwen3_reranker.backends.cpu.network_weights import LayerWeights, read_layers
from qwen3_reranker.backends.cpu.operations import attend, linear, mlp, norm_rotate, rms_norm, rotation
from qwen3_reranker.backends.cpu.prefix_cache import KeysValues, PrefixCache
from qwen3_reranker.plan import Plan, cut_long_segments, split
from qwen3_reranker.weights import Checkpoint

Floats = NDArray[np.float32]
Kept = dict[int, KeysValues]


class CpuBackend:
    """Runs plans of one checkpoint in float32.

    max_batch_tokens: tokens computed at once. prefix_cache_tokens: tokens kept between calls, 0 for none.
    """

    def __init__(self, checkpoint: Checkpoint, *, max_batch_tokens: int, prefix_cache_tokens: int) -> None:
        self.config = checkpoint.config
        self._max_batch_tokens = max_batch_tokens
        self._embedding = checkpoint.embedding_tensor
        self._norm_D = checkpoint.final_norm_tensor.read()
        self._layers = read_layers(checkpoint)
        self._cache = PrefixCache(prefix_cache_tokens)

    def run(self, plan: Plan, on_progress: OnProgress | None = None) -> Executed:
        """The final state of each row's last token; memory grows with max_batch_tokens, not with the plan."""
        plan = cut_long_segments(plan, self._max_batch_tokens)
        wanted = self._cache.wants(plan)
        kept: Kept = {segment: found for segment in wanted if (found := self._cache.get(plan, segment)) is not None}
        known_S = np.zeros(plan.num_segments, dtype=np.bool_)
        known_S[list(kept)] = True
        cached_tokens = int(np.diff(plan.starts_S1)[known_S].sum())
        computed_tokens = plan.num_tokens - cached_tokens
        hidden_ND = np.empty((plan.num_rows, self.config.hidden_size), dtype=np.float32)
        done = 0
        for batch in split(plan, self._max_batch_tokens, known_S):
            layout = lay_out(plan, batch, kept)
            for segment in batch.keep.union(wanted).intersection(batch.segments):
                kept[segment] = self._room(len(plan.tokens(segment)))

            def advance(share: float, before: int = done, tokens: int = len(layout.tokens_T)) -> None:
                if on_progress:
                    on_progress((before + share * tokens) / computed_tokens)

            hidden_ND[layout.rows_M] = self._run_batch(layout, kept, advance)
            done += len(layout.tokens_T)
            for segment in set(wanted).intersection(batch.segments):
                self._cache.put(plan, segment, kept[segment])
            for segment in batch.release:
                del kept[segment]
        return Executed(hidden_ND, computed_tokens, cached_tokens)

    def close(self) -> None:
        """Drop the weights and the cache."""
        self._layers.clear()
        self._cache.clear()

    def _room(self, tokens: int) -> KeysValues:
        config = self.config
        shape = (config.num_hidden_layers, 2, config.num_key_value_heads, tokens, config.head_dim)
        return np.empty(shape, dtype=np.float32)

    def _run_batch(self, layout: BatchLayout, kept: Kept, advance: Callable[[float], None]) -> Floats:
        x_TD = self._embedding.rows(layout.tokens_T)
        angles = rotation(layout.positions_T, self.config.head_dim, self.config.rope_theta)
        *inner, last = range(len(self._layers))
        for index in inner:
            weights = self._layers[index]
            normed_TD = rms_norm(x_TD, weights.input_norm_D, self.config.rms_norm_eps)
            q_HTE, k_GTE, v_GTE = self._project(normed_TD, weights, angles)
            self._keep(index, layout, k_GTE, v_GTE, kept)
            mixed_TO = self._mix(index, layout, q_HTE, k_GTE, v_GTE, kept)
            x_TD = self._finish(x_TD, mixed_TO, weights)
            advance((index + 1) / len(self._layers))
        hidden_MD = self._last_layer(last, layout, x_TD, angles, kept)
        advance(1.0)
        return hidden_MD

    def _last_layer(
        self, index: int, layout: BatchLayout, x_TD: Floats, angles: tuple[Floats, Floats], kept: Kept
    ) -> Floats:
        """Keys and values of every token, but queries and the MLP only for tokens that end a row."""
        weights, config = self._layers[index], self.config
        num_queries = config.num_attention_heads * config.head_dim
        normed_TD = rms_norm(x_TD, weights.input_norm_D, config.rms_norm_eps)
        k_GTE, v_GTE = self._keys_values(linear(normed_TD, weights.qkv_OD[num_queries:]), weights, angles)
        self._keep(index, layout, k_GTE, v_GTE, kept)
        ending = [each for each in layout.segments if each.ends_row]
        if not ending:
            return np.empty((0, config.hidden_size), dtype=np.float32)
        leaves = np.array([each.stop - 1 for each in ending])
        cos, sin = angles
        q_leaves = linear(normed_TD[leaves], weights.qkv_OD[:num_queries])
        q_HFE = self._queries(q_leaves, weights, (cos[leaves], sin[leaves]))
        mixed_FO = np.empty((len(ending), num_queries), dtype=np.float32)
        for place, each in enumerate(ending):
            runs = self._runs(index, each.runs, k_GTE, v_GTE, kept)
            own = slice(each.start, each.stop)
            mixed = attend(self._grouped(q_HFE[:, place : place + 1]), k_GTE[:, own], v_GTE[:, own], runs)
            mixed_FO[place] = mixed.reshape(num_queries)
        hidden_FD = rms_norm(self._finish(x_TD[leaves], mixed_FO, weights), self._norm_D, config.rms_norm_eps)
        return hidden_FD[np.searchsorted(leaves, layout.leaves_M)]

    def _project(
        self, x_TD: Floats, weights: LayerWeights, angles: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats, Floats]:
        num_queries = self.config.num_attention_heads * self.config.head_dim
        qkv_TO = linear(x_TD, weights.qkv_OD)
        return (
            self._queries(qkv_TO[:, :num_queries], weights, angles),
            *self._keys_values(qkv_TO[:, num_queries:], weights, angles),
        )

    def _queries(self, q_TO: Floats, weights: LayerWeights, angles: tuple[Floats, Floats]) -> Floats:
        q_THE = q_TO.reshape(len(q_TO), self.config.num_attention_heads, self.config.head_dim)
        return norm_rotate(q_THE, weights.q_norm_E, self.config.rms_norm_eps, *angles)

    def _keys_values(
        self, kv_TO: Floats, weights: LayerWeights, angles: tuple[Floats, Floats]
    ) -> tuple[Floats, Floats]:
        kv_T2GE = kv_TO.reshape(len(kv_TO), 2, self.config.num_key_value_heads, self.config.head_dim)
        k_GTE = norm_rotate(kv_T2GE[:, 0], weights.k_norm_E, self.config.rms_norm_eps, *angles)
        return k_GTE, np.ascontiguousarray(kv_T2GE[:, 1].swapaxes(0, 1))

    def _mix(self, index: int, layout: BatchLayout, q_HTE: Floats, k_GTE: Floats, v_GTE: Floats, kept: Kept) -> Floats:
        mixed_THE = np.empty((q_HTE.shape[1], q_HTE.shape[0], q_HTE.shape[2]), dtype=np.float32)
        for each in layout.segments:
            own = slice(each.start, each.stop)
            runs = self._runs(index, each.runs, k_GTE, v_GTE, kept)
            mixed_GRLE = attend(self._grouped(q_HTE[:, own]), k_GTE[:, own], v_GTE[:, own], runs)
            mixed_THE[own] = mixed_GRLE.reshape(-1, *mixed_GRLE.shape[2:]).swapaxes(0, 1)
        return mixed_THE.reshape(len(mixed_THE), -1)

    def _finish(self, x_TD: Floats, mixed_TO: Floats, weights: LayerWeights) -> Floats:
        x_TD = x_TD + linear(mixed_TO, weights.o_DO)
        x_TD += mlp(rms_norm(x_TD, weights.mlp_norm_D, self.config.rms_norm_eps), weights.gate_up_2ID, weights.down_DI)
        return x_TD

    def _grouped(self, q_HLE: Floats) -> Floats:
        groups = self.config.num_key_value_heads
        return q_HLE.reshape(groups, len(q_HLE) // groups, *q_HLE.shape[1:])

    @staticmethod
    def _runs(
        index: int, runs: tuple[tuple[int, int] | int, ...], k_GTE: Floats, v_GTE: Floats, kept: Kept
    ) -> list[tuple[Floats, Floats]]:
        return [
            (k_GTE[:, run[0] : run[1]], v_GTE[:, run[0] : run[1]])
            if isinstance(run, tuple)
            else tuple(kept[run][index])
            for run in runs
        ]

    @staticmethod
    def _keep(index: int, layout: BatchLayout, k_GTE: Floats, v_GTE: Floats, kept: Kept) -> None:
        for each in layout.segments:
            if each.segment in kept:
                kept[each.segment][index, 0] = k_GTE[:, each.start : each.stop]
                kept[each.segment][index, 1] = v_GTE[:, each.start : each.stop]
