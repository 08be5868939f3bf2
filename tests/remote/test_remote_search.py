"""An index whose reranker is a server finds what the model behind it finds, within the time that a search has."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from qwen3_reranker import Reranker
from qwen3_reranker.cli import main
from qwen3_reranker.endpoints.endpoint_errors import EndpointError
from qwen3_reranker.errors import InputError
from qwen3_reranker.search import Index, SelectionOptions
from testing.faulty_proxy import faulty_proxy
from testing.live_server import Live
from testing.local_server import Quiet, serving
from testing.patience import PATIENCE_SECONDS

QUERY = "take back my last commit"
TEXTS = {
    "soft": "git reset --soft HEAD~1 takes back the last commit and keeps its changes.",
    "rice": "Rice takes twelve minutes, and must rest at last.",
    "log": "git log lists every commit, the last one first.",
    "revert": "git revert makes a commit that undoes another commit.",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of a few texts."""
    with Index(tmp_path / "index", reranker=None) as index:
        index.add({"id": name, "text": text} for name, text in TEXTS.items())
    return tmp_path / "index"


def test_a_search_with_a_server_finds_what_the_model_behind_it_finds_and_knows_it_the_next_time(
    live: Live, folder: Path
) -> None:
    with Index(folder) as here:
        expected = here.search(QUERY)
    with Index(folder, reranker=live.url) as index:
        found, again = index.search(QUERY), index.search(QUERY)
    assert [hit.path for hit in found] == [hit.path for hit in expected]
    assert [hit.logit for hit in found] == pytest.approx([hit.logit for hit in expected], abs=1e-3)
    assert (found.judged, found.cached, again.cached) == (expected.judged, 0, expected.judged)
    # Scores of another route are not those of this one.
    with Reranker(live.url, dialect="voyage", check="off") as other:
        with Index(folder, reranker=other) as index:
            assert index.search(QUERY).cached == 0
        assert other.rank(QUERY, ["soft"])


def test_a_budget_of_tokens_is_refused_where_a_server_counts_and_folding_is_not(live: Live, folder: Path) -> None:
    with Index(folder, reranker=live.url) as index:
        with pytest.raises(InputError, match="fit counts tokens with a reranker on this machine"):
            index.search(QUERY, selection=SelectionOptions(fit=100))
        assert len(index.search(QUERY, selection=SelectionOptions(fold=0.8)))


def test_a_search_answers_in_its_time_with_a_server_that_does_not(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with Index(folder, reranker=url) as index:
            found = index.search(QUERY, budget=0.5)
        assert time.monotonic() - begun < 20
        assert found.left_out == ("judging",)
        assert {hit.path for hit in found} >= {"soft", "log"}
        assert all(hit.logit is None for hit in found)
        assert main(["search", QUERY, "--index", str(folder), "-m", url, "--budget", "1s"]) == 0
    assert time.monotonic() - begun < 40


def test_a_search_with_a_budget_lists_what_a_server_refused_all_the_time_in_the_first_order(
    live: Live, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with faulty_proxy(live.url, share=0.0) as proxy:
        Reranker(proxy.url).close()
        proxy.share = 1.0
        arguments = ["search", QUERY, "--index", str(folder), "-m", proxy.url, "--format", "json"]
        assert main([*arguments, "--budget", "1s"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["left_out"] == ["judging"]
        assert {hit["path"] for hit in found["hits"]} >= {"soft", "log"}


def test_a_server_that_does_not_say_what_it_serves_is_not_waited_for_beyond_the_deadline() -> None:
    ended = threading.Event()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ended.wait(PATIENCE_SECONDS)

        def do_POST(self) -> None:
            documents = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["documents"]
            scores = [{"index": place, "relevance_score": 0.5} for place in range(len(documents))]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"results": scores}).encode())

    begun = time.monotonic()
    with serving(Handler) as url, Reranker(url, check="off", deadline=1.0) as remote:
        assert remote.served.facts == {}
        assert time.monotonic() - begun < 20
        ended.set()


def test_a_search_judges_with_a_server_what_its_time_allows(live: Live, folder: Path) -> None:
    with Index(folder, reranker=None) as index:
        # No two passages of one text, as a text that was judged is known wherever it stands.
        texts = [" ".join(f"Commit {number}.{part} was taken back." for part in range(40)) for number in range(60)]
        index.add({"id": str(number), "text": text} for number, text in enumerate(texts))
    with Reranker(live.url, check="off") as remote, Index(folder, reranker=remote) as index:
        index.search(QUERY, budget=60, candidates=2)
        # A loaded machine may judge nothing in the first of these times.
        for budget in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8):
            begun = time.monotonic()
            found = index.search("which commit was taken back", budget=budget, candidates=60)
            assert time.monotonic() - begun < budget + 20
            if found.judged:
                break
        assert 0 < found.judged <= found.candidates
        # What was not judged in time was dropped whole, and what was judged is known.
        assert index.search("which commit was taken back", candidates=60).cached == found.judged


def test_an_index_asks_a_server_that_was_not_there_again(live: Live, folder: Path) -> None:
    names = iter(["http://127.0.0.1:9", live.url])
    with Index(folder, reranker=lambda: Reranker(next(names), check="off")) as index:
        with pytest.raises(EndpointError, match="is the server running there"):
            index.search(QUERY)
        assert index.search(QUERY).judged == len(TEXTS)


def test_search_takes_a_url_and_says_in_one_line_what_a_server_does_not_take(
    live: Live, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = ["--index", str(folder), "--format", "json"]
    assert main(["search", QUERY, *index]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert main(["search", f"{QUERY} ", *index, "-m", f"{live.url}/v1"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    found = json.loads(output.out)
    assert [hit["path"] for hit in found["hits"]] == [hit["path"] for hit in expected["hits"]]
    for arguments, code, said in [
        (["-m", live.url, "--precision", "int8"], 2, "precision is an option of a model on this machine"),
        (["--api-key", "secret"], 2, "--api-key is for a server"),
        (["-m", "http://127.0.0.1:9"], 4, "is the server running there"),
        (["-m", live.url, "--embedder", live.url], 2, "server"),
    ]:
        assert main(["search", "rice", *index, *arguments]) == code
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
