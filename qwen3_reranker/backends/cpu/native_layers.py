"""Checkpoint tensors -> layers that the native kernels run: matrices as they lie on disk, or 8-bit panels of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.backends.cpu.kernels import native_module
from qwen3_reranker.weights import Checkpoint, LayerTensors, Source, Tensor

if TYPE_CHECKING:
    from qwen3_reranker.backends.cpu.panels import Panels

# The kernels' numbers for how a checkpoint stores a number.
STORAGE = {"BF16": 0, "F16": 1, "F32": 2}


class Layers:
    """The kernels' layers, and the checkpoint's files that they read from while they run.

    With `keep` false a layer is made anew each time that it is asked for.
    """

    def __init__(self, makers: Sequence[Callable[[], Any]], files: set[Source], keep: bool = True) -> None:
        self._layers = [make() for make in makers] if keep else []
        self._makers = [] if keep else list(makers)
        self._files = files

    def __getitem__(self, index: int) -> Any:
        return self._makers[index]() if self._makers else self._layers[index]

    def check_files(self) -> None:
        """Raise CheckpointError for a file that was cut: reading behind its end would end the process."""
        for source in self._files:
            source.mapped()

    def clear(self) -> None:
        """Drop the layers."""
        self._makers.clear()
        self._layers.clear()


def stored_layers(checkpoint: Checkpoint, keep: bool = True) -> Layers:
    """Layers that multiply in float32 by the weights as the files hold them, widened where they are needed.

    Matrices that lie in blocks are read into memory as float32: those of all layers, or with `keep` false of one.
    """
    tensors = [checkpoint.layer(index) for index in range(checkpoint.config.num_hidden_layers)]
    makers = [partial(_layer, layer, lambda _, tensor: stored_matrix(tensor)) for layer in tensors]
    used = [tensor for layer in tensors for tensor in matrices(layer).values()]
    mapped = [tensor for tensor in used if tensor.is_plain]
    return Layers(makers, {tensor.source for tensor in mapped}, keep or len(mapped) == len(used))


def panel_layers(checkpoint: Checkpoint, panels: Panels, digits: int) -> Layers:
    """Layers that multiply in 8 bits; activations have one digit of 8 bits, or two."""

    def matrix(name: str, tensor: Tensor) -> Any:
        outputs, inputs = tensor.shape
        return native_module().panel_matrix(*panels.of(name), outputs, inputs, panels.group, digits)

    indices = range(checkpoint.config.num_hidden_layers)
    return Layers([partial(_layer, checkpoint.layer(index), matrix) for index in indices], set())


def matrices(layer: LayerTensors[Tensor]) -> dict[str, Tensor]:
    """The seven matrices of a layer by our names, in the order that the kernels take them."""
    names = ("query", "key", "value", "output", "gate", "up", "down")
    return {name: getattr(layer, name) for name in names}


def stored_matrix(tensor: Tensor) -> Any:
    """A matrix that the kernels read where the file holds it; one that lies in blocks as float32 in memory."""
    outputs, inputs = tensor.shape
    if tensor.is_plain:
        return native_module().stored_matrix(tensor.stored(), STORAGE[tensor.dtype], outputs, inputs)
    values = tensor.read().reshape(-1).view(np.uint8)
    return native_module().stored_matrix(values, STORAGE["F32"], outputs, inputs)


def _layer(layer: LayerTensors[Tensor], matrix: Callable[[str, Tensor], Any]) -> Any:
    norms: list[NDArray[np.float32]] = [
        tensor.read() for tensor in (layer.attention_norm, layer.query_norm, layer.key_norm, layer.mlp_norm)
    ]
    return native_module().Layer([matrix(tensor.name, tensor) for tensor in matrices(layer).values()], norms)
