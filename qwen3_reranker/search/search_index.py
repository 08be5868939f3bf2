"""Index: one's own files and records in a folder on disk, searched in two stages within a time budget.

passages = files, cut at headings and definitions     documents/
candidates = BM25 and vectors, joined by rank         candidate_search.py, retrieval.py
logits = the reranker, best first, until the budget   passage_scorer.py
hits = documents by their best passage                results.py, selected_hits.py
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from qwen3_reranker.arguments import refuse_non_query
from qwen3_reranker.documents.text_extractor import TextExtractor
from qwen3_reranker.errors import InputError
from qwen3_reranker.explanation import Explanation
from qwen3_reranker.search.candidate_search import VECTORS, WORDS, CandidateSearch
from qwen3_reranker.search.filters import Filters
from qwen3_reranker.search.index_store import CollectionStatus, IndexStore, StoredCollection
from qwen3_reranker.search.index_writer import Changes, OnFile, Writer, differences
from qwen3_reranker.search.indexed_lines import IndexedLines, indexed_lines
from qwen3_reranker.search.opened_models import GivenEmbedder, GivenReranker, OpenedModels
from qwen3_reranker.search.opened_store import opened_store
from qwen3_reranker.search.passage_judges import JudgeRows
from qwen3_reranker.search.passage_scorer import KnownScores, PassageLogits
from qwen3_reranker.search.results import SearchHit, SearchResults, SearchSeconds, found_hit, text_to_judge
from qwen3_reranker.search.selected_hits import refuse_selection, refuse_uncounted, selected_hits
from qwen3_reranker.selection_options import NO_SELECTION, SelectionOptions

#: Tokens of a passage at most, about: few enough that a reranker reads it fast and that it says one thing.
PASSAGE_TOKENS = 200
#: Passages that are judged if nothing else is asked for.
CANDIDATES = 40
#: The stage after the two searches, among what there was no time for.
JUDGING = "judging"
# Of a search's time, judging ends after this share.
_JUDGING_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Staleness:
    """How many files changed, came or went since the update; is_complete: whether there was time to look at all."""

    changed: int
    is_complete: bool


class Index:
    """A search index in one folder on disk, or another store, which is made if it is not there.

    store: a folder, a URL such as "lancedb:///data/index" or "lancedb+s3://bucket/index", or an open IndexStore.
    reranker: judges the candidates; a name, the URL of a server, an open Reranker or a function that opens one; None
    for searches of the first stage alone. embedder: adds a search by meaning; a Qwen3-Embedding model in the same
    forms, but no URL. passage_tokens: about the most tokens of a passage, fixed when the index is made. wait: seconds
    to wait for another writer.

    Models that are not open yet are opened when they are first needed, and closed with the index. Many indexes of one
    store may read while one writes. Raises UnavailableError for a store that holds an index of another version or
    cannot be reached, InputError for an unknown kind of URL, and for another embedder than the one that the index holds
    vectors of.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | IndexStore,
        *,
        reranker: GivenReranker | None = "nano",
        embedder: GivenEmbedder | None = None,
        passage_tokens: int | None = None,
        wait: float = 60.0,
    ) -> None:
        if passage_tokens is not None and passage_tokens < 1:
            raise InputError(f"passage_tokens must be at least 1, got {passage_tokens}")
        self._store = opened_store(store, wait) if isinstance(store, str | os.PathLike) else store
        #: The folder or URL of the index.
        self.name = self._store.name
        self._extractor = TextExtractor()
        self._lock = threading.RLock()
        self._scores = KnownScores(self._store.scores)
        self._models = OpenedModels(reranker, embedder, self._scores)
        self._first_stage = CandidateSearch(self._store, self._models)
        self._passage_tokens = int(self._store.setting("passage_tokens", passage_tokens or PASSAGE_TOKENS))
        if passage_tokens not in (None, self._passage_tokens):
            self.close()
            raise InputError(
                f"{self.name}: this index has passages of {self._passage_tokens} tokens, not {passage_tokens}; "
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
                name = collection or self._name_of(folder)
                writer.collection(name, folder, glob)
                writer.update(name, changes, on_file)
            else:
                writer.collection(name := collection or "records", None)
                writer.put_records(name, what, changes)
            self._embed(writer)
        return changes

    def update(self, collections: Sequence[str] | None = None, *, on_file: OnFile | None = None) -> Changes:
        """Bring collections of files, by default all of them, to the state of their folders."""
        changes = Changes()
        with self._writing() as writer:
            for name, held in self._chosen(collections).items():
                if held.folder is not None:
                    writer.update(name, changes, on_file)
            self._embed(writer)
        return changes

    def remove(self, collection: str, paths: Sequence[str] | None = None) -> Changes:
        """Remove a collection, or some of its files or records by path or id. Files on disk stay as they are."""
        changes = Changes()
        with self._writing() as writer:
            self._chosen([collection])
            if paths is None:
                writer.remove_collection(collection, changes)
            else:
                held = self._store.stamps(collection)
                if missing := [path for path in paths if path not in held]:
                    raise InputError(f"{collection}: holds no {missing[0]!r}")
                writer.remove(collection, list(dict.fromkeys(paths)), changes)
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
        selection: SelectionOptions = NO_SELECTION,
        judge_rows: JudgeRows | None = None,
        owner: str = "",
    ) -> SearchResults:
        """The documents that answer the query, best first, each with its best passage.

        BM25, and vectors if the index has them, give `candidates` passages. The reranker judges them, the best first,
        until all are judged or `budget` seconds since the call are over. A search that ran out of time lists passages
        that the model says yes to, then those that were not judged, then the others; `left_out` of the results names
        the stages that had none. instruction: what makes a document relevant, for the reranker and the embedder. fuse:
        join the judged order with the first stage's; None does so for a small reranker. selection: how to choose the
        `limit` documents among those of all candidates, by their passages. judge_rows: computes the logits instead of
        the reranker itself, where that is shared with others. owner: scores that another owner's search computed are
        not known to this one. Raises InputError for a blank query, an unusable filter, and a selection that needs a
        reranker where there is none.
        """
        begun = time.monotonic()
        refuse_non_query("query", query)
        if limit < 1 or candidates < 1:
            raise InputError(f"limit and candidates must be at least 1, got {limit} and {candidates}")
        if budget is not None and not budget > 0:
            raise InputError(f"budget must be more than 0 seconds, got {budget}")
        latest = _latest(begun, budget)
        refuse_selection(selection, rerank and self._models.has_reranker)
        first = self._first_stage.find(query, candidates, instruction=instruction, filters=filters, deadline=latest)
        chosen, rows, retrieved = first.chosen, first.rows, time.monotonic()
        judged = PassageLogits()
        scorer = self._models.scorer(latest, judge_rows is not None) if rerank and chosen else None
        if scorer is not None:
            refuse_uncounted(selection, scorer.count_tokens)
            found = [rows[each.passage] for each in chosen]
            texts = [text_to_judge(each.headings, each.text) for each in found]
            judged = scorer.judge(query, texts, instruction, latest, judge_rows, owner)
            fuse = scorer.is_small if fuse is None else fuse
        is_unjudged = rerank and self._models.has_reranker and bool(chosen) and not judged.logits
        order = judged.order(len(chosen), bool(fuse))
        best: dict[int, int] = {}
        for place in order:
            best.setdefault(chosen[place].document, place)
        hits = tuple(
            found_hit(rows[chosen[place].passage], chosen[place], judged, place)
            for place in list(best.values())[: None if selection.given else limit]
        )
        selected = None
        if selection.given:
            hits, selected = selected_hits(hits, limit, selection, scorer.count_tokens if scorer else None)
        ended = time.monotonic()
        return SearchResults(
            hits,
            candidates=len(chosen),
            judged=len(judged.logits),
            cached=judged.cached,
            seconds=SearchSeconds(retrieved - begun, ended - retrieved, ended - begun),
            left_out=first.left_out + ((JUDGING,) if is_unjudged else ()),
            selection=selected,
        )

    def judge(
        self, query: str, texts: Sequence[str], *, instruction: str | None = None, budget: float | None = None
    ) -> PassageLogits:
        """The logits of texts that need not be in the index, in their order, as many as `budget` seconds allow."""
        latest = _latest(time.monotonic(), budget)
        refuse_non_query("query", query)
        scorer = self._models.scorer(latest)
        return PassageLogits() if scorer is None else scorer.judge(query, texts, instruction, latest)

    def explain(
        self, query: str, hit: SearchHit, *, instruction: str | None = None, leave_out: bool = True
    ) -> Explanation:
        """Which sentences of a hit's passage answer; its `document` is the passage below its headings, as it is judged.

        leave_out: as in `Reranker.explain`. Raises InputError for an index without a reranker.
        """
        reranker = self._models.reranker()
        if reranker is None:
            raise InputError("an index without a reranker explains nothing: open it with one")
        return reranker.explain(query, text_to_judge(hit.headings, hit.text), instruction, leave_out=leave_out)

    def lines(
        self, path: str, first_line: int = 1, last_line: int | None = None, *, collection: str | None = None
    ) -> IndexedLines:
        """Lines of a file as it is now; its path as hits name it. Raises what `indexed_lines` raises."""
        with self._lock:
            return indexed_lines(self._store, self._extractor, path, collection, first_line, last_line)

    def candidates(
        self, query: str, count: int = CANDIDATES, *, by: Collection[str] = (WORDS, VECTORS)
    ) -> list[SearchHit]:
        """The passages that a search judges, in the order of the first stage; `by`: the searches it consists of."""
        refuse_non_query("query", query)
        found = self._first_stage.find(query, count, by=by)
        return [found_hit(found.rows[one.passage], one, PassageLogits(), at) for at, one in enumerate(found.chosen)]

    def stale(self, collections: Sequence[str] | None = None, seconds: float = 1.0) -> Staleness:
        """How far the index lies behind its folders, found within about so many seconds; no file is read."""
        ends, changed, is_complete = time.monotonic() + seconds, 0, True
        for name, held in self._chosen(collections).items():
            if held.folder is not None and is_complete:
                found = differences(self._store, name, held, ends)
                changed += len(found.wanted) + len(found.gone)
                is_complete = found.is_complete
        return Staleness(changed, is_complete)

    def status(self) -> list[CollectionStatus]:
        """What the index holds, collection by collection."""
        with self._lock:
            return self._store.status()

    def folders(self) -> dict[str, str | None]:
        """The names of the collections, and their folders; None for records."""
        return {name: held.folder for name, held in self._store.collections().items()}

    def open_models(self) -> None:
        """Open the models now, so that the first search need not. Raises what opening them raises."""
        self._models.scorer()
        self._models.embedder()

    def close(self) -> None:
        """Close the files, and the models that the index opened itself."""
        with self._lock, self._first_stage.ended():
            self._store.close()
            self._scores.close()
            self._models.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- parts ---

    def _embed(self, writer: Writer) -> None:
        if (embedder := self._models.embedder()) is not None:
            self._first_stage.refuse_other_vectors(embedder)
            writer.embed_passages(embedder)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        with self._store.writing() as writer, TextExtractor() as extractor:
            yield Writer(self._store, writer, self._passage_tokens, extractor)

    def _name_of(self, folder: str) -> str:
        """The name of the collection of a folder: the one it has, or its last part, numbered if that is taken."""
        names = self.folders()
        for name, held in names.items():
            if held == folder:
                return name
        plain = os.path.basename(folder) or "root"
        name, number = plain, 2
        while name in names:
            name, number = f"{plain}-{number}", number + 1
        return name

    def _chosen(self, collections: Sequence[str] | None) -> dict[str, StoredCollection]:
        known = self._store.collections()
        if missing := [name for name in collections or () if name not in known]:
            raise InputError(f"no collection {missing[0]!r}; there are {', '.join(sorted(known)) or 'none'}")
        return {name: known[name] for name in (known if collections is None else collections)}


def _latest(begun: float, budget: float | None) -> float:
    # What remains after the last passage, and what the system takes on a busy machine, must fit too.
    return math.inf if budget is None else begun + _JUDGING_SHARE * budget
