"""OpenVINO without a pipeline: kept keys and values of the head, no logits of all words."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13

from benchmarks.rivals import protocol
from benchmarks.rivals.prompt import Rows
from benchmarks.rivals.weights import yes_no_difference


class OpenVinoDirect:
    """One thread and one document per request, each with the keys and values of its head."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        self.rows = Rows(model)
        self.yes_no_D = yes_no_difference(model)
        core = openvino.Core()
        network = core.read_model(prepared / "openvino_model.xml")
        self.pasts = [put.get_any_name() for put in network.inputs if put.get_any_name().startswith("past_key_values")]
        self.past_shape = [1, network.input(self.pasts[0]).partial_shape[1].get_length(), 0]
        self.past_shape.append(network.input(self.pasts[0]).partial_shape[3].get_length())
        _end_at_last_hidden_state(network)
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "INFERENCE_PRECISION_HINT": settings["hint"],
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": settings["group"],
        }
        compiled = core.compile_model(network, "CPU", options)
        self.idle = [compiled.create_infer_request() for _ in range(threads)]
        self.version = f"openvino {openvino.__version__.split('-')[0]}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """Export the causal model with keys and values as inputs and outputs."""
        from benchmarks.rivals import openvino_export

        openvino_export.causal(model, prepared)

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """Documents in input order; those of one query share one computed head."""
        known: list[int] = []
        past: dict[str, Any] = {}
        busy: deque[tuple[Any, int, int]] = deque()
        for place, (head, tail) in enumerate(self.rows.split(pairs)):
            if not self.idle:
                yield self.answer(*busy.popleft())
            request = self.idle.pop()
            computed = len(tail)
            if head != known:
                past = self.computed_head(request, head)
                known = head
                computed += len(head)
            request.start_async({**_inputs(tail, len(head)), **past})
            busy.append((request, place, computed))
        while busy:
            yield self.answer(*busy.popleft())

    def computed_head(self, request: Any, head: list[int]) -> dict[str, Any]:
        """Keys and values of a head, by the names under which they are put in."""
        nothing = np.zeros(self.past_shape, np.float32)
        request.infer({**_inputs(head, 0), **dict.fromkeys(self.pasts, nothing)})
        values = {name: request.get_tensor(name.replace("past_key_values", "present")).data for name in self.pasts}
        return {name: openvino.Tensor(np.array(value)) for name, value in values.items()}

    def answer(self, request: Any, place: int, computed: int) -> protocol.Batch:
        """Wait for a document's logit."""
        request.wait()
        self.idle.append(request)
        hidden_D = request.get_tensor("logits").data.reshape(-1)
        return protocol.Batch([place], [float(hidden_D @ self.yes_no_D)], computed)


def _inputs(ids: list[int], start: int) -> dict[str, Any]:
    """Tokens that continue a row of `start` tokens."""
    end = start + len(ids)
    return {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, end), np.int64),
        "position_ids": np.arange(start, end, dtype=np.int64)[None],
    }


def _end_at_last_hidden_state(network: openvino.Model) -> None:
    """Make the last position's final hidden state the output, instead of logits of all words."""
    logits = network.output("logits").get_node()
    product = logits.input_value(0).get_node()
    while product.get_type_name() != "MatMul":
        product = product.input_value(0).get_node()
    numbers = [opset13.constant(np.array([number], np.int64)) for number in (-1, np.iinfo(np.int64).max, 1, 1)]
    last = opset13.slice(product.input_value(0), *numbers)
    logits.input(0).replace_source_output(last.output(0))
    network.validate_nodes_and_infer_types()


if __name__ == "__main__":
    protocol.main(OpenVinoDirect)
