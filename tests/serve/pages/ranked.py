"""What the playground shows, and what the library says."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from qwen3_reranker import Reranker

Rerankers = dict[str, Reranker]


def rank(page: Page) -> None:
    """Press Rank and wait for the ranking."""
    page.get_by_role("button", name="Rank", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"^(Ranked|\d+ of)"))


def ranked(page: Page, side: int = 0) -> list[tuple[int, str]]:
    """Place in the input and probability of each result, as they are shown."""
    hits = page.locator(".ranking").nth(side).locator(".hit")
    return [
        (int(hit.get_attribute("data-index") or -1), hit.locator(".probability").inner_text().split()[-1])
        for hit in hits.all()
    ]


def by_library(
    reranker: Reranker, query: str, documents: list[str], instruction: str | None = None
) -> list[tuple[int, str]]:
    """The ranking of the library, as the page would show it."""
    ranking = reranker.rank(query, documents, instruction=instruction)
    return [(hit.index, f"{hit.probability:.3f}") for hit in ranking]
