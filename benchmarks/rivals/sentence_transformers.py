"""sentence-transformers' CrossEncoder, with the chat template that it needs for a causal-LM checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import sentence_transformers
import torch
from sentence_transformers import CrossEncoder

from benchmarks.rivals import protocol
from benchmarks.rivals.prompt import INSTRUCTION, PREFIX, SUFFIX, Rows
from benchmarks.rivals.weights import linked

TEMPLATE = (
    PREFIX
    + "<Instruct>: {{ messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first }}\n"
    + "<Query>: {{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}\n"
    + "<Document>: {{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}"
    + SUFFIX
    # Jinja drops one newline at the end of a template.
    + "\n"
)


class SentenceTransformers:
    """`batch` is the size of a batch; `predict` sorts by length, and so does the cut into calls of one batch each."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        torch.set_num_threads(threads)
        self.rows = Rows(model)
        self.model = CrossEncoder(
            str(prepared),
            device="cpu",
            activation_fn=torch.nn.Identity(),
            model_kwargs={"dtype": settings["dtype"]},
            prompts={"rerank": INSTRUCTION},
            default_prompt_name="rerank",
            local_files_only=True,
        )
        self.version = f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """A folder with the same weights beside a tokenizer's configuration and the chat template."""
        linked(model, prepared, "config.json", "model.safetensors")
        (prepared / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """One `predict` a batch, so that a time limit can fall between two."""
        lengths = [len(row) for row in self.rows.rows(pairs)]
        for places in protocol.sorted_batches(lengths, settings["batch"]):
            logits = self.model.predict(
                [pairs[place] for place in places], batch_size=len(places), show_progress_bar=False
            )
            yield protocol.Batch(places, logits.tolist(), len(places) * max(lengths[place] for place in places))


if __name__ == "__main__":
    protocol.main(SentenceTransformers)
