"""The reference of the API: where clients are pointed, and every route with an example, from the tables of both."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from qwen3_reranker.model_facts import RERANKING
from qwen3_reranker.records import Receipt, Usage
from qwen3_reranker.serve.dialects.base import Dialect
from qwen3_reranker.serve.dialects.dialect_table import DIALECT_PATHS, DIALECTS
from qwen3_reranker.serve.pages.snippets import PLAIN, SDKS, SNIPPETS, Snippet, filled, request_values
from qwen3_reranker.serve.protocol import ScoreRequest, ScoreResult, StageSeconds
from qwen3_reranker.serve.routes.base import HttpEndpoint, openapi_path

#: Rows of (client, address to give it) in Markdown; docs/serve.md shows them too, with an address instead of {origin}.
CLIENTS: tuple[tuple[str, str], ...] = tuple(
    (client, address)
    for client, address in json.loads(
        (files("qwen3_reranker.serve.pages") / "clients.json").read_text(encoding="utf-8")
    )
)
#: What makes a body recognisable where paths are shared, and is in no example.
_MARKS: Mapping[str, Mapping[str, Any]] = {"weaviate": {"property": ""}}
_LOGITS = (2.3105, -4.0713)


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """The routes of one dialect, or routes with one answer. fields: their names and meanings."""

    id: str
    name: str
    methods: str
    paths: tuple[str, ...]
    public: bool
    fields: tuple[tuple[str, str], ...] = ()
    examples: tuple[tuple[Snippet, str], ...] = ()
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Examples:
    """Makes the examples of one page. model, embedder: names to ask for, empty for none."""

    origin: str
    keys: bool
    model: str = ""
    embedder: str = ""

    def of_model(self, task: str, served: str, opened: str) -> list[tuple[Snippet, str]]:
        """A request of one model in every language. served: its name here; empty for none, and then the library's."""
        query, documents = "take back my last commit", ["git reset --soft HEAD~1", "git tag -a v1.2"]
        ranks = task == RERANKING
        body: dict[str, Any] = {"model": served}
        body |= {"query": query, "documents": documents} if ranks else {"input": documents}
        values = {
            **request_values("/v1/rerank" if ranks else "/v1/embeddings", body, origin=self.origin),
            "query": query,
            "opened": json.dumps(opened),
        }
        return [
            (snippet, filled(snippet.template, values, keys=self.keys))
            for snippet in SNIPPETS
            if snippet.task == task and (served or snippet.id == "library")
        ]

    def first_call(self) -> list[tuple[Snippet, str]]:
        """The usual request, in every language."""
        body = {"model": self.model, **(DIALECTS[0].request.example() or {})}
        body.pop("top_n", None)
        return [
            (snippet, self._code(snippet, "/v1/rerank", body))
            for snippet in SNIPPETS
            if snippet.task == RERANKING and snippet.id != "library"
        ]

    def dialects(self) -> Iterator[RouteGroup]:
        """Every dialect with its routes, fields, example and reply."""
        for dialect in DIALECTS:
            shared = tuple(path.path for path in DIALECT_PATHS if dialect in path.others)
            paths = (*dialect.paths, *shared)
            path = re.sub(r"{(\w+)(:\w+)?}", lambda found: self.model if found[1] == "model" else found[1], paths[0])
            body = {**(dialect.request.example() or {}), **_MARKS.get(dialect.name, {})}
            if "model" in dialect.request.model_fields and "{model" not in paths[0]:
                body = {"model": self.model, **body}
            yield RouteGroup(
                id=dialect.name.replace(".", "-"),
                name=dialect.name,
                methods="POST",
                paths=tuple(map(openapi_path, paths)),
                public=False,
                fields=_fields(dialect.request),
                examples=self._examples(dialect.name, path, body),
                reply=json.dumps(_reply(dialect, body), indent=2),
            )

    def embeddings(self, endpoints: Sequence[HttpEndpoint]) -> Iterator[RouteGroup]:
        """The routes that embed, by their dialect, with examples if an embedder is served."""
        for dialect, group in groupby(filter(_embeds, endpoints), lambda each: each.tag):
            paths = tuple(each.path for each in group)
            [request] = next(each.requests for each in endpoints if each.path == paths[0])
            body = {"model": self.embedder, **request.example()}
            if "model" not in request.model_fields:
                del body["model"]
            examples = self._examples(dialect, paths[0], body) if self.embedder else ()
            yield RouteGroup(dialect, dialect, "POST", paths, False, _fields(request), examples)

    def _examples(self, dialect: str, path: str, body: Mapping[str, Any]) -> tuple[tuple[Snippet, str], ...]:
        snippets = (*PLAIN, *(snippet for snippet in (*SNIPPETS, *SDKS) if dialect in snippet.dialects))
        return tuple((snippet, self._code(snippet, path, body)) for snippet in snippets)

    def _code(self, snippet: Snippet, path: str, body: Mapping[str, Any]) -> str:
        return filled(snippet.template, request_values(path, body, origin=self.origin), keys=self.keys)


def other_routes(endpoints: Sequence[HttpEndpoint]) -> list[RouteGroup]:
    """The documented routes that no dialect speaks, those with one answer together."""
    scoring = {path.path for path in DIALECT_PATHS}
    documented = [x for x in endpoints if x.documented and x.path not in scoring and not _embeds(x)]
    return [
        RouteGroup("", summary, method, tuple(each.documented_path for each in group), public)
        for (method, summary, public), group in groupby(
            documented, lambda each: (each.method, each.summary, each.public)
        )
    ]


def _embeds(endpoint: HttpEndpoint) -> bool:
    return endpoint.summary.startswith("Embed")


def _fields(request: Any) -> tuple[tuple[str, str], ...]:
    """All names of every field, the usual one first, and what it means."""
    return tuple(
        (" ".join(request.spellings.get(name, (name,))), field.description)
        for name, field in request.model_fields.items()
        if field.description
    )


def _reply(dialect: Dialect, body: Mapping[str, Any]) -> Any:
    """The reply to an example, with scores that are made up."""
    request: ScoreRequest = dialect.read(body, 2)
    logits = _LOGITS[: len(request.documents)]
    result = ScoreResult(
        request_id="req_0123456789abcdef",
        model=str(body.get("model", "nano")),
        created=1_764_460_800,
        logits=logits,
        probabilities=[1 / (1 + math.exp(-logit)) for logit in logits],
        order=range(len(logits)),
        receipts=[Receipt(11, 11, 6, 6)] * len(logits),
        usage=Usage(146, 92, 0, 0),
        seconds=StageSeconds(0.001, 0.001, 0.008, 0.01),
    )
    return dialect.write(request, result).body
