"""Small batches as CUDA graphs: one launch instead of hundreds."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qwen3_reranker.backends.layout import BatchLayout, Integers
from qwen3_reranker.backends.torch.attention import FlashAttention
from qwen3_reranker.backends.torch.model_input import ModelInput
from qwen3_reranker.backends.torch.out_of_memory import is_out_of_memory
from qwen3_reranker.backends.torch.padding import GraphShape, graph_shape, pad_to
from qwen3_reranker.backends.torch.qwen3 import Qwen3ForPooling
from qwen3_reranker.backends.torch.varlen import AttentionMetadata

_log = logging.getLogger(__name__)
# Above this a GPU computes longer than it takes to launch everything one by one.
_MAX_TOKENS = 8192
_MAX_GRAPHS = 24
_MAX_SEEN = 1024
_WARM_UP = 2
# A capture during another one, on another device, fails.
_CAPTURING = threading.Lock()


@dataclass(frozen=True, eq=False, slots=True)
class _CapturedGraph:
    """A captured batch: write its integers and cached keys and values, replay, read the results."""

    graph: torch.cuda.CUDAGraph
    integers: Tensor
    kv_cache_L2CGE: Tensor | None
    hidden_FD: Tensor
    new_kv_L2NGE: Tensor | None


class CudaGraphs:
    """The graphs of one network on one GPU, by shape. The least recently used is dropped.

    A shape is captured when it is seen for the second time, as capture takes as long as many runs. Where capture
    fails, a warning says so and everything is launched one by one from then on, with the same results.
    """

    def __init__(self, network: Qwen3ForPooling, max_tokens: int = _MAX_TOKENS) -> None:
        self._network = network
        self._device = next(network.parameters()).device
        self._max_tokens = max_tokens
        self._graphs: OrderedDict[GraphShape, _CapturedGraph] = OrderedDict()
        self._seen: OrderedDict[GraphShape, None] = OrderedDict()
        # One stream for all captures, and of this device: libraries keep memory for each stream that they have met.
        self._stream: torch.cuda.Stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def run(
        self,
        layout: BatchLayout,
        metadata: AttentionMetadata,
        kv_cache_L2CGE: Tensor | None,
        keep_N: Integers | None,
    ) -> tuple[Tensor, Tensor | None] | None:
        """The network's output for this batch, or None while there is no graph for it."""
        num_cached = 0 if kv_cache_L2CGE is None else kv_cache_L2CGE.shape[2]
        num_keep = 0 if keep_N is None else len(keep_N)
        if len(layout.tokens_T) > self._max_tokens or not len(layout.leaves_F):
            return None
        shape = graph_shape(layout, metadata, num_cached, num_keep)
        if shape not in self._graphs and not self._was_seen(shape):
            return None
        padded = pad_to(shape, layout, metadata, num_cached)
        integers = torch.from_numpy(_packed(*padded, keep_N, shape)).pin_memory()
        graph = self._graphs.get(shape) or self._try_to_capture(shape, integers)
        if graph is None:
            return None
        self._graphs.move_to_end(shape)
        graph.integers.copy_(integers, non_blocking=True)
        if graph.kv_cache_L2CGE is not None and kv_cache_L2CGE is not None:
            graph.kv_cache_L2CGE[:, :, :num_cached].copy_(kv_cache_L2CGE)
        graph.graph.replay()
        new_kv_L2NGE = None if graph.new_kv_L2NGE is None else graph.new_kv_L2NGE[:, :, :num_keep].clone()
        # Copies: the next replay writes over the originals.
        return graph.hidden_FD[: len(layout.leaves_F)].clone(), new_kv_L2NGE

    def clear(self) -> None:
        """Drop every graph and give its memory back."""
        self._graphs.clear()
        self._seen.clear()

    def _was_seen(self, shape: GraphShape) -> bool:
        if shape in self._seen:
            return True
        self._seen[shape] = None
        if len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        return False

    def _try_to_capture(self, shape: GraphShape, integers: Tensor) -> _CapturedGraph | None:
        if not self._graphs:
            # Nothing refers to the old pool any more, and such a pool cannot be captured into.
            self._pool = torch.cuda.graph_pool_handle()
        while len(self._graphs) >= _MAX_GRAPHS:
            self._graphs.popitem(last=False)
        try:
            graph = self._graphs[shape] = self._capture(shape, integers)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            _log.warning("CUDA graphs are not used any more, as capturing one failed: %s", error)
            self._max_tokens = 0
            return None
        return graph

    def _capture(self, shape: GraphShape, integers: Tensor) -> _CapturedGraph:
        static = integers.to(self._device)
        config = self._network.config
        kv_cache_L2CGE = None
        if shape.cached:
            size = (config.num_hidden_layers, 2, shape.cached, config.num_key_value_heads, config.head_dim)
            kv_cache_L2CGE = torch.zeros(size, dtype=self._network.dtype, device=self._device)
        inputs = _unpacked(static, kv_cache_L2CGE, shape)
        graph = torch.cuda.CUDAGraph()
        with _CAPTURING, torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            # Warmed up on another stream than the main one, as capture needs it: libraries choose kernels and allocate.
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UP):
                    self._network(inputs)
            # The threads of other networks may allocate meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                hidden_FD, new_kv_L2NGE = self._network(inputs)
            torch.cuda.current_stream().wait_stream(self._stream)
        return _CapturedGraph(graph, static, kv_cache_L2CGE, hidden_FD, new_kv_L2NGE)


def _sizes(shape: GraphShape) -> list[int]:
    """How many integers each array of a batch has, in the order of `_packed`."""
    return [
        shape.tokens,
        shape.tokens,
        shape.sequences + 1,
        shape.sequences + 1,
        shape.keys,
        shape.sequences + 1,
        shape.sequences + 1,
        shape.leaf_keys,
        shape.sequences,
        shape.keep,
    ]


def _packed(layout: BatchLayout, metadata: AttentionMetadata, keep_N: Integers | None, shape: GraphShape) -> np.ndarray:
    """All integers of a padded batch in one array: one copy takes them to the GPU."""
    padded_keep = np.zeros(shape.keep, dtype=np.int64)
    if keep_N is not None:
        padded_keep[: len(keep_N)] = keep_N
    arrays = [
        layout.tokens_T,
        layout.positions_T,
        metadata.all_queries.cu_seqlens_q,
        metadata.all_queries.cu_seqlens_k,
        metadata.all_queries.kv_indices,
        metadata.leaf_queries.cu_seqlens_q,
        metadata.leaf_queries.cu_seqlens_k,
        metadata.leaf_queries.kv_indices,
        layout.leaves_F,
        padded_keep,
    ]
    assert [len(array) for array in arrays] == _sizes(shape)
    return np.concatenate(arrays).astype(np.int32)


def _unpacked(integers: Tensor, kv_cache_L2CGE: Tensor | None, shape: GraphShape) -> ModelInput:
    """The batch in these integers, which every replay reads again."""
    tokens_T, positions_T, q, k, kv_indices, leaf_q, leaf_k, leaf_kv_indices, leaves_F, keep_N = torch.split(
        integers, _sizes(shape)
    )
    return ModelInput(
        tokens_T=tokens_T,
        positions_T=positions_T,
        all_queries=FlashAttention(q, k, kv_indices, shape.max_seqlen_q, shape.max_seqlen_k),
        leaf_queries=FlashAttention(leaf_q, leaf_k, leaf_kv_indices, 1, shape.max_seqlen_k),
        leaves_F=leaves_F,
        kv_cache_L2CGE=kv_cache_L2CGE,
        keep_N=keep_N if shape.keep else None,
    )
