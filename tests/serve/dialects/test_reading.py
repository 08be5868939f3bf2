"""What each dialect reads out of a body, and what it refuses."""

from typing import Any

import pytest

from qwen3_reranker.records import Limits
from qwen3_reranker.serve.dialects.base import Dialect
from qwen3_reranker.serve.dialects.bodies import RerankBody
from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS, DIALECTS
from qwen3_reranker.serve.problems import Problem
from qwen3_reranker.serve.protocol import ScoreRequest

PATHS = {path.path: path for path in DIALECT_PATHS}
MAX_DOCUMENTS = 4
VERTEX = "/v1/projects/{project}/locations/{location}/rankingConfigs/{config}:rank"
BASE = {"query": "q", "documents": ["a", "b"]}


def read(path: str, body: dict[str, Any]) -> ScoreRequest:
    return PATHS[path].choose(body).read(body, MAX_DOCUMENTS)


def problem_of(path: str, body: dict[str, Any]) -> Problem:
    with pytest.raises(Problem) as raised:
        read(path, body)
    return raised.value


@pytest.mark.parametrize(
    "dialect", [each for each in DIALECTS if issubclass(each.request, RerankBody)], ids=lambda each: each.name
)
def test_documents_may_be_called_docs_in_every_dialect(dialect: Dialect) -> None:
    assert list(dialect.read({"query": "q", "docs": ["a"]}, MAX_DOCUMENTS).documents) == ["a"]


def test_a_record_with_a_title_is_scored_with_it() -> None:
    records = [{"id": "1", "title": "t", "content": "x"}, {"id": "2", "content": "x"}, {"id": "3", "title": None}]
    assert list(read(VERTEX, {"query": "q", "records": records}).documents) == ["title: t\ncontent: x", "x", ""]


def test_pinecones_parameters_are_read_and_named() -> None:
    body = {"query": "q", "documents": ["a"]}
    assert not read("/pinecone/rerank", {**body, "parameters": {"truncate": "NONE"}}).limits.truncate
    assert read("/pinecone/rerank", {**body, "parameters": None}).limits.truncate
    for wrong, parameter in (({"truncate": "MIDDLE"}, "parameters.truncate"), ([], "parameters")):
        problem = problem_of("/pinecone/rerank", {**body, "parameters": wrong})
        assert (problem.status, problem.parameter) == (400, parameter)
        assert f"`{parameter}`" in problem.message
    assert problem_of("/pinecone/rerank", {"documents": ["a"]}).parameter == "query"


