"""Rankings of many queries are those of each alone; awaited ones leave the loop free and can be stopped."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pandas
import pytest

from qwen3_reranker import InputError, Ranking, RecordError, Reranker, text_reranker
from testing.patience import PATIENCE_SECONDS
from testing.texts import documents

QUERIES = ["Are all people born free?", "Wer ist frei?", "Are all people born equal?"]
LISTS = [documents(seed, 4 + seed, 40) for seed in range(3)]


def hits(rankings: list[Ranking]) -> list[list[tuple[int, float, str]]]:
    return [[(hit.index, hit.logit, hit.document) for hit in ranking] for ranking in rankings]


def test_a_ranking_of_many_queries_is_that_of_each_alone(small_reranker: Reranker) -> None:
    alone = [small_reranker.rank(query, texts, 3) for query, texts in zip(QUERIES, LISTS, strict=True)]
    assert hits(small_reranker.rank_many(QUERIES, LISTS, 3)) == hits(alone)
    shared = [small_reranker.rank(query, LISTS[0]) for query in QUERIES]
    assert hits(small_reranker.rank_many(QUERIES, LISTS[0])) == hits(shared)


def test_queries_share_what_their_prompts_begin_with_and_the_usages_sum_to_the_whole(small_checkpoint: Path) -> None:
    with Reranker(small_checkpoint, prefix_cache_tokens=0) as fresh:
        rankings = fresh.rank_many(QUERIES, LISTS)
        apart = [fresh.rank(query, texts).usage for query, texts in zip(QUERIES, LISTS, strict=True)]
        rows = [
            row for query, texts in zip(QUERIES, LISTS, strict=True) for row in fresh.rows([query] * len(texts), texts)
        ]
        together = fresh.runner.plan(rows).num_tokens
    usages = [ranking.usage for ranking in rankings]
    assert [usage.prompt_tokens for usage in usages] == [usage.prompt_tokens for usage in apart]
    assert sum(usage.computed_tokens for usage in usages) == together
    assert together < sum(usage.computed_tokens for usage in apart)


def test_a_call_of_many_pairs_is_computed_in_several_plans_with_the_same_result(
    small_reranker: Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = hits(small_reranker.rank_many(QUERIES, LISTS))
    monkeypatch.setattr(text_reranker, "MOST_PAIRS", 9)
    shares: list[float] = []
    assert hits(small_reranker.rank_many(QUERIES, LISTS, on_progress=shares.append)) == expected
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_documents_of_each_query_may_be_tables_generators_and_empty(small_reranker: Reranker) -> None:
    frame = pandas.DataFrame({"id": range(4), "text": LISTS[0]})
    rankings = small_reranker.rank_many(pandas.Series(QUERIES), [frame, [], iter(LISTS[2])])
    assert [len(ranking) for ranking in rankings] == [4, 0, 6]
    assert all(hit.item["id"] == hit.index for hit in rankings[0])
    assert rankings[1].usage.prompt_tokens == 0
    assert small_reranker.rank_many([], []) == small_reranker.rank_many([], LISTS[0]) == []


@pytest.mark.parametrize(
    ("queries", "given", "message"),
    [
        ("q", ["a"], "queries must be a list of strings, got str"),
        (["q", " "], ["a"], r"queries\[1\] must not be blank"),
        (["q", 3], ["a"], r"queries\[1\] must be a string, got int"),
        (["q", "r"], [["a"]], "documents must be a list for each of the 2 queries, got 1 lists"),
        (["q", "r"], [["a"], "b"], r"documents\[1\] must be a list of strings or records, got str"),
        (["q", "r"], [["a"], ["b", {"id": 1}]], r"documents\[1\]\[1\] has no field 'text'"),
        (["q", "r"], [["a"], ["b", "c\ud800"]], r"documents\[1\]\[1\]: not valid Unicode: a lone surrogate at char"),
        (["q", "r\ud800"], ["a"], r"queries\[1\]: not valid Unicode: a lone surrogate at character 1"),
    ],
)
def test_an_error_names_the_query_or_its_document(
    small_reranker: Reranker, queries: object, given: object, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        small_reranker.rank_many(queries, given)  # type: ignore[arg-type]


def test_an_awaited_ranking_is_that_of_rank_and_the_loop_turns_meanwhile(small_reranker: Reranker) -> None:
    records = [{"text": text} for text in documents(3, 60, 200)]

    async def both() -> tuple[Ranking, int]:
        turns, ranking = 0, asyncio.create_task(small_reranker.arank(QUERIES[0], records, 5))
        while not ranking.done():
            await asyncio.sleep(0.001)
            turns += 1
        return ranking.result(), turns

    ranking, turns = asyncio.run(both())
    assert hits([ranking]) == hits([small_reranker.rank(QUERIES[0], records, 5)])
    assert turns > 1
    with pytest.raises(RecordError):
        asyncio.run(small_reranker.arank("q", [{"id": 3}]))


def test_a_cancelled_ranking_stops_at_a_batch_and_one_that_waits_never_begins(small_checkpoint: Path) -> None:
    texts = documents(0, 300, 200)
    begun, may_go_on = threading.Event(), threading.Event()
    shares: list[float] = []
    waited: list[float] = []

    def hold(share: float) -> None:
        shares.append(share)
        begun.set()
        may_go_on.wait(PATIENCE_SECONDS)

    async def cancel(model: Reranker) -> None:
        under_way = asyncio.create_task(model.arank("q", texts, on_progress=hold))
        waiting = asyncio.create_task(model.arank("q", texts, on_progress=waited.append))
        await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        for task in (under_way, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        may_go_on.set()
        assert len(await model.arank("q", ["a", "b"])) == 2

    with Reranker(small_checkpoint, max_batch_tokens=64) as model:
        asyncio.run(cancel(model))
        assert len(model.tree("q", texts).tokens_T) > 20 * 64
    assert 0 < shares[-1] < 0.2
    assert waited == []


def test_an_awaited_ranking_works_in_a_forked_child(small_checkpoint: Path) -> None:
    code = (
        "import asyncio, os, sys\nfrom qwen3_reranker import Reranker\n"
        "model = Reranker(sys.argv[1])\nasyncio.run(model.arank('q', ['a']))\n"
        "child = os.fork()\nif not child:\n    asyncio.run(model.arank('q', ['a']))\n    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(small_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    assert done.stdout.strip() == "7"


def test_awaited_rankings_of_one_loop_each_get_their_own_result(small_reranker: Reranker) -> None:
    async def together() -> list[Ranking]:
        return await asyncio.gather(*map(small_reranker.arank, QUERIES, LISTS))

    alone = [small_reranker.rank(query, texts) for query, texts in zip(QUERIES, LISTS, strict=True)]
    assert hits(asyncio.run(together())) == hits(alone)
