"""The tools find, judge and read, say what they could not do, and refuse what they do not know."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import Client

from qwen3_reranker.mcp import IndexTools, tool_server
from qwen3_reranker.mcp.tool_fields import MAX_BUDGET, SearchArguments
from qwen3_reranker.search import Index
from testing.patience import PATIENCE_SECONDS
from tests.mcp.conftest import Call, answer_of, error_of

TOOLS = ("search", "rerank", "get", "status")


def test_a_search_names_file_lines_stage_logit_and_probability(call: Call) -> None:
    result = call("search", query="take back my last commit", limit=1, budget_seconds=MAX_BUDGET)
    found = answer_of(result)
    [hit] = found["results"]
    assert (hit["path"], hit["collection"], hit["first_line"], hit["last_line"]) == ("git.md", "notes", 1, 4)
    assert (hit["stage"], hit["truncated"]) == ("judged", False)
    assert hit["text"].startswith("# Undo")
    assert 0 < hit["probability"] < 1
    assert (hit["logit"] > 0) == (hit["probability"] > 0.5)
    assert found["judged"] == found["candidates"] > 0
    assert json.loads(result.content[0].text) == found  # type: ignore[union-attr]


def test_a_copy_is_folded_into_the_better_passage_and_named(tmp_path: Path) -> None:
    with Index(tmp_path / "index", reranker=None) as index:
        index.add({"id": name, "text": "git revert takes back a commit" + end} for name, end in (("a", "."), ("b", "")))
        tools = IndexTools(index)
        assert len(tools.search(SearchArguments(query="take back a commit")).results) == 2
        [hit] = tools.search(SearchArguments(query="take back a commit", fold=0.8)).results
    assert {hit.path, *hit.duplicates} == {"a", "b"}


def test_what_a_search_found_is_read_on_with_get(call: Call) -> None:
    [hit] = answer_of(call("search", query="one commit back", limit=1))["results"]
    lines = answer_of(call("get", path=hit["path"], first_line=3, last_line=3, collection=hit["collection"]))
    assert lines["text"] == "Move the branch one commit back."
    assert (lines["first_line"], lines["last_line"], lines["num_lines"]) == (3, 3, 4)
    assert not lines["truncated"]
    assert not lines["changed"]


def test_filters_choose_among_files(call: Call) -> None:
    def paths(**filters: Any) -> list[str]:
        return [
            hit["path"]
            for hit in answer_of(call("search", query="commit rice tags", rerank=False, **filters))["results"]
        ]

    assert sorted(paths()) == ["git.md", "rice.md", "sub/deep.md"]
    assert paths(path="sub/*") == ["sub/deep.md"]
    assert paths(before="2024-06-01") == ["sub/deep.md"]
    assert sorted(paths(after="2024-06-01", collections=["notes"])) == ["git.md", "rice.md"]
    # Some agents send lists as texts.
    assert len(paths(collections='["notes"]')) == 3
    assert error_of(call("search", query="rice", collections=["nots"])) == "there is no collection 'nots', but notes"
    assert "is no date" in error_of(call("search", query="rice", after="last week"))


def test_without_time_to_judge_the_first_stage_answers_and_says_so(call: Call) -> None:
    found = answer_of(call("search", query="commit", budget_seconds=1e-6))
    assert found["judged"] == 0
    [hit] = found["results"]
    assert hit["stage"] == "first stage"
    assert "logit" not in hit
    assert "probability" not in hit


def test_rerank_orders_texts_by_their_logit(call: Call) -> None:
    documents = ["Simmer the rice.", "git reset --soft HEAD~1 undoes the last commit.", "List all tags."]
    ranked = answer_of(call("rerank", query="take back my last commit", documents=documents, budget_seconds=MAX_BUDGET))
    assert ranked["results"][0]["index"] == 1
    logits = [each["logit"] for each in ranked["results"]]
    assert logits == sorted(logits, reverse=True)
    assert ranked["judged"] == 3
    best = answer_of(call("rerank", query="take back my last commit", documents=documents, top_k=1))["results"]
    assert best == ranked["results"][:1]


def test_a_rerank_of_too_much_ends_with_its_budget_and_keeps_every_document(call: Call) -> None:
    documents = [f"Document {number} " + "words that take time to read " * 60 for number in range(1000)]
    call("rerank", query="rice", documents=["rice"])  # opens the model
    begun = time.monotonic()
    ranked = answer_of(call("rerank", query="rice", documents=documents, budget_seconds=0.5))
    assert time.monotonic() - begun < PATIENCE_SECONDS
    assert ranked["judged"] < 1000
    assert sorted(each["index"] for each in ranked["results"]) == list(range(1000))
    assert sum("logit" in each for each in ranked["results"]) == ranked["judged"]


def test_a_cut_document_says_so_every_time(call: Call) -> None:
    long = "rice " * 100_000
    for _ in range(2):
        [ranked] = answer_of(call("rerank", query="rice", documents=[long], budget_seconds=MAX_BUDGET))["results"]
        assert ranked["truncated"] is ("logit" in ranked)


def test_status_and_notes_say_what_changed_since_the_update(call: Call, notes: Path) -> None:
    [collection] = answer_of(call("status"))["collections"]
    assert (collection["name"], collection["files"], collection["changed"]) == ("notes", 4, 0)
    (notes / "git.md").write_text("# Undo\n\nA new text.\n", encoding="utf-8")
    assert answer_of(call("status"))["collections"][0]["changed"] == 1
    assert answer_of(call("search", query="commit"))["notes"] == ["1 files changed since the index was updated"]
    lines = answer_of(call("get", path="git.md", first_line=3))
    assert (lines["text"], lines["changed"]) == ("A new text.", True)


def test_a_folder_that_is_gone_is_noted(call: Call, notes: Path) -> None:
    notes.rename(notes.with_name("elsewhere"))
    assert answer_of(call("search", query="commit"))["notes"] == [
        "the folder of 'notes' is gone; results are from its last update"
    ]
    assert "cannot be read" in error_of(call("get", path="git.md"))
    assert "changed" not in answer_of(call("status"))["collections"][0]


def test_an_empty_index_says_what_to_do_and_still_reranks(tmp_path: Path) -> None:
    async def calls() -> None:
        with Index(tmp_path / "empty") as index:
            async with Client(tool_server(IndexTools(index), "1")) as client:
                assert "qwen3-reranker index add FOLDER" in error_of(
                    await client.call_tool("search", {"query": "rice"})
                )
                assert answer_of(await client.call_tool("rerank", {"query": "rice", "documents": ["rice"]}))
                assert client.instructions is not None
                assert "nothing is indexed yet" in client.instructions

    anyio.run(calls)


@pytest.mark.parametrize("name", TOOLS)
def test_an_unknown_parameter_is_refused_by_name(call: Call, name: str) -> None:
    given = {"query": "rice", "documents": ["rice"], "path": "git.md"}
    wanted = {"search": ("query",), "rerank": ("query", "documents"), "get": ("path",), "status": ()}[name]
    arguments = {each: given[each] for each in wanted}
    assert not call(name, **arguments).is_error
    assert "unknown parameter 'colection'" in error_of(call(name, **arguments, colection="notes"))


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("search", {}, "query: Field required"),
        ("search", {"query": " "}, "query"),
        ("search", {"query": "rice", "limit": 0}, "limit: "),
        ("search", {"query": "rice", "limit": 10**30}, "limit: "),
        ("search", {"query": "rice", "budget_seconds": 1e9}, "budget_seconds: "),
        ("search", {"query": "rice", "rerank": "perhaps"}, "rerank: "),
        ("search", {"query": "rice" * 10_000}, "query: "),
        ("search", {"query": "rice", "path": "*a" * 1_000}, "path: "),
        ("rerank", {"query": "rice", "documents": []}, "documents: "),
        ("rerank", {"query": "rice", "documents": "rice"}, "documents: "),
        ("rerank", {"query": " ", "documents": ["rice"]}, "query"),
        ("status", {"all": True}, "unknown parameter 'all'"),
        ("serach", {}, "unknown tool 'serach': did you mean 'search'?"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_it(
    call: Call, name: str, arguments: dict[str, Any], sentence: str
) -> None:
    assert sentence in error_of(call(name, **arguments))


def test_every_tool_is_read_only_closed_to_other_parameters_and_says_what_it_returns(index: Index, call: Call) -> None:
    async def listed() -> Any:
        async with Client(tool_server(IndexTools(index), "1")) as client:
            return (await client.list_tools()).tools, client.instructions

    tools, instructions = anyio.run(listed)
    assert tuple(tool.name for tool in tools) == TOOLS
    answers = {
        "search": call("search", query="rice"),
        "rerank": call("rerank", query="rice", documents=["rice"]),
        "get": call("get", path="git.md"),
        "status": call("status"),
    }
    for tool in tools:
        assert tool.annotations.read_only_hint
        assert not tool.annotations.destructive_hint
        assert not tool.annotations.open_world_hint
        assert tool.input_schema["additionalProperties"] is False
        assert tool.description
        jsonschema.validate(answer_of(answers[tool.name]), tool.output_schema)
    assert "notes (4 files)" in instructions
    assert "by words: use some" in instructions


def test_calls_at_the_same_time_get_their_own_answers(index: Index, call: Call) -> None:
    queries = ["take back a commit", "how long to boil rice", "list all tags", "my résumé"]
    alone = {query: answer_of(call("search", query=query, budget_seconds=MAX_BUDGET))["results"] for query in queries}

    async def together() -> None:
        async with Client(tool_server(IndexTools(index), "1")) as client, anyio.create_task_group() as group:

            async def one(query: str) -> None:
                found = answer_of(await client.call_tool("search", {"query": query, "budget_seconds": MAX_BUDGET}))
                assert [hit["path"] for hit in found["results"]] == [hit["path"] for hit in alone[query]]
                assert [hit.get("logit") for hit in found["results"]] == [hit.get("logit") for hit in alone[query]]
                assert answer_of(await client.call_tool("get", {"path": "git.md"}))["num_lines"] == 4

            for query in queries * 3:
                group.start_soon(one, query)

    anyio.run(together)
