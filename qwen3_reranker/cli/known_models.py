"""`models`: the models that are known and those in the Hub's cache -> sizes, memory, and what fits this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.rate_text import byte_size
from qwen3_reranker.cli.shared_options import PrintOptions
from qwen3_reranker.cli.terminal import console_for, print_line, print_table
from qwen3_reranker.row_table import Column, RowTable

if TYPE_CHECKING:
    from qwen3_reranker.model_facts import ModelFacts
    from qwen3_reranker.weights import Checkpoint

#: The precisions whose memory is stated, the most exact first.
PRECISIONS = ("float32", "bfloat16", "int8")
#: Tokens of the rows that the memory is stated for.
ROW_TOKENS = 1024
# What the system and other programs keep of the machine's memory.
_FOR_OTHERS = 0.15


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """A model, and what it takes before any of it is fetched.

    file_bytes: of its files, published or in the cache. memory_bytes: at most, by precision, on the cpu backend with
    default options and rows of ROW_TOKENS; None for GGUF files. fits: the precisions that this machine has the memory
    for, most exact first.
    """

    id: str
    task: str
    parameters: int | None
    file_bytes: int
    memory_bytes: dict[str, int] | None
    fits: tuple[str, ...]
    cached: bool


@declared
def models(*, output: PrintOptions) -> None:
    """List models with their sizes, and the precisions that fit this machine.

    These are nano, which comes with the package, Qwen's rerankers and embedding models, and what the Hub's cache holds
    besides. Nothing is downloaded. The memory is an upper bound, on the cpu backend with default options, for documents
    of up to 1,000 tokens; `inspect MODEL` states it item by item, and for any length, once a model is there.

    Examples:
      qwen3-reranker models
      qwen3-reranker models --format json
      qwen3-reranker download Qwen/Qwen3-Reranker-0.6B
    """
    from qwen3_reranker.machine_memory import machine_memory

    memory = machine_memory()
    found = list(known_and_cached(memory))
    if output.chosen == "json":
        print(json.dumps({"machine_memory_bytes": memory, "models": [asdict(each) for each in found]}, indent=2))
        return
    console = console_for(sys.stdout)
    print_table(table(found), console)
    if memory is not None:
        print_line(console, "")
        print_line(console, f"This machine has {byte_size(memory)} of memory.")


def known_and_cached(memory: int | None) -> Iterator[ModelNeeds]:
    """The models that are known, then others in the cache."""
    from qwen3_reranker.model_facts import KNOWN, known
    from qwen3_reranker.weights.hub import is_bundled
    from qwen3_reranker.weights.hub_cache import cached_models
    from qwen3_reranker.weights.published import published_checkpoint

    cached = {each.id.lower(): each for each in cached_models()}
    for facts in KNOWN:
        yield needs_of(facts, memory, cached=is_bundled(facts.id) or facts.id.lower() in cached)
    for each in cached.values():
        if known(each.id) is None:
            opened = None if each.config is None else published_checkpoint(each.config)
            yield _needs(each.id, "", opened, each.num_bytes, memory, cached=True)


def needs_of(facts: ModelFacts, memory: int | None, *, cached: bool) -> ModelNeeds:
    """What a known model takes."""
    from qwen3_reranker.weights import open_checkpoint
    from qwen3_reranker.weights.hub import is_bundled
    from qwen3_reranker.weights.published import published_checkpoint

    checkpoint = open_checkpoint(facts.id) if is_bundled(facts.id) else published_checkpoint(facts.config)
    return _needs(facts.id, facts.task, checkpoint, facts.stored_bytes, memory, cached=cached)


def table(found: list[ModelNeeds]) -> RowTable:
    """A row for each model."""
    columns = [
        Column("model"),
        Column("files", right=True),
        Column("fits here"),
        *(Column(f"{name}, up to", right=True) for name in ("float32", "int8")),
        Column("", style="dim"),
    ]
    return RowTable(columns, [_row(each) for each in found])


def _row(each: ModelNeeds) -> list[str]:
    from qwen3_reranker.weights.hub import is_bundled

    memory = each.memory_bytes
    shown = ("?", "?") if memory is None else tuple(byte_size(memory[name]) for name in ("float32", "int8"))
    fits = "" if memory is None else "any" if len(each.fits) == len(PRECISIONS) else ", ".join(each.fits) or "none"
    bundled = "bundled" if is_bundled(each.id) else "in the cache" if each.cached else ""
    return [each.id, byte_size(each.file_bytes), fits, *shown, bundled]


def _needs(
    id: str, task: str, checkpoint: Checkpoint | None, file_bytes: int, memory: int | None, *, cached: bool
) -> ModelNeeds:
    if checkpoint is None:
        return ModelNeeds(id, task, None, file_bytes, None, (), cached)
    by_precision = {precision: _memory(checkpoint, precision) for precision in PRECISIONS}
    usable = None if memory is None else memory * (1 - _FOR_OTHERS)
    fits = tuple(name for name, need in by_precision.items() if usable is None or need <= usable)
    return ModelNeeds(id, task, checkpoint.config.num_parameters, file_bytes, by_precision, fits, cached)


def _memory(checkpoint: Checkpoint, precision: str) -> int:
    from qwen3_reranker.backends.cpu.memory import memory_needed
    from qwen3_reranker.engine_options import EngineOptions

    items = memory_needed(
        checkpoint,
        EngineOptions(precision=precision),
        max_length=ROW_TOKENS,
        tokenizer_entries=checkpoint.config.vocab_size,
        prefix_tokens=_PREFIX_TOKENS,
    )
    return sum(item.num_bytes for item in items)


# Tokens of the card's prompt that every row begins with, in Qwen's tokenizer.
_PREFIX_TOKENS = 39


def words_of(needs: ModelNeeds) -> Iterator[tuple[str, Any]]:
    """What to say of one model before it is fetched: a name and a text."""
    yield "files", byte_size(needs.file_bytes)
    if needs.memory_bytes is not None:
        for name, num_bytes in needs.memory_bytes.items():
            yield name, f"{byte_size(num_bytes)} of memory at most{'' if name in needs.fits else ', more than is here'}"
