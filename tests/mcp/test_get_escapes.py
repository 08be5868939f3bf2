"""`get` reads what is in the index and nothing else, however a path is written and whatever lies at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3_reranker.search import Index
from qwen3_reranker.search.indexed_lines import MAX_CHARACTERS, MAX_LINES
from qwen3_reranker.search.prepared_file import MAX_FILE_BYTES
from tests.mcp.conftest import NOTES, SECRET, Call, answer_of, error_of

# {} is the folder around the indexed one.
ESCAPES = (
    "../other/git.md", "sub/../../other/git.md", "sub/../git.md", "./git.md", "sub//deep.md", "/git.md",
    "{}/other/git.md", "{}/notes/git.md", "%2e%2e/other/git.md", "..%2fother%2fgit.md", "%252e%252e/other/git.md",
    "..\\other\\git.md", "．．/other/git.md", "..;/other/git.md", "file://{}/other/git.md", "~/git.md", "$HOME/git.md",
    "git.md\0", "git.md\0.txt", "GIT.md", "git.MD", "git.md ", " git.md", "git.md/", "git.md:1", "git.md\n",
    "*.md", "[g]it.md", "g?t.md", "{{git,rice}}.md", "%", "_it.md", "", ".", "sub", ".hidden.md", "picture.bin",
    "re\u0301sume\u0301.md", "' OR 1=1 --", "git.md\ud800", "a/" * 2_000,
)  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES, ids=lambda path: ascii(path)[:30])
def test_a_path_that_is_not_spelt_as_in_the_index_is_refused(call: Call, tmp_path: Path, path: str) -> None:
    message = error_of(call("get", path=path.format(tmp_path)))
    assert SECRET not in message
    assert len(message) < 500


def test_indexed_paths_are_read(call: Call) -> None:
    for path in ("git.md", "rice.md", "sub/deep.md", "résumé.md"):
        assert answer_of(call("get", path=path))["text"] + "\n" == NOTES[path]


def _linked_file(notes: Path) -> None:
    (notes / "git.md").unlink()
    (notes / "git.md").symlink_to(notes.parent / "other/git.md")


def _linked_relative_file(notes: Path) -> None:
    (notes / "git.md").unlink()
    (notes / "git.md").symlink_to("../other/git.md")


def _link_to_a_hidden_file(notes: Path) -> None:
    (notes / "git.md").unlink()
    (notes / "git.md").symlink_to(".hidden.md")


def _link_to_itself(notes: Path) -> None:
    (notes / "git.md").unlink()
    (notes / "git.md").symlink_to("git.md")


def _link_to_the_process(notes: Path) -> None:
    (notes / "git.md").unlink()
    (notes / "git.md").symlink_to("/proc/self/environ")


def _folder(notes: Path) -> None:
    (notes / "git.md").unlink()
    (notes / "git.md").mkdir()


def _pipe(notes: Path) -> None:
    (notes / "git.md").unlink()
    os.mkfifo(notes / "git.md")


def _too_large(notes: Path) -> None:
    (notes / "git.md").write_bytes(b"a" * (MAX_FILE_BYTES + 1))


def _binary(notes: Path) -> None:
    (notes / "git.md").write_bytes(b"\0" * 100)


def _gone(notes: Path) -> None:
    (notes / "git.md").unlink()


@pytest.mark.parametrize(
    "swap",
    [
        _linked_file, _linked_relative_file, _link_to_a_hidden_file, _link_to_itself, _link_to_the_process, _folder,
        _pipe, _too_large, _binary, _gone,
    ],
)  # fmt: skip
def test_what_took_the_place_of_an_indexed_file_is_refused(
    call: Call, notes: Path, swap: Callable[[Path], None]
) -> None:
    assert answer_of(call("get", path="git.md"))
    swap(notes)
    message = error_of(call("get", path="git.md"))
    assert "secret" not in message


def test_a_link_that_took_the_place_of_a_folder_is_refused(call: Call, notes: Path) -> None:
    shutil.rmtree(notes / "sub")
    (notes / "sub").symlink_to(notes.parent / "other/sub")
    assert "leads to a file that is not in the index" in error_of(call("get", path="sub/deep.md"))


def test_a_link_to_another_indexed_file_is_read(index: Index, call: Call, notes: Path) -> None:
    (notes / "link.md").symlink_to("sub/deep.md")
    index.update()
    assert answer_of(call("get", path="link.md", first_line=6))["text"] == "List all tags."


def test_links_out_of_a_folder_or_to_hidden_files_are_not_indexed(index: Index, call: Call, notes: Path) -> None:
    (notes / "out.md").symlink_to(notes.parent / "other/git.md")
    (notes / "hidden.md").symlink_to(".hidden.md")
    assert "links to files that are hidden or elsewhere" in str(index.update().skipped)
    assert index.update().changed == 0
    assert answer_of(call("search", query="secret", rerank=False))["results"] == []
    for path in ("out.md", "hidden.md"):
        assert error_of(call("get", path=path))


@pytest.mark.parametrize(
    ("first", "last"), [(5, None), (10**30, None), (3, 2), (0, 1), (-1, 1), (1, 0), (1, -(10**30))]
)
def test_lines_that_are_not_there_are_refused(call: Call, first: int, last: int | None) -> None:
    assert error_of(call("get", path="git.md", first_line=first, last_line=last))


def test_an_end_behind_the_file_is_its_end(call: Call) -> None:
    lines = answer_of(call("get", path="git.md", first_line=4, last_line=10**30))
    assert (lines["text"], lines["last_line"], lines["truncated"]) == ("The commit leaves the history.", 4, False)


def test_a_long_file_is_read_in_parts_that_join(index: Index, call: Call, notes: Path) -> None:
    text = "\n".join(f"line {number} " + "of a long file " * (number % 17) for number in range(3_000))
    (notes / "long.txt").write_text(text, encoding="utf-8")
    index.update()
    parts, first, truncated = [], 1, True
    while truncated:
        lines = answer_of(call("get", path="long.txt", first_line=first))
        assert len(lines["text"]) <= MAX_CHARACTERS
        assert lines["last_line"] - lines["first_line"] < MAX_LINES
        parts.append(lines["text"])
        first, truncated = lines["last_line"] + 1, lines["truncated"]
    assert "\n".join(parts) == text
    assert len(parts) > 6


def test_a_line_longer_than_an_answer_is_cut_and_says_so(index: Index, call: Call, notes: Path) -> None:
    (notes / "one.txt").write_text("word " * 20_000, encoding="utf-8")
    index.update()
    lines = answer_of(call("get", path="one.txt"))
    assert (len(lines["text"]), lines["truncated"], lines["last_line"]) == (MAX_CHARACTERS, True, 1)


def test_a_path_in_several_collections_needs_its_collection(index: Index, call: Call, notes: Path) -> None:
    index.add(notes.parent / "other")
    index.add([{"id": "record", "text": "a record"}])
    assert "name one of" in error_of(call("get", path="git.md"))
    assert answer_of(call("get", path="git.md", collection="other"))["text"] == SECRET
    assert answer_of(call("get", path="git.md", collection="notes"))["text"].startswith("# Undo")
    assert "not in the index" in error_of(call("get", path="git.md", collection="records"))
    assert "is a record" in error_of(call("get", path="record"))
