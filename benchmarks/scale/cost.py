"""Dollars for a million documents, by rates that were measured, published or computed, and by editable prices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale.plan import ENDING, QUERY

PRICES = Path(__file__).with_name("prices.json")
DOCUMENT_TOKENS = (144, 256)
#: Tokens of the prompt around a document, query included; documents of a query.
PROMPT, DOCUMENTS = 78, 32
#: A machine that serves people is not busy all the time.
SERVED_LOAD = 0.6


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars for a million documents of each of DOCUMENT_TOKENS; rate: documents a second of the first, or None."""

    name: str
    engine: str
    kind: str
    rate: float | None
    dollars: tuple[float, ...]
    source: str


def computed_tokens(document: int) -> float:
    """Tokens that a document takes where the documents of a query share its prompt."""
    return document + ENDING + (PROMPT - ENDING) / DOCUMENTS


def row_tokens(document: int) -> int:
    """Tokens of a document's whole row."""
    return document + PROMPT


def machine_rates(machine: dict[str, Any]) -> list[float]:
    """Documents a second, by tokens of a document."""
    if "documents_per_second" in machine:
        # Of 144 tokens; longer documents take as much longer as they have tokens.
        first = DOCUMENT_TOKENS[0]
        return [
            machine["documents_per_second"] * computed_tokens(first) / computed_tokens(each) for each in DOCUMENT_TOKENS
        ]
    if "prompt_tokens_per_second" in machine:
        return [machine["prompt_tokens_per_second"] / row_tokens(each) for each in DOCUMENT_TOKENS]
    tokens = machine["tflops"] * 1e3 * machine["used"] / machine["gflop_per_token"]
    return [tokens / computed_tokens(each) for each in DOCUMENT_TOKENS]


def service_dollars(service: dict[str, Any], document: int) -> float:
    """What a million documents cost at a hosted service."""
    if "dollars_per_thousand_searches" in service:
        return float(service["dollars_per_thousand_searches"]) / 1000 / 100 * 1e6
    tokens = row_tokens(document) if service["counts"] == "row" else document + QUERY
    return float(service["dollars_per_million_tokens"]) * tokens


def costs(path: Path = PRICES) -> list[Cost]:
    """All rows of a file like prices.json."""
    known = json.loads(path.read_text(encoding="utf-8"))
    made = []
    for machine in known["machines"]:
        rates = machine_rates(machine)
        dollars = tuple(machine["dollars_per_hour"] / 3600 / rate * 1e6 for rate in rates)
        source = machine["rate_source"]
        made.append(Cost(machine["name"], machine["engine"], machine["kind"], rates[0], dollars, source))
    for service in known["services"]:
        dollars = tuple(service_dollars(service, each) for each in DOCUMENT_TOKENS)
        made.append(Cost("hosted", service["name"], "published", None, dollars, service["source"]))
    return made


def table(made: list[Cost]) -> str:
    """Markdown."""
    columns = [f"{each} tokens" for each in DOCUMENT_TOKENS]
    head = ["", "engine", "rate", "documents/s", *columns, f"{columns[0]}, busy {SERVED_LOAD:.0%}"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for each in made:
        rate = "" if each.rate is None else f"{each.rate:,.3g}" if each.rate < 1000 else f"{each.rate:,.0f}"
        served = "" if each.rate is None else f"${each.dollars[0] / SERVED_LOAD:.2f}"
        prices = " | ".join(f"${dollars:.2f}" for dollars in each.dollars)
        lines.append(f"| {each.name} | {each.engine} | {each.kind} | {rate} | {prices} | {served} |")
    return "\n".join(lines)
