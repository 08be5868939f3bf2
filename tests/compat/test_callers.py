"""Libraries that call sentence-transformers' CrossEncoder give the same results with ours in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import sentence_transformers
from beir.reranking import Rerank as BeirRerank
from haystack_integrations.components.rankers.sentence_transformers import sentence_transformers_similarity
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from qwen3_reranker import Reranker
from qwen3_reranker.compat import CrossEncoder, RankedResults, Rerank, Result, Similarity
from qwen3_reranker.compat import Document as OurDocument
from testing.texts import documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

TOLERANCE = 1e-4
QUERY = "take back my last commit"
TEXTS = documents(5, 8, 40)
Scored = list[tuple[str, float]]


def of_llama_index(folder: str) -> Scored:
    from llama_index.postprocessor.sbert_rerank import SentenceTransformerRerank

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in TEXTS]
    ranker = SentenceTransformerRerank(model=folder, top_n=5, device="cpu", cross_encoder_kwargs={"max_length": 1024})
    ranked = ranker.postprocess_nodes(nodes, QueryBundle(QUERY))
    return [(each.text, each.score or 0.0) for each in ranked]


def of_lancedb(folder: str) -> Scored:
    from lancedb.rerankers import CrossEncoderReranker

    found = pyarrow.table({"text": TEXTS, "_score": [0.0] * len(TEXTS)})
    ranked = CrossEncoderReranker(folder, device="cpu").rerank_fts(QUERY, found)
    return list(zip(ranked["text"].to_pylist(), ranked["_relevance_score"].to_pylist(), strict=True))


def of_pymilvus(folder: str) -> Scored:
    from pymilvus.model.reranker import CrossEncoderRerankFunction

    return [(each.text, float(each.score)) for each in CrossEncoderRerankFunction(folder, "cpu")(QUERY, TEXTS, top_k=4)]


def of_haystack(folder: str) -> Scored:
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker

    ranker = SentenceTransformersSimilarityRanker(model=folder, device=ComponentDevice.from_str("cpu"), top_k=5)
    ranker.warm_up()
    ranked = ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])
    return [(each.content, each.score) for each in ranked["documents"]]


def of_beir(folder: str) -> Scored:
    from sentence_transformers import CrossEncoder

    found = {"q": {text: float(-index) for index, text in enumerate(TEXTS)}}
    corpus = {text: {"title": "Title", "text": text} for text in TEXTS}
    return list(BeirRerank(CrossEncoder(folder)).rerank(corpus, {"q": QUERY}, found, top_k=6)["q"].items())


CALLERS: dict[str, Callable[[str], Scored]] = {
    "LlamaIndex": of_llama_index,
    "LanceDB": of_lancedb,
    "pymilvus-model": of_pymilvus,
    "BEIR": of_beir,
    "Haystack": of_haystack,
}


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_a_caller_gets_the_same_with_ours(
    caller: Callable[[str], Scored], encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = caller(str(encoder_folder))
    # What a user does by changing the caller's import, which is the library's own here.
    for module in (sentence_transformers, sentence_transformers.cross_encoder, sentence_transformers_similarity):
        monkeypatch.setattr(module, "CrossEncoder", CrossEncoder)
    ours = caller(str(encoder_folder))
    assert [text for text, _ in theirs] == [text for text, _ in ours]
    assert [score for _, score in theirs] == pytest.approx([score for _, score in ours], abs=TOLERANCE)
    assert len({score for _, score in ours}) > 3


def test_our_rerank_does_what_beirs_does(small_reranker: Reranker) -> None:
    encoder = CrossEncoder(small_reranker)
    found = {"q": {f"d{index}": float(index % 3) for index in range(8)}, "none": {}}
    corpus = {
        f"d{index}": {"text": text} | ({"title": "Title"} if index % 2 else {}) for index, text in enumerate(TEXTS)
    }
    for top_k in (1, 4, 8, 20):
        arguments: tuple[Any, ...] = (corpus, {"q": QUERY, "none": QUERY}, found, top_k)
        assert Rerank(encoder).rerank(*arguments) == BeirRerank(encoder).rerank(*arguments)


def test_our_results_have_what_those_of_rerankers_have(small_reranker: Reranker) -> None:
    from rerankers import Document
    from rerankers.results import RankedResults as TheirResults
    from rerankers.results import Result as TheirResult

    from qwen3_reranker.compat import Reranker as RerankersReranker

    def names(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert names(TheirResults) <= names(RankedResults)
    document = Document("text", doc_id=3, metadata={"page": 7})
    theirs, ours = TheirResult(document, 0.5, 1), Result(document, 0.5, 1)
    assert [theirs.text, theirs.doc_id, theirs.page] == [ours.text, ours.doc_id, ours.page]
    assert set(vars(document)) - {"attributes", "image_path", "base64"} == set(OurDocument.__slots__)
    ranked = RerankersReranker(small_reranker).rank(QUERY, [Document(text, doc_id=text[:5]) for text in TEXTS])
    as_theirs = TheirResults([TheirResult(each.document, each.score, each.rank) for each in ranked], QUERY, True)
    assert [each.doc_id for each in as_theirs.top_k(3)] == [each.doc_id for each in ranked.top_k(3)]
    assert as_theirs.get_score_by_docid(TEXTS[2][:5]) == ranked.get_score_by_docid(TEXTS[2][:5])


def test_similarity_shapes_are_those_that_txtai_documents(small_reranker: Reranker) -> None:
    similarity = Similarity(small_reranker)
    [scored] = similarity([QUERY], TEXTS)
    assert scored == similarity(QUERY, TEXTS)
    assert all(isinstance(index, int) and isinstance(score, float) for index, score in scored)
