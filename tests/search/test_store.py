"""Every store keeps the contract of an index: what is found, what filters bound, and what a death or a rival leaves."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.search import Filters, Index
from qwen3_reranker.search.index_store import StoredPassage
from qwen3_reranker.search.lance_store import LanceStore
from qwen3_reranker.search.local_store import LocalStore
from qwen3_reranker.search.writer_lease import leased
from testing.patience import until
from tests.search.test_search_index import NOTES, places, written_notes

# file:// is to LanceDB what s3:// is: there the writer has a lease, not a lock of this machine.
SCHEMES = ["", "lancedb://", "lancedb+file://"]

#: What a first stage alone must find, and where.
FOUND = [
    ("branch commit", "git.md:5"),
    ("数据", "zh.txt:1"),
    ("猫", "ja.txt:1"),
    ("座っ", "ja.txt:1"),
    ("る", "ja.txt:1"),
    ("조용", "ko.txt:1"),
    ("고양이", "ko.txt:1"),
    ("แมว", "th.txt:1"),
    ("ทำงาน", "th.txt:1"),
    ("用户名", "mixed.md:1"),
    ("user name", "mixed.md:1"),
    ("サーバ", "mixed.md:1"),
    ("ＨＴＴＰ", "mixed.md:1"),
    ("КОШКА", "ru.txt:1"),
    ("еще", "ru.txt:1"),
    ("STRASSE", "de.txt:1"),
    ("ku\u0308nftige Ka\u0308ufer", "de.txt:1"),
    ("kaufer", "de.txt:1"),
    ("istanbul", "tr.txt:1"),
    ("dışarı", "tr.txt:1"),
    ("IŞIK", "tr.txt:1"),
    ("isik", "tr.txt:1"),
    ("تحفظ", "ar.txt:1"),
    ("بيانات", "ar.txt:1"),
    ("قاعده", "ar.txt:1"),
    ("اخرى", "ar.txt:1"),
    ("החתול", "he.txt:1"),
    ("हिंदी", "hi.txt:1"),
    ("किताब", "hi.txt:1"),
    ("मेज", "hi.txt:1"),
    ("ete", "fr.txt:1"),
    ("coeur", "fr.txt:1"),
    ("dien thoai", "vi.txt:1"),
    ("σκυλοσ", "el.txt:1"),
    ("connection", "deep/server.py:1"),
    ("create server", "deep/server.py:5"),
    ("gate", "page.html:3"),
    ("refunded", "records.jsonl:1"),
    ("printers", "records.jsonl:2"),
    ("lentils", "cooking.md:5"),
]

FILTERED_QUERY = "branch commit rice lentils connection refunded printers"
FILTERED = [
    (Filters(path="*.md"), {"git.md", "cooking.md"}),
    (Filters(path="deep/*"), {"deep/server.py"}),
    (Filters(path="[a-f]??.md"), set()),
    (Filters(path="[^a-f]??.md"), {"git.md"}),
    (Filters(path="GIT.md"), set()),
    (Filters(path="g[it.md"), set()),
    (Filters(collections=["other"]), set()),
    (Filters(collections=[]), set()),
    (Filters(collections=["notes"], path="git*"), {"git.md"}),
    (Filters(fields=(("tags", "git"),)), {"git.md"}),
    (Filters(fields=(("tags", "it's"),)), set()),
    (Filters(fields=(("team", "sales"),)), {"records.jsonl"}),
    (Filters(before="2026-04-01", after="2026-03-01"), {"git.md"}),
]


@pytest.fixture(params=SCHEMES)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address of an index that is not there yet."""
    return f"{request.param}{tmp_path / 'index'}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written_notes(tmp_path)


@pytest.fixture
def index(address: str, folder: Path) -> Iterator[Index]:
    """An index of the notes, in short passages, without a reranker."""
    with Index(address, reranker=None, passage_tokens=12) as made:
        made.add(folder)
        yield made


