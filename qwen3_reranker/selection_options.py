"""SelectionOptions: what a set of hits should be, beyond each of them relevant."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import Self

from qwen3_reranker.arguments import is_whole
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option, option_facts


@dataclass(frozen=True, kw_only=True)
class SelectionOptions:
    """What a set of hits should be, beyond each of them relevant."""

    fold: float | None = option(
        None,
        "Fold a document into a better one if they share this much of their text. 0.8 finds copies with small changes.",
        unit="SHARE",
        above=0,
        most=1,
        group="Selection",
    )
    diversity: float | None = option(
        None,
        "Choose documents that differ: likeness to one already chosen counts so much, and the probability the rest.",
        unit="WEIGHT",
        least=0,
        most=1,
        group="Selection",
    )
    fit: int | None = option(
        None,
        "Choose the best documents that fit together into so many tokens.",
        unit="TOKENS",
        least=1,
        group="Selection",
    )

    @classmethod
    def of(cls, **options: object) -> Self:
        """The options, checked. Raises InputError for one that is out of bounds or no number."""
        for name, facts in option_facts(cls).items():
            if (value := options.get(name)) is not None:
                if isinstance(value, bool) or not isinstance(value, Real):
                    raise InputError(f"{name} must be a number, got {value!r}")
                facts.check(name, value)
        if not (options.get("fit") is None or is_whole(options["fit"], 1)):
            raise InputError(f"fit must be a whole number of tokens, got {options['fit']!r}")
        return cls(**options)  # type: ignore[arg-type]

    @property
    def given(self) -> dict[str, float]:
        """The options that were given, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(SelectionOptions)}
        return {name: value for name, value in values.items() if value is not None}

    def refuse_boundless(self, top_k: int | None, name: str = "top_k") -> None:
        """Raise InputError for diversity in a set that would hold everything. name: what the caller calls top_k."""
        if self.diversity is not None and top_k is None and self.fit is None:
            dashes = "--" * name.startswith("-")
            raise InputError(
                f"{dashes}diversity chooses among documents: say how many with {name}, or how many tokens with "
                f"{dashes}fit"
            )


NO_SELECTION = SelectionOptions()
