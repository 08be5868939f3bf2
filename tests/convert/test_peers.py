"""What was converted loads in the stock peers and scores the same there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.convert import convert
from qwen3_reranker.weights import open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.model_card import ModelCard

pytestmark = pytest.mark.slow

PAIRS = [
    ("how do I undo my last commit", "git reset --soft HEAD~1 undoes the last commit."),
    ("how do I undo my last commit", "Simmer the rice for twelve minutes, then let it stand under a lid."),
    ("wie lange kocht Reis", "Zwölf Minuten."),
]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, qwen3_tokenizer_file: Path) -> Path:
    return write_checkpoint(
        tmp_path_factory.mktemp("model"),
        vocab_size=151_669,
        hidden_size=64,
        intermediate_size=96,
        head_dim=32,
        initializer_range=0.2,
        tied=request.param,
        tokenizer_file=qwen3_tokenizer_file,
    )


@pytest.fixture(scope="module")
def ours(model: Path) -> np.ndarray:
    with Reranker(model) as reranker:
        return reranker.logits(PAIRS)


def test_transformers_runs_the_causal_lm(model: Path, ours: np.ndarray, tmp_path: Path) -> None:
    folder = convert(open_checkpoint(model), tmp_path / "hf", "hf").path
    np.testing.assert_allclose(ModelCard(folder).logits(PAIRS), ours, atol=1e-4)


def test_transformers_runs_the_classifier(model: Path, ours: np.ndarray, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = convert(open_checkpoint(model), tmp_path / "classifier", "seq-cls").path
    classifier = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    assert classifier.config.num_labels == 1
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "query", "content": query}, {"role": "document", "content": document}], tokenize=False
        )
        for query, document in PAIRS
    ]
    with torch.no_grad():
        scores = [classifier(**tokenizer(text, return_tensors="pt")).logits.item() for text in texts]
    np.testing.assert_allclose(scores, ours, atol=1e-4)


@pytest.mark.parametrize("layout", ["sentence-transformers"])
def test_sentence_transformers_runs_the_cross_encoder(
    layout: str, model: Path, ours: np.ndarray, tmp_path: Path
) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    folder = convert(open_checkpoint(model), tmp_path / "encoder", layout).path
    encoder = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    np.testing.assert_allclose(encoder.predict(PAIRS, show_progress_bar=False), ours, atol=1e-4)


@pytest.mark.parametrize(("encoding", "bound"), [("f32", 1e-3), ("q8_0", 0.05)])
def test_llama_cpp_runs_the_file_with_its_own_template_labels_and_head(
    encoding: str, bound: float, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed; it is compiled for ten minutes")
    from testing.llama_cpp_rank import rank

    path = convert(open_checkpoint(model), tmp_path / "model.gguf", "gguf", encoding).path
    with Reranker(path) as reranker:
        expected = reranker.probabilities(PAIRS)
    for (query, document), probability in zip(PAIRS, expected, strict=True):
        yes, no = rank(path, query, document)
        assert math.isclose(yes + no, 1, abs_tol=1e-5)
        assert abs(yes - probability) <= bound
