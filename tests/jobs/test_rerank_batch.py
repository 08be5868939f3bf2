"""`RerankBatch` adds two columns to a batch of columns, and says what is wrong with one."""

import numpy as np
import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.errors import InputError
from qwen3_reranker.jobs import RerankBatch

BATCH = {
    "id": np.arange(4),
    "query": np.array(["undo a commit", "boil rice", "undo a commit", "boil rice"], object),
    "document": np.array(["git revert", "simmer it", "list all tags", "é" * 40], object),
}


def test_a_batch_comes_back_with_the_numbers_of_the_library() -> None:
    found = RerankBatch()(BATCH)
    with Reranker() as reranker:
        pairs = list(zip(BATCH["query"], BATCH["document"], strict=True))
        logits_N, probabilities_N = reranker.logits(pairs), reranker.probabilities(pairs)
    assert list(found) == ["id", "query", "document", "logit", "probability"]
    assert found["logit"].dtype == found["probability"].dtype == np.float32
    assert found["logit"].tolist() == logits_N.tolist()
    assert found["probability"].tolist() == probabilities_N.tolist()


def test_other_columns_and_an_instruction_are_chosen_by_name() -> None:
    renamed = {"q": BATCH["query"], "d": BATCH["document"]}
    found = RerankBatch(query_column="q", document_column="d", instruction="Find the recipe")(renamed)
    with Reranker() as reranker:
        pairs = list(zip(BATCH["query"], BATCH["document"], strict=True))
        assert found["logit"].tolist() == reranker.logits(pairs, "Find the recipe").tolist()


def test_an_empty_batch_has_the_columns_too() -> None:
    found = RerankBatch()({name: values[:0] for name, values in BATCH.items()})
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys([*BATCH, "logit", "probability"], 0)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"query": BATCH["query"]}, r"no column 'document' \(the batch has: 'query'\)"),
        ([{"query": "q", "document": "d"}], r'expected a dictionary of columns \(batch_format="numpy"\), got list'),
        ({"query": np.array(["q"]), "document": np.array([None])}, r"^document\[0\] must be a string"),
        ({"query": np.array(["q", " "]), "document": np.array(["d", "d"])}, r"^query\[1\] must not be blank"),
        (
            {"query": np.array(["q", "r", "q"]), "document": np.array(["d", "d", "\ud800"], object)},
            r"^document\[2\]: not valid Unicode",
        ),
    ],
)
def test_a_batch_that_cannot_be_scored_is_an_input_error(batch: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RerankBatch()(batch)  # type: ignore[arg-type]


def test_an_unknown_option_is_refused_when_the_worker_starts() -> None:
    with pytest.raises(InputError, match="unknown option 'precison'"):
        RerankBatch(precison="int8")


def test_a_server_is_refused_as_it_has_no_tokens_to_share() -> None:
    with pytest.raises(InputError, match="needs a model on the worker's machine, got the server http://127"):
        RerankBatch("http://127.0.0.1:9/v1")
