"""What judges passages, as a search needs it: a model on this machine, or a server at a URL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwen3_reranker.backends.base import run_all
from qwen3_reranker.records import Row
from qwen3_reranker.remote.remote_reranker import RemoteReranker
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.weights.fingerprint import weights_state

_SMALL_PARAMETERS = 100_000_000
# UTF-8 bytes of a token, about, where the tokenizer is the server's.
_TOKEN_BYTES = 4

#: Rows and a deadline (time.monotonic()) -> their logits, None where they cannot be there by then.
JudgeRows = Callable[[Sequence[Row], float], Sequence[float] | None]


@dataclass(frozen=True, slots=True)
class PassageToJudge:
    """A passage to judge. tokens: what it adds to others of its query; query_tokens: what the query takes, once.

    row: its token ids, None for a server. is_cut: whether its text is cut; a server does not say.
    """

    text: str
    tokens: int
    query_tokens: int
    row: Row | None = None

    @property
    def is_cut(self) -> bool:
        """Whether its text is cut, as far as that is known."""
        return self.row is not None and self.row.receipt.truncated


class PassageJudge(ABC):
    """A reranker, as a search needs it. identity: what its logits depend on.

    is_small: whether its network is too weak to overrule the first stage. keeps_deadline: whether it ends at the
    deadline by itself, so that its time need not be estimated well. count_tokens: of a text, None where the tokenizer
    is a server's.
    """

    identity: str
    is_small: bool
    keeps_deadline: bool
    count_tokens: Callable[[str], int] | None = None

    @abstractmethod
    def passages(self, query: str, texts: Sequence[str], instruction: str | None) -> list[PassageToJudge]:
        """The passages of these texts. Raises what Reranker.rows raises."""

    @abstractmethod
    def logits(
        self,
        query: str,
        passages: Sequence[PassageToJudge],
        instruction: str | None,
        deadline: float,
        judge_rows: JudgeRows | None,
    ) -> Sequence[float] | None:
        """Their logits, in their order; None where they are not there by the deadline, if it is kept."""


class ModelJudge(PassageJudge):
    """A model on this machine."""

    keeps_deadline = False

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        options = reranker.options
        facts = (weights_state(reranker.checkpoint), options.precision, options.prompt, reranker.tokens.max_length)
        self.identity = repr(facts)
        self.is_small = reranker.config.num_parameters < _SMALL_PARAMETERS
        self.count_tokens = reranker.count_tokens

    def passages(self, query: str, texts: Sequence[str], instruction: str | None) -> list[PassageToJudge]:
        """With the tokens of the model."""
        rows = self._reranker.rows([query] * len(texts), texts, instruction)
        return [
            PassageToJudge(text, _own_tokens(row), _query_tokens(row), row)
            for text, row in zip(texts, rows, strict=True)
        ]

    def logits(
        self,
        query: str,
        passages: Sequence[PassageToJudge],
        instruction: str | None,
        deadline: float,
        judge_rows: JudgeRows | None,
    ) -> Sequence[float] | None:
        """Always all of them, unless judge_rows says otherwise."""
        rows = [each.row for each in passages if each.row is not None]
        found: Sequence[float] | None
        found = judge_rows(rows, deadline) if judge_rows else run_all(self._reranker.judge(rows)).tolist()
        return found


class ServerJudge(PassageJudge):
    """A server at a URL. Its tokens are estimated from the bytes of a text: they only say how many to ask for."""

    keeps_deadline = True

    def __init__(self, reranker: RemoteReranker) -> None:
        self._reranker = reranker
        # Rounded, as a server may compute a pair in another batch; other weights give others even so.
        probe = [round(logit, 1) for logit in reranker.probe_logits]
        self.identity = repr((sorted(reranker.identity().items()), probe))
        parameters = reranker.served.num_parameters
        self.is_small = parameters is not None and parameters < _SMALL_PARAMETERS

    def passages(self, query: str, texts: Sequence[str], instruction: str | None) -> list[PassageToJudge]:
        """With an estimate of their tokens."""
        query_tokens = _estimate(query + (instruction or ""))
        return [PassageToJudge(text, _estimate(text), query_tokens) for text in texts]

    def logits(
        self,
        query: str,
        passages: Sequence[PassageToJudge],
        instruction: str | None,
        deadline: float,
        judge_rows: JudgeRows | None,
    ) -> Sequence[float] | None:
        """All of them, or None at the deadline."""
        scores = self._reranker.score_by(query, [each.text for each in passages], instruction, deadline)
        return None if scores is None else scores.logits.tolist()


def passage_judge(reranker: Reranker | RemoteReranker) -> PassageJudge:
    """The judge that a reranker is."""
    return ServerJudge(reranker) if isinstance(reranker, RemoteReranker) else ModelJudge(reranker)


def _estimate(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass")) // _TOKEN_BYTES + 1


def _query_tokens(row: Row) -> int:
    """Tokens of instruction and query."""
    return (row.boundaries[-1] if row.boundaries else 0) - row.num_public_tokens


def _own_tokens(row: Row) -> int:
    """Tokens of a row behind its query: what it adds to the rows of the same query."""
    return len(row.ids) - (row.boundaries[-1] if row.boundaries else 0)
