"""A rerank server in this process with one planted fault, for the doctor's tests.

It writes its prompts as text and tokenizes them with a tokenizer of its own, as servers do; nothing of the doctor's
hypotheses is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from qwen3_reranker import Reranker, plan
from qwen3_reranker.records import Receipt, Row
from testing.local_server import Quiet, serving

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
# The planted fault -> how a prompt ends under it.
SUFFIXES = {
    "no-think-block": "<|im_end|>\n<|im_start|>assistant\n",
    "lost-newline": SUFFIX[:-1],
    "doubled-tail": "<|im_end|>\n" + SUFFIX,
}
CUT = 500


class Model:
    """A checkpoint and its tokenizer, shared by many servers."""

    def __init__(self, reranker: Reranker) -> None:
        self.reranker = reranker
        fields = {**reranker.checkpoint.tokenizer.fields, "post_processor": None}
        self.parsing = Tokenizer.from_str(json.dumps(fields))
        self.literal = Tokenizer.from_str(json.dumps({**fields, "added_tokens": []}))
        self.pad = self.parsing.token_to_id("<|endoftext|>")
        self.turn = Lock()

    def logits(self, rows: list[list[int]], words: tuple[str, str] = ("yes", "no")) -> np.ndarray:
        """The difference of the two words at the end of each row."""
        made = [Row(np.array(ids, dtype=np.int32), (), Receipt(0, 0, 0, 0)) for ids in rows]
        with self.turn:
            hidden = self.reranker.runner.execute(plan.build(made)).hidden_ND
        ids = [self.literal.encode(word, add_special_tokens=False).ids[0] for word in words]
        vectors = self.reranker.checkpoint.head.tensor.rows(np.array(ids, dtype=np.int32))
        return hidden.astype(np.float64) @ (vectors[0] - vectors[1]).astype(np.float64)


class Patient:
    """A server's responses in one dialect with one fault ("" for none); `limit` truncates documents correctly."""

    def __init__(self, model: Model, dialect: str, fault: str = "", limit: int | None = None) -> None:
        self.model, self.dialect, self.fault, self.limit = model, dialect, fault, limit
        self.url = ""

    def answer(self, body: dict[str, Any]) -> Any:
        """The body of a reply; a KeyError for fields of another dialect."""
        query, documents = {
            "cohere": lambda: (body["query"], body["documents"]),
            "tei": lambda: (body["query"], body["texts"]),
            "vllm-score": lambda: (body["text_1"], body["text_2"]),
        }[self.dialect]()
        instruction = body.get("instruction") or INSTRUCTION
        rows = [self.row(query, document, instruction) for document in documents]
        tokens = sum(map(len, rows))
        if self.fault == "batch-dependent":
            longest = max(map(len, rows))
            rows = [[self.model.pad] * (longest - len(row)) + row for row in rows]
        return self.shaped(self.scores(rows).tolist(), tokens)

    def row(self, query: str, document: str, instruction: str) -> list[int]:
        """The token row of one pair."""
        if self.fault == "instruction-ignored":
            instruction = INSTRUCTION
        if self.fault == "other-instruction" and instruction == INSTRUCTION:
            instruction += "."
        line = "\n\n" if self.fault == "double-newlines" else "\n"
        body = f"<Instruct>: {instruction}{line}<Query>: {query}{line}<Document>: {document}"
        suffix = SUFFIXES.get(self.fault, SUFFIX)
        if self.fault == "no-template":
            return self.ids(f"{query}\n{document}")
        if self.fault == "empty-prompt":
            return self.ids(PREFIX + SUFFIX, parse=True)
        if self.fault == "control-tokens-parsed":
            return self.ids(PREFIX + body + suffix, parse=True)
        prefix, middle, ending = self.ids(PREFIX, parse=True), self.ids(body), self.ids(suffix, parse=True)
        if self.limit is not None:
            middle = middle[: self.limit - len(prefix) - len(ending)]
        row = prefix + middle + ending
        return row[:CUT] if self.fault == "suffix-cut" else row

    def ids(self, text: str, parse: bool = False) -> list[int]:
        """Tokens of a text."""
        tokenizer = self.model.parsing if parse else self.model.literal
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    def scores(self, rows: list[list[int]]) -> np.ndarray:
        """What is sent for each row."""
        words = (" yes", " no") if self.fault == "wrong-answer-words" else ("yes", "no")
        logits = self.model.logits(rows, words)
        likely = 1 / (1 + np.exp(-logits))
        if self.fault == "double-sigmoid":
            return 1 / (1 + np.exp(-likely))
        if self.fault == "softmax-over-documents":
            return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        if self.fault == "raw":
            return logits
        other = {"swapped": 1 - likely, "zero-head": np.full_like(likely, 0.5), "generation-head": 1e-23 * likely}
        return other.get(self.fault, likely)

    def shaped(self, scores: list[float], tokens: int) -> Any:
        """The reply in the dialect, with the fault."""
        if self.fault == "not-a-number":
            scores[-1] = float("nan")
        ranked = list(enumerate(scores))
        if self.fault != "results-unsorted" and (self.dialect != "vllm-score" or self.fault == "index-mapping"):
            ranked.sort(key=lambda pair: -pair[1])
        if self.fault == "index-mapping":
            ranked = [(place, score) for place, (_, score) in enumerate(ranked)]
        if self.fault == "response-shape":
            ranked = ranked[:3]
        name = "relevance_score" if self.dialect == "cohere" else "score"
        listed = [{"index": index, name: score} for index, score in ranked]
        if self.dialect == "tei":
            return listed
        if self.dialect == "cohere":
            return {"id": "1", "results": listed, "meta": {"tokens": {"input_tokens": tokens}}}
        return {"object": "list", "data": listed, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


PATHS = {"cohere": ("/v2/rerank", "/v1/rerank"), "tei": ("/rerank",), "vllm-score": ("/score", "/v1/score")}


@contextmanager
def serve(patient: Patient) -> Iterator[Patient]:
    """Serve it on 127.0.0.1 inside the block, at its `url`."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path not in PATHS[patient.dialect]:
                self.reply(404, {"detail": "Not Found"})
                return
            try:
                self.reply(200, patient.answer(json.loads(content)))
            except KeyError as missing:
                self.reply(422, {"error": f"missing field {missing}"})

        def reply(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with serving(Handler) as patient.url:
        yield patient
