"""qwen3_reranker itself, run by the Python that runs the benchmark; nothing is kept between calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.rivals import protocol
from qwen3_reranker import Reranker, __version__
from qwen3_reranker.backends.cpu import CpuBackend


class Ours:
    """`precision` is the setting that matters; every other setting is an option of `Reranker`, too."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        options = {"prefix_cache_tokens": 0, "num_threads": threads, **settings}
        self.reranker = Reranker(str(model), **options)
        self.version = f"qwen3_reranker {__version__}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """Nothing: the checkpoint is read as it is."""

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """All pairs in one call."""
        backend = self.reranker.runner.backend
        assert isinstance(backend, CpuBackend)
        before = backend.computed_tokens
        logits = self.reranker.logits(pairs).tolist()
        yield protocol.Batch(range(len(pairs)), logits, backend.computed_tokens - before)


if __name__ == "__main__":
    protocol.main(Ours)
