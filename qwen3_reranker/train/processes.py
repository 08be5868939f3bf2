"""Several training processes, started by `accelerate launch` or torchrun: shared steps, summed gradients."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from qwen3_reranker.errors import UnavailableError

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Processes:
    """This process, number `rank` of `count`; `state` is accelerate's, None for a single process."""

    rank: int = 0
    count: int = 1
    state: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and shows messages."""
        return self.rank == 0

    def device(self, requested: torch.device) -> torch.device:
        """The device of this process; accelerate gives each its own."""
        return requested if self.state is None else torch.device(self.state.device)

    def add_up(self, weights: Iterable[nn.Parameter]) -> None:
        """Sum the gradients of all processes, in each of them."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        for weight in weights:
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            weight.grad = reduce(gradient, reduction="sum")

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        if self.count == 1:
            return list(values)
        from accelerate.utils import reduce

        summed: Tensor = reduce(torch.tensor(values, dtype=torch.float32, device=self.state.device), reduction="sum")
        return [float(value) for value in summed]

    def gather(self, values: Sequence[T]) -> list[T]:
        """The values of all processes, in the order of rank, in each of them."""
        if self.count == 1:
            return list(values)
        from accelerate.utils import gather_object

        gathered: list[T] = gather_object(list(values))
        return gathered

    def wait(self) -> None:
        """Wait until all processes call this."""
        if self.state is not None:
            self.state.wait_for_everyone()


def join(cpu: bool) -> Processes:
    """The processes of one launcher, or this single one; raises UnavailableError without accelerate."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes()
    if find_spec("accelerate") is None:
        raise UnavailableError('training in several processes needs accelerate: pip install "qwen3_reranker[train]"')
    from accelerate import PartialState

    state = PartialState(cpu=cpu)
    return Processes(state.process_index, state.num_processes, state)
