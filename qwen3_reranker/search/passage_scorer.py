"""PassageScorer: passages, best first, until a deadline; scores that an earlier search computed are known."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qwen3_reranker.backends.base import run_all
from qwen3_reranker.errors import RerankerError
from qwen3_reranker.records import Row
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.search.retrieval import FUSION_CONSTANT
from qwen3_reranker.uninterrupted import start_uninterrupted
from qwen3_reranker.weights.fingerprint import weights_state

# A chunk may take this share of the time that is left, as the estimate of its time may be wrong by as much.
_SAFE_SHARE = 0.8
# Tokens of the first chunk: enough to use all cores, few enough to learn the speed from.
_FIRST_TOKENS = 256
_CHUNK_SECONDS = 0.5
_ENCODED_AT_ONCE = 8
# What the speed is measured with, and how long that is believed where nothing can be judged.
_SHORT = "word " * 32
_BELIEVED_SECONDS = 10.0
_SMALL_PARAMETERS = 100_000_000
# Scores that are kept; older ones go.
_MOST_SCORES = 100_000
_MOST_UNCOUNTED = 1_000

#: Rows and a deadline (time.monotonic()) -> their logits, None where they cannot be there by then.
JudgeRows = Callable[[Sequence[Row], float], Sequence[float] | None]


@dataclass(frozen=True, slots=True)
class PassageLogits:
    """Logits of passages by their place in the list, what was known of them, and which were cut."""

    logits: Mapping[int, float] = field(default_factory=dict)
    cached: int = 0
    truncated: frozenset[int] = frozenset()

    def order(self, count: int, fuse: bool = False) -> list[int]:
        """The places of a list of `count`, the best first: by logit if all were judged.

        Else those that the model says yes to, those that were not judged, and the others. fuse: join the order by
        logit with that of the list.
        """
        places = range(count)
        by_logit = sorted(self.logits, key=lambda place: (-self.logits[place], place))
        if len(by_logit) < count:
            yes = [place for place in by_logit if self.logits[place] > 0]
            no = [place for place in by_logit if self.logits[place] <= 0]
            return [*yes, *(place for place in places if place not in self.logits), *no]
        if not fuse:
            return by_logit
        joined = [1 / (FUSION_CONSTANT + rank) for rank in range(1, count + 1)]
        for rank, place in enumerate(by_logit, start=1):
            joined[place] += 1 / (FUSION_CONSTANT + rank)
        return sorted(places, key=lambda place: (-joined[place], place))


class KnownScores:
    """Logits of (model, instruction, query, passage) that were computed before, in a file of their own.

    It is a cache: a file that cannot be read or written makes searches slower and never fails one.
    """

    def __init__(self, path: Path) -> None:
        self._database: sqlite3.Connection | None = None
        # A process may be too short to bring many: so the first ones are counted.
        self._uncounted = _MOST_UNCOUNTED
        # Threads that search at once share the connection, its statements and its transaction.
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, timeout=0.1, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, logit REAL) WITHOUT ROWID")
        except sqlite3.Error:
            self.close()

    def known(self, keys: Sequence[bytes]) -> dict[int, float]:
        """The logits that are known, by the place of their key."""
        found: dict[int, float] = {}
        with self._lock, suppress(sqlite3.Error):
            for place, key in enumerate(keys if self._database else ()):
                assert self._database is not None
                if row := self._database.execute("SELECT logit FROM scores WHERE key = ?", (key,)).fetchone():
                    found[place] = row[0]
        return found

    def add(self, scores: Mapping[bytes, float]) -> None:
        """Keep logits."""
        if self._database is None or not scores:
            return
        with self._lock, suppress(sqlite3.Error), self._database:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", scores.items())
            # Counting reads the whole file: it is done when enough may have come.
            self._uncounted += len(scores)
            if self._uncounted > _MOST_UNCOUNTED:
                self._uncounted = 0
                [count] = self._database.execute("SELECT count(*) FROM scores").fetchone()
                # Keys are hashes, so the smallest are any.
                unwanted = count - _MOST_SCORES // 2 if count > _MOST_SCORES else 0
                self._database.execute("DELETE FROM scores WHERE key IN (SELECT key FROM scores LIMIT ?)", (unwanted,))

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None


class PassageScorer:
    """One reranker that judges passages within a time."""

    def __init__(self, reranker: Reranker, scores: KnownScores) -> None:
        self._reranker = reranker
        self._scores = scores
        options = reranker.options
        facts = (weights_state(reranker.checkpoint), options.precision, options.prompt, reranker.tokens.max_length)
        self._model = repr(facts).encode()
        #: Whether the network is too weak to overrule the first stage.
        self.is_small = reranker.config.num_parameters < _SMALL_PARAMETERS
        # Tokens a second in the last chunk of the last call; 0 before the first.
        self._rate, self._timed_at = 0.0, -math.inf
        self._measuring: threading.Thread | None = None

    def measure(self, deadline: float = math.inf, judge_rows: JudgeRows | None = None) -> None:
        """Compute a short row, so that the next search knows how many passages it can judge in its time."""
        [row] = self._reranker.rows(["query"], [_SHORT])
        self._timed([row], _query_tokens(row) + _own_tokens(row), deadline, judge_rows)

    def close(self) -> None:
        """Wait for what still runs."""
        if self._measuring is not None:
            self._measuring.join()

    def judge(
        self,
        query: str,
        passages: Sequence[str],
        instruction: str | None,
        deadline: float,
        judge_rows: JudgeRows | None = None,
        owner: str = "",
    ) -> PassageLogits:
        """The logits of passages in their order, as many as the time until the deadline (time.monotonic) allows.

        judge_rows, owner: as in `Index.search`. Raises what Reranker.rows and judge_rows raise.
        """
        keys = [self._key(query, passage, instruction, owner) for passage in passages]
        logits = self._scores.known(keys)
        cached, truncated = len(logits), set()
        left = [place for place in range(len(passages)) if place not in logits]
        if left and not self._rate and time.monotonic() < deadline:
            self.measure(deadline, judge_rows)
        placed = self._rows(query, passages, left, instruction, deadline)
        for places, rows, tokens in self._chunks(placed, deadline, judge_rows is not None):
            found = self._timed(rows, tokens, deadline, judge_rows)
            if found is None:
                break
            logits.update(zip(places, found, strict=True))
            truncated |= {place for place, row in zip(places, rows, strict=True) if row.receipt.truncated}
        if left and len(logits) == cached:
            self._measure_again(judge_rows is not None)
        # A cut text is judged again, or the next call would not know that it was cut.
        self._scores.add({keys[place]: logits[place] for place in left if place in logits.keys() - truncated})
        return PassageLogits(logits, cached, frozenset(truncated))

    def _rows(
        self, query: str, passages: Sequence[str], places: Sequence[int], instruction: str | None, deadline: float
    ) -> Iterator[tuple[int, Row]]:
        """The rows of passages, a few at a time: a search without time for them does not wait for their tokens."""
        for begin in range(0, len(places), _ENCODED_AT_ONCE):
            if time.monotonic() >= deadline:
                return
            some = places[begin : begin + _ENCODED_AT_ONCE]
            texts = [passages[place] for place in some]
            yield from zip(some, self._reranker.rows([query] * len(some), texts, instruction), strict=True)

    def _chunks(
        self, placed: Iterator[tuple[int, Row]], deadline: float, is_shared: bool
    ) -> Iterator[tuple[list[int], list[Row], int]]:
        """Rows with their places that should end before the deadline, and the tokens that they take.

        is_shared: what judges waits for others, so the rate says little, and ends at the deadline by itself.
        """
        largest, waiting, is_first = _FIRST_TOKENS, next(placed, None), True
        while waiting is not None:
            seconds = _SAFE_SHARE * (deadline - time.monotonic())
            most = max(min(seconds, _CHUNK_SECONDS) * self._rate, _FIRST_TOKENS if is_shared else 0)
            places: list[int] = []
            rows: list[Row] = []
            tokens = 0
            # The query is computed with the first row, and its keys and values are kept.
            head = _query_tokens(waiting[1]) if is_first and not is_shared else 0
            # At the end of the time a chunk is what still fits; before, one row at the least.
            while waiting and (not rows or tokens + _own_tokens(waiting[1]) <= min(most, largest)):
                tokens += _own_tokens(waiting[1]) + (0 if rows else head)
                places.append(waiting[0])
                rows.append(waiting[1])
                waiting = next(placed, None)
            if tokens > seconds * self._rate and not (is_shared and seconds > 0):
                return
            yield places, rows, tokens
            largest, is_first = 4 * largest, False

    def _timed(
        self, rows: Sequence[Row], tokens: int, deadline: float, judge_rows: JudgeRows | None
    ) -> Sequence[float] | None:
        """The logits of rows that so many tokens are computed for, and from now on the rate of that."""
        begun = time.monotonic()
        logits = judge_rows(rows, deadline) if judge_rows else run_all(self._reranker.judge(rows)).tolist()
        self._timed_at = time.monotonic()
        self._rate = tokens / max(self._timed_at - begun, 1e-6)
        return logits

    def _measure_again(self, is_shared: bool) -> None:
        """After a search that judged nothing: one slow moment must not keep all later ones from judging."""
        if is_shared:
            self._rate = 0.0
        elif not self._is_measuring() and time.monotonic() > self._timed_at + _BELIEVED_SECONDS:

            def measure() -> None:
                with suppress(RerankerError):
                    self.measure()

            self._measuring = threading.Thread(target=measure, name="measuring a reranker", daemon=True)
            start_uninterrupted(self._measuring)

    def _is_measuring(self) -> bool:
        return self._measuring is not None and self._measuring.is_alive()

    def _key(self, query: str, passage: str, instruction: str | None, owner: str) -> bytes:
        texts = (instruction or "", query, passage, *([owner] if owner else []))
        parts = (self._model, *(text.encode() for text in texts))
        return hashlib.blake2b(b"".join(len(part).to_bytes(4) + part for part in parts), digest_size=16).digest()


def _query_tokens(row: Row) -> int:
    """Tokens of instruction and query."""
    return (row.boundaries[-1] if row.boundaries else 0) - row.num_public_tokens


def _own_tokens(row: Row) -> int:
    """Tokens of a row behind its query: what it adds to the rows of the same query."""
    return len(row.ids) - (row.boundaries[-1] if row.boundaries else 0)
