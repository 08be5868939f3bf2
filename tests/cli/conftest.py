"""A model small enough that every command answers at once, and the command line run inside the test's process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from qwen3_reranker.cli import main
from testing.checkpoints import write_checkpoint

_CONTROL_TOKENS = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def hits(self) -> list[dict[str, object]]:
        """The hits of `--format jsonl`."""
        return [json.loads(line) for line in self.out.split("\n")[:-1]]


Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random model whose words are single bytes, yes and no."""
    folder = tmp_path_factory.mktemp("model")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, "ye", "yes", "no"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("y", "e"), ("ye", "s"), ("n", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_CONTROL_TOKENS))
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(write_checkpoint(folder, vocab_size=320, initializer_range=0.2))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `qwen3-reranker ARGUMENTS` here, with these bytes on standard input."""

    def command(*arguments: str, stdin: bytes = b"") -> Outcome:
        with io.TextIOWrapper(io.BytesIO(stdin)) as given:
            monkeypatch.setattr("sys.stdin", given)
            code = main(arguments)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package_path: None) -> Path:
    """The folder in which commands run; it holds a file of three documents."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("first note\n\nsecond note\nthird note\n", encoding="utf-8")
    return tmp_path
