"""Options of synthesis: what queries are like, and which are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import described, option

PERSONAS = (
    "a curious high-school student", "a nurse on a ward", "a software engineer on call", "a retired history teacher",
    "a small shop's owner", "a journalist who checks facts", "a parent of two small children", "a law clerk",
    "a farmer", "a doctoral student in the field", "a tourist planning a trip", "a home cook", "a mechanic",
    "a customer-service agent", "a local politician", "a biologist", "an accountant", "a translator",
)  # fmt: skip


@described
@dataclass(frozen=True)
class SynthesisOptions:
    """What queries are like, and which are kept."""

    group: ClassVar[str] = "Queries"
    languages: str = option("English", "Languages of the queries, drawn evenly.", unit="NAME,...")
    lengths: str = option("4,8,16", "Words of a query, drawn evenly.", unit="N,...")
    least: float = option(0.5, "Lowest probability of yes to keep a query.", unit="P", group="Filter")
    seed: int = option(0, "Seed of everything that is drawn at random.", unit="N")
    personas: tuple[str, ...] = option(PERSONAS, "Who may ask; the five nearest to a passage are offered.")

    def __post_init__(self) -> None:
        if not self.personas or not self.language_list or not self.length_list or min(self.length_list) < 1:
            raise InputError("synthesis needs a persona, a language and a length of at least one word")
        if not 0.0 <= self.least <= 1.0:
            raise InputError(f"the filter's probability must be in 0..1, got {self.least}")

    @property
    def language_list(self) -> list[str]:
        """The languages, one by one."""
        return _listed(self.languages)

    @property
    def length_list(self) -> list[int]:
        """The lengths in words. Raises InputError for what is no whole number."""
        if not all(each.isascii() and each.isdigit() for each in _listed(self.lengths)):
            raise InputError(f"lengths must be whole numbers with commas between them, got {self.lengths!r}")
        return [int(each) for each in _listed(self.lengths)]


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
