"""The model that ships: small enough, what its recipe says it is, loadable by us and by stock transformers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from recipes.nano import export
from testing.model_card import ModelCard

NANO = Path(__file__).parents[3] / "qwen3_reranker" / "weights" / "bundled" / "nano"
QUERY = "How do I delete a file?"
DOCUMENTS = ["Use rm to delete a file.", "The capital of France is Paris.", "Delete the file with the command rm."]


def test_it_takes_at_most_16_megabytes() -> None:
    assert sum(path.stat().st_size for path in NANO.iterdir()) <= 16_000_000


def test_its_files_are_those_of_its_recipe() -> None:
    recipe = json.loads((NANO / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["fingerprint"] == export.fingerprint(NANO)


def test_its_card_says_what_it_is_for_and_what_it_learned_from() -> None:
    card = (NANO / "README.md").read_text(encoding="utf-8")
    assert "for trying, testing and teaching, not for production" in card
    recipe = json.loads((NANO / "recipe.json").read_text(encoding="utf-8"))
    for source in {re.sub(r"(-\d+)?\.jsonl(\.xz)?$", "", name) for name in recipe["data_sha256"]}:
        assert f"| {source} |" in card
    assert recipe["fingerprint"][:16] in card


def test_it_prefers_documents_about_the_query() -> None:
    with Reranker("nano") as nano:
        ranking = nano.rank(QUERY, DOCUMENTS)
    assert ranking[-1].index == 1


@pytest.mark.slow
def test_transformers_gives_the_same_logits() -> None:
    with Reranker("nano") as nano:
        logits_N = nano.logits([(QUERY, document) for document in DOCUMENTS])
    expected = ModelCard(NANO).logits([(QUERY, document) for document in DOCUMENTS])
    np.testing.assert_allclose(logits_N, expected, atol=1e-4)
