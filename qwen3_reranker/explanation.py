"""Which sentences of a document answer, and carry its score: each alone, and the text without each -> numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

from qwen3_reranker.arguments import refuse_below, refuse_non_instruction, refuse_non_query, surrogates_found
from qwen3_reranker.documents.sentences import MOST_SENTENCES, sentences
from qwen3_reranker.errors import InputError
from qwen3_reranker.record_texts import record_texts
from qwen3_reranker.records import Receipt, Usage

if TYPE_CHECKING:
    from qwen3_reranker.records import DocumentScores

Result = TypeVar("Result")
#: Called with the share done, up to 1.
OnProgress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document, what it scores alone, and what it adds to the document's score.

    start, end: its characters in the document, with the white space after it; text: those without white space around
    them. alone: the logit of `text` as a document of its own. logit_without: the logit of
    `document[:start] + document[end:]`. contribution: the document's logit less that one; below 0 where the document
    does better without the sentence. Both are None where no sentence was left out. is_read: False where the document
    was cut before it, so that it adds exactly 0.
    """

    start: int
    end: int
    text: str
    alone: float
    logit_without: float | None = None
    contribution: float | None = None
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each sentence of a document scores alone and adds to its score for a query, in the document's order.

    logit, probability: the document's own. usage: prompt_tokens are those of doing it row by row. receipt: what was
    cut from the document; where something was, the text after the cut moves up when a sentence is left out, and where
    none is, the place of the cut is estimated from the sentences' tokens. saturated: a server sent the probability 0
    or 1, so some logits are only bounds.
    """

    query: str
    document: str
    instruction: str | None
    logit: float
    probability: float
    sentences: tuple[Sentence, ...]
    receipt: Receipt
    usage: Usage
    saturated: bool = False

    @property
    def evidence(self) -> Sentence | None:
        """The sentence that answers best alone, of those that were read. None in a document without text.

        Measured, it is the labelled evidence more often than the one with the largest contribution.
        """
        read = [each for each in self.sentences if each.is_read]
        return max(read, key=lambda sentence: sentence.alone, default=None)

    @property
    def heat(self) -> tuple[float, ...]:
        """How strongly to mark each sentence: 1 for the evidence, and less by the distance of its logit alone."""
        most = 0.0 if self.evidence is None else self.evidence.alone
        return tuple(math.exp(each.alone - most) if each.is_read else 0.0 for each in self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values."""
        return asdict(self)

    def __repr__(self) -> str:
        named = "    alone     adds" if self._has_contributions else "    alone"
        lines = [f"<Explanation of logit {self.logit:+.4f} by {len(self.sentences):,} sentences", named]
        lines += [f" {_numbers(each)}  {' '.join(each.text.split())}" for each in self.sentences]
        return "\n".join(lines) + ">"

    @property
    def _has_contributions(self) -> bool:
        return any(each.contribution is not None for each in self.sentences)

    def _repr_html_(self) -> str:
        """What notebooks show: the document, with the sentences shaded that answer alone."""
        shaded = (
            f'<span title="{_numbers(each).strip()}" style="background: rgba(255, 170, 0, {heat:.2f})">'
            f"{escape(self.document[each.start : each.end])}</span>"
            for each, heat in zip(self.sentences, self.heat, strict=True)
        )
        return f'<p>logit {self.logit:+.4f}</p><p style="white-space: pre-wrap">{"".join(shaded)}</p>'


@dataclass(frozen=True, slots=True)
class SentenceTexts:
    """A document, each of its sentences alone, and, if leave_out, the document without each."""

    document: str
    spans: tuple[tuple[int, int], ...]
    leave_out: bool = True

    @classmethod
    def of(cls, document: str, most_sentences: int = MOST_SENTENCES, *, leave_out: bool = True) -> SentenceTexts:
        """The document by at most so many sentences; of more, neighbours are joined."""
        return cls(document, tuple(sentences(document, most_sentences)), leave_out)

    @property
    def texts(self) -> list[str]:
        """The document, each sentence, then the document without each: what has to be scored."""
        alone = [self.document[start:end].strip() for start, end in self.spans]
        without = [self.document[:start] + self.document[end:] for start, end in self.spans if self.leave_out]
        return [self.document, *alone, *without]

    def explanation(self, query: str, instruction: str | None, scores: DocumentScores) -> Explanation:
        """What the scores of `texts` say of each sentence."""
        logit, *others = scores.logits.tolist()
        count = len(self.spans)
        found = [
            Sentence(start, end, self.document[start:end].strip(), alone)
            for (start, end), alone in zip(self.spans, others[:count], strict=True)
        ]
        if self.leave_out:
            found = [
                replace(each, logit_without=without, contribution=logit - without)
                for each, without in zip(found, others[count:], strict=True)
            ]
        receipt = scores.receipts[0]
        if receipt.truncated:
            num_read = _num_estimated(scores.receipts[: count + 1])
            num_read = _num_read(self.document, found, num_read) if self.leave_out else num_read
            found[num_read:] = [replace(each, is_read=False) for each in found[num_read:]]
        return Explanation(
            query=query,
            document=self.document,
            instruction=instruction,
            logit=logit,
            probability=float(scores.probabilities[0]),
            sentences=tuple(found),
            receipt=receipt,
            usage=scores.usage,
            saturated=scores.saturated is not None and bool(scores.saturated.any()),
        )


