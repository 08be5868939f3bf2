"""Any JSON object makes a ScoreRequest or a Problem, and a Problem holds nothing of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from qwen3_reranker.serve.dialects.base import Dialect
from qwen3_reranker.serve.dialects.dialect_table import DIALECTS as ROWS
from qwen3_reranker.serve.dialects.embedding_table import EmbeddingsBody
from qwen3_reranker.serve.dialects.tokenizing import DetokenizeBody, TokenizeBody
from qwen3_reranker.serve.problems import Problem
from testing.score_results import result_of

pytestmark = pytest.mark.slow

DIALECTS = {dialect.name: dialect for dialect in ROWS}
# Letters that no message of ours is written in.
SECRET = "жщю"
TEXTS = st.text(st.sampled_from(SECRET + " \n"), max_size=4) | st.sampled_from(["true", "END", "left", "", "predicate"])
NAMES = st.sampled_from(("text", "content", "type", "role", "instructions", "image", "data", "query", "documents"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(NAMES | TEXTS, inner, max_size=4),
    max_leaves=12,
)


def bodies(shape: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the fields of a shape, one or the other of them right."""
    schema = shape.model_json_schema()
    properties, example = sorted(schema["properties"]), schema["examples"][0]
    return st.builds(
        lambda wrong, right: {**wrong, **{name: example[name] for name in right}},
        st.dictionaries(st.sampled_from(properties) | TEXTS, VALUES, max_size=6),
        st.sets(st.sampled_from(sorted(example))),
    )


BODIES = {name: bodies(dialect.request) for name, dialect in DIALECTS.items()}


def assert_nothing_of_the_body(problem: Problem) -> None:
    assert 400 <= problem.status < 500
    assert not set(SECRET) & set(f"{problem.message}{problem.parameter}{problem.code}")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(data=st.data())
@settings(max_examples=40)
def test_any_object_makes_a_request_that_can_be_answered_or_a_problem(dialect: Dialect, data: st.DataObject) -> None:
    body = data.draw(BODIES[dialect.name])
    try:
        request = dialect.read(body, 5)
    except Problem as problem:
        assert_nothing_of_the_body(problem)
        return
    assert 1 <= len(request.documents) == len(request.queries)
    assert all(isinstance(text, str) for text in (*request.queries, *request.documents))
    assert not set(SECRET) & set("".join(request.warnings))
    dialect.write(request, result_of(request, [0.0] * len(request.documents)))


@given(bodies(EmbeddingsBody))
@settings(max_examples=60)
def test_any_object_makes_texts_to_embed_or_a_problem(body: dict[str, Any]) -> None:
    try:
        request = EmbeddingsBody.read(body)
    except Problem as problem:
        assert_nothing_of_the_body(problem)
        return
    assert all(isinstance(text, str) for text in request.texts)


@pytest.mark.parametrize("shape", [TokenizeBody, DetokenizeBody])
@given(data=st.data())
@settings(max_examples=60)
def test_any_object_is_text_or_tokens_or_a_problem(
    shape: type[TokenizeBody | DetokenizeBody], data: st.DataObject
) -> None:
    try:
        shape.of(data.draw(bodies(shape)))
    except Problem as problem:
        assert_nothing_of_the_body(problem)
