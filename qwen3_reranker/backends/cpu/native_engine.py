"""The layers on the native kernels, which cut each round of a layer among threads of their own.

Shapes: T tokens of a batch, F of them end a row, D hidden, G key/value heads, R query heads for each, E head_dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.backends.cpu.layout import BatchLayout, Piece
from qwen3_reranker.backends.cpu.native_layers import Layers
from qwen3_reranker.config import ModelConfig

Floats = NDArray[np.float32]
# Keys and values of a segment in every layer: (layers, 2, key/value heads, tokens, head_dim).
KeysValues = NDArray[np.float32]
Kept = dict[int, KeysValues]
Numbers = NDArray[np.int64]
_ABANDONED: list[Any] = []


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that all threads together spent so far: in products of matrices, in attention, in the rest.

    The rest is work on each token alone, such as norms and rounding; waiting and Python are in none of the three.
    """

    products: float
    attention: float
    rest: float


class NativeEngine:
    """Layers whose matrices the kernels read where they lie: in the checkpoint's files, or in 8-bit panels."""

    def __init__(self, config: ModelConfig, layers: Layers, variant: str, num_threads: int) -> None:
        self.config = config
        self.num_threads = num_threads
        self.layers = layers
        self._make = partial(
            native_module().Engine,
            variant,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            epsilon=config.rms_norm_eps,
            threads=num_threads,
        )
        self.kernels: Any = self._make()

    def start(self, layout: BatchLayout, kept: Kept, x_TD: Floats) -> _Pass:
        """A batch whose tokens have the word vectors `x_TD`, (tokens, hidden), which it overwrites."""
        self.layers.check_files()
        return _Pass(self, layout, kept, x_TD)

    def timings(self) -> Timings:
        """What the time went to since the start."""
        return Timings(*self.kernels.spent())

    def renew(self) -> None:
        """Take other threads and buffers; the old ones are never freed, as somebody may have been writing to them."""
        _ABANDONED.append(self.kernels)
        self.kernels = self._make()

    def close(self) -> None:
        """Drop the weights, end the threads."""
        self.layers.clear()
        # The threads belong to it, and end with it.
        self.kernels = None


class _Pass:
    """One batch on its way through the layers; its arrays are used again in every layer."""

    def __init__(self, engine: NativeEngine, layout: BatchLayout, kept: Kept, x_TD: Floats) -> None:
        config, tokens = engine.config, len(layout.tokens_T)
        self._engine, self._layout, self._kept = engine, layout, kept
        self._groups, self._head_dim = config.num_key_value_heads, config.head_dim
        self._repeats = config.num_attention_heads // config.num_key_value_heads
        self._cos, self._sin = rotation(layout.positions_T, config.head_dim, config.rope_theta)
        self._x_TD = x_TD
        self._k_GTE = np.empty((self._groups, tokens, self._head_dim), dtype=np.float32)
        self._v_GTE = np.empty_like(self._k_GTE)
        self._q_GTRE, self._mixed_TO = self._room(tokens)
        self._work = _Work(layout.tasks, layout.longest, kept)

    def layer(self, index: int) -> None:
        """One layer for every token."""
        layer, kernels = self._engine.layers[index], self._engine.kernels
        kernels.project(layer, self._x_TD, self._cos, self._sin, self._q_GTRE, self._k_GTE, self._v_GTE)
        store_kept(self._kept, self._layout, index, self._k_GTE, self._v_GTE)
        self._attend(index, self._work, self._q_GTRE, self._mixed_TO)
        kernels.finish(layer, self._x_TD, self._mixed_TO)

    def last_layer(self, index: int) -> Floats:
        """Keys and values of every token, then one query for each token that ends a row: (F, D)."""
        layer, kernels = self._engine.layers[index], self._engine.kernels
        kernels.project(layer, self._x_TD, self._cos, self._sin, None, self._k_GTE, self._v_GTE)
        store_kept(self._kept, self._layout, index, self._k_GTE, self._v_GTE)
        leaves_F = np.array([piece.start for piece in self._layout.leaves], dtype=np.int64)
        if not len(leaves_F):
            return self._x_TD[:0]
        x_FD = self._x_TD[leaves_F]
        q_GFRE, mixed_FO = self._room(len(leaves_F))
        kernels.project(layer, x_FD, self._cos[leaves_F], self._sin[leaves_F], q_GFRE, None, None)
        work = _Work([[piece] for piece in self._layout.leaves], self._layout.longest, self._kept, packed=True)
        self._attend(index, work, q_GFRE, mixed_FO)
        kernels.finish(layer, x_FD, mixed_FO)
        return x_FD

    def _room(self, tokens: int) -> tuple[Floats, Floats]:
        """Queries and what attention makes of them, of that many tokens."""
        queries = np.empty((self._groups, tokens, self._repeats, self._head_dim), dtype=np.float32)
        mixed = np.empty((tokens, self._groups * self._repeats * self._head_dim), dtype=np.float32)
        return queries, mixed

    def _attend(self, index: int, work: _Work, queries: Floats, mixed: Floats) -> None:
        kept = [self._kept[segment][index] for segment in work.sources]
        self._engine.kernels.attend(
            work.pieces, work.tasks, work.runs, work.longest, queries, self._k_GTE, self._v_GTE, kept, mixed
        )


