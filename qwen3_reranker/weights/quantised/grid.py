"""Scales or zeros of a matrix, its rows, groups or blocks, spread over the inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker.weights.encodings import Floats
from qwen3_reranker.weights.quantised.numbers import number_rows
from qwen3_reranker.weights.quantised.parts import Indices, Parts
from qwen3_reranker.weights.tensor import StoredTensor


@dataclass(frozen=True, slots=True)
class Grid:
    """A number for each block of `height` rows and `width` inputs, the last ones perhaps smaller."""

    numbers: StoredTensor
    height: int
    width: int

    def rows(self, indices: Indices, inputs: int, groups: NDArray[np.integer[Any]] | None = None) -> Floats:
        """The number of each input in those rows, (R, I). `groups` names inputs' columns where they have no order."""
        taken = number_rows(self.numbers, indices // self.height)
        if groups is not None:
            return taken[:, groups]
        return np.repeat(taken, self.width, axis=1)[:, :inputs]


def grid(parts: Parts, suffix: str, dtypes: tuple[str, ...], blocks: tuple[tuple[int, int], ...] = ()) -> Grid:
    """The part, whose shape says what its numbers are for. `blocks` are those that the configuration names.

    Raises CheckpointError naming the part where its shape is none of these.
    """
    (outputs, inputs), stored = parts.shape, parts.shape_of(suffix)
    part = parts.one(suffix, dtypes, stored)
    if math.prod(stored) == 1:
        return Grid(replace(part, shape=(1, 1)), outputs, inputs)
    for height, width in blocks:
        if stored == (-(-outputs // height), -(-inputs // width)):
            return Grid(part, height, width)
    if stored == (outputs,):
        return Grid(replace(part, shape=(outputs, 1)), 1, inputs)
    groups = parts.groups(suffix, 1)
    return Grid(parts.one(suffix, dtypes, (outputs, groups)), 1, inputs // groups)


def beside(parts: Parts, suffix: str, dtypes: tuple[str, ...], other: Grid) -> Grid:
    """A part with a number for each place of the other grid. Raises CheckpointError where its shape is another."""
    rows, columns = other.numbers.shape
    flat = ((), (1,)) if rows == columns == 1 else ((rows,),) if columns == 1 else ()
    return replace(other, numbers=replace(parts.one(suffix, dtypes, (rows, columns), *flat), shape=(rows, columns)))
