"""PassageScorer: passages, best first, until a deadline; scores that an earlier search computed are known."""

from __future__ import annotations

import hashlib
import math
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qwen3_reranker.errors import RerankerError
from qwen3_reranker.search.passage_judges import JudgeRows, PassageJudge, PassageToJudge
from qwen3_reranker.search.retrieval import FUSION_CONSTANT
from qwen3_reranker.uninterrupted import start_uninterrupted

# A chunk may take this share of the time that is left, as the estimate of its time may be wrong by as much.
_SAFE_SHARE = 0.8
# Tokens of the first chunk: enough to use all cores, few enough to learn the speed from.
_FIRST_TOKENS = 256
_CHUNK_SECONDS = 0.5
_ENCODED_AT_ONCE = 8
# What the speed is measured with, and how long that is believed where nothing can be judged.
_SHORT = "word " * 32
_BELIEVED_SECONDS = 10.0
# Scores that are kept; older ones go.
_MOST_SCORES = 100_000
_MOST_UNCOUNTED = 1_000


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

    def __init__(self, judge: PassageJudge, scores: KnownScores) -> None:
        self._judge = judge
        self._scores = scores
        self._model = judge.identity.encode()
        #: Whether the network is too weak to overrule the first stage.
        self.is_small = judge.is_small
        self.count_tokens = judge.count_tokens
        # Tokens a second in the last chunk of the last call; 0 before the first.
        self._rate, self._timed_at = 0.0, -math.inf
        self._measuring: threading.Thread | None = None

    def measure(self, deadline: float = math.inf, judge_rows: JudgeRows | None = None) -> None:
        """Compute a short row, so that the next search knows how many passages it can judge in its time."""
        [passage] = self._judge.passages("query", [_SHORT], None)
        self._timed("query", [passage], None, passage.query_tokens + passage.tokens, deadline, judge_rows)

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

        judge_rows, owner: as in `Index.search`. Raises what Reranker.rows, a server and judge_rows raise.
        """
        keys = [self._key(query, passage, instruction, owner) for passage in passages]
        logits = self._scores.known(keys)
        cached, truncated = len(logits), set()
        left = [place for place in range(len(passages)) if place not in logits]
        # Then the rate says little, as others wait too, and a chunk ends at the deadline by itself.
        keeps_deadline = judge_rows is not None or self._judge.keeps_deadline
        if left and not self._rate and not self._judge.keeps_deadline and time.monotonic() < deadline:
            self.measure(deadline, judge_rows)
        placed = self._placed(query, passages, left, instruction, deadline)
        for places, some, tokens in self._chunks(placed, deadline, keeps_deadline):
            found = self._timed(query, some, instruction, tokens, deadline, judge_rows)
            if found is None:
                break
            logits.update(zip(places, found, strict=True))
            truncated |= {place for place, passage in zip(places, some, strict=True) if passage.is_cut}
        if left and len(logits) == cached:
            self._measure_again(keeps_deadline)
        # A cut text is judged again, or the next call would not know that it was cut.
        self._scores.add({keys[place]: logits[place] for place in left if place in logits.keys() - truncated})
        return PassageLogits(logits, cached, frozenset(truncated))

    def _placed(
        self, query: str, texts: Sequence[str], places: Sequence[int], instruction: str | None, deadline: float
    ) -> Iterator[tuple[int, PassageToJudge]]:
        """Passages, a few at a time: a search without time for them does not wait for their tokens."""
        for begin in range(0, len(places), _ENCODED_AT_ONCE):
            if time.monotonic() >= deadline:
                return
            some = places[begin : begin + _ENCODED_AT_ONCE]
            yield from zip(
                some, self._judge.passages(query, [texts[place] for place in some], instruction), strict=True
            )

    def _chunks(
        self, placed: Iterator[tuple[int, PassageToJudge]], deadline: float, keeps_deadline: bool
    ) -> Iterator[tuple[list[int], list[PassageToJudge], int]]:
        """Passages with their places that should end before the deadline, and the tokens that they take."""
        waiting, is_first = next(placed, None), True
        # Without a deadline a server is asked once: each request costs a way there and back.
        is_whole = self._judge.keeps_deadline and math.isinf(deadline)
        largest: float = math.inf if is_whole else _FIRST_TOKENS
        while waiting is not None:
            seconds = _SAFE_SHARE * (deadline - time.monotonic())
            estimated = min(seconds, _CHUNK_SECONDS) * self._rate
            most = math.inf if is_whole else max(estimated, _FIRST_TOKENS if keeps_deadline else 0)
            places: list[int] = []
            some: list[PassageToJudge] = []
            tokens = 0
            # The query is computed with the first row, and its keys and values are kept.
            head = waiting[1].query_tokens if is_first and not keeps_deadline else 0
            # At the end of the time a chunk is what still fits; before, one row at the least.
            while waiting and (not some or tokens + waiting[1].tokens <= min(most, largest)):
                tokens += waiting[1].tokens + (0 if some else head)
                places.append(waiting[0])
                some.append(waiting[1])
                waiting = next(placed, None)
            if tokens > seconds * self._rate and not (keeps_deadline and seconds > 0):
                return
            yield places, some, tokens
            largest, is_first = 4 * largest, False

    def _timed(
        self,
        query: str,
        passages: Sequence[PassageToJudge],
        instruction: str | None,
        tokens: int,
        deadline: float,
        judge_rows: JudgeRows | None,
    ) -> Sequence[float] | None:
        """The logits of passages that so many tokens are computed for, and from now on the rate of that."""
        begun = time.monotonic()
        logits = self._judge.logits(query, passages, instruction, deadline, judge_rows)
        self._timed_at = time.monotonic()
        self._rate = tokens / max(self._timed_at - begun, 1e-6)
        return logits

    def _measure_again(self, keeps_deadline: bool) -> None:
        """After a search that judged nothing: one slow moment must not keep all later ones from judging."""
        if keeps_deadline:
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