@pytest.mark.parametrize("name", ["documents", "texts", "passages", "items", "input", "docs"])
def test_documents_go_by_every_name(name: str) -> None:
    assert read("/v1/rerank", {"query": "q", name: ["a", "b"]}).documents == ["a", "b"]


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "top_n": ({"top_n": 1}, {"top_n": 1}),
    "top_k": ({"top_k": 1}, {"top_n": 1}),
    "top_n of 0 is all": ({"top_n": 0}, {"top_n": None}),
    "top_n as a whole float": ({"top_n": 2.0}, {"top_n": 2}),
    "the first name of two counts": ({"top_k": 1, "top_n": 2}, {"top_n": 2}),
    "a null name does not count": ({"top_n": None, "top_k": 1}, {"top_n": 1}),
    "instruction": ({"instruction": "i"}, {"instruction": "i"}),
    "instruct": ({"instruct": "i"}, {"instruction": "i"}),
    "task": ({"task": "i"}, {"instruction": "i"}),
    "prompt": ({"prompt": "i"}, {"instruction": "i"}),
    "chat_template_kwargs": ({"chat_template_kwargs": {"instruction": "i", "x": 1}}, {"instruction": "i"}),
    "a blank instruction is none": ({"instruction": "  "}, {"instruction": None}),
    "raw_scores": ({"raw_scores": True}, {"raw_scores": True}),
    "raw_scores as a string": ({"raw_scores": "true"}, {"raw_scores": True}),
    "use_activation": ({"use_activation": False}, {"raw_scores": True}),
    "activation": ({"activation": "False"}, {"raw_scores": True}),
    "softmax": ({"softmax": False}, {"raw_scores": True}),
    "softmax that is on": ({"softmax": True}, {"raw_scores": False}),
    "raw_scores before softmax": ({"raw_scores": False, "softmax": False}, {"raw_scores": False}),
    "max_tokens_per_doc": ({"max_tokens_per_doc": 9}, {"limits": Limits(document_tokens=9)}),
    "max_tokens_per_query": ({"max_tokens_per_query": 9}, {"limits": Limits(query_tokens=9)}),
    "truncate_prompt_tokens": ({"truncate_prompt_tokens": 9}, {"limits": Limits(row_tokens=9)}),
    "truncate_prompt_tokens of -1 is all": ({"truncate_prompt_tokens": -1}, {"limits": Limits()}),
    "truncation": ({"truncation": False, "top_n": 1}, {"limits": Limits(truncate=False), "top_n": 1}),
    "truncate in a word": ({"truncate": "NONE"}, {"limits": Limits(truncate=False)}),
    "truncate at the start": ({"truncate": "START"}, {"limits": Limits(keep="end")}),
    "truncation_direction": ({"truncation_direction": "Left"}, {"limits": Limits(keep="end")}),
    "truncation_side": ({"truncation_side": "left"}, {"limits": Limits(keep="end")}),
    "model": ({"model": "m"}, {"model": "m"}),
    "an empty model is the default": ({"model": ""}, {"model": None}),
    "a query in an object": ({"query": {"text": "q"}}, {}),
    "documents as objects": ({"return_documents": "true"}, {"echoes": [{"text": "a"}, {"text": "b"}]}),
    "documents as strings for Voyage": ({"return_documents": True, "top_k": None}, {"echoes": ["a", "b"]}),
    "details": ({"return_details": True}, {"form": "details"}),
    "what is understood without effect": ({"user": "u", "request_id": "r", "return_len": "true"}, {}),
}
NULLS = (
    "model top_n top_k return_documents rank_fields instruction chat_template_kwargs raw_scores use_activation "
    "max_tokens_per_doc max_tokens_per_query truncate_prompt_tokens truncate truncation_side priority user texts"
)


@pytest.mark.parametrize(("options", "expected"), OPTIONS.values(), ids=OPTIONS)
def test_an_option_is_read_by_all_its_names(options: dict[str, Any], expected: dict[str, Any]) -> None:
    request = read("/v1/rerank", {**BASE, **options})
    default = ScoreRequest(queries=("q", "q"), documents=["a", "b"])
    assert {name: getattr(request, name) for name in ScoreRequest.__slots__} == {
        **{name: getattr(default, name) for name in ScoreRequest.__slots__},
        **expected,
    }


def test_null_is_as_good_as_absent_everywhere() -> None:
    assert read("/v2/rerank", {**BASE, **dict.fromkeys(NULLS.split())}) == read("/v2/rerank", BASE)


def test_what_is_not_done_is_said_without_repeating_unknown_names() -> None:
    request = read("/v1/rerank", {**BASE, "priority": 1, "max_chunks_per_doc": 2, "secret name": 1, "other": 2})
    assert request.warnings == (
        "`max_chunks_per_doc` is not supported: ignored",
        "`priority` is not supported: ignored",
        "2 fields not known to this route: ignored",
    )


def test_blank_documents_are_judged() -> None:
    assert read("/v1/rerank", {"query": "q", "documents": ["", {"text": " "}, {}]}).documents == ["", " ", ""]


REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no query": ({"query": None}, "missing_required_parameter", "query"),
    "a blank query": ({"query": " \n"}, "blank_query", "query"),
    "a query that is a number": ({"query": 5}, "invalid_type", "query"),
    "a query that is an image": ({"query": {"content": [{"type": "image_url"}]}}, "unsupported_modality", "query"),
    "no documents": ({"documents": None}, "missing_required_parameter", "documents"),
    "an empty list": ({"documents": []}, "no_documents", "documents"),
    "documents that are no list": ({"documents": "abc"}, "invalid_type", "documents"),
    "a document that is no text": ({"documents": ["a", 5]}, "document_not_string", "documents.1"),
    "the same under another name": ({"documents": None, "texts": ["a", 5]}, "document_not_string", "texts.1"),
    "a second name that is wrong": ({"texts": 5}, "invalid_type", "texts"),
    "more documents than allowed": ({"documents": ["a"] * 5}, "too_many_documents", "documents"),
    "a negative top_n": ({"top_n": -1}, "invalid_value", "top_n"),
    "a negative top_k": ({"top_k": -1}, "invalid_value", "top_k"),
    "a fraction of a document": ({"top_n": 1.5}, "invalid_value", "top_n"),
    "a boolean for a number": ({"top_n": True}, "invalid_value", "top_n"),
    "a word for a flag": ({"return_documents": "perhaps"}, "invalid_type", "return_documents"),
    "a number for a flag": ({"raw_scores": 1}, "invalid_type", "raw_scores"),
    "rank_fields that are no strings": ({"rank_fields": ["a", 5]}, "invalid_type", "rank_fields.1"),
    "an instruction that is no string": ({"task": []}, "invalid_type", "task"),
    "the same in a template": (
        {"chat_template_kwargs": {"instruction": 5}},
        "invalid_type",
        "chat_template_kwargs.instruction",
    ),
    "an unknown side": ({"truncation_side": "up"}, "invalid_value", "truncation_side"),
    "a model that is no string": ({"model": 5}, "invalid_type", "model"),
}


