"""What the parts of benchmarks.gpu share: shapes, random networks on the device, workloads, timing, and the table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import TextIO

import numpy as np
import torch

from benchmarks.core import LARGE_SHAPES, LAYERS_0_6B, SHAPE_0_6B
from qwen3_reranker import plan
from qwen3_reranker.backends.torch import Qwen3ForPooling, TorchBackend
from qwen3_reranker.backends.torch.devices import choose_attention
from qwen3_reranker.backends.torch.qwen3 import Qwen3RMSNorm
from qwen3_reranker.backends.torch.weights import merge_projections
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.plan import Plan
from qwen3_reranker.records import Receipt, Row

SHAPES = {"0.6B": {**SHAPE_0_6B, "num_hidden_layers": LAYERS_0_6B}, **LARGE_SHAPES}
#: Queries, documents of each, tokens of a document.
WORKLOADS = {
    "1 x 100 x 120": (1, 100, 120),
    "1 x 100 x 41": (1, 100, 41),
    "1 x 100 x 512": (1, 100, 512),
    "1 x 1000 x 30": (1, 1000, 30),
    "16 x 100 x 120": (16, 100, 120),
    "one pair of 120": (1, 1, 120),
    "one pair of 32,000": (1, 1, 32_000),
}
PREFIX, HEAD, SUFFIX = 39, 31, 9


class Bench:
    """What the parts share: the device, the sizes asked for, and where rows go."""

    def __init__(self, options: argparse.Namespace, out: TextIO | None) -> None:
        self.device = torch.device(options.device)
        self.layers: int | None = options.layers
        self.scale: float = options.scale
        self.rounds: int = options.rounds
        self.peak: float | None = None
        self._out = out

    def say(self, line: str = "") -> None:
        """Print a line, and keep it at once: a run that is cut off leaves what it has."""
        for stream in filter(None, (sys.stdout, self._out)):
            print(line, file=stream, flush=True)

    def table(self, *heads: str) -> None:
        """The head of a table."""
        self.say(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")

    def row(self, *cells: str) -> None:
        """A row of a table."""
        self.say(f"| {' | '.join(cells)} |")

    def config(self, name: str) -> ModelConfig:
        """The shape of a model, with fewer layers and words in a rehearsal."""
        shape = {key: value for key, value in SHAPES[name].items() if key != "tied"}
        if self.layers:
            shape |= {"num_hidden_layers": self.layers, "vocab_size": 8_000}
        return ModelConfig(
            **shape, max_position_embeddings=40_960, rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=True
        )

    def plan(self, name: str, config: ModelConfig) -> Plan:
        """The plan of a workload of random tokens; equal calls give equal plans."""
        queries, count, tokens = WORKLOADS[name]
        random = np.random.default_rng(tokens)
        count, tokens = max(1, round(count * self.scale)), max(2, round(tokens * min(1, 4 * self.scale)))

        def some(length: int) -> np.ndarray:
            return random.integers(0, config.vocab_size, length, dtype=np.int32)

        prefix, suffix = some(PREFIX), some(SUFFIX)
        rows = []
        for _ in range(queries):
            head = np.concatenate((prefix, some(HEAD)))
            boundaries = (len(prefix), len(head))
            rows += [
                Row(np.concatenate((head, some(tokens), suffix)), boundaries, Receipt(tokens, tokens, 0, 0))
                for _ in range(count)
            ]
        return plan.build(rows)

    def network(
        self, config: ModelConfig, dtype: torch.dtype = torch.bfloat16, spread: float = 0.02
    ) -> Qwen3ForPooling:
        """A random network made on the device, merged as a loaded one is; the same weights at every call."""
        with torch.device("meta"):
            network = Qwen3ForPooling(config, dtype)
        inv_freq_E = network.inv_freq_E
        network = network.to(dtype).to_empty(device=self.device).requires_grad_(False)
        network.inv_freq_E = inv_freq_E.to(self.device)
        for module in network.modules():
            if isinstance(module, Qwen3RMSNorm):  # as loaded ones are
                module.float()
        generator = torch.Generator(self.device).manual_seed(0)
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.fill_(1)
            else:
                # Rounded to bfloat16 in every precision, so that an oracle in float32 has the same weights.
                values = torch.randn(parameter.shape, generator=generator, device=self.device, dtype=torch.bfloat16)
                parameter.copy_(values.mul_(spread))
        layers = list(network.model.each_layer())
        for layer in layers:
            merge_projections(layer, last=layer is layers[-1])
        return network

    def backend(self, network: Qwen3ForPooling, kernel: str | None = None, graphs: bool = False) -> TorchBackend:
        """A backend that computes everything anew at every call."""
        kernel = kernel or choose_attention(self.device, network.dtype)
        return TorchBackend(network, max_batch_tokens=16_384, prefix_cache_tokens=0, kernel=kernel, graphs=graphs)

    def times(self, runs: dict[str, Callable[[], object]], rounds: int | None = None) -> dict[str, float]:
        """Median seconds of each, in turns, after three turns that warm up (compile, choose, record)."""
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(-3, rounds or self.rounds):
            for name, run in runs.items():
                self.wait()
                start = time.perf_counter()
                run()
                self.wait()
                if number >= 0:
                    taken[name].append(time.perf_counter() - start)
        return {name: median(some) for name, some in taken.items()}

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def share(self, operations: float, seconds: float) -> str:
        """Operations a second, and as a share of the measured peak where that is known."""
        rate = operations / seconds / 1e12
        return f"{rate:,.1f}" if self.peak is None else f"{rate:,.1f} ({rate / self.peak:.0%})"


def operations(tree: Plan, config: ModelConfig) -> float:
    """Useful multiplications and additions: those of the tree, the last layer for the ends of rows alone."""
    lengths = np.diff(tree.starts_S1).astype(np.float64)
    seen = float((lengths * (tree.offsets_S + (lengths + 1) / 2)).sum())
    ends = np.unique(tree.leaves_N)
    last_seen = float((tree.offsets_S + lengths)[np.unique(tree.ends())].sum())
    layers, a_layer = config.num_hidden_layers, config.num_linear_parameters / config.num_hidden_layers
    keys_values = 2 * config.hidden_size * config.num_key_value_heads * config.head_dim
    linear = (layers - 1) * a_layer * tree.num_tokens + keys_values * tree.num_tokens
    linear += (a_layer - keys_values) * len(ends)
    mixing = 2 * config.num_attention_heads * config.head_dim * ((layers - 1) * seen + last_seen)
    return 2 * (linear + mixing)
