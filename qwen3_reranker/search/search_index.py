"""Index: one's own files and records in a folder on disk, searched in two stages within a time budget.

passages = files, cut at headings and definitions     documents/
candidates = BM25 and vectors, joined by rank         retrieval.py
logits = the reranker, best first, until the budget   passage_scorer.py
hits = documents by their best passage                results.py
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from qwen3_reranker.arguments import refuse_non_query
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.embedder import Embedder
from qwen3_reranker.errors import InputError
from qwen3_reranker.search.filters import Condition, Filters
from qwen3_reranker.search.index_tables import COLUMNS, OF_PASSAGES, StoredPassage, open_database
from qwen3_reranker.search.index_writer import Changes, OnFile, Writer, differences, one_writer
from qwen3_reranker.search.indexed_lines import IndexedLines, indexed_lines
from qwen3_reranker.search.opened_models import GivenEmbedder, GivenReranker, OpenedModels
from qwen3_reranker.search.passage_scorer import JudgeRows, KnownScores, PassageLogits
from qwen3_reranker.search.results import SearchHit, SearchResults, SearchSeconds, found_hit, text_to_judge
from qwen3_reranker.search.retrieval import FoundPassage, WordSearch, fused_candidates
from qwen3_reranker.search.vectors import Vectors

#: Tokens of a passage at most, about: few enough that a reranker reads it fast and that it says one thing.
PASSAGE_TOKENS = 200
#: Passages that are judged if nothing else is asked for.
CANDIDATES = 40
#: The searches of the first stage: by BM25 and by vectors.
WORDS, VECTORS = "words", "vectors"
# Of a search's time, judging ends after this share.
_JUDGING_SHARE = 0.95
# Passages that each search of the first stage gives.
_FIRST_STAGE = 200


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """A collection: its name, its folder (None for records), files, passages, and when it was updated, Unix seconds."""

    name: str
    folder: str | None
    files: int
    passages: int
    updated: float


@dataclass(frozen=True, slots=True)
class Staleness:
    """How many files changed, came or went since the update; is_complete: whether there was time to look at all."""

    changed: int
    is_complete: bool


class Index:
    """A search index in one folder on disk, which is made if it is not there.

    reranker: judges the candidates; a name, an open Reranker or a function that opens one; None for searches of the
    first stage alone. embedder: adds a search by meaning; a Qwen3-Embedding model in the same forms. passage_tokens:
    about the most tokens of a passage, fixed when the index is made. wait: seconds to wait for another writer.

    Models that are not open yet are opened when they are first needed, and closed with the index. Many indexes of one
    folder may read while one writes. Raises UnavailableError for a folder that holds an index of another version,
    InputError for another embedder than the one that the index holds vectors of.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        reranker: GivenReranker | None = "nano",
        embedder: GivenEmbedder | None = None,
        passage_tokens: int | None = None,
        wait: float = 60.0,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._wait = wait
        self._database = open_database(self.folder / "index.db")
        self._extractor = TextExtractor()
        self._lock = threading.RLock()
        self._words = WordSearch(self._database)
        self._scores = KnownScores(self.folder / "scores.db")
        self._models = OpenedModels(reranker, embedder, self._scores)
        self._vectors: Vectors | None = None
        if passage_tokens is not None and passage_tokens < 1:
            raise InputError(f"passage_tokens must be at least 1, got {passage_tokens}")
        self._passage_tokens = int(_setting(self._database, "passage_tokens", passage_tokens or PASSAGE_TOKENS))
        if passage_tokens not in (None, self._passage_tokens):
            raise InputError(
                f"{self.folder}: this index has passages of {self._passage_tokens} tokens, not {passage_tokens}; "
                "make another one in a new folder"
            )

    # --- writing ---

    def add(
        self,
        what: str | os.PathLike[str] | Iterable[Mapping[str, Any]],
        *,
        collection: str | None = None,
        glob: str | None = None,
        on_file: OnFile | None = None,
    ) -> Changes:
        """Add a folder of files, or records, and return what changed. What is there already is left or replaced.

        A record is a mapping with an `id`, a `text` and any other fields. collection: the name; by default that of the
        folder, and "records". glob: read only files that match, as `rank --glob`. on_file is called with the files that
        are done and all that change. Files that are no text are left out; the changes say how many and why.
        """
        changes = Changes()
        with self._writing() as writer:
            if isinstance(what, str | os.PathLike):
                folder = os.path.abspath(os.fspath(what))
                if not os.path.isdir(folder):
                    raise InputError(f"{os.fspath(what)}: no such folder")
                number = writer.collection(collection or self._name_of(folder), folder, glob)
                writer.update(number, changes, on_file)
            else:
                writer.put_records(writer.collection(collection or "records", None), what, changes)
            self._embed(writer)
        return changes

    def update(self, collections: Sequence[str] | None = None, *, on_file: OnFile | None = None) -> Changes:
        """Bring collections of files, by default all of them, to the state of their folders."""
        changes = Changes()
        with self._writing() as writer:
            for number, folder in self._numbers(collections):
                if folder is not None:
                    writer.update(number, changes, on_file)
            self._embed(writer)
        return changes

    def remove(self, collection: str, paths: Sequence[str] | None = None) -> Changes:
        """Remove a collection, or some of its files or records by path or id. Files on disk stay as they are."""
        changes = Changes()
        with self._writing() as writer:
            [(number, _)] = self._numbers([collection])
            if paths is None:
                writer.remove_collection(number, changes)
            else:
                found = {
                    path: file
                    for path in paths
                    for [file] in self._rows("SELECT id FROM files WHERE collection = ? AND path = ?", number, path)
                }
                if missing := [path for path in paths if path not in found]:
                    raise InputError(f"{collection}: holds no {missing[0]!r}")
                writer.remove_files(found.values(), changes)
        return changes

    # --- searching ---

    def search(
        self,
        query: str,
        limit: int = 10,
        *,
        instruction: str | None = None,
        budget: float | None = None,
        filters: Filters | None = None,
        rerank: bool = True,
        candidates: int = CANDIDATES,
        fuse: bool | None = None,
        judge_rows: JudgeRows | None = None,
        owner: str = "",
    ) -> SearchResults:
        """The documents that answer the query, best first, each with its best passage.

        BM25, and vectors if the index has them, give `candidates` passages. The reranker judges them, the best first,
        until all are judged or `budget` seconds since the call are over. A search that ran out of time lists passages
        that the model says yes to, then those that were not judged, then the others. instruction: what makes a
        document relevant. fuse: join the judged order with the first stage's; None does so for a small reranker.
        judge_rows: computes the logits instead of the reranker itself, where that is shared with others. owner: scores
        that another owner's search computed are not known to this one. Raises InputError for a blank query or an
        unusable filter.
        """
        begun = time.monotonic()
        refuse_non_query("query", query)
        if limit < 1 or candidates < 1:
            raise InputError(f"limit and candidates must be at least 1, got {limit} and {candidates}")
        if budget is not None and not budget > 0:
            raise InputError(f"budget must be more than 0 seconds, got {budget}")
        latest = _latest(begun, budget)
        with self._lock:
            chosen, rows = self._candidates(query, (filters or Filters()).sql(), candidates)
        retrieved = time.monotonic()
        judged = PassageLogits()
        scorer = self._models.scorer(latest) if rerank and chosen else None
        if scorer is not None:
            found = [rows[each.passage] for each in chosen]
            texts = [text_to_judge(each.headings, each.text) for each in found]
            judged = scorer.judge(query, texts, instruction, latest, judge_rows, owner)
            fuse = scorer.is_small if fuse is None else fuse
        order = judged.order(len(chosen), bool(fuse))
        hits: dict[int, SearchHit] = {}
        for place in order:
            if chosen[place].document not in hits and len(hits) < limit:
                hits[chosen[place].document] = found_hit(rows[chosen[place].passage], chosen[place], judged, place)
        ended = time.monotonic()
        return SearchResults(
            tuple(hits.values()),
            candidates=len(chosen),
            judged=len(judged.logits),
            cached=judged.cached,
            seconds=SearchSeconds(retrieved - begun, ended - retrieved, ended - begun),
        )

    def judge(
        self, query: str, texts: Sequence[str], *, instruction: str | None = None, budget: float | None = None
    ) -> PassageLogits:
        """The logits of texts that need not be in the index, in their order, as many as `budget` seconds allow."""
        latest = _latest(time.monotonic(), budget)
        refuse_non_query("query", query)
        scorer = self._models.scorer(latest)
        return PassageLogits() if scorer is None else scorer.judge(query, texts, instruction, latest)

    def lines(
        self, path: str, first_line: int = 1, last_line: int | None = None, *, collection: str | None = None
    ) -> IndexedLines:
        """Lines of a file as it is now; its path as hits name it. Raises what `indexed_lines` raises."""
        with self._lock:
            return indexed_lines(self._database, self._extractor, path, collection, first_line, last_line)

    def candidates(
        self, query: str, count: int = CANDIDATES, *, by: Collection[str] = (WORDS, VECTORS)
    ) -> list[SearchHit]:
        """The passages that a search judges, in the order of the first stage; `by`: the searches it consists of."""
        refuse_non_query("query", query)
        with self._lock:
            chosen, rows = self._candidates(query, Filters().sql(), count, by)
        return [found_hit(rows[each.passage], each, PassageLogits(), place) for place, each in enumerate(chosen)]

    def stale(self, collections: Sequence[str] | None = None, seconds: float = 1.0) -> Staleness:
        """How far the index lies behind its folders, found within about so many seconds; no file is read."""
        ends, changed, is_complete = time.monotonic() + seconds, 0, True
        for number, folder in self._numbers(collections):
            if folder is not None and is_complete:
                found = differences(self._database, number, ends)
                changed += len(found.wanted) + len(found.gone)
                is_complete = found.is_complete
        return Staleness(changed, is_complete)

    def status(self) -> list[CollectionStatus]:
        """What the index holds, collection by collection."""
        with self._lock:
            return [
                CollectionStatus(*row)
                for row in self._rows(
                    "SELECT collections.name, folder, count(DISTINCT documents.file), count(passages.id), updated "
                    "FROM collections LEFT JOIN files ON collection = collections.id "
                    "LEFT JOIN documents ON file = files.id LEFT JOIN passages ON document = documents.id "
                    "GROUP BY collections.id ORDER BY collections.name"
                )
            ]

    def folders(self) -> dict[str, str | None]:
        """The names of the collections, and their folders; None for records."""
        return dict(self._rows("SELECT name, folder FROM collections ORDER BY name"))

    def open_models(self) -> None:
        """Open the models now, so that the first search need not. Raises what opening them raises."""
        self._models.scorer()
        self._models.embedder()

    def close(self) -> None:
        """Close the files, and the models that the index opened itself."""
        with self._lock:
            self._database.close()
            self._scores.close()
            self._models.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- parts ---

    def _candidates(
        self, query: str, condition: Condition, count: int, by: Collection[str] = (WORDS, VECTORS)
    ) -> tuple[list[FoundPassage], dict[int, StoredPassage]]:
        by_words = self._words.top(query, _FIRST_STAGE, condition) if WORDS in by else []
        by_vectors = self._nearest(query, _FIRST_STAGE, condition) if VECTORS in by else []
        passages = {passage for passage, _ in (*by_words, *by_vectors)}
        marks = ",".join("?" * len(passages))
        read = f"SELECT {COLUMNS} FROM passages {OF_PASSAGES} WHERE passages.id IN ({marks})"
        rows = {row[0]: StoredPassage(*row) for row in self._rows(read, *passages)}
        documents = {passage: row.document for passage, row in rows.items()}
        return fused_candidates(by_words, by_vectors, documents, count), rows

    def _nearest(self, query: str, count: int, condition: Condition) -> list[tuple[int, float]]:
        embedder = self._models.embedder()
        if embedder is None:
            return []
        joined = OF_PASSAGES if condition.sql else ""
        read = f"SELECT vector, passages.id FROM passages {joined} WHERE vector IS NOT NULL{condition.sql}"
        passage_of = dict(self._rows(read, *condition.values))
        [query_D] = embedder.queries([query])
        rows_R, cosines_R = self._vectors_of(embedder).top(query_D, count, np.fromiter(passage_of, np.int64))
        return [(passage_of[row], cosine) for row, cosine in zip(rows_R.tolist(), cosines_R.tolist(), strict=True)]

    def _embed(self, writer: Writer) -> None:
        if (embedder := self._models.embedder()) is not None:
            writer.embed_passages(embedder, self._vectors_of(embedder))

    def _vectors_of(self, embedder: Embedder) -> Vectors:
        if self._vectors is None:
            wanted = f"{embedder.checkpoint.name}, {embedder.dim} numbers"
            held = _setting(self._database, "vectors", wanted)
            if held != wanted:
                raise InputError(f"{self.folder}: this index has vectors of {held}, not of {wanted}; make another one")
            self._vectors = Vectors(self.folder / "vectors.bin", embedder.dim)
        return self._vectors

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        """The only writer, with a connection of its own: searches go on meanwhile."""
        with one_writer(self.folder, self._wait):
            database = open_database(self.folder / "index.db")
            try:
                with TextExtractor() as extractor:
                    yield Writer(database, self._passage_tokens, extractor)
            finally:
                database.close()

    def _name_of(self, folder: str) -> str:
        """The name of the collection of a folder: the one it has, or its last part, numbered if that is taken."""
        names = dict(self._rows("SELECT folder, name FROM collections"))
        if folder in names:
            return str(names[folder])
        plain = os.path.basename(folder) or "root"
        name, number = plain, 2
        while name in names.values():
            name, number = f"{plain}-{number}", number + 1
        return name

    def _numbers(self, collections: Sequence[str] | None) -> list[tuple[int, str | None]]:
        found = self._rows("SELECT name, id, folder FROM collections")
        known = {name: (number, folder) for name, number, folder in found}
        if missing := [name for name in collections or () if name not in known]:
            raise InputError(f"no collection {missing[0]!r}; there are {', '.join(sorted(known)) or 'none'}")
        return [known[name] for name in (known if collections is None else collections)]

    def _rows(self, query: str, *values: object) -> list[Any]:
        return self._database.execute(query, values).fetchall()


def _setting(database: sqlite3.Connection, name: str, default: object) -> Any:
    """The value of a setting, which is the default from now on if it has none yet."""
    read = "SELECT value FROM settings WHERE name = ?"
    if (found := database.execute(read, (name,)).fetchone()) is None:
        database.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, default))
        found = database.execute(read, (name,)).fetchone()
    return found[0]


def _latest(begun: float, budget: float | None) -> float:
    # What remains after the last passage, and what the system takes on a busy machine, must fit too.
    return math.inf if budget is None else begun + _JUDGING_SHARE * budget
