"""DSPy programs with our module between retriever and answer."""

from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from qwen3_reranker import InputError, Ranking, Reranker
from qwen3_reranker.integrations.dspy import RerankPassages
from testing.event_loops import run_while_loop_is_free
from tests.integrations.conftest import DOCUMENTS, INSTRUCTION, QUERY

pytestmark = pytest.mark.slow


class Answer(dspy.Module):
    """DSPy's example of retrieval and generation."""

    def __init__(self, search: Any) -> None:
        super().__init__()
        self.search = search
        self.respond = dspy.ChainOfThought("context, question -> response")

    def forward(self, question: str) -> dspy.Prediction:
        return self.respond(context=self.search(question).passages, question=question)


def find(query: str) -> list[str]:
    return DOCUMENTS


def test_passages_are_ranked_with_their_scores(ranking: Ranking) -> None:
    for found in (
        RerankPassages(find)(QUERY),
        RerankPassages()(QUERY, DOCUMENTS),
        RerankPassages(lambda query: dspy.Prediction(passages=DOCUMENTS))(query=QUERY),
    ):
        assert found.passages == [hit.document for hit in ranking][:3]
        assert found.scores == [hit.probability for hit in ranking][:3]
    assert RerankPassages(k=2)(QUERY, []).passages == []


def test_dspys_own_retriever_of_vectors_is_reranked(nano: Reranker, ranking: Ranking) -> None:
    import numpy as np

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[len(text), text.count("i"), 1] for text in texts], np.float32)

    corpus = dspy.retrievers.Embeddings(corpus=DOCUMENTS, embedder=embed, k=5)
    assert RerankPassages(corpus, k=1, model=nano)(QUERY).passages == [ranking[0].document]


def test_a_program_answers_from_the_best_passages_and_is_saved_without_the_model() -> None:
    model = DummyLM([{"reasoning": "It is said.", "response": "git reset --soft HEAD~1"}])
    program = Answer(RerankPassages(find, k=1))
    with dspy.context(lm=model):
        assert program(question=QUERY).response == "git reset --soft HEAD~1"
    prompt = model.history[-1]["messages"][-1]["content"]
    assert DOCUMENTS[1] in prompt
    assert DOCUMENTS[0] not in prompt
    Answer(RerankPassages(find)).load_state(program.dump_state())
    assert program.deepcopy().search._named == program.search._named


def test_the_loop_is_free_while_passages_are_ranked(nano: Reranker, ranking: Ranking) -> None:
    module = RerankPassages(find, model=nano)
    found = run_while_loop_is_free(nano.runner, lambda: module.acall(QUERY))
    assert found.passages == [hit.document for hit in ranking][:3]


def test_wrong_use_is_refused(nano: Reranker) -> None:
    with pytest.raises(InputError, match="documents must be a list of strings or records, got str"):
        RerankPassages()(QUERY, "one text, and not its letters")
    with pytest.raises(InputError, match="give passages, or make the module with a retriever"):
        RerankPassages(model=nano)(QUERY)
    with pytest.raises(InputError, match="did you mean 'precision'"):
        RerankPassages(find, precison="int8")
    [best, *_] = RerankPassages(find, model=nano, instruction=INSTRUCTION)(QUERY).scores
    assert best == nano.rank(QUERY, DOCUMENTS, instruction=INSTRUCTION)[0].probability
