"""Which sentences of a document carry its score: texts with one left out -> what each adds to the logit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from qwen3_reranker.documents.sentences import MOST_SENTENCES, sentences
from qwen3_reranker.records import Receipt, Usage

if TYPE_CHECKING:
    from qwen3_reranker.records import DocumentScores


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document, and what it adds to the document's score.

    start, end: its characters in the document, with the white space after it; text: those without white space around
    them. logit_without: the logit of `document[:start] + document[end:]`. contribution: the document's logit less
    that one; below 0 where the document does better without the sentence. is_read: False where the document was cut
    before it, so that it adds exactly 0.
    """

    start: int
    end: int
    text: str
    logit_without: float
    contribution: float
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each sentence of a document adds to its score for a query, in the document's order.

    logit, probability: the document's own. usage: prompt_tokens are those of doing it row by row. receipt: what was
    cut from the document; where something was, the text after the cut moves up when a sentence is left out.
    saturated: a server sent the probability 0 or 1, so some logits are only bounds.
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
    def best(self) -> Sentence | None:
        """The sentence that adds the most; the first of equal ones. None in a document without text."""
        return max(self.sentences, key=lambda sentence: sentence.contribution, default=None)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [f"<Explanation of logit {self.logit:+.4f} by {len(self.sentences):,} sentences"]
        lines += [f"  {each.contribution:+8.4f}  {' '.join(each.text.split())}" for each in self.sentences]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        """What notebooks show: the document, with the sentences shaded that add to its score."""
        most = max((each.contribution for each in self.sentences), default=0) or 1
        shaded = (
            f'<span title="{each.contribution:+.4f}" style="background: rgba(255, 170, 0, '
            f'{max(0, each.contribution / most):.2f})">{escape(self.document[each.start : each.end])}</span>'
            for each in self.sentences
        )
        return f'<p>logit {self.logit:+.4f}</p><p style="white-space: pre-wrap">{"".join(shaded)}</p>'


@dataclass(frozen=True, slots=True)
class SentenceTexts:
    """A document, and the same with each of its sentences left out."""

    document: str
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, document: str, most_sentences: int = MOST_SENTENCES) -> SentenceTexts:
        """The document by at most so many sentences; of more, neighbours are joined."""
        return cls(document, tuple(sentences(document, most_sentences)))

    @property
    def texts(self) -> list[str]:
        """The document, then the document without each sentence: what has to be scored."""
        return [self.document, *(self.document[:start] + self.document[end:] for start, end in self.spans)]

    def explanation(self, query: str, instruction: str | None, scores: DocumentScores) -> Explanation:
        """What the scores of `texts` say of each sentence."""
        logit, *without = scores.logits.tolist()
        found = [
            Sentence(start, end, self.document[start:end].strip(), each, logit - each)
            for (start, end), each in zip(self.spans, without, strict=True)
        ]
        receipt = scores.receipts[0]
        if receipt.truncated:
            # Without a sentence after the cut the model reads the same tokens, which give the same bits.
            for index in reversed(range(_num_read(found), len(found))):
                found[index] = replace(found[index], is_read=False)
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


def _num_read(found: Sequence[Sentence]) -> int:
    """How many sentences the model read something of: up to the last one that changes the logit."""
    return next((index for index in range(len(found), 0, -1) if found[index - 1].contribution), 0)
