"""Tiny training data, made up here: the tests need no files from outside the repository."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from recipes.nano import data, synthetic, tokenizer
from recipes.nano.cache import Cache, build
from tests.train.tuning import WORDS

DEEDS = ["grows", "shines", "breaks", "turns", "freezes", "sings", "burns", "moves", "sleeps", "opens"]


def _passage(rng: random.Random) -> str:
    sentences = [f"The {rng.choice(WORDS)} {rng.choice(DEEDS)} near number {rng.randrange(1000)}." for _ in range(5)]
    return " ".join(sentences)


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources: one of passages with labelled negatives, one of short texts without, two answers to each query."""
    folder, rng = tmp_path_factory.mktemp("pairs"), random.Random(5)
    for source in ("long", "short"):
        lines = []
        for number in range(150):
            passage = _passage(rng)
            question = f"Which thing is near {passage.split()[5]} in text {number}?"
            record: dict[str, Any] = {
                "query": question if source == "long" else f"Which thing is in text {number // 2}?",
                "pos": [passage if source == "long" else f"text {number} {rng.choice(WORDS)}"],
                "neg": [_passage(rng) for _ in range(3)] if source == "long" else [],
                "lang": "en",
                "source": source,
                "instruction": f"Given a question, retrieve the {source} text",
            }
            lines.append(json.dumps(record))
        (folder / f"{source}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def records(pairs_folder: Path) -> list[data.Record]:
    """The labelled records."""
    return list(data.read(pairs_folder))


@pytest.fixture(scope="session")
def tokenizer_fields(records: list[data.Record]) -> dict[str, Any]:
    """A tokenizer of 400 base entries."""
    return tokenizer.train(tokenizer.sample(records, 1, 100_000), 400)


@pytest.fixture(scope="session")
def cache(records: list[data.Record], tokenizer_fields: dict[str, Any]) -> Cache:
    """Labelled and synthetic records as tokens."""
    return build([*records, *synthetic.records(records, 1, 100)], tokenizer.literal(tokenizer_fields))
