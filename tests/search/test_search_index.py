"""An index finds one's own texts in any script, stays true to its folder, and answers within its time."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search import Filters, Index
from qwen3_reranker.search.writer_lock import one_writer
from testing.checkpoints import write_checkpoint

NOTES = {
    "git.md": "---\ntags: [tools, git]\ndate: 2026-03-01\n---\n# Git\n\n## Undo\n\nMove the branch one commit back.\n",
    "cooking.md": "# Rice\n\nRice takes twelve minutes.\n\n## Lentils\n\nSoak lentils overnight.\n",
    "deep/server.py": "import socket\n\n\ndef openConnection(port):\n    return socket.create_server(port)\n",
    "zh.txt": "用户数据保存在本地数据库中。\n",
    "ja.txt": "猫はいつも静かに座っている。\n",
    "ko.txt": "고양이는 조용히 앉아 있다.\n",
    "th.txt": "แมวนั่งเงียบๆ อยู่บนเสื่อ ทำงาน\n",
    "mixed.md": "调用 `getUserName()` 返回用户名；サーバーは HTTP/2 を使う。\n",
    "ru.txt": "Ещё одна кошка сидит на ковре.\n",
    "de.txt": "Die Straße ist für Müllers Käufer gesperrt.\n",
    "tr.txt": "Işık hızı İSTANBUL ve DIŞARI yazıldı.\n",
    "ar.txt": "تُحفَظ البيانات في قاعدة محلية أخرى.\n",
    "he.txt": "הַחתול ישן על הַמַּחְצֶלֶת\n",
    "hi.txt": "हिन्दी की क़िताब मेज़ पर है।\n",
    "fr.txt": "L\u2019été dernier, le cœur d\u2019un élève\n",
    "vi.txt": "Điện thoại di động\n",
    "el.txt": "Ο σκύλος κοιμάται\n",
    "page.html": "<title>Ports</title>\n<script>var hidden = 1</script>\n<h1>Firewall</h1>\n<p>Open the gate.</p>\n",
    "records.jsonl": '{"id": "a1", "text": "tickets are refunded", "team": "sales"}\n{"id": 7, "text": "printers jam"}',
}
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The notes in a folder called notes."""
    notes = tmp_path / "notes"
    for name, text in NOTES.items():
        path = notes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return notes


@pytest.fixture
def index(tmp_path: Path, folder: Path) -> Iterator[Index]:
    """An index of the notes, in short passages, without a reranker."""
    with Index(tmp_path / "index", reranker=None, passage_tokens=12) as made:
        made.add(folder)
        yield made


