"""The workloads of `qwen3-reranker bench`, of this repository's texts, with the length of each pair's own row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.rivals.prompt import Rows
from qwen3_reranker import Reranker
from qwen3_reranker.bench import SIZES, build
from testing.texts import PASSAGES

__all__ = ["SIZES", "Workload", "workload"]

ROOT = Path(__file__).parents[2]
QUERIES = (
    "how do I undo my last commit",
    "which command shows what would be removed",
    "may I distribute copies of the work under another license",
    "how long does rice have to simmer",
    "find large files that fill my disk",
    "log in to a server without typing a password",
    "my phone no longer reacts to touch",
    "how can two branches be joined without a merge commit",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """Pairs to score; `tokens` counts each pair's row in full, as the rivals' own code builds it.

    fresh: each round loads the model anew and times two calls, the first ones after loading.
    """

    name: str
    title: str
    pairs: list[tuple[str, str]]
    tokens: list[int]
    fresh: bool = False


def workload(name: str, model: Path, scale: float = 1.0) -> Workload:
    """The workload of that name; `scale` below 1 takes fewer documents, for a rehearsal."""
    files = [*sorted((ROOT / "examples" / "documents").glob("*.md")), ROOT / "LICENSE"]
    texts = [*(file.read_text(encoding="utf-8") for file in files), *PASSAGES]
    with Reranker(model, plan_only=True, max_length=32768) as reranker:
        built = build(name, reranker, QUERIES, texts, scale)
    pairs = list(built.pairs)
    tokens = [len(row) for row in Rows(model).rows(pairs)]
    count = len(pairs) // built.queries
    title = (
        f"{built.queries} {'query' if built.queries == 1 else 'queries'} x {count} document{'s' if count > 1 else ''} "
        f"of {built.mean_document_tokens:.0f} tokens, {sum(tokens):,} tokens in separate rows"
    )
    return Workload(name, title, pairs, tokens, fresh=name == "request")
