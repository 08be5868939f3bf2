"""An index finds one's own texts in any script, stays true to its folder, and answers within its time."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3_reranker.errors import UnavailableError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search import Index
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


def written_notes(folder: Path) -> Path:
    """The notes in a folder called notes."""
    for name, text in NOTES.items():
        path = folder / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "notes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written_notes(tmp_path)


@pytest.fixture
def index(tmp_path: Path, folder: Path) -> Iterator[Index]:
    """An index of the notes, in short passages, without a reranker."""
    with Index(tmp_path / "index", reranker=None, passage_tokens=12) as made:
        made.add(folder)
        yield made


def places(index: Index, query: str, **options: object) -> list[str]:
    return [hit.place for hit in index.search(query, **options)]  # type: ignore[arg-type]


def test_a_script_is_no_text_of_a_page(index: Index) -> None:
    assert places(index, "hidden") == []


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


@pytest.mark.parametrize("field", ['"id": "\\ud800"', '"title": "\\ud800"', '"team": ["\\ud800"]', '"\\ud800": 1'])
def test_half_a_character_in_a_record_of_a_file_stops_nothing(index: Index, folder: Path, field: str) -> None:
    (folder / "half.jsonl").write_text(f'{{"text": "an otter swims", {field}}}\n', encoding="utf-8")
    (folder / "whole.md").write_text("Herons stand still.\n", encoding="utf-8")
    assert index.update().added == 2
    assert places(index, "herons") == ["whole.md:1"]
    assert places(index, "otter") == ["half.jsonl:1"]


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


def test_another_version_is_refused(index: Index, tmp_path: Path) -> None:
    with sqlite3.connect(Path(index.name) / "index.db") as database:
        database.execute("PRAGMA user_version = 999")
    with pytest.raises(UnavailableError, match="version 999"):
        Index(index.name)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.db").write_bytes(b"no database" * 100)
    with pytest.raises(UnavailableError, match="cannot be opened as an index"):
        Index(tmp_path / "other")