@pytest.mark.parametrize(("options", "code", "parameter"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_the_place_and_the_reason(options: dict[str, Any], code: str, parameter: str) -> None:
    problem = problem_of("/v1/rerank", {**BASE, **options})
    assert (problem.status, problem.code, problem.parameter) == (400, code, parameter)
    assert problem.message.startswith(f"`{parameter}` ")


SHAPES: dict[str, tuple[str, dict[str, Any], str]] = {
    "documents on /rerank": ("/rerank", BASE, "canonical"),
    "texts on /rerank": ("/rerank", {"query": "q", "texts": ["a"]}, "tei"),
    "texts with a number of results": ("/rerank", {"query": "q", "texts": ["a"], "top_n": 1}, "tei"),
    "texts with a number of results and a field of TEI": (
        "/rerank",
        {"query": "q", "texts": ["a"], "top_n": 1, "model": "m", "return_text": False},
        "tei",
    ),
    "texts with a number of results and a model": (
        "/rerank",
        {"query": "q", "texts": ["a"], "top_n": 1, "model": "m"},
        "canonical",
    ),
    "a property": ("/rerank", {"query": "q", "documents": ["a"], "property": ""}, "weaviate"),
    "documents on /v1/reranking": ("/v1/reranking", BASE, "llama.cpp"),
    "texts on /v1/reranking": ("/v1/reranking", {"query": "q", "texts": ["a"]}, "tei"),
    "input on /reranking": ("/reranking", {"query": "q", "input": ["a"]}, "mixedbread"),
    "flat on /v1/reranks": ("/v1/reranks", BASE, "dashscope"),
    "nested on /v1/reranks": ("/v1/reranks", {"input": BASE}, "dashscope-native"),
}


@pytest.mark.parametrize(("path", "body", "name"), SHAPES.values(), ids=SHAPES)
def test_a_shared_path_tells_dialects_by_the_body(path: str, body: dict[str, Any], name: str) -> None:
    assert PATHS[path].choose(body).name == name


@pytest.mark.parametrize(
    "path", ["/jina/v1/rerank", "/vllm/v1/rerank", "/sglang/v1/rerank", "/openrouter/api/v1/rerank"]
)
def test_some_dialects_give_documents_back_unless_they_are_declined(path: str) -> None:
    assert read(path, BASE).echoes is not None
    assert read(path, {**BASE, "return_documents": False}).echoes is None


SCORES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "one and several": ({"text_1": "q", "text_2": ["a", "b"]}, [("q", "a"), ("q", "b")]),
    "several and as many": ({"text_1": ["q", "r"], "text_2": ["a", "b"]}, [("q", "a"), ("r", "b")]),
    "one and one": ({"text_1": "q", "text_2": "a"}, [("q", "a")]),
    "queries and documents": ({"queries": "q", "documents": ["a"]}, [("q", "a")]),
    "queries and items": ({"queries": ["q"], "items": ["a", "b"]}, [("q", "a"), ("q", "b")]),
    "data": ({"data_1": "q", "data_2": {"content": [{"type": "text", "text": "a"}]}}, [("q", "a")]),
}


@pytest.mark.parametrize(("body", "pairs"), SCORES.values(), ids=SCORES)
def test_score_pairs_one_with_all_or_each_with_each(body: dict[str, Any], pairs: list[tuple[str, str]]) -> None:
    request = read("/v1/score", body)
    assert list(zip(request.queries, request.documents, strict=True)) == pairs


def test_score_refuses_what_it_cannot_pair() -> None:
    assert problem_of("/score", {"text_1": ["q", "r"], "text_2": ["a"]}).parameter == "text_1"
    assert problem_of("/score", {"text_1": "q", "text_2": []}).code == "no_documents"
    assert problem_of("/score", {"text_1": "q", "text_2": ["a", 5]}).code == "document_not_string"
    assert problem_of("/score", {"text_1": "q", "text_2": ["a"] * 5}).code == "too_many_documents"
    assert problem_of("/score", {"text_1": "q"}).parameter == "text_2"


def test_predict_tells_a_pair_from_a_list_of_pairs() -> None:
    single, batch = read("/predict", {"inputs": ["q", "d"]}), read("/predict", {"inputs": [["q", "d"]]})
    assert (list(single.queries), list(single.documents)) == (["q"], ["d"])
    assert (list(batch.queries), list(batch.documents)) == (["q"], ["d"])
    assert single.form != batch.form
    for wrong in ("q", ["q"], [["q"]], [["q", 5]], [], ["q", ["d"]]):
        assert problem_of("/predict", {"inputs": wrong}).parameter == "inputs"


def test_dashscope_reads_the_nested_form_as_the_flat_one() -> None:
    path = "/api/v1/services/rerank/text-rerank/text-rerank"
    nested = {"model": "m", "input": BASE, "parameters": {"top_n": 1, "return_documents": True, "instruct": "i"}}
    flat = {"model": "m", **BASE, "top_n": 1, "return_documents": True, "instruct": "i"}
    assert read(path, nested) == read("/v1/reranks", flat)
    assert problem_of(path, {**nested, "parameters": {"top_n": -1}}).parameter == "parameters.top_n"
    assert problem_of(path, {"input": {"query": "q", "documents": [5]}}).parameter == "input.documents.0"
    assert problem_of(path, {"input": {"documents": ["a"]}}).parameter == "input.query"
    assert problem_of(path, flat).parameter == "input"
    assert problem_of(path, {"input": BASE, "parameters": 5}).parameter == "parameters"


def test_decisions_ask_each_question_of_the_one_input() -> None:
    questions = [
        {"type": "predicate", "name": "one", "instructions": "first?"},
        {"type": "predicate", "instructions": [{"type": "input_text", "text": "second?"}]},
    ]
    messages = [
        {"role": "developer", "content": "Judge tickets."},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_json", "data": {"b": 1}}],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
    ]
    request = read("/v1/decisions", {"model": "m", "input": messages, "questions": questions})
    assert (list(request.queries), list(request.documents)) == (["first?", "second?"], ["a\nb: 1\nc"] * 2)
    assert (request.instruction, request.echoes) == ("Judge tickets.", ["one", None])
    assert list(read("/v1/decisions", {"input": "a", "questions": questions}).documents) == ["a", "a"]


def test_decisions_refuse_questions_and_inputs_that_no_reranker_can_answer() -> None:
    good = {"type": "predicate", "instructions": "true?"}
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"questions": [good, {"type": "choice"}]}, "unsupported_question_type", "questions.1.type"),
        ({"questions": [{"type": "score"}]}, "unsupported_question_type", "questions.0.type"),
        ({"questions": []}, "invalid_value", "questions"),
        ({"questions": [good] * 401}, "invalid_value", "questions"),
        ({"questions": [5]}, "invalid_type", "questions.0"),
        ({"questions": [{"type": "predicate"}]}, "invalid_type", "questions.0.instructions"),
        ({"questions": [{**good, "instructions": " "}]}, "blank_query", "questions.0.instructions"),
        ({"questions": [{**good, "name": 5}]}, "invalid_type", "questions.0.name"),
        ({"input": []}, "invalid_type", "input"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "unsupported_input", "input.0"),
        ({"input": [{"role": "tool", "content": "a"}]}, "invalid_value", "input.0.role"),
        ({"input": [{"role": "user", "content": 5}]}, "invalid_type", "input.0.content"),
        ({"input": [5]}, "invalid_type", "input.0"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}]},
            "unsupported_modality",
            "input.0.content.0.type",
        ),
    ]
    for changed, code, parameter in refused:
        problem = problem_of("/v1/decisions", {"input": "a", "questions": [good], **changed})
        assert (problem.status, problem.code, problem.parameter) == (400, code, parameter)