def _num_read(document: str, found: Sequence[Sentence], num_estimated: int) -> int:
    """How many sentences the model read something of: up to the last one that changes the logit.

    Without a sentence after the cut the model reads the same tokens, which give the same bits. So it does without one
    before the cut that the text after it repeats: of those the estimate decides.
    """
    count = next((index for index in range(len(found), 0, -1) if found[index - 1].contribution), 0)
    while count < num_estimated and document.startswith(found[count].text, found[count].end):
        count += 1
    return count


def _num_estimated(receipts: Sequence[Receipt]) -> int:
    """The same from the receipts of the document and of each sentence: those that begin before the cut."""
    document, *alone = receipts
    begins = accumulate((each.document_tokens for each in alone[:-1]), initial=0)
    return sum(tokens < document.kept_tokens for tokens in begins) if alone else 0


def _numbers(sentence: Sentence) -> str:
    numbers = (sentence.alone, sentence.contribution)
    return " ".join(f"{each:+8.4f}" for each in numbers if each is not None)


class Explainer(ABC):
    """Explains the score of a document. Whatever scores texts is one."""

    @property
    @abstractmethod
    def default_instruction(self) -> str | None:
        """The instruction of a call that gives none. None where there is none, or where it is not known."""

    @abstractmethod
    def _score_texts(
        self, query: str, texts: Sequence[str], instruction: str | None, on_progress: OnProgress | None
    ) -> DocumentScores:
        """The scores of texts in their order. Raises what `rank` raises."""

    @abstractmethod
    async def _awaited(
        self,
        asked: tuple[str, Sequence[str]],
        instruction: str | None,
        on_progress: OnProgress | None,
        finish: Callable[[DocumentScores], Result],
    ) -> Result:
        """What `finish` makes of the scores of one query's texts; the event loop is free meanwhile."""

    def explain(
        self,
        query: str,
        document: str,
        instruction: str | None = None,
        *,
        most_sentences: int = MOST_SENTENCES,
        leave_out: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Explanation:
        """What each sentence of a document scores alone, and adds to its score: the document's logit less that without.

        The numbers are those of `score`, for the document, for each sentence as a document, and for the document with
        the characters of each sentence deleted (and the white space after it), in one call: the tree computes
        beginnings that these texts share once. most_sentences: of more, neighbours are joined; a call computes about
        half of sentences times document tokens. leave_out: False for the sentences alone, which takes twice the
        document's tokens and finds what answers (`evidence`); contributions are None then.
        Sentences behind the place where a long document was cut add 0 and are not `is_read`.
        instruction, on_progress and errors are those of `rank`.
        """
        parts = _parts(query, document, most_sentences, leave_out)
        with _named(query, document, instruction):
            scores = self._score_texts(query, parts.texts, instruction, on_progress)
        return parts.explanation(query, self.default_instruction if instruction is None else instruction, scores)

    async def aexplain(
        self,
        query: str,
        document: str,
        instruction: str | None = None,
        *,
        most_sentences: int = MOST_SENTENCES,
        leave_out: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Explanation:
        """Like `explain`, in a thread, as `arank` is."""
        parts = _parts(query, document, most_sentences, leave_out)
        refuse_non_instruction(instruction)
        own = self.default_instruction if instruction is None else instruction
        with _named(query, document, instruction):
            return await self._awaited(
                (query, parts.texts), instruction, on_progress, lambda scores: parts.explanation(query, own, scores)
            )

    def explain_instructions(
        self,
        query: str,
        document: str,
        instructions: Iterable[str],
        *,
        most_sentences: int = MOST_SENTENCES,
        leave_out: bool = True,
    ) -> tuple[Explanation, ...]:
        """The explanation under each instruction, to see side by side what has to be asked for; like `explain`."""
        asked = record_texts("instructions", instructions, None).texts
        return tuple(
            self.explain(query, document, each, most_sentences=most_sentences, leave_out=leave_out) for each in asked
        )


def _parts(query: str, document: str, most_sentences: int, leave_out: bool) -> SentenceTexts:
    """The texts that explain a document. Raises InputError for arguments that are none."""
    refuse_non_query("query", query)
    if not isinstance(document, str):
        raise InputError(f"document must be a string, got {type(document).__name__}")
    refuse_below("most_sentences", most_sentences, 1)
    return SentenceTexts.of(document, most_sentences, leave_out=leave_out)


def _named(query: str, document: str, instruction: str | None) -> AbstractContextManager[None]:
    """Name a text that is not Unicode by its argument."""
    return surrogates_found(lambda: [("query", query), ("document", document), ("instruction", instruction or "")])
