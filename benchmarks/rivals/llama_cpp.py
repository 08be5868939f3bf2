"""llama.cpp with Q8_0 weights: token ids in, logits of each row's last token out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp

from benchmarks.rivals import gguf_file, protocol
from benchmarks.rivals.prompt import Rows

MOST_CELLS = 9216
MOST_SEQUENCES = 64
MOST_TOKENS = 512


class Piece(NamedTuple):
    """Token ids that continue a sequence at a position."""

    sequence: int
    position: int
    ids: list[int]


class LlamaCpp:
    """`share` keeps the head's keys and values and copies them to each document, which its server does not do."""

    def __init__(self, model: Path, prepared: Path, threads: int, settings: protocol.Settings) -> None:
        told: list[bytes] = []
        self.listener = llama_cpp.llama_log_callback(lambda level, text, data: told.append(text))
        llama_cpp.llama_log_set(self.listener, None)
        llama_cpp.llama_backend_init()
        model_options = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(prepared / "q8_0.gguf").encode(), model_options)
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = MOST_CELLS
        options.n_batch = options.n_ubatch = MOST_TOKENS
        options.n_seq_max = MOST_SEQUENCES
        options.n_threads = options.n_threads_batch = threads
        # With embeddings on, it makes the logits of all words at every position, most of which nobody reads.
        options.embeddings = False
        options.kv_unified = True
        options.no_perf = True
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.context:
            raise RuntimeError("llama.cpp could not make a context")
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch: Any = llama_cpp.llama_batch_init(MOST_TOKENS, 0, 1)
        self.rows = Rows(model)
        amx = "with" if any(b"AMX model buffer" in text for text in told) else "without"
        self.version = f"llama-cpp-python {llama_cpp.__version__}, {amx} AMX"

    @staticmethod
    def prepare(model: Path, prepared: Path) -> None:
        """The GGUF file."""
        prepared.mkdir(parents=True, exist_ok=True)
        gguf_file.write(model, prepared / "q8_0.gguf")

    def run(self, pairs: list[protocol.Pair], settings: protocol.Settings) -> Iterator[protocol.Batch]:
        """Documents packed without padding into calls of at most `batch_tokens` tokens."""
        split = self.rows.split(pairs)
        if not settings["share"]:
            split = [([], head + tail) for head, tail in split]
        known: list[int] | None = None
        for places in _packed([len(tail) for _, tail in split], [head for head, _ in split], settings["batch_tokens"]):
            head = split[places[0]][0]
            computed = sum(len(split[place][1]) for place in places)
            if head != known:
                llama_cpp.llama_memory_clear(self.memory, False)
                if head:
                    self.decode([Piece(0, 0, head)])
                    computed += len(head)
                known = head
            yield protocol.Batch(places, self.score(len(head), [split[place][1] for place in places]), computed)

    def score(self, start: int, tails: Sequence[list[int]]) -> list[float]:
        """Logits of rows that continue sequence 0 after `start` tokens."""
        for sequence in range(1, len(tails) + 1):
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, -1, -1)
            if start:
                llama_cpp.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        logits = self.decode([Piece(sequence + 1, start, ids) for sequence, ids in enumerate(tails)])
        for sequence in range(1, len(tails) + 1):
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, -1, -1)
        return logits

    def decode(self, pieces: Sequence[Piece]) -> list[float]:
        """yes - no after each piece's last token; a piece longer than a batch goes in several."""
        last: dict[int, float] = {}
        tokens = [
            (piece.sequence, piece.position + offset, token, offset == len(piece.ids) - 1)
            for piece in pieces
            for offset, token in enumerate(piece.ids)
        ]
        for begin in range(0, len(tokens), MOST_TOKENS):
            chunk = tokens[begin : begin + MOST_TOKENS]
            for place, (sequence, position, token, ends) in enumerate(chunk):
                self.batch.token[place], self.batch.pos[place] = token, position
                self.batch.n_seq_id[place], self.batch.seq_id[place][0] = 1, sequence
                self.batch.logits[place] = ends
            self.batch.n_tokens = len(chunk)
            if llama_cpp.llama_decode(self.context, self.batch) != 0:
                raise RuntimeError("llama.cpp found no room for a batch")
            for place, (sequence, _, _, ends) in enumerate(chunk):
                if ends:
                    words = llama_cpp.llama_get_logits_ith(self.context, place)
                    last[sequence] = words[self.rows.yes] - words[self.rows.no]
        return [last[piece.sequence] for piece in pieces]


def _packed(lengths: list[int], heads: list[list[int]], most_tokens: int) -> Iterator[list[int]]:
    """Places in input order, those with one head together, as many as fit."""
    places: list[int] = []
    for place, length in enumerate(lengths):
        total = sum(lengths[other] for other in places) + length
        full = total > most_tokens or len(places) == MOST_SEQUENCES - 1
        if places and (full or heads[place] != heads[places[0]]):
            yield places
            places = []
        places.append(place)
    yield places


if __name__ == "__main__":
    protocol.main(LlamaCpp)
