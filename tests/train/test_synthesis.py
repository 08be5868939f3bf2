"""Queries come from whoever answers at the endpoint: two questions a passage, filtered, resumed."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.errors import InputError
from qwen3_reranker.train.chat import Chat, ChatError
from qwen3_reranker.train.example_file import read_examples
from qwen3_reranker.train.synthesis import synthesise
from qwen3_reranker.train.synthesis_options import SynthesisOptions
from testing.local_server import Quiet, serving

PASSAGES = [f"Passage {n}: the river {word} near the harbour." for n, word in enumerate(["sings", "turns", "burns"])]


class Writer(Quiet, BaseHTTPRequestHandler):
    """Answers as a language model would: with thoughts around its JSON."""

    asked: list[dict[str, Any]]
    failures: int = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
        if type(self).failures:
            type(self).failures -= 1
            self.send_error(503)
            return
        question = body["messages"][0]["content"]
        if "Question_Type" in question:
            chosen = {"Character": "a farmer", "Question_Type": "keywords", "Difficulty": "phd"}
            content = f"<think>a {{nurse}}</think>Sure: {json.dumps(chosen)}"
        else:
            passage = next(line for line in question.splitlines() if line.startswith("Passage "))
            content = json.dumps({"query": f"which river in {passage[:9]}"})
        answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def writer() -> Iterator[tuple[type[Writer], str]]:
    class Own(Writer):
        asked: list[dict[str, Any]] = []  # noqa: RUF012 - a handler is made anew for each request

    with serving(Own) as address:
        yield Own, f"{address}/v1"


def test_each_passage_is_asked_about_twice_and_becomes_an_example(
    tmp_path: Path, writer: tuple[type[Writer], str]
) -> None:
    handler, address = writer
    chat = Chat(address, "some-model", api_key="secret")
    options = SynthesisOptions(languages="Thai", lengths="12", personas=("a farmer", "a nurse"))
    found = synthesise(PASSAGES, chat, tmp_path / "new.jsonl", options)
    assert (found.passages, found.kept, found.unusable, found.dropped) == (3, 3, 0, 0)
    examples = read_examples(tmp_path / "new.jsonl")
    assert [each.positives for each in examples] == [(text,) for text in PASSAGES]
    assert [each.query for each in examples] == [f"which river in Passage {n}" for n in range(3)]
    assert {each.source for each in examples} == {"synthetic keywords phd"}
    first, second = handler.asked[:2]
    assert (len(handler.asked), first["path"], first["key"]) == (6, "/v1/chat/completions", "Bearer secret")
    assert "a farmer; a nurse" in first["messages"][0]["content"] or "a nurse; a farmer" in str(first)
    for wish in ("You are a farmer", "search keywords", "phd", "about 12 words", "written in Thai", PASSAGES[0]):
        assert wish in second["messages"][0]["content"]


def test_an_interrupted_file_is_finished_and_never_written_over(
    tmp_path: Path, writer: tuple[type[Writer], str]
) -> None:
    handler, address = writer
    chat, path = Chat(address, "m"), tmp_path / "new.jsonl"
    synthesise(PASSAGES[:2], chat, path)
    with pytest.raises(InputError, match="--resume"):
        synthesise(PASSAGES, chat, path)
    found = synthesise(PASSAGES, chat, path, resume=True)
    assert found.passages == 1
    assert len(read_examples(path)) == 3
    assert len(handler.asked) == 6


def test_a_judge_drops_what_the_passage_does_not_answer(tmp_path: Path, writer: tuple[type[Writer], str]) -> None:
    with Reranker("nano") as nano:
        pairs = [(f"which river in Passage {n}", text) for n, text in enumerate(PASSAGES)]
        probabilities = sorted(nano.probabilities(pairs).tolist())
        least = (probabilities[0] + probabilities[1]) / 2
        found = synthesise(PASSAGES, Chat(writer[1], "m"), tmp_path / "new.jsonl", SynthesisOptions(least=least), nano)
    assert (found.kept, found.dropped) == (2, 1)


def test_a_busy_server_is_asked_again(tmp_path: Path, writer: tuple[type[Writer], str]) -> None:
    writer[0].failures = 1
    assert synthesise(PASSAGES[:1], Chat(writer[1], "m"), tmp_path / "new.jsonl").kept == 1


def test_what_answers_nothing_usable_ends_the_work_with_its_answer(tmp_path: Path) -> None:
    class Parrot(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps({"choices": [{"message": {"content": "I cannot help with that."}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with serving(Parrot) as address, pytest.raises(ChatError, match="I cannot help"):
        synthesise(PASSAGES * 5, Chat(address, "m"), tmp_path / "new.jsonl")
    with serving(Quiet404) as address, pytest.raises(ChatError, match="status 404"):
        synthesise(PASSAGES, Chat(address, "m"), tmp_path / "other.jsonl")
    with pytest.raises(InputError, match="must be an address"):
        Chat("localhost:8000", "m")


class Quiet404(Quiet, BaseHTTPRequestHandler):
    """Knows no route."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(404)
