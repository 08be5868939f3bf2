"""Frozen records that cross boundaries: from station to station, and back to the caller."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, TypeVar, overload

from qwen3_reranker.errors import InputError, UnavailableError

Item = TypeVar("Item")
#: How surely the best documents of a screened call are those of the exact precision.
CONFIDENCE = 0.999

# What is shown of rankings and texts that are printed as they are: enough to know them by.
_REPR_HITS, _REPR_CHARACTERS = 5, 60
_HTML_HITS, _HTML_CHARACTERS = 20, 300

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class QueryPrefix:
    """The text that a query's documents share after the constant prefix: the query between labels."""

    opening: str
    query: str
    closing: str

    @property
    def text(self) -> str:
        """The prefix as one string, which is how it is encoded."""
        return self.opening + self.query + self.closing


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was cut from one row, in tokens. Only the document's tail is or, if requested, the query's.

    The space after a label counts with the text that follows it. is_lower_bound: a text of over 65,536 characters was
    read only as far as it is kept; then the tokens of a text that was cut are at least so many.
    """

    document_tokens: int
    kept_tokens: int
    query_tokens: int
    kept_query_tokens: int
    is_lower_bound: bool = False

    @property
    def truncated(self) -> bool:
        """Whether anything of the document was cut."""
        return self.kept_tokens < self.document_tokens

    @property
    def query_truncated(self) -> bool:
        """Whether anything of the query was cut."""
        return self.kept_query_tokens < self.query_tokens


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One pair as tokens: prefix | query prefix | document | suffix.

    `ids` is int32 of shape (tokens,); `boundaries` are the ends of the prefix, the instruction and the query prefix,
    where rows of other calls are likely to part; `receipt` says what was cut. Rows of different cache salts share only
    the constant prefix, to prevent timing side channels between callers.
    """

    ids: NDArray[np.int32]
    boundaries: tuple[int, ...]
    receipt: Receipt
    cache_salt: int = 0

    @property
    def num_public_tokens(self) -> int:
        """Tokens of the prefix, which all callers share."""
        return self.boundaries[0] if self.boundaries else 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tokens of the texts to read, None for no limit.

    keep: the end of a document that stays when it is cut, "start" or "end". truncate: cut what does not fit, or else
    refuse it.
    """

    document_tokens: int | None = None
    query_tokens: int | None = None
    row_tokens: int | None = None
    keep: str = "start"
    truncate: bool = True


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call: of separate rows, of the tree, and what a cache knew.

    `prompt_tokens` counts every row in full, as a batch of separate rows without padding would hold it;
    `computed_tokens` went through the network; `cached_tokens` were known from an earlier call. For a ranking of
    `rank_many` these two are not measured: the whole call's are divided in proportion to prompt_tokens, which is exact.
    """

    prompt_tokens: int
    computed_tokens: int
    cached_tokens: int
    truncated_documents: int

    @classmethod
    def of(cls, rows: Sequence[Row], computed_tokens: int, cached_tokens: int) -> Usage:
        """The usage of a call that took these rows."""
        prompt_tokens = sum(len(row.ids) for row in rows)
        truncated = sum(row.receipt.kept_tokens < row.receipt.document_tokens for row in rows)
        return cls(prompt_tokens, computed_tokens, cached_tokens, truncated)

    @classmethod
    def total(cls, usages: Sequence[Usage]) -> Usage:
        """The sums of several usages."""
        return cls(
            sum(each.prompt_tokens for each in usages),
            sum(each.computed_tokens for each in usages),
            sum(each.cached_tokens for each in usages),
            sum(each.truncated_documents for each in usages),
        )

    @classmethod
    def shares(cls, parts: Sequence[Sequence[Row]], computed_tokens: int, cached_tokens: int) -> list[Usage]:
        """The usage of each part of a call's rows. What they shared is divided in proportion to prompt_tokens."""
        tokens = [sum(len(row.ids) for row in rows) for rows in parts]
        ends = [*accumulate(tokens, initial=0)]

        def divided(total: int) -> list[int]:
            cuts = [total * end // (ends[-1] or 1) for end in ends]
            return [stop - start for start, stop in pairwise(cuts)]

        shares = zip(parts, divided(computed_tokens), divided(cached_tokens), strict=True)
        return [cls.of(rows, computed, cached) for rows, computed, cached in shares]


@dataclass(frozen=True, slots=True)
class Screen:
    """How to find the best `top_k`: screen in `precision`, and recheck until they are the exact ones so surely."""

    precision: str
    confidence: float
    top_k: int

    @classmethod
    def of(cls, precision: str | None, confidence: float, top_k: int | None) -> Screen | None:
        """None without a precision. Raises InputError for what cannot be screened by."""
        if precision is None:
            return None
        if top_k is None:
            raise InputError("screen finds the best top_k documents: say how many, as in top_k=10")
        if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 < confidence < 1:
            raise InputError(f"confidence must be a number between 0 and 1, such as 0.999, got {confidence!r}")
        return cls(precision, float(confidence), top_k)


@dataclass(frozen=True, slots=True)
class Screening:
    """How a ranking was found with less work: all documents in a fast precision, some of them again in the exact one.

    precision: the fast one. screened, rechecked: documents that were scored in each; screened is 0 where nearly all had
    to be rechecked anyway. confidence: how surely the ranking is the exact precision's, if drift from the fast
    precision is among the rechecked as it is among the others.
    """

    precision: str
    confidence: float
    screened: int
    rechecked: int


@dataclass(frozen=True, slots=True)
class Cascade:
    """How a ranking was found by two models: the first scored all documents, the second the best `band` of them.

    first_judged, then_judged: documents that each model scored. Equal documents count as one in the band, so
    then_judged may be larger than it. first_judged is 0 where there were no more than the band, which the second model
    scored without the first. first_usage, then_usage: tokens of each model, by its own tokenizer.
    """

    band: int
    first_judged: int
    then_judged: int
    first_usage: Usage = field(repr=False)
    then_usage: Usage = field(repr=False)


@dataclass(frozen=True, eq=False, slots=True)
class DocumentScores:
    """The scores of documents, in input order.

    logits: yes - no, (num_documents,) float32; probabilities: their sigmoid, the same shape; receipts: what was cut
    from each document, all zeros where a server does not say. saturated: which logits are only bounds, as a server sent
    the probability 0 or 1; None for none. screening: within a call that screens, which gives -inf to documents that
    cannot be among the best. cascade: within a call of two models, which gives -inf to documents outside the band.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    receipts: tuple[Receipt, ...]
    usage: Usage
    saturated: NDArray[np.bool_] | None = None
    screening: Screening | None = None
    cascade: Cascade | None = None

    def __repr__(self) -> str:
        return f"<DocumentScores: {len(self.receipts):,} logits, {self.usage}>"


@dataclass(frozen=True, slots=True)
class TextReceipt:
    """What was cut from one embedded text, in tokens: its tail, if anything.

    The instruction before a query counts with it; the <|endoftext|> after every text does not. is_lower_bound: the text
    was read only as far as it is kept; then it has at least so many tokens.
    """

    tokens: int
    kept_tokens: int
    is_lower_bound: bool = False

    @property
    def truncated(self) -> bool:
        """Whether anything was cut."""
        return self.kept_tokens < self.tokens


@dataclass(frozen=True, eq=False, slots=True)
class Embeddings:
    """Vectors of length 1, (num_texts, dim) float32, in input order, with receipts and usage.

    In `usage`, truncated_documents counts texts of any kind.
    """

    vectors: NDArray[np.float32]
    receipts: tuple[TextReceipt, ...]
    usage: Usage

    def __repr__(self) -> str:
        return f"<Embeddings: {len(self.receipts):,} vectors of {self.vectors.shape[1]:,} numbers, {self.usage}>"


@dataclass(frozen=True, slots=True)
class Hit:
    """One document in a ranking: its place in the input, its score, what was cut.

    `logit` is yes - no, unbounded; `probability` is its sigmoid. Rankings sort by logit. `document` is the text, and
    `item` the record that held it, the same object that was passed: of a list of strings the string, of a DataFrame the
    row. saturated: a server sent the probability 0 or 1, so the logit is only a bound. duplicates: indexes of the
    documents that `select` folded into this one.
    """

    index: int
    logit: float
    probability: float
    document: str
    receipt: Receipt
    item: Any = field(default=None, compare=False)
    saturated: bool = False
    duplicates: tuple[int, ...] = ()

    def __repr__(self) -> str:
        cut = f", receipt={self.receipt}" if self.receipt.truncated or self.receipt.query_truncated else ""
        folded = f", duplicates={self.duplicates}" if self.duplicates else ""
        return (
            f"Hit(index={self.index}, logit={self.logit:.4f}, probability={self.probability:.4f}, "
            f"document={_shortened(self.document, _REPR_CHARACTERS)!r}{cut}{folded})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Index, logit, probability, document, the numbers of the receipt; the item unless it is a string.

        duplicates only where there are some.
        """
        fields: dict[str, Any] = {name: getattr(self, name) for name in ("index", "logit", "probability", "document")}
        item = {} if self.item is None or isinstance(self.item, str) else {"item": self.item}
        folded = {"duplicates": list(self.duplicates)} if self.duplicates else {}
        return {**fields, **asdict(self.receipt), **item, **folded}


class HitSequence(Sequence[Item]):
    """A record that is the sequence of its hits."""

    __slots__ = ()
    hits: tuple[Item, ...]

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        return self.hits[place]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True)
class Ranking(HitSequence[Hit]):
    """Hits, best first; documents with equal logits keep their input order.

    screening: None where all were exact. cascade: None where one model scored all.
    """

    hits: tuple[Hit, ...]
    usage: Usage
    screening: Screening | None = None
    cascade: Cascade | None = None

    def to_dicts(self) -> list[dict[str, Any]]:
        """Every hit as a dictionary, best first. Without records its values are plain."""
        return [hit.to_dict() for hit in self.hits]

    def to_pandas(self) -> DataFrame:
        """A row for each hit, best first: rank, index, logit, probability, document, and the fields of a dictionary.

        A field called like one of ours gets the prefix item_. Raises UnavailableError without pandas.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise UnavailableError("to_pandas needs pandas: pip install pandas, or take to_dicts()") from None
        names = ("rank", "index", "logit", "probability", "document")
        rows = []
        for rank, hit in enumerate(self.hits, start=1):
            own = dict(zip(names, (rank, hit.index, hit.logit, hit.probability, hit.document), strict=True))
            fields = hit.item if hasattr(hit.item, "keys") else {}
            rows.append(own | {f"item_{name}" if name in own else name: fields[name] for name in fields.keys()})  # noqa: SIM118
        return DataFrame(rows, columns=None if rows else list(names))

    def __repr__(self) -> str:
        found = "".join(f", {each}" for each in (self.screening, self.cascade) if each)
        title = f"<Ranking of {len(self.hits):,} hits, best first{found}"
        lines = [title, *(f"  {hit!r}" for hit in self.hits[:_REPR_HITS])]
        return "\n".join([*lines, *self._more(_REPR_HITS)]) + ">"

    def _repr_html_(self) -> str:
        """What notebooks show: a table of the best, in which a document's text is text."""
        rows = [
            f"<tr><td>{place}</td><td>{hit.logit:.4f}</td><td>{hit.probability:.4f}</td><td>{hit.index}</td>"
            f'<td style="text-align: left">{escape(_shortened(hit.document, _HTML_CHARACTERS))}</td></tr>'
            for place, hit in enumerate(self.hits[:_HTML_HITS], start=1)
        ]
        names = "".join(f"<th>{name}</th>" for name in ("rank", "logit", "probability", "index", "document"))
        more = "".join(f"<p>{line}</p>" for line in self._more(_HTML_HITS))
        return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"

    def _more(self, shown: int) -> list[str]:
        return [f"  and {len(self.hits) - shown:,} more"] if len(self.hits) > shown else []


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
