"""The model card's transformers code in float32: padded batches, the yes and no logits of the last position."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from benchmarks.rivals import protocol
from benchmarks.rivals.prompt import Rows

PAD = 151_643


class ModelCard:
    """`all_logits` computes the logits of every position, as published; without it, only of the last one."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        torch.set_num_threads(threads)
        self.rows = Rows(model)
        self.model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.model.eval()
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """Nothing: the checkpoint is read as it is."""

    @torch.inference_mode()
    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """Rows of like length share a batch, so that little is padded."""
        rows = self.rows.rows(pairs)
        keep = {} if settings["all_logits"] else {"logits_to_keep": 1}
        for places in protocol.sorted_batches([len(row) for row in rows], settings["batch"], settings["most_tokens"]):
            width = max(len(rows[place]) for place in places)
            ids = torch.tensor([[PAD] * (width - len(rows[place])) + rows[place] for place in places])
            mask = torch.tensor([[0] * (width - len(rows[place])) + [1] * len(rows[place]) for place in places])
            last = self.model(input_ids=ids, attention_mask=mask, **keep).logits[:, -1, :]
            logits = last[:, self.rows.yes] - last[:, self.rows.no]
            yield protocol.Batch(places, logits.tolist(), width * len(places))


if __name__ == "__main__":
    protocol.main(ModelCard)