@pytest.fixture(scope="module", params=SCHEMES[:2])
def unchanging(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """One that no test changes."""
    folder = tmp_path_factory.mktemp("unchanging")
    with Index(f"{request.param}{folder / 'index'}", reranker=None, passage_tokens=12) as made:
        made.add(written_notes(folder))
        yield made


@pytest.mark.parametrize(("query", "place"), FOUND)
def test_a_word_of_any_script_finds_its_passage(unchanging: Index, query: str, place: str) -> None:
    assert places(unchanging, query)[0] == place


@pytest.mark.parametrize(("filters", "expected"), FILTERED)
def test_filters_bound_what_is_found(unchanging: Index, filters: Filters, expected: set[str]) -> None:
    assert {hit.path for hit in unchanging.search(FILTERED_QUERY, filters=filters)} == expected


@pytest.mark.parametrize("filters", [Filters(after="yesterday"), Filters(fields=(("a' OR 1", "x"),))])
def test_an_unusable_filter_is_an_error(unchanging: Index, filters: Filters) -> None:
    with pytest.raises(InputError):
        unchanging.search("commit", filters=filters)


@pytest.mark.parametrize(
    "query", ['"', "a AND OR NOT *", "^x:y", "NEAR(a b)", "' --", "\0", "🦦", "-" * 5000, "x " * 5000]
)
def test_no_query_is_read_as_a_command(unchanging: Index, query: str) -> None:
    unchanging.search(query)


def test_lines_are_those_of_an_indexed_file_and_of_no_other(unchanging: Index) -> None:
    assert unchanging.lines("git.md", 9).text == "Move the branch one commit back."
    with pytest.raises(InputError, match="not in the index"):
        unchanging.lines("../notes/git.md")


def test_hits_have_the_fields_of_their_documents(unchanging: Index, tmp_path: Path) -> None:
    [hit] = unchanging.search("refunded", 1)
    assert (hit.name, hit.collection, hit.fields["team"]) == ("a1", "notes", "sales")
    assert Path(hit.absolute_path).read_text(encoding="utf-8") == NOTES["records.jsonl"]


def test_an_update_reads_what_changed_and_forgets_what_went(index: Index, folder: Path) -> None:
    assert str(index.update()) == f"0 added, 0 changed, 0 removed, {len(NOTES)} unchanged"
    (folder / "cooking.md").write_text("# Pasta\n\nPasta takes nine minutes.\n", encoding="utf-8")
    (folder / "new.md").write_text("Herons stand still.\n", encoding="utf-8")
    (folder / "empty.md").write_text("", encoding="utf-8")
    (folder / "ja.txt").unlink()
    (folder / "git.md").touch()
    assert index.stale().changed == 5
    changes = index.update()
    assert (changes.added, changes.changed, changes.removed) == (1, 1, 1)
    assert places(index, "lentils") == [] == places(index, "猫")
    assert places(index, "pasta") == ["cooking.md:1"]
    assert places(index, "herons") == ["new.md:1"]
    assert places(index, "branch commit") == ["git.md:5"]
    assert index.stale().changed == 0
    [held] = index.status()
    assert held.files == len(NOTES)
    (folder / "cooking.md").write_text("", encoding="utf-8")
    index.update()
    assert places(index, "pasta") == []


def test_records_are_found_replaced_and_removed(index: Index) -> None:
    index.add(
        [
            {"id": "x", "text": "an otter swims", "kind": "animal"},
            {"id": 2, "text": "a plane lands"},
            {"id": "x", "text": "an otter dives"},
        ],
        collection="r",
    )
    index.add([{"id": "x", "text": "an otter sleeps"}], collection="r")
    assert [(hit.path, hit.absolute_path, hit.text) for hit in index.search("otter")] == [("x", "", "an otter sleeps")]
    index.remove("r", ["x"])
    assert places(index, "otter") == []
    with pytest.raises(InputError, match="holds no"):
        index.remove("r", ["x"])
    with pytest.raises(InputError, match="record 0: expected an id and a text"):
        index.add([{"text": 3}], collection="r")
    with pytest.raises(InputError, match="record 0: not valid Unicode"):
        index.add([{"id": "y", "text": "an otter", "team": ["\ud800"]}], collection="r")
    index.remove("r")
    assert list(index.folders()) == ["notes"]
    assert places(index, "plane") == []


def test_collections_keep_their_folders_and_names(index: Index, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "notes"
    other.mkdir(parents=True)
    (other / "git.md").write_text("Herons stand still.\n", encoding="utf-8")
    index.add(other)
    assert index.folders() == {"notes": str(folder), "notes-2": str(other)}
    with pytest.raises(InputError, match="choose another name"):
        index.add(other, collection="notes")
    with pytest.raises(InputError, match="in several collections"):
        index.lines("git.md")
    assert index.remove("notes").removed == len(NOTES)
    assert places(index, "commit") == []
    assert places(index, "herons") == ["git.md:1"]


def test_settings_outlive_the_index(index: Index) -> None:
    with pytest.raises(InputError, match="passages of 12 tokens, not 99"):
        Index(index.name, passage_tokens=99)
    with Index(index.name, reranker=None) as again:
        assert places(again, "commit") == ["git.md:5"]


def test_a_file_that_was_only_touched_is_filtered_by_its_new_date(index: Index, folder: Path) -> None:
    for each in folder.iterdir():
        os.utime(each, (1e9, 1e9))
    index.update()
    recent = Filters(after="2010-01-01")
    before = {hit.path for hit in index.search(FILTERED_QUERY, 50, filters=recent)}
    assert "cooking.md" not in before
    os.utime(folder / "cooking.md", (1.5e9, 1.5e9))
    assert str(index.update()) == f"0 added, 0 changed, 0 removed, {len(NOTES)} unchanged"
    assert {hit.path for hit in index.search(FILTERED_QUERY, 50, filters=recent)} == before | {"cooking.md"}
    assert index.stale().changed == 0


GLOBS = [
    "*.md",
    "?.md",
    "[a-c]*",
    "[^a]*",
    "[]a]*",
    "[]-a]*",
    "[^]]*",
    "[a-]*",
    "[-a]*",
    "[z-a]*",
    "[a--b]*",
    "*[--~]*",
]
GLOBS += ["[]", "[^]", "[", "a[", "*[&&]*", "*[~~]*", r"*[\\]*", "[a-c-z]*", "*[[]*", "*[^].]*", "é*", "**", "[!a]*"]
PATHS = [
    "a.md",
    "b].md",
    "c-d.md",
    "z^.md",
    "[x].md",
    "A.md",
    "sub/e.md",
    "é.md",
    "m~n.md",
    "p&&q.md",
    "r\\s.md",
    "!.md",
]


def test_patterns_mean_what_sqlite_means_by_them(tmp_path: Path) -> None:
    with Index(f"lancedb://{tmp_path / 'index'}", reranker=None) as index, closing(sqlite3.connect(":memory:")) as sql:
        index.add({"id": path, "text": "heron"} for path in PATHS)
        for glob in GLOBS:
            meant = {path for path in PATHS if sql.execute("SELECT ? GLOB ?", (path, glob)).fetchone()[0]}
            assert {hit.path for hit in index.search("heron", 50, filters=Filters(path=glob))} == meant, glob


def test_fields_without_a_value_in_json_and_with_signs_in_their_names_can_be_filtered(address: str) -> None:
    with Index(address, reranker=None) as index:
        index.add(
            [
                {"id": "nan", "text": "heron", "score": float("nan"), "more": [float("inf"), "x"]},
                {"id": "sign", "text": "heron", "a=b": "c"},
                {"id": "plain", "text": "heron", "a": "b=c", "date": "2020-01-01"},
            ]
        )

        def found(filters: Filters) -> set[str]:
            return {hit.path for hit in index.search("heron", filters=filters)}

        assert found(Filters(fields=(("a", "b=c"),))) == {"plain"}
        assert found(Filters(fields=(("more", "x"),))) == {"nan"}
        assert found(Filters(before="2020-06-01")) == {"plain"}
        [hit] = index.search("heron", filters=Filters(fields=(("more", "x"),)))
        assert hit.fields == {"score": None, "more": [None, "x"]}


def test_a_file_whose_name_is_not_utf8_is_left_out_and_said(index: Index, folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.md")).write_text("a commit to nowhere", encoding="utf-8")
    (folder / "last.md").write_text("a commit to heron", encoding="utf-8")
    changes = index.update()
    assert list(changes.skipped.reasons) == ["names that are not UTF-8"]
    assert str(changes.skipped).isprintable()
    assert changes.added == 1


def test_an_index_that_cannot_be_read_any_more_says_so_in_one_kind_of_error(tmp_path: Path) -> None:
    with Index(tmp_path / "index", reranker=None) as index:
        index.add([{"id": "a", "text": "heron"}])
        with closing(sqlite3.connect(tmp_path / "index" / "index.db")) as other:
            other.execute("DROP TABLE passages")
        for use in (lambda: index.search("heron"), index.status, lambda: index.add([{"id": "b", "text": "x"}])):
            with pytest.raises(UnavailableError, match="passages"):
                use()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnavailableError, match="file"):
        Index(tmp_path / "file" / "index")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux what a process holds")
def test_a_closed_index_holds_no_files(tmp_path: Path, embedder: Embedder) -> None:
    with Index(tmp_path / "index", reranker=None, embedder=embedder) as index:
        index.add([{"id": "a", "text": "heron"}])
        assert index.search("heron")[0].cosine is not None
        assert str(tmp_path) in Path("/proc/self/maps").read_text()
    with pytest.raises(InputError, match="200 tokens") as refused:
        Index(tmp_path / "index", reranker=None, passage_tokens=7)
    held = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.exists()]
    assert not [each for each in held if each.startswith(str(tmp_path))]
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    del index, refused


def test_vectors_find_what_an_exact_scan_finds(address: str, folder: Path, embedder: Embedder) -> None:
    with Index(address, reranker=None, embedder=embedder, passage_tokens=12) as index:
        index.add(folder)
        found = index.candidates("boiling", 10, by=["vectors"])
        [query_D] = embedder.queries(["boiling"])
        texts = [f"{hit.headings}\n{hit.text}" if hit.headings else hit.text for hit in found]
        cosines = (embedder.documents(texts) @ query_D).tolist()
        assert [hit.cosine for hit in found] == pytest.approx(cosines, abs=0.02)
        assert len(found) == 10
        # A changed file has new vectors, an unchanged one keeps its own.
        (folder / "ko.txt").write_text("boiling", encoding="utf-8")
        index.update()
        assert "ko.txt" in {hit.path for hit in index.candidates("boiling", 40, by=["vectors"])}
        filters = Filters(path="*.md")
        assert {hit.path for hit in index.search("boiling", filters=filters)} == {"git.md", "cooking.md", "mixed.md"}


def test_a_second_writer_waits_and_then_says_so(index: Index) -> None:
    with index._store.writing():
        with (
            Index(index.name, reranker=None, wait=0.1) as other,
            pytest.raises(UnavailableError, match="another process writes to this"),
        ):
            other.update()
        waiting = threading.Thread(target=index.update)
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
    waiting.join()


def test_searches_go_on_while_another_writes(index: Index, folder: Path) -> None:
    for number in range(200):
        (folder / f"more{number}.md").write_text(f"word{number} commit branch\n", encoding="utf-8")
    with Index(index.name, reranker=None) as other:
        writer = threading.Thread(target=other.update)
        writer.start()
        while writer.is_alive():
            assert "git.md:5" in places(index, "move the branch back by one", limit=50)
        writer.join()
    assert places(index, "word199")[0] == "more199.md:1"


class OvertakenStore(LocalStore):
    """A store whose best passage a writer removes between the search and the reading."""

    def passages(self, numbers: Collection[int]) -> dict[int, StoredPassage]:
        return super().passages(sorted(numbers)[1:])


def test_a_passage_that_a_writer_removed_meanwhile_is_left_out(tmp_path: Path) -> None:
    with Index(OvertakenStore(tmp_path / "index"), reranker=None) as index:
        index.add({"id": name, "text": "herons"} for name in ("a", "b"))
        assert places(index, "herons") == ["b"]


UPDATE = """
import sys
from qwen3_reranker.search import Index
with Index(sys.argv[1], reranker=None) as index:
    print("begun", flush=True)
    index.add(sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_a_killed_writer_leaves_an_index_that_the_next_update_completes(tmp_path: Path, scheme: str) -> None:
    """Whatever the moment, a file that can be found is found whole, in one state."""
    notes, chosen, address = tmp_path / "notes", random.Random(7), f"{scheme}{tmp_path / 'index'}"
    notes.mkdir()
    for round in range(3 if scheme else 8):
        for number in range(150):
            if chosen.random() < 0.5:
                text = "\n\n".join(f"# part {part}\n\nround{round} file{number} " + "word " * 60 for part in range(4))
                (notes / f"{number}.md").write_text(text, encoding="utf-8")
            elif (notes / f"{number}.md").exists() and chosen.random() < 0.2:
                (notes / f"{number}.md").unlink()
        running = subprocess.Popen([sys.executable, "-c", UPDATE, address, str(notes)], stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(chosen.random() * 0.5)
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()
        if not scheme:
            refuse_inconsistent(tmp_path / "index" / "index.db")
        with Index(address, reranker=None) as index:
            for number in range(0, 150, 30):
                found = index.candidates(f"file{number}", 200)
                rounds = {hit.text.split("round")[1][:1] for hit in found if hit.path == f"{number}.md"}
                assert len(rounds) <= 1
    with Index(address, reranker=None) as index:
        index.add(notes)
        if not scheme:
            refuse_inconsistent(tmp_path / "index" / "index.db")
        assert set(index._store.stamps("notes")) == {path.name for path in notes.iterdir()}
        [held] = index.status()
        with Index(tmp_path / "fresh", reranker=None) as fresh:
            fresh.add(notes)
            [wanted] = fresh.status()
        assert (held.files, held.passages) == (wanted.files, wanted.passages)
        for path in sorted(notes.iterdir())[:20]:
            assert path.name in {hit.path for hit in index.search(f"file{path.stem}", limit=200)}
        assert str(index.update()).endswith(f"0 removed, {held.files} unchanged")


def refuse_inconsistent(path: Path) -> None:
    """Words, passages and files of an index must agree, and SQLite must find nothing wrong."""
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    [passages] = database.execute("SELECT count(*) FROM passages").fetchone()
    [words] = database.execute("SELECT count(*) FROM words_docsize").fetchone()
    assert passages == words
    assert not database.execute("SELECT 1 FROM passages WHERE document NOT IN (SELECT id FROM documents)").fetchone()
    assert not database.execute("SELECT 1 FROM documents WHERE file NOT IN (SELECT id FROM files)").fetchone()
    database.close()


def test_many_passages_are_written_in_several_commits_and_indexed(tmp_path: Path) -> None:
    """More than one commit holds, and more than are searched one by one."""
    with Index(f"lancedb://{tmp_path / 'index'}", reranker=None, passage_tokens=5) as index:
        index.add({"id": f"r{number}", "text": f"number{number} heron"} for number in range(4_200))
        assert places(index, "number4199")[0] == "r4199"
        assert index._store.passage_rows.index_stats("body_idx").num_unindexed_rows == 0  # type: ignore[attr-defined]
        index.add({"id": f"r{number}", "text": f"number{number} otter"} for number in range(100))
        assert places(index, "number99")[0] == "r99"
        assert len(index.search("otter", 200, candidates=200)) == 100
        [held] = index.status()
        assert held.passages == 4_200


class Clock:
    """The time of leases, which passes only where a test says so: a busy machine makes none run out."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("qwen3_reranker.lease", "qwen3_reranker.search.writer_lease"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


def lease_ends(lease: Any) -> float:
    [end] = lease.to_arrow()["expires"].to_pylist()
    return float(end)


def test_a_lease_ends_with_time_and_its_old_holder_learns_it(tmp_path: Path, clock: Clock) -> None:
    store = LanceStore(f"file://{tmp_path / 'index'}")
    lease: Any = store._lease

    def taken_over() -> bool:
        # A renewal at the same moment makes a conflict.
        with suppress(RuntimeError):
            lease.update(values={"holder": "another", "expires": clock.now + 60})
            return True
        return False

    with leased(lease, "index", 0.0, seconds=0.6) as refuse_if_lost:
        for _ in range(8):
            clock.sleep(0.2)
            until(lambda: lease_ends(lease) == clock.now + 0.6)
        refuse_if_lost()
        with pytest.raises(UnavailableError, match="another process writes"), leased(lease, "index", 0.1, 0.6):
            pass
        # As if this process had slept for longer than the lease, and another one had come.
        until(taken_over)
        clock.sleep(0.7)
        with pytest.raises(UnavailableError, match="ran out"):
            refuse_if_lost()
    with pytest.raises(UnavailableError), leased(lease, "index", 0.0):
        pass


class BusyTable:
    """A table of which some updates lose against another writer."""

    def __init__(self, table: Any, fails: Iterator[bool]) -> None:
        self._table, self._fails = table, fails

    def update(self, **changes: Any) -> Any:
        if next(self._fails):
            raise RuntimeError("Commit conflict for version 7")
        return self._table.update(**changes)


def test_a_renewal_that_loses_against_a_waiting_writer_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    store = LanceStore(f"file://{tmp_path / 'index'}")
    fails = chain([False, True], repeat(False))
    with leased(BusyTable(store._lease, fails), "index", 0.0, seconds=0.9) as refuse_if_lost:
        for _ in range(3):
            clock.sleep(0.5)
            until(lambda: lease_ends(store._lease) == clock.now + 0.9)
        refuse_if_lost()


@pytest.mark.parametrize("url", ["s3://bucket/index", "lancedb://", "lancedb+://x", "postgres://x", "chroma+s3://x"])
def test_an_unknown_kind_of_url_is_refused_and_makes_no_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="expected a folder"):
        Index(url)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_reached_or_has_another_version_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnavailableError, match="lancedb://"):
        Index(f"lancedb://{tmp_path / 'file' / 'index'}")
    store = LanceStore(str(tmp_path / "index"))
    store._settings.update(where="name = 'version'", values={"number": 99})
    with pytest.raises(UnavailableError, match="version 99"):
        Index(f"lancedb://{tmp_path / 'index'}")


def test_the_same_query_finds_the_same_passages_in_both(tmp_path: Path) -> None:
    """The scores differ, as LanceDB counts frequencies in its own way."""
    chosen, addresses = np.random.default_rng(3), [str(tmp_path / "a"), f"lancedb://{tmp_path / 'b'}"]
    texts = [" ".join(f"w{word}" for word in chosen.zipf(1.3, 30) if word < 500) or "w1" for _ in range(300)]
    found: list[Sequence[str]] = []
    for address in addresses:
        with Index(address, reranker=None) as index:
            index.add({"id": f"r{number}", "text": text} for number, text in enumerate(texts))
            found.append([hit.path for hit in index.search("w7 w19 w40 w133", 10)])
    assert len(set(found[0]) & set(found[1])) >= 8
