"""Small batches as CUDA graphs: one launch where the layers would make hundreds, which a short request waits for."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qwen3_reranker.backends.torch.attention import FlashAttention
from qwen3_reranker.backends.torch.layout import BatchLayout, Integers
from qwen3_reranker.backends.torch.network import Network
from qwen3_reranker.backends.torch.out_of_memory import is_out_of_memory
from qwen3_reranker.backends.torch.packed import Packed
from qwen3_reranker.backends.torch.padding import Capacity, capacity, filled

_log = logging.getLogger(__name__)
# Above this a GPU computes longer than it takes to launch everything one by one.
_MOST_TOKENS = 8192
_MOST_GRAPHS = 24
_MOST_SEEN = 1024
_WARM_UP = 2
# A recording that another one falls into, on another device, is spoilt.
_RECORDING = threading.Lock()


@dataclass(frozen=True, eq=False, slots=True)
class _Graph:
    """A recorded batch: write its numbers and kept keys in, replay, read the results."""

    graph: torch.cuda.CUDAGraph
    numbers: Tensor
    kept_L2CGE: Tensor | None
    hidden_FD: Tensor
    new_L2NGE: Tensor | None


class Graphs:
    """The graphs of one network on one GPU, by capacity; least recently used out.

    A capacity is recorded when it is met for the second time, as recording takes as long as many runs. Where
    recording fails, a warning says so and everything is launched one by one from then on, with the same results.
    """

    def __init__(self, network: Network, most_tokens: int = _MOST_TOKENS) -> None:
        self._network = network
        self._device = next(network.parameters()).device
        self._most_tokens = most_tokens
        self._graphs: OrderedDict[Capacity, _Graph] = OrderedDict()
        self._seen: OrderedDict[Capacity, None] = OrderedDict()
        # One for all recordings, and of this device: libraries keep memory for each stream they have met.
        self._stream: torch.cuda.Stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def run(
        self, layout: BatchLayout, kept_L2CGE: Tensor | None, keep_N: Integers | None
    ) -> tuple[Tensor, Tensor | None] | None:
        """What the network gives for this batch, or None where there is no graph for it (yet)."""
        num_kept = 0 if kept_L2CGE is None else kept_L2CGE.shape[2]
        num_keep = 0 if keep_N is None else len(keep_N)
        if len(layout.tokens_T) > self._most_tokens or not len(layout.leaves_F):
            return None
        room = capacity(layout, num_kept, num_keep)
        if room not in self._graphs and not self._met_before(room):
            return None
        numbers = torch.from_numpy(_numbers(filled(layout, num_kept, room), keep_N, room)).pin_memory()
        graph = self._graphs.get(room) or self._try_to_record(room, numbers)
        if graph is None:
            return None
        self._graphs.move_to_end(room)
        graph.numbers.copy_(numbers, non_blocking=True)
        if graph.kept_L2CGE is not None and kept_L2CGE is not None:
            graph.kept_L2CGE[:, :, :num_kept].copy_(kept_L2CGE)
        graph.graph.replay()
        new_L2NGE = None if graph.new_L2NGE is None else graph.new_L2NGE[:, :, :num_keep].clone()
        # Copies: the next replay writes over the originals.
        return graph.hidden_FD[: len(layout.leaves_F)].clone(), new_L2NGE

    def clear(self) -> None:
        """Forget every graph and give its memory back."""
        self._graphs.clear()
        self._seen.clear()

    def _met_before(self, room: Capacity) -> bool:
        if room in self._seen:
            return True
        self._seen[room] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return False

    def _try_to_record(self, room: Capacity, numbers: Tensor) -> _Graph | None:
        if not self._graphs:
            # Nobody holds the old pool any more, and what nobody holds cannot be recorded into.
            self._pool = torch.cuda.graph_pool_handle()
        while len(self._graphs) >= _MOST_GRAPHS:
            self._graphs.popitem(last=False)
        try:
            graph = self._graphs[room] = self._record(room, numbers)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            _log.warning("CUDA graphs are not used any more, as recording one failed: %s", error)
            self._most_tokens = 0
            return None
        return graph

    def _record(self, room: Capacity, numbers: Tensor) -> _Graph:
        static = numbers.to(self._device)
        config = self._network.config
        kept_L2CGE = None
        if room.kept:
            shape = (config.num_hidden_layers, 2, room.kept, config.num_key_value_heads, config.head_dim)
            kept_L2CGE = torch.zeros(shape, dtype=self._network.dtype, device=self._device)
        packed = _packed(static, kept_L2CGE, room)
        graph = torch.cuda.CUDAGraph()
        with _RECORDING, torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            # Warmed up beside the main stream, as recording wants it: libraries choose kernels and allocate first.
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UP):
                    self._network(packed)
            # Other devices' threads may allocate meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                hidden_FD, new_L2NGE = self._network(packed)
            torch.cuda.current_stream().wait_stream(self._stream)
        return _Graph(graph, static, kept_L2CGE, hidden_FD, new_L2NGE)


def _parts(room: Capacity) -> list[int]:
    """How many numbers each part of a batch has, in the order of `_numbers`."""
    starts = room.sequences + 1
    return [
        room.tokens,
        room.tokens,
        starts,
        starts,
        room.keys,
        starts,
        starts,
        room.leaf_keys,
        room.sequences,
        room.keep,
    ]


def _numbers(layout: BatchLayout, keep_N: Integers | None, room: Capacity) -> np.ndarray:
    """All numbers of a batch in one array, so that one copy takes them to the GPU."""
    keep = np.zeros(room.keep, dtype=np.int64)
    if keep_N is not None:
        keep[: len(keep_N)] = keep_N
    everyone, leaves = layout.everyone, layout.leaves
    parts = [
        layout.tokens_T,
        layout.positions_T,
        everyone.query_starts_S1,
        everyone.key_starts_S1,
        everyone.keys_K,
        leaves.query_starts_S1,
        leaves.key_starts_S1,
        leaves.keys_K,
        layout.leaves_F,
        keep,
    ]
    assert [len(part) for part in parts] == _parts(room)
    return np.concatenate(parts).astype(np.int32)


def _packed(numbers: Tensor, kept_L2CGE: Tensor | None, room: Capacity) -> Packed:
    """The batch whose numbers lie in that tensor, read anew at every replay."""
    parts = torch.split(numbers, _parts(room))
    return Packed(
        tokens_T=parts[0],
        positions_T=parts[1],
        everyone=FlashAttention(parts[2], parts[3], parts[4], room.most_queries, room.most_keys),
        leaves=FlashAttention(parts[5], parts[6], parts[7], 1, room.most_keys),
        leaves_F=parts[8],
        kept_L2CGE=kept_L2CGE,
        keep_N=parts[9] if room.keep else None,
    )
