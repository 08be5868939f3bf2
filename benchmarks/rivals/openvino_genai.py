"""OpenVINO GenAI's TextRerankPipeline: 8-bit weights, activations quantised in groups as it runs, padded batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import openvino_genai

from benchmarks.rivals import protocol
from benchmarks.rivals.prompt import Rows, head_text, tail_text


class OpenVinoGenai:
    """`rerank` joins a query and a document, so it gets the prompt in two parts; `batch` documents a call."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        self.rows = Rows(model)
        self.pipeline = openvino_genai.TextRerankPipeline(
            str(prepared),
            "CPU",
            top_n=1000,
            max_length=8192,
            padding_side="left",
            INFERENCE_NUM_THREADS=threads,
            INFERENCE_PRECISION_HINT="f32",
            DYNAMIC_QUANTIZATION_GROUP_SIZE=settings["group"],
        )
        self.version = f"openvino-genai {openvino_genai.__version__.split('-')[0]}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """Export the classifier form, whose graph holds one output in place of the words' logits."""
        from benchmarks.rivals import openvino_export

        openvino_export.classifier(model, prepared)

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """Documents of like length together."""
        lengths = [len(row) for row in self.rows.rows(pairs)]
        start = 0
        for query, group in groupby(pairs, key=lambda pair: pair[0]):
            documents = [document for _, document in group]
            own = lengths[start : start + len(documents)]
            for places in protocol.sorted_batches(own, settings["batch"]):
                tails = [tail_text(documents[place]) for place in places]
                scores = dict(self.pipeline.rerank(head_text(query), tails))
                logits = [math.log(scores[place] / (1 - scores[place])) for place in range(len(places))]
                computed = len(places) * max(own[place] for place in places)
                yield protocol.Batch([start + place for place in places], logits, computed)
            start += len(documents)


if __name__ == "__main__":
    protocol.main(OpenVinoGenai)
