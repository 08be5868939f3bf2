"""Checkpoint tensors -> layers that the kernels run: matrices as the files hold them, or 8-bit micropanels of them.

An 8-bit weight is scale * (byte - 128), with one scale for each output and group of inputs (native/kernels/kernels.h).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.array_file import Arrays
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.weights import Checkpoint, LayerTensors, Source, StoredTensor, Tensor, is_plain
from qwen3_reranker.weights.encodings import rounded_to_bf16

#: Planes that an activation is rounded to: of 8 bits where weights have 8 bits, else of bfloat16. 0 rounds nothing.
PLANES = {"float32": 0, "bfloat16": 1, "int8": 1, "int8x2": 2}
#: Precisions whose weights are 8-bit micropanels; in the others the kernels read weights as the files hold them.
INT8_PRECISIONS = ("int8", "int8x2")
#: Inputs that share a scale.
GROUP = 64
#: The group of GGUF's Q8_0: its integers and scales stay as they are.
Q8_0_GROUP = 32
# The kernels' numbers for the types of a checkpoint's values.
_DTYPES = {"BF16": 0, "F16": 1, "F32": 2}
_Q8_0 = "Q8_0"
# Raised with every change of the micropanels' layout or of how weights are rounded.
_FORMAT = 1


class LayerWeights:
    """The kernels' layers, and the checkpoint's files that they read from while they run.

    With `keep` false a layer is made again each time that it is taken.
    """

    def __init__(self, makers: Sequence[Callable[[], Any]], files: set[Source], keep: bool = True) -> None:
        self._count = len(makers)
        self._layers = [make() for make in makers] if keep else []
        self._makers = [] if keep else list(makers)
        self._files = files

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._makers[index]() if self._makers else self._layers[index]

    def check_files(self) -> None:
        """Raise CheckpointError for a file that was cut: reading after its end would end the process."""
        for source in self._files:
            source.mapped()

    def clear(self) -> None:
        """Drop the layers."""
        self._makers.clear()
        self._layers.clear()


def stored_layers(checkpoint: Checkpoint, precision: str = "float32", keep: bool = True) -> LayerWeights:
    """Layers that multiply by the weights as the files hold them, converted where needed.

    Matrices that are stored in blocks are read into memory in the precision, with `keep` false one layer at a time.
    """
    tensors = [checkpoint.layer(index) for index in range(checkpoint.config.num_hidden_layers)]
    makers = [partial(_layer, layer, lambda _, tensor: stored_matrix(tensor, precision)) for layer in tensors]
    used = [tensor for layer in tensors for tensor in matrices(layer).values()]
    mapped = [tensor for tensor in used if is_plain(tensor)]
    return LayerWeights(makers, {tensor.source for tensor in mapped}, keep or len(mapped) == len(used))


def int8_layers(checkpoint: Checkpoint, precision: str, cache: DiskCache, transformer: Any) -> LayerWeights:
    """Layers that multiply in 8 bits; in "int8x2" the activations have 16."""
    group, arrays = int8_group(checkpoint), int8_arrays(checkpoint, cache, transformer)

    def matrix(name: str, tensor: Tensor) -> Any:
        values, scales = arrays[f"{name}.bytes"], arrays[f"{name}.scales"]
        return native_module().int8_matrix(values, scales, *tensor.shape, group, PLANES[precision])

    indices = range(checkpoint.config.num_hidden_layers)
    return LayerWeights([partial(_layer, checkpoint.layer(index), matrix) for index in indices], set())


def int8_group(checkpoint: Checkpoint) -> int:
    """How many inputs share a scale: those of the file where it holds every matrix of the layers in Q8_0."""
    return Q8_0_GROUP if all(tensor.dtype == _Q8_0 for tensor in all_matrices(checkpoint)) else GROUP


def int8_arrays(checkpoint: Checkpoint, cache: DiskCache, transformer: Any, group: int | None = None) -> Arrays:
    """Bytes and scales of all layers' matrices, "NAME.bytes" and "NAME.scales": from the cache, or made now and cached.

    Without a group requested, matrices that are all in Q8_0 keep their integers and scales; others are rounded.
    """
    as_stored = group is None and int8_group(checkpoint) == Q8_0_GROUP
    group = group or int8_group(checkpoint)
    tensors = all_matrices(checkpoint)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for tensor in tensors:
        num_bytes, num_scales = native_module().int8_sizes(*tensor.shape, group)
        shapes[f"{tensor.name}.bytes"] = ("uint8", (num_bytes,))
        shapes[f"{tensor.name}.scales"] = ("float32", (num_scales,))

    def fill(arrays: Arrays) -> None:
        for tensor in tensors:
            values, scales = arrays[f"{tensor.name}.bytes"], arrays[f"{tensor.name}.scales"]
            if as_stored:
                assert isinstance(tensor, StoredTensor), "Q8_0 is an encoding of files"
                transformer.repack_q8_0(tensor.stored(), *tensor.shape, values, scales)
            else:
                transformer.quantize_int8(stored_matrix(tensor), group, values, scales)
            # The weights are not needed again: both forms of all layers at once may be more than memory holds.
            tensor.give_back_pages()

    return cache.arrays(f"{'q8_0' if as_stored else 'int8'}-{_FORMAT}-group{group}", shapes, fill)


def matrices(layer: LayerTensors[Tensor]) -> dict[str, Tensor]:
    """The seven matrices of a layer by our names, in the order that the kernels take them."""
    names = ("query", "key", "value", "output", "gate", "up", "down")
    return {name: getattr(layer, name) for name in names}


def all_matrices(checkpoint: Checkpoint) -> list[Tensor]:
    """The matrices of every layer, in order."""
    layers = map(checkpoint.layer, range(checkpoint.config.num_hidden_layers))
    return [tensor for layer in layers for tensor in matrices(layer).values()]


def stored_matrix(tensor: Tensor, precision: str = "float32") -> Any:
    """A matrix that the kernels read where the file holds it, or in memory where that is stored in blocks."""
    if is_plain(tensor):
        dtype, content = tensor.dtype, tensor.stored()
    else:
        # Products in bfloat16 round their weights to it: rounded here, they take half of the memory.
        values = tensor.read().reshape(-1)
        dtype = read_dtype(precision)
        content = (rounded_to_bf16(values) if dtype == "BF16" else values).view(np.uint8)
    return native_module().stored_matrix(content, _DTYPES[dtype], *tensor.shape, PLANES[precision])


def read_dtype(precision: str) -> str:
    """What matrices that are stored in blocks are in memory, in a precision without 8-bit weights."""
    return "BF16" if precision == "bfloat16" else "F32"


def _layer(layer: LayerTensors[Tensor], matrix: Callable[[str, Tensor], Any]) -> Any:
    norms: list[NDArray[np.float32]] = [
        tensor.read() for tensor in (layer.attention_norm, layer.query_norm, layer.key_norm, layer.mlp_norm)
    ]
    return native_module().Layer([matrix(tensor.name, tensor) for tensor in matrices(layer).values()], norms)
