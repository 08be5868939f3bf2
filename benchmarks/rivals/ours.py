"""qwen3_reranker itself, run by the Python that runs the benchmark; nothing is kept between calls."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from benchmarks.rivals import protocol
from qwen3_reranker import Reranker, __version__


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
        """All pairs in one call; `rank` where there is one query, as it also says how many tokens were computed."""
        if len(list(groupby(pairs, key=lambda pair: pair[0]))) > 1:
            yield protocol.Batch(range(len(pairs)), self.reranker.logits(pairs).tolist(), None)
            return
        ranking = self.reranker.rank(pairs[0][0], [document for _, document in pairs])
        places = [hit.index for hit in ranking]
        yield protocol.Batch(places, [hit.logit for hit in ranking], ranking.usage.computed_tokens)


if __name__ == "__main__":
    protocol.main(Ours)