class _Work:
    """Pieces of attention as the kernels take them: numbers alone.

    pieces: begin, start, stop, place of the first query, first run, last run. tasks: where each begins, and the end.
    runs: source (0 the batch itself, s the kept segment sources[s - 1]), first token, tokens.
    packed: the queries are those of the pieces in order; otherwise they lie where their tokens do.
    """

    def __init__(self, tasks: Sequence[Sequence[Piece]], longest: int, kept: Kept, packed: bool = False) -> None:
        self.longest = longest
        self.sources: list[int] = []
        runs: list[tuple[int, int, int]] = []
        places: dict[Any, tuple[int, int]] = {}
        pieces: list[tuple[int, ...]] = []
        query = 0
        for piece in (piece for task in tasks for piece in task):
            # Equal runs have one place, by which the kernels know that they have gathered them already.
            if piece.runs not in places:
                first = len(runs)
                for run in piece.runs:
                    if isinstance(run, tuple):
                        runs.append((0, run[0], run[1] - run[0]))
                    else:
                        if run not in self.sources:
                            self.sources.append(run)
                        runs.append((self.sources.index(run) + 1, 0, kept[run].shape[3]))
                places[piece.runs] = (first, len(runs))
            pieces.append((piece.begin, piece.start, piece.stop, query if packed else piece.start, *places[piece.runs]))
            query += piece.stop - piece.start
        self.pieces: Numbers = np.array(pieces, dtype=np.int64).reshape(-1, 6)
        self.runs: Numbers = np.array(runs, dtype=np.int64).reshape(-1, 3)
        self.tasks: Numbers = np.cumsum([0, *(len(task) for task in tasks)], dtype=np.int64)


def store_kept(kept: Kept, layout: BatchLayout, index: int, k_GTE: Floats, v_GTE: Floats) -> None:
    """Copy one layer's keys and values of the batch's segments that are to be kept."""
    for segment, place in layout.places.items():
        if segment in kept:
            kept[segment][index, 0] = k_GTE[:, place]
            kept[segment][index, 1] = v_GTE[:, place]


def rotation(positions_T: NDArray[np.int32], head_dim: int, theta: float) -> tuple[Floats, Floats]:
    """Cosine and sine of each token's rotary angles, (T, head_dim / 2); float32 angles, as the models were trained."""
    half = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequency = np.float32(1.0) / np.float32(theta) ** half
    angle = positions_T.astype(np.float32)[:, None] * frequency
    return np.cos(angle), np.sin(angle)
