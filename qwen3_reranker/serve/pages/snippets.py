"""Requests as code that runs as it stands: templates by language, filled here or by the playground's script.

A line `?NAME rest` is kept where NAME is true of the request; `?!NAME rest` where it is not. `@NAME@` is a value.
A JSON string is also a string of Python and JavaScript.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwen3_reranker.model_facts import EMBEDDING, RERANKING

_KEY = 'os.environ["QWEN3_RERANKER_KEY"]'
_IMPORT_OS = "?keys import os\n?keys \n"
_SHOW_RESULTS = """for result in results:
    print(result["index"], result["relevance_score"])
"""


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code in one language, for one task. dialects: those whose examples it shows besides plain requests."""

    id: str
    name: str
    task: str
    template: str
    dialects: tuple[str, ...] = ()


_CURL = """curl '@origin@@path@' \\
  -H 'Content-Type: application/json' \\
?keys   -H "Authorization: Bearer $QWEN3_RERANKER_KEY" \\
  -d @shell@
"""
_HTTP = f"""{_IMPORT_OS}import httpx

response = httpx.post(
    "@origin@@path@",
?keys     headers={{"Authorization": "Bearer " + {_KEY}}},
    json=@body@,
    timeout=60,
)
response.raise_for_status()
"""
_JAVASCRIPT = """const response = await fetch("@origin@@path@", {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
?keys     Authorization: `Bearer ${process.env.QWEN3_RERANKER_KEY}`,
  },
  body: JSON.stringify(@json@),
});
if (!response.ok) throw new Error(await response.text());
"""
_NO_INSTRUCTION = "?instruction # CohereRerank has no field for an instruction: the model's own is used.\n"

#: What a page shows of a ranking model, then of an embedding model.
SNIPPETS = (
    Snippet("curl", "curl", RERANKING, _CURL),
    Snippet(
        "http", "Python, HTTP", RERANKING, _HTTP + _SHOW_RESULTS.replace("results", 'response.json()["results"]', 1)
    ),
    Snippet(
        "javascript",
        "JavaScript",
        RERANKING,
        _JAVASCRIPT
        + """const { results } = await response.json();
for (const { index, relevance_score } of results) console.log(index, relevance_score);
""",
    ),
    Snippet(
        "cohere",
        "Cohere",
        RERANKING,
        f"""{_IMPORT_OS}import cohere

?keys client = cohere.ClientV2(api_key={_KEY}, base_url="@origin@")
?!keys client = cohere.ClientV2(api_key="none", base_url="@origin@")
response = client.rerank(
    model=@model@,
    query=@query@,
    documents=@documents@,
?instruction     request_options={{"additional_body_parameters": {{"instruction": @instruction@}}}},
)
for result in response.results:
    print(result.index, result.relevance_score)
""",
        ("cohere-v2",),
    ),
    Snippet(
        "langchain",
        "LangChain",
        RERANKING,
        f"""{_IMPORT_OS}from langchain_cohere import CohereRerank

{_NO_INSTRUCTION}?keys key = {_KEY}
?!keys key = "none"
reranker = CohereRerank(model=@model@, base_url="@origin@", cohere_api_key=key)
results = reranker.rerank(
    @documents@,
    @query@,
    top_n=None,
)
{_SHOW_RESULTS}""",
        ("cohere-v2",),
    ),
    Snippet(
        "llamaindex",
        "LlamaIndex",
        RERANKING,
        f"""{_IMPORT_OS}from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank

{_NO_INSTRUCTION}?keys key = {_KEY}
?!keys key = "none"
documents = @texts@
nodes = [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(documents)]
reranker = CohereRerank(model=@model@, base_url="@origin@", api_key=key, top_n=len(nodes))
for hit in reranker.postprocess_nodes(nodes, query_str=@query@):
    print(hit.node.node_id, hit.score)
""",
        ("cohere-v2",),
    ),
    Snippet(
        "openai",
        "OpenAI",
        RERANKING,
        f"""{_IMPORT_OS}from openai import OpenAI

?keys client = OpenAI(base_url="@origin@/v1", api_key={_KEY})
?!keys client = OpenAI(base_url="@origin@/v1", api_key="none")
reply = client.post("/rerank", body=@body@, cast_to=object)
{_SHOW_RESULTS.replace("results", 'reply["results"]', 1)}""",
        ("canonical",),
    ),
    Snippet(
        "library",
        "Python, no server",
        RERANKING,
        """from qwen3_reranker import Reranker

reranker = Reranker(@opened@)
ranking = reranker.rank(
    @query@,
    @documents@,
?instruction     instruction=@instruction@,
)
for hit in ranking:
    print(hit.index, hit.probability)
""",
    ),
    Snippet("curl", "curl", EMBEDDING, _CURL),
    Snippet(
        "http",
        "Python, HTTP",
        EMBEDDING,
        _HTTP
        + """for item in response.json()["data"]:
    print(item["index"], len(item["embedding"]))
""",
    ),
    Snippet(
        "javascript",
        "JavaScript",
        EMBEDDING,
        _JAVASCRIPT
        + """const { data } = await response.json();
for (const { index, embedding } of data) console.log(index, embedding.length);
""",
    ),
    Snippet(
        "openai",
        "OpenAI",
        EMBEDDING,
        f"""{_IMPORT_OS}from openai import OpenAI

?keys client = OpenAI(base_url="@origin@/v1", api_key={_KEY})
?!keys client = OpenAI(base_url="@origin@/v1", api_key="none")
response = client.embeddings.create(model=@model@, input=@documents@)
for item in response.data:
    print(item.index, len(item.embedding))
""",
        ("openai-embeddings",),
    ),
    Snippet(
        "library",
        "Python, no server",
        EMBEDDING,
        """from qwen3_reranker import Embedder

embedder = Embedder(@opened@)
queries = embedder.queries([@query@])
documents = embedder.documents(@documents@)
for index, similarity in enumerate((queries @ documents.T)[0]):
    print(index, similarity)
""",
    ),
)
#: Besides, for the reference, SDKs that speak one dialect.
SDKS = (
    Snippet(
        "voyage",
        "Voyage",
        RERANKING,
        f"""{_IMPORT_OS}import voyageai

?keys client = voyageai.Client({_KEY}, base_url="@origin@/voyage/v1")
?!keys client = voyageai.Client("none", base_url="@origin@/voyage/v1")
for result in client.rerank(@query@, @documents@, model=@model@).results:
    print(result.index, result.relevance_score)
""",
        ("voyage",),
    ),
    Snippet(
        "llamaindex",
        "LlamaIndex",
        RERANKING,
        f"""{_IMPORT_OS}from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

documents = @texts@
nodes = [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(documents)]
?keys reranker = TextEmbeddingInference(base_url="@origin@", auth_token="Bearer " + {_KEY})
?!keys reranker = TextEmbeddingInference(base_url="@origin@")
for hit in reranker.postprocess_nodes(nodes, query_str=@query@):
    print(hit.node.node_id, hit.score)
""",
        ("tei",),
    ),
)
#: Any request of any path, and its reply as it is.
PLAIN = (
    Snippet("curl", "curl", "", _CURL),
    Snippet("http", "Python", "", _HTTP + "print(response.json())\n"),
    Snippet("javascript", "JavaScript", "", _JAVASCRIPT + "console.log(await response.json());\n"),
)


