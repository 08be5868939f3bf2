"""`--why` of `rank` and `search`: whether and how to explain what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option

if TYPE_CHECKING:
    from qwen3_reranker.explanation import Explanation


@dataclass(frozen=True, kw_only=True)
class WhyOptions:
    """Whether to explain what is shown, and how."""

    why: bool = option(
        False,
        "Show the sentence of each document that answers best alone. JSON has all, with what each adds to the score.",
        group="Explaining",
    )
    leave_out: bool = option(
        True,
        "Leave sentences out, to see what each adds to the score; what each scores alone is found several times as "
        "fast.",
        group="Explaining",
    )
    other_instructions: list[str] | None = option(
        None,
        "Explain under this instruction too, to see what has to be asked; may be repeated.",
        unit="TEXT",
        flag="--other-instruction",
        group="Explaining",
    )

    def refuse_why(self, form: str, in_place: str = "") -> None:
        """Raise InputError for a format without a place for sentences, and for options of --why without it."""
        if not self.why:
            for flag, is_given in (
                ("--other-instruction", self.other_instructions),
                ("--no-leave-out", not self.leave_out),
            ):
                if is_given:
                    raise InputError(f"{flag} has a meaning with --why alone")
        elif in_place or form not in ("table", "json", "jsonl"):
            raise InputError(f"--why needs a table, json or jsonl, and {in_place or f'--format {form}'} gives none")

    def explained(self, explain: Callable[..., Explanation], instruction: str | None) -> tuple[Explanation, ...]:
        """What `explain` gives under the instruction of the ranking, then under each other one."""
        asked = (instruction, *(self.other_instructions or ()))
        return tuple(explain(instruction=each, leave_out=self.leave_out) for each in asked)
