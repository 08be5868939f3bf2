"""What each tool takes and gives. Agents read the schemas and descriptions of these classes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: Seconds that a call may ask for at most.
MAX_BUDGET = 60.0


def _listed(given: Any) -> Any:
    """Some agents send a list as a text that holds its JSON."""
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            pass
    return given


def _clipped(length: int) -> AfterValidator:
    return AfterValidator(lambda text: text if len(text) <= length else text[:length] + " …")


_Title = Annotated[str, _clipped(300)]
_Instruction = Annotated[
    str | None, Field(max_length=2_000, description="What makes a text relevant, in English; default: web search.")
]
_Budget = Annotated[
    float | None, Field(gt=0, le=MAX_BUDGET, description="Answer within this time with what is judged by then.")
]


class ToolArguments(BaseModel):
    """Arguments of a tool. A parameter that it does not have is refused."""

    model_config = ConfigDict(extra="forbid")


class SearchArguments(ToolArguments):
    """The arguments of `search`."""

    # The first stage takes time for each word, which no budget bounds.
    query: Annotated[str, Field(max_length=2_000, description="A question or the words to find, in any language.")]
    collections: Annotated[
        list[str] | None, BeforeValidator(_listed), Field(max_length=100, description="Search only these.")
    ] = None
    path: Annotated[
        str | None, Field(max_length=300, description="Only files with a path like this: 'docs/*.md'; * matches /.")
    ] = None
    after: Annotated[str | None, Field(description="Only documents of this day or later: 2026-11-30.")] = None
    before: Annotated[str | None, Field(description="Only documents before this day.")] = None
    limit: Annotated[int, Field(ge=1, le=50, description="Documents to return at most.")] = 10
    fold: Annotated[
        float | None, Field(gt=0, le=1, description="Fold copies into the best of them; 0.8 allows small changes.")
    ] = None
    rerank: Annotated[bool, Field(description="Judge the candidates; false: the order of the first stage.")] = True
    budget_seconds: _Budget = None
    instruction: _Instruction = None


class RerankArguments(ToolArguments):
    """The arguments of `rerank`."""

    query: Annotated[str, Field(max_length=10_000)]
    documents: Annotated[
        list[str], BeforeValidator(_listed), Field(min_length=1, max_length=1_000, description="Texts to judge.")
    ]
    instruction: _Instruction = None
    top_k: Annotated[int | None, Field(ge=1, description="Documents to return at most; default: all.")] = None
    budget_seconds: _Budget = None


class GetArguments(ToolArguments):
    """The arguments of `get`."""

    path: Annotated[str, Field(max_length=5_000, description="The path of a file, as `search` returned it.")]
    first_line: Annotated[int, Field(ge=1)] = 1
    last_line: Annotated[int | None, Field(ge=1, description="Default: as far as one answer reaches.")] = None
    collection: Annotated[str | None, Field(description="Needed if several collections have this path.")] = None


class StatusArguments(ToolArguments):
    """`status` takes none."""


class ScoredText(BaseModel):
    """What the reranker says of a text."""

    logit: Annotated[
        float | None, Field(description="The model's yes minus its no; missing if time did not allow to judge.")
    ] = None
    probability: Annotated[float | None, Field(description="Sigmoid of the logit.")] = None
    truncated: Annotated[bool, Field(description="Whether the model read only the beginning.")] = False


class FoundDocument(ScoredText):
    """A document, by its best passage."""

    model_config = ConfigDict(from_attributes=True)

    path: str
    collection: str
    first_line: int
    last_line: int
    part: Annotated[str, Field(description="Page, slide or sheet of a PDF or office document, such as 'page 3'.")]
    name: Annotated[_Title, Field(description="Of a record in the file.")]
    title: _Title
    headings: Annotated[_Title, Field(description="Those above the passage, outermost first.")]
    # At most 150 words, one of which may be as long as a file.
    text: Annotated[str, Field(description="The passage."), _clipped(4_000)]
    stage: Annotated[str, Field(description="What ranked it: 'judged' by the reranker, or 'first stage'.")]
    duplicates: Annotated[tuple[str, ...], Field(description="Places of copies that `fold` folded into it.")] = ()


class FoundDocuments(BaseModel):
    """The answer of `search`, best first."""

    results: list[FoundDocument]
    candidates: Annotated[int, Field(description="Passages that the first stage found.")]
    judged: Annotated[int, Field(description="How many of them the reranker judged in time.")]
    seconds: float
    notes: list[str] = []


class RankedDocument(ScoredText):
    """A document of `rerank`."""

    index: Annotated[int, Field(description="Its place in `documents`, from 0.")]


class RankedDocuments(BaseModel):
    """The answer of `rerank`, best first."""

    results: list[RankedDocument]
    judged: Annotated[int, Field(description="How many of the documents were judged in time.")]
    seconds: float


class CollectionState(BaseModel):
    """A collection in the answer of `status`."""

    name: str
    files: int
    passages: int
    updated: Annotated[datetime | None, Field(description="When it was brought up to date.")] = None
    changed: Annotated[
        int | None, Field(description="Files that changed since; missing for records and a folder that is gone.")
    ] = None


class IndexState(BaseModel):
    """The answer of `status`."""

    collections: list[CollectionState]
    finds_by_meaning: Annotated[bool, Field(description="Whether an embedding model searches beside the words.")]
    budget_seconds: Annotated[float, Field(description="The time of a call that names none.")]