def request_values(path: str, body: Mapping[str, Any], *, origin: str, opened: str = "") -> dict[str, Any]:
    """The values of a request; opened: the arguments of `Reranker`, as Python. The playground's script has the same."""
    documents: Any = next((body[name] for name in ("documents", "texts", "input") if name in body), [])
    own = {name: body.get(name, "") for name in ("model", "query", "instruction")}
    return {
        "origin": origin,
        "path": path,
        "opened": opened,
        "body": body,
        "documents": documents,
        "texts": documents,
        **own,
    }


def filled(template: str, values: Mapping[str, Any], *, keys: bool) -> str:
    """The code of a template."""
    flags = {"keys": keys, "instruction": bool(values["instruction"])}
    lines = []
    for line in template.splitlines(keepends=True):
        condition = re.match(r"\?(!?)(\w+) ", line)
        if condition and flags[condition[2]] == bool(condition[1]):
            continue
        text = line[condition.end() :] if condition else line
        indent = " " * (len(text) - len(text.lstrip(" ")))
        lines.append(_PLACE.sub(lambda found: _written(found[1], values, indent), text))  # noqa: B023
    return "".join(lines)


_PLACE = re.compile(r"@(origin|path|opened|body|json|shell|documents|texts|model|query|instruction)@")
_WORDS = {"true": "True", "false": "False", "null": "None"}


def _written(name: str, values: Mapping[str, Any], indent: str) -> str:
    """A value as the language of its name writes it: text as it is, JSON, JSON in a shell's quotes, or Python."""
    if name in ("origin", "path", "opened"):
        return str(values[name])
    value = values["body"] if name in ("json", "shell") else values[name]
    written = json.dumps(value, ensure_ascii=False, indent=2 if name in ("json", "shell") else 4)
    if name == "shell":
        return "'" + written.replace("'", "'\\''") + "'"
    if name != "json":
        written = re.sub(r'"(?:[^"\\]|\\.)*"|true|false|null', lambda found: _WORDS.get(found[0], found[0]), written)
    return written.replace("\n", "\n" + indent)
