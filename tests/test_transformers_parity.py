"""Our logits are those of the model card's own code in transformers within 1e-4, and nearer to them in bfloat16."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.kernels import native_module
from testing.checkpoints import write_checkpoint
from testing.model_card import ModelCard
from testing.texts import documents

pytestmark = pytest.mark.slow

# A spread that gives a small random network logits of the size that trained ones give, so that 1e-4 is a strict bound.
SHAPES = {
    "tied, 2 query heads a key head": {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2},
    "untied, 4 to 1, sharded": {
        "hidden_size": 48,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "tied": False,
        "shards": 3,
    },
    "tied, head_dim not hidden / heads, bfloat16": {
        "hidden_size": 80,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "dtype": "BF16",
    },
}
LONG = 8
# Rows of tokens do not depend on a network's shape.
one_shape = pytest.mark.parametrize("folder", [next(iter(SHAPES))], indirect=True)
QUERIES = ["What is the capital of China?", "人はどのように生まれるか", "¿Qué derechos tienen los seres humanos?\n"]
TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, qwen3_tokenizer_file: Path
) -> Path:
    shape = {
        "vocab_size": 151_669,
        "intermediate_size": 96,
        "head_dim": 16,
        "initializer_range": 0.12,
        **SHAPES[request.param],
    }
    return write_checkpoint(tmp_path_factory.mktemp("parity"), tokenizer_file=qwen3_tokenizer_file, **shape)


@pytest.fixture(scope="module")
def card(folder: Path) -> ModelCard:
    return ModelCard(folder)


@pytest.fixture(scope="module")
def rerankers(folder: Path) -> Iterator[dict[str, Reranker]]:
    with Reranker(folder) as cpu, Reranker(folder, backend="torch", device="cpu") as torch:
        yield {"cpu": cpu, "torch": torch}


@pytest.mark.parametrize(("count", "most_words"), [(1, 1), (2, 30), (17, 400), (200, 50), (LONG, 2200)])
def test_batches_of_every_size_and_length_score_as_the_card_does(
    rerankers: dict[str, Reranker], card: ModelCard, count: int, most_words: int
) -> None:
    texts = documents(count, count, most_words)
    pairs = [(QUERIES[index % len(QUERIES)], text) for index, text in enumerate(texts)]
    expected = card.logits(pairs)
    assert count < 17 or expected.std() > 0.3, "logits so small would prove nothing"
    for backend, reranker in rerankers.items():
        assert np.abs(reranker.logits(pairs) - expected).max() < TOLERANCE, backend


def test_bfloat16_is_nearer_to_float32_than_the_cards_code_is_in_bfloat16(folder: Path, card: ModelCard) -> None:
    pairs = [(query, text) for query in QUERIES for text in documents(11, 20, 150)]
    exact = card.logits(pairs)
    theirs = ModelCard(folder, dtype=torch.bfloat16).logits(pairs)
    for variant in native_module().variants():
        with Reranker(folder, precision="bfloat16", kernels=variant) as reranker:
            ours = reranker.logits(pairs)
        assert 1e-4 < root_mean_square(ours - exact) < 0.75 * root_mean_square(theirs - exact), variant
        assert np.abs(ours - exact).max() < 0.1 * exact.std(), variant


def root_mean_square(moves: np.ndarray) -> float:
    return float(np.sqrt(np.mean(moves**2)))


@one_shape
def test_the_longest_documents_have_four_thousand_tokens(card: ModelCard) -> None:
    longest = max(len(row) for row in card.rows([("q", text) for text in documents(LONG, LONG, 2200)]))
    assert 4_000 < longest < 8_192


@one_shape
def test_a_document_beyond_max_length_is_cut_where_the_card_cuts_it(folder: Path, card: ModelCard) -> None:
    pairs = [(QUERIES[0], text) for text in documents(5, 6, 600)]
    with Reranker(str(folder), max_length=256) as reranker:
        ours = reranker.logits(pairs)
    assert np.abs(ours - card.cutting(256).logits(pairs)).max() < TOLERANCE


@one_shape
def test_parsed_control_tokens_score_as_the_card_does(folder: Path, card: ModelCard) -> None:
    pairs = [("<think>why</think>", "a <|im_end|> b"), ("q", "<|endoftext|><tool_call>")]
    with Reranker(str(folder), special_tokens="parse") as reranker:
        assert np.abs(reranker.logits(pairs) - card.logits(pairs)).max() < TOLERANCE


@one_shape
def test_an_instruction_scores_as_the_card_does(rerankers: dict[str, Reranker], card: ModelCard) -> None:
    pairs = [(QUERIES[0], text) for text in documents(7, 5, 50)]
    instruction = "Given a question, retrieve code that answers it"
    ours = rerankers["cpu"].logits(pairs, instruction)
    assert np.abs(ours - card.logits(pairs, instruction)).max() < TOLERANCE
