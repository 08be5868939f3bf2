"""Options of mining: which candidates become negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.option_fields import described, option

SAMPLING = ("top", "random")


@described
@dataclass(frozen=True)
class MiningOptions:
    """Which candidates become negatives."""

    group: ClassVar[str] = "Choice"
    negatives: int = option(7, "Negatives for each query.", unit="N")
    # A first stage's score above (1 - margin) times the positive's counts as an answer's: TopK-PercPos of NV-Retriever,
    # arXiv 2407.15831.
    margin: float = option(0.05, "Leave out a document with a score above 1 - SHARE of the positive's.", unit="SHARE")
    sampling: str = option("top", "Which of the others to take.", choices=SAMPLING)
    teacher_margin: float = option(
        0.1, "How far a teacher's probability must be below the positive's.", unit="P", group="Teacher"
    )
    seed: int = option(0, "Seed of everything that is drawn at random.", unit="N")
    ranks: str = option("1-100", "Ranks in the first stage that they come from.", unit="A-B")

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLING:
            raise unknown("sampling", self.sampling, SAMPLING)
        if self.negatives < 1:
            raise InputError(f"negatives must be at least 1, got {self.negatives}")
        if not 1 <= self.first <= self.last:
            raise InputError(f"ranks must go up from 1 or more, as in 2-60, got {self.ranks!r}")
        for name in ("margin", "teacher_margin"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")

    @property
    def first(self) -> int:
        """The first of the ranks, counted from 1."""
        return self._numbers()[0]

    @property
    def last(self) -> int:
        """The last of the ranks."""
        return self._numbers()[1]

    def _numbers(self) -> tuple[int, int]:
        first, _, last = self.ranks.partition("-")
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise InputError(f"ranks must be written like 2-60, got {self.ranks!r}")
        return int(first), int(last)
