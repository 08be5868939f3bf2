"""A checkpoint and options -> the backend that runs plans on one device through torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qwen3_reranker.backends.base import Backend, Executed, OnProgress, Steps
from qwen3_reranker.backends.batches import BatchIterator
from qwen3_reranker.backends.layout import BatchLayout, Integers, lay_out
from qwen3_reranker.backends.prefix_cache import PrefixCache
from qwen3_reranker.backends.torch.attention import attention_builder
from qwen3_reranker.backends.torch.cuda_graphs import CudaGraphs
from qwen3_reranker.backends.torch.devices import choose_attention, choose_device, number_type
from qwen3_reranker.backends.torch.forked import SingleThreadBackend, backend_in_child, refuse_forked_gpu
from qwen3_reranker.backends.torch.model_input import model_input
from qwen3_reranker.backends.torch.out_of_memory import is_out_of_memory, out_of_memory
from qwen3_reranker.backends.torch.qwen3 import Qwen3ForPooling
from qwen3_reranker.backends.torch.varlen import AttentionMetadata, attention_metadata
from qwen3_reranker.backends.torch.weights import load
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.forking import is_forked_child
from qwen3_reranker.plan import Plan, cut_long_segments
from qwen3_reranker.weights import Checkpoint

_log = logging.getLogger(__name__)


def open_backend(checkpoint: Checkpoint, options: EngineOptions, _constant_prefix: NDArray[np.int32]) -> Backend:
    """The checkpoint's network, loaded as the options say.

    Raises InputError for the name of no device, UnavailableError for a device or a precision that is not available.
    """
    device = choose_device(options.device)
    if is_forked_child():
        refuse_forked_gpu(device)
        return SingleThreadBackend(lambda: _open(checkpoint, options, device))
    return _open(checkpoint, options, device)


def _open(checkpoint: Checkpoint, options: EngineOptions, device: torch.device) -> TorchBackend:
    dtype = number_type(options.precision, device)
    network = load(checkpoint, device, dtype, merged=True, float8=options.precision == "float8")
    compiled = options.kernels == "compiled"
    if compiled:
        network.compile_layers()
    return TorchBackend(
        network,
        max_batch_tokens=options.batch_tokens,
        prefix_cache_tokens=options.prefix_cache_tokens,
        graphs=compiled,
        num_threads=options.num_threads,
    )


class TorchBackend:
    """Runs plans with one network on one device.

    max_batch_tokens: tokens computed at once; a longer segment is a batch of its own.
    prefix_cache_tokens: tokens whose keys and values stay on the device between calls.
    kernel: attention, "flash" or "sdpa"; None for the fastest that the device has.
    graphs: replay small batches as CUDA graphs, with the flash kernel.
    num_threads: threads that torch uses on a processor while a plan runs, None for its own number.
    """

    def __init__(
        self,
        network: Qwen3ForPooling,
        *,
        max_batch_tokens: int,
        prefix_cache_tokens: int,
        kernel: str | None = None,
        graphs: bool = False,
        num_threads: int | None = None,
    ) -> None:
        self.network = network
        self.device = next(network.parameters()).device
        self.kernel = kernel or choose_attention(self.device, network.dtype)
        self._build_attention = attention_builder(self.kernel)
        self._max_batch_tokens = max_batch_tokens
        self._num_threads = num_threads
        self._prefix_cache = PrefixCache[Tensor](prefix_cache_tokens)
        self._graphs = CudaGraphs(network) if graphs and self.kernel == "flash" else None

    def steps(self, plan: Plan, on_progress: OnProgress | None = None) -> Steps:
        """The final state of each row's last token, batch by batch.

        Where memory does not suffice, the plan is run once more in batches of half the tokens; raises OutOfMemoryError
        if that fails too. The backend can be used afterwards.
        """
        threads = torch.get_num_threads()
        if self._num_threads:
            torch.set_num_threads(self._num_threads)
        try:
            return (yield from self._run_or_halve(plan, on_progress))
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None:
        """Free the memory of weights and cache; the backend cannot be used afterwards."""
        self._drop_caches()
        self._graphs = None
        del self.network

    def in_forked_child(self, interrupted: bool) -> Backend:
        """On a processor the same backend in another thread, elsewhere one that raises UnavailableError."""
        return backend_in_child(self, self.device, interrupted)

    def _run_or_halve(self, plan: Plan, on_progress: OnProgress | None) -> Steps:
        try:
            return (yield from self._run(plan, self._max_batch_tokens, on_progress))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                _refuse_without_compiler(error)
                raise
            first = str(error)
        # After the except clause: the error's frames hold the tensors that memory is short of.
        largest = max(int(np.diff(plan.starts_S1).max()), min(self._max_batch_tokens, plan.num_tokens))
        half = max(1, largest // 2)
        self._drop_caches()
        _log.warning("out of memory in batches of %d tokens; trying once more with %d: %s", largest, half, first)
        try:
            return (yield from self._run(cut_long_segments(plan, half), half, on_progress))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            second = str(error)
        self._drop_caches()
        raise out_of_memory(self.network, self.device, (largest, half), second)

    def _run(self, plan: Plan, max_batch_tokens: int, on_progress: OnProgress | None) -> Steps:
        batches = BatchIterator(plan, max_batch_tokens, self._prefix_cache)
        config = self.network.config
        states_FD: list[Tensor] = []
        rows_M: list[Integers] = []
        leaves_M: list[Integers] = []
        num_leaves = 0
        layers, done = config.num_hidden_layers, 0
        for batch, keep in batches:
            if done:
                yield
            layout = lay_out(plan, batch)
            metadata = attention_metadata(plan, layout, batches.kv_cache)

            def advance(layers_done: int, before: int = done, tokens: int = len(layout.tokens_T)) -> None:
                if on_progress:
                    self._wait()
                    on_progress((before + tokens * layers_done / layers) / batches.computed_tokens)

            cached = [batches.kv_cache[segment] for segment in metadata.cached_segments]
            kv_cache_L2CGE = torch.cat(cached, dim=2) if cached else None
            with torch.inference_mode():
                hidden_FD, new_kv_L2NGE = self._forward(
                    layout, metadata, kv_cache_L2CGE, _token_indices(layout, keep), advance
                )
            rows_M.append(batch.rows_M)
            leaves_M.append(layout.leaf_of_row_M + num_leaves)
            states_FD.append(hidden_FD)
            num_leaves += len(hidden_FD)
            if new_kv_L2NGE is not None:
                lengths = [len(plan.tokens(segment)) for segment in sorted(keep)]
                for segment, keys_values in zip(sorted(keep), torch.split(new_kv_L2NGE, lengths, dim=2), strict=True):
                    # A copy: segments are dropped at different times, and a view would keep the memory of all.
                    batches.kv_cache[segment] = keys_values.clone()
            done += len(layout.tokens_T)
        hidden_ND = np.empty((plan.num_rows, config.hidden_size), dtype=np.float32)
        if states_FD:
            # Once, at the end: a copy to the host waits for the device, which should have the next batch by then.
            hidden_ND[np.concatenate(rows_M)] = torch.cat(states_FD).cpu().numpy()[np.concatenate(leaves_M)]
        return Executed(hidden_ND, batches.computed_tokens, batches.cached_tokens)

    def _forward(
        self,
        layout: BatchLayout,
        metadata: AttentionMetadata,
        kv_cache_L2CGE: Tensor | None,
        keep_N: Integers | None,
        on_layer: Callable[[int], None],
    ) -> tuple[Tensor, Tensor | None]:
        replayed = self._graphs.run(layout, metadata, kv_cache_L2CGE, keep_N) if self._graphs else None
        if replayed is not None:
            on_layer(self.network.config.num_hidden_layers)
            return replayed
        inputs = model_input(layout, metadata, self._build_attention, self.device, kv_cache_L2CGE, keep_N)
        output: tuple[Tensor, Tensor | None] = self.network(inputs, on_layer)
        return output

    def _wait(self) -> None:
        # A GPU receives work far ahead; progress is what it has done.
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def _drop_caches(self) -> None:
        self._prefix_cache.clear()
        if self._graphs:
            self._graphs.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()


def _refuse_without_compiler(error: BaseException) -> None:
    """Raise UnavailableError if compiling failed."""
    # By name, as importing the compiler to ask takes seconds. Triton's launchers are compiled in C as they are used.
    names = {kind.__name__ for kind in type(error).__mro__}
    if "TorchDynamoException" in names or "C compiler" in str(error):
        raise UnavailableError(
            f'kernels="compiled" could not compile: {str(error).splitlines()[0]}; torch.compile needs a C++ compiler, '
            'or use kernels="native"'
        ) from error


def _token_indices(layout: BatchLayout, segments: Collection[int]) -> Integers | None:
    """The indices of the tokens of these segments, segment after segment."""
    if not segments:
        return None
    slices = layout.slices()
    return np.concatenate([np.arange(slices[each].start, slices[each].stop) for each in sorted(segments)])
