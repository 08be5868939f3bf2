"""Each framework's own class and ours in its place score a random checkpoint alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from transformers import PreTrainedTokenizerFast

from qwen3_reranker import Reranker
from testing.chat_templates import looped
from testing.layouts import write_cross_encoder
from testing.texts import documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

YES, NO = 494, 437
QUERY, TEXTS = "What is the capital of China?", documents(6, 12, 60)
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def checkpoint(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random CrossEncoder that sentence-transformers reads too."""
    folder = write_cross_encoder(tmp_path_factory.mktemp("cross-encoder"), small_checkpoint, ids=(YES, NO))
    PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        padding_side="left",
        chat_template=looped(),
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def probabilities(checkpoint: str) -> np.ndarray:
    with Reranker(checkpoint) as reranker:
        scores = reranker.score(QUERY, TEXTS).probabilities
    assert scores.std() > 0.01, "scores so close would prove nothing"
    return scores


def near(theirs: list[tuple[int, float]], ours: list[tuple[int, float]]) -> None:
    """The same places in the same order, and values within the tolerance."""
    assert [place for place, _ in theirs] == [place for place, _ in ours]
    assert len(ours) > 1
    np.testing.assert_allclose([score for _, score in theirs], [score for _, score in ours], rtol=0, atol=TOLERANCE)


def test_haystacks_ranker(checkpoint: str, probabilities: np.ndarray) -> None:
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker

    from qwen3_reranker.integrations.haystack import Qwen3Ranker

    given = [Document(content=text, meta={"number": number}) for number, text in enumerate(TEXTS)]
    theirs = SentenceTransformersSimilarityRanker(model=checkpoint, device=ComponentDevice.from_str("cpu"), token=None)
    for scaled in (True, False):
        found: list[Any] = []
        for ranker in (theirs, Qwen3Ranker(model=checkpoint, scale_score=scaled)):
            ranker.scale_score = scaled
            found.append(
                [(each.meta["number"], each.score) for each in ranker.run(query=QUERY, documents=given)["documents"]]
            )
        near(*found)
        if scaled:
            assert dict(found[1])[0] == pytest.approx(float(probabilities[0]), abs=1e-6)


def test_llama_indexs_postprocessor(checkpoint: str) -> None:
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor.sbert_rerank import SentenceTransformerRerank

    from qwen3_reranker.integrations.llama_index import Qwen3Rerank

    def ranked(postprocessor: Any) -> list[tuple[int, float]]:
        nodes = [NodeWithScore(node=TextNode(text=text, id_=str(number))) for number, text in enumerate(TEXTS)]
        return [(int(each.node_id), each.score) for each in postprocessor.postprocess_nodes(nodes, query_str=QUERY)]

    theirs = SentenceTransformerRerank(model=checkpoint, top_n=4, device="cpu")
    near(ranked(theirs), ranked(Qwen3Rerank(model=checkpoint, top_n=4)))


def test_lancedbs_reranker(checkpoint: str) -> None:
    from lancedb.rerankers import CrossEncoderReranker

    from qwen3_reranker.integrations.lancedb import Qwen3Reranker

    numbers = list(range(len(TEXTS)))
    table = pa.table({"text": TEXTS, "number": numbers, "_distance": pa.array([0.0] * len(TEXTS), pa.float32())})
    found = []
    for reranker in (CrossEncoderReranker(checkpoint, device="cpu"), Qwen3Reranker(checkpoint)):
        ranked = reranker.rerank_vector(QUERY, table)
        assert ranked.column_names == ["text", "number", "_relevance_score"]
        found.append(list(zip(ranked["number"].to_pylist(), ranked["_relevance_score"].to_pylist(), strict=True)))
    near(*found)


def test_the_function_of_pymilvus(checkpoint: str) -> None:
    from pymilvus.model.reranker import CrossEncoderRerankFunction

    from qwen3_reranker.integrations.pymilvus import Qwen3RerankFunction

    theirs = CrossEncoderRerankFunction(checkpoint, device="cpu")
    near(
        *(
            [(each.index, each.score) for each in function(QUERY, TEXTS)]
            for function in (theirs, Qwen3RerankFunction(checkpoint))
        )
    )


def test_embedders_of_haystack_and_pymilvus(embedding_model: Path) -> None:
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder
    from pymilvus.model.dense import SentenceTransformerEmbeddingFunction

    from qwen3_reranker.integrations.haystack_embedders import Qwen3DocumentEmbedder
    from qwen3_reranker.integrations.pymilvus import Qwen3EmbeddingFunction

    model, cpu = str(embedding_model), ComponentDevice.from_str("cpu")
    given = [Document(content=text, meta={"title": "a title"}) for text in TEXTS]
    theirs: Any = SentenceTransformersDocumentEmbedder(
        model=model,
        device=cpu,
        token=None,
        meta_fields_to_embed=["title"],
        normalize_embeddings=True,
        progress_bar=False,
    )
    ours: Any = Qwen3DocumentEmbedder(model=model, meta_fields_to_embed=["title"])
    found = [[each.embedding for each in embedder.run(documents=given)["documents"]] for embedder in (theirs, ours)]
    np.testing.assert_allclose(*found, rtol=0, atol=TOLERANCE)
    functions = (SentenceTransformerEmbeddingFunction(model, device="cpu"), Qwen3EmbeddingFunction(model))
    np.testing.assert_allclose(*[each.encode_documents(TEXTS) for each in functions], rtol=0, atol=TOLERANCE)