def places(index: Index, query: str, **options: object) -> list[str]:
    return [hit.place for hit in index.search(query, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("query", "place"), FOUND)
def test_a_word_of_any_script_or_a_part_of_a_name_finds_its_passage(index: Index, query: str, place: str) -> None:
    assert places(index, query)[0] == place


def test_a_script_is_no_text_of_a_page(index: Index) -> None:
    assert places(index, "hidden") == []


def test_an_update_reads_what_changed_and_forgets_what_went(index: Index, folder: Path) -> None:
    assert str(index.update()) == f"0 added, 0 changed, 0 removed, {len(NOTES)} unchanged"
    (folder / "cooking.md").write_text("# Pasta\n\nPasta takes nine minutes.\n", encoding="utf-8")
    (folder / "new.md").write_text("Herons stand still.\n", encoding="utf-8")
    (folder / "ja.txt").unlink()
    assert index.stale().changed == 3
    changes = index.update()
    assert (changes.added, changes.changed, changes.removed) == (1, 1, 1)
    assert places(index, "lentils") == [] == places(index, "猫")
    assert places(index, "pasta") == ["cooking.md:1"]
    assert places(index, "herons") == ["new.md:1"]


def test_a_file_that_was_only_touched_is_not_written_again(index: Index, folder: Path) -> None:
    os.utime(folder / "git.md", (1, 1))
    changes = index.update()
    assert (changes.changed, changes.unchanged) == (0, len(NOTES))


def test_a_file_that_changed_within_its_size_and_time_is_read_again(index: Index, folder: Path) -> None:
    before = os.stat(folder / "ko.txt")
    (folder / "ko.txt").write_text(NOTES["ko.txt"].replace("조용히", "가만히"), encoding="utf-8")
    os.utime(folder / "ko.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert index.update().changed == 1
    assert places(index, "가만") == ["ko.txt:1"]


def test_a_query_of_thousands_of_words_is_answered_by_the_rarest(index: Index) -> None:
    assert places(index, " ".join(f"filler{number}" for number in range(5000)) + " refunded")[0] == "records.jsonl:1"


def test_what_is_no_text_is_left_out_and_said(index: Index, folder: Path) -> None:
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (folder / "latin.txt").write_bytes("naïve".encode("latin-1"))
    os.mkfifo(folder / "pipe.md")
    changes = index.update()
    assert changes.added == 0
    assert "pipes and devices (pipe.md)" in str(changes.skipped)
    assert "image (photo.png)" in str(changes.skipped)
    assert "not UTF-8 (latin.txt)" in str(changes.skipped)


def test_records_of_a_caller_are_found_replaced_and_removed(index: Index) -> None:
    index.add(
        [{"id": "x", "text": "an otter swims", "kind": "animal"}, {"id": 2, "text": "a plane lands"}], collection="r"
    )
    index.add([{"id": "x", "text": "an otter sleeps"}], collection="r")
    assert [(hit.path, hit.absolute_path, hit.text) for hit in index.search("otter")] == [("x", "", "an otter sleeps")]
    index.remove("r", ["x"])
    assert places(index, "otter") == []
    with pytest.raises(InputError, match="record 0: expected an id and a text"):
        index.add([{"text": 3}], collection="r")
    with pytest.raises(InputError, match="record 0: not valid Unicode"):
        index.add([{"id": "y", "text": "an otter", "team": ["\ud800"]}], collection="r")


@pytest.mark.parametrize("field", ['"id": "\\ud800"', '"title": "\\ud800"', '"team": ["\\ud800"]', '"\\ud800": 1'])
def test_half_a_character_in_a_record_of_a_file_stops_nothing(index: Index, folder: Path, field: str) -> None:
    (folder / "half.jsonl").write_text(f'{{"text": "an otter swims", {field}}}\n', encoding="utf-8")
    (folder / "whole.md").write_text("Herons stand still.\n", encoding="utf-8")
    assert index.update().added == 2
    assert places(index, "herons") == ["whole.md:1"]
    assert places(index, "otter") == ["half.jsonl:1"]


@pytest.mark.parametrize(("filters", "expected"), FILTERED)
def test_filters_bound_what_is_found(index: Index, filters: Filters, expected: set[str]) -> None:
    assert {hit.path for hit in index.search(FILTERED_QUERY, filters=filters)} == expected


@pytest.mark.parametrize("filters", [Filters(after="yesterday"), Filters(fields=(("a' OR 1", "x"),))])
def test_an_unusable_filter_is_an_error(index: Index, filters: Filters) -> None:
    with pytest.raises(InputError):
        index.search("commit", filters=filters)


@pytest.mark.parametrize("query", ['"', "a AND OR NOT *", "^x:y", "NEAR(a b)", "' --", "\0", "🦦", "-" * 5000])
def test_no_query_is_read_as_a_command(index: Index, query: str) -> None:
    index.search(query)


def test_headings_above_a_passage_come_with_it(index: Index) -> None:
    [hit] = index.search("soak overnight", 1)
    assert hit.headings == "Rice > Lentils"


def test_a_reranker_orders_candidates_by_its_logits_and_says_so(tmp_path: Path, folder: Path, tiny: Reranker) -> None:
    with Index(tmp_path / "index", reranker=tiny, passage_tokens=12) as index:
        index.add(folder)
        query = "rice lentils commit refunded printers"
        found = index.search(query, fuse=False)
        assert found.is_complete
        assert found.cached == 0
        assert {hit.stage for hit in found} == {"judged"}
        logits = [hit.logit for hit in found if hit.logit is not None]
        assert logits == sorted(logits, reverse=True)
        again = index.search(query, fuse=False)
        assert again.cached == again.judged
        assert [hit.logit for hit in again] == logits


def test_scores_are_those_of_the_reranker_alone(tmp_path: Path, folder: Path, tiny: Reranker) -> None:
    with Index(tmp_path / "index", reranker=tiny) as index:
        index.add(folder)
        hits = index.search("printers jam", fuse=False).hits
        [hit] = [hit for hit in hits if hit.path == "records.jsonl"]
        assert hit.logit == tiny.rank("printers jam", [hit.text])[0].logit


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:
    """A random network."""
    from testing.tokenizer import NANO_ENTRIES, NANO_TOKENIZER

    made = write_checkpoint(
        tmp_path_factory.mktemp("tiny"), vocab_size=NANO_ENTRIES, tokenizer_file=NANO_TOKENIZER, initializer_range=0.2
    )
    with Reranker(made) as reranker:
        yield reranker


@pytest.mark.parametrize("budget", [0.001, 0.3])
def test_a_search_out_of_time_lists_what_it_has(tmp_path: Path, folder: Path, budget: float) -> None:
    def slow() -> Reranker:
        time.sleep(0.2)
        return Reranker("nano")

    with Index(tmp_path / "index", reranker=slow) as index:
        index.add(folder)
        begun = time.monotonic()
        found = index.search("rice lentils commit refunded printers", budget=budget)
        assert time.monotonic() - begun < budget + 5
        # On a machine that is busy enough even the words may come too late.
        assert len(found) >= 3 or "words" in found.left_out
        assert ("judging" in found.left_out) == (found.judged == 0 < found.candidates)
        assert found.judged <= found.candidates
        assert all((hit.logit is None) == (hit.stage == "first stage") for hit in found)


def test_a_second_writer_waits_and_then_says_so(index: Index, tmp_path: Path) -> None:
    waits: list[bool] = []
    with (
        one_writer(Path(index.name), 1.0),
        pytest.raises(UnavailableError, match="another process writes"),
        one_writer(Path(index.name), 0.1, lambda: waits.append(True)),
    ):
        pass
    assert waits == [True]


def test_searches_go_on_while_another_process_writes(index: Index, folder: Path) -> None:
    for number in range(200):
        (folder / f"more{number}.md").write_text(f"word{number} commit branch\n", encoding="utf-8")
    failures: list[Exception] = []

    def search() -> None:
        try:
            while writer.is_alive():
                assert "git.md:5" in places(index, "move the branch back by one", limit=50)
        except Exception as error:
            failures.append(error)

    with Index(index.name, reranker=None) as other:
        writer = threading.Thread(target=other.update)
        writer.start()
        search()
        writer.join()
    assert not failures
    assert places(index, "word199")[0] == "more199.md:1"


def test_another_passage_length_or_version_is_refused(index: Index, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="passages of 12 tokens, not 99"):
        Index(index.name, passage_tokens=99)
    with sqlite3.connect(Path(index.name) / "index.db") as database:
        database.execute("PRAGMA user_version = 999")
    with pytest.raises(UnavailableError, match="version 999"):
        Index(index.name)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.db").write_bytes(b"no database" * 100)
    with pytest.raises(UnavailableError, match="cannot be opened as an index"):
        Index(tmp_path / "other")


UPDATE = """
import sys
from qwen3_reranker.search import Index
with Index(sys.argv[1], reranker=None) as index:
    print("begun", flush=True)
    index.add(sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_an_index_that_the_next_update_completes(tmp_path: Path) -> None:
    """A process is killed at random moments while it adds, replaces and removes files."""
    notes, chosen = tmp_path / "notes", random.Random(7)
    notes.mkdir()
    for round in range(8):
        for number in range(150):
            if chosen.random() < 0.5:
                text = "\n\n".join(f"# part {part}\n\nround{round} file{number} " + "word " * 60 for part in range(4))
                (notes / f"{number}.md").write_text(text, encoding="utf-8")
            elif (notes / f"{number}.md").exists() and chosen.random() < 0.2:
                (notes / f"{number}.md").unlink()
        running = subprocess.Popen(
            [sys.executable, "-c", UPDATE, str(tmp_path / "index"), str(notes)], stdout=subprocess.PIPE
        )
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(chosen.random() * 0.4)
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()
        refuse_inconsistent(tmp_path / "index" / "index.db")
    with Index(tmp_path / "index", reranker=None) as index:
        index.add(notes)
        refuse_inconsistent(tmp_path / "index" / "index.db")
        held = set(index._store.stamps("notes"))
        assert held == {path.name for path in notes.iterdir()}
        for path in sorted(notes.iterdir())[:20]:
            assert path.name in {hit.path for hit in index.search(f"file{path.stem}", limit=200)}
        assert str(index.update()).endswith(f"0 removed, {len(held)} unchanged")


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
