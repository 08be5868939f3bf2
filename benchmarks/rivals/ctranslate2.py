"""CTranslate2 with int8 weights and activations: the head as static prompt, one step, the vocabulary's logits."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from benchmarks.rivals import protocol
from benchmarks.rivals.prompt import Rows
from benchmarks.rivals.weights import linked


class CTranslate2:
    """One document at a time to each worker; with several, of unlike length, its logits are wrong (4.8.5)."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        self.rows, self.threads = Rows(model), threads
        self.generator = ctranslate2.Generator(
            str(prepared),
            device="cpu",
            compute_type=settings["compute_type"],
            inter_threads=threads,
            intra_threads=1,
        )
        self.version = f"ctranslate2 {ctranslate2.__version__}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """Its own converter, given a folder with the tokenizer's configuration that it asks for."""
        source = linked(model, prepared.with_name(f"{prepared.name}-source"), "config.json", "model.safetensors")
        converter = ctranslate2.converters.TransformersConverter(str(source), load_as_float16=False)
        converter.convert(str(prepared), quantization="int8", force=True)
        shutil.rmtree(source)

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """A few documents wait for the workers, so little is left to finish at a time limit."""
        split = self.rows.split(pairs)
        pending: deque[tuple[int, int, Any]] = deque()
        known: list[int] = []
        for place, (head, tail) in enumerate(split):
            computed = len(tail) + (len(head) if head != known else 0)
            pending.append((place, computed, self.submit(head, tail)))
            known = head
            if len(pending) > 4 * self.threads:
                yield self.answer(*pending.popleft())
        while pending:
            yield self.answer(*pending.popleft())

    def submit(self, head: list[int], tail: list[int]) -> Any:
        """One document to score, after a head whose state each worker keeps."""
        (result,) = self.generator.generate_batch(
            [self.words(tail)],
            asynchronous=True,
            static_prompt=self.words(head),
            max_length=1,
            sampling_topk=1,
            include_prompt_in_result=False,
            return_logits_vocab=True,
        )
        return result

    def answer(self, place: int, computed: int, result: Any) -> protocol.Batch:
        """Wait for a document's logits."""
        vocabulary = np.asarray(result.result().logits[0][0])
        return protocol.Batch([place], [vocabulary[self.rows.yes] - vocabulary[self.rows.no]], computed)

    def words(self, ids: list[int]) -> list[str]:
        """Tokens by name, as CTranslate2 takes them."""
        return [self.rows.tokenizer.id_to_token(index) for index in ids]


if __name__ == "__main__":
    protocol.main(CTranslate2)
