"""An option, stated once: a dataclass field with default, meaning, unit and choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from textwrap import fill
from typing import Any, TypeVar

from qwen3_reranker.errors import InputError, unknown

Options = TypeVar("Options", bound=type)


@dataclass(frozen=True, slots=True)
class OptionFacts:
    """What a command line or `help()` says of an option besides name, type and default.

    help: one or two sentences. unit: what stands for the value, as N or SECONDS. choices: the values that it may have,
    if they are few. group: the title that it has on a help page; an option without one has no flag. flag: its names
    there, separated by commas, where they are not made of the field's. shown: the default in words, where the default
    itself does not say it. least, most: the bounds of a number, which it may reach; above: one that it may not reach.
    is_secret: no message and no repr shows the value. reloads: a running server takes over a new value.
    """

    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    group: str = ""
    flag: str = ""
    shown: str = ""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    is_secret: bool = False
    reloads: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raise InputError for a value, or a value of a list, that the option cannot have. None is never wrong."""
        for each in value if isinstance(value, list) else [value]:
            if each is None:
                continue
            if self.choices and each not in self.choices:
                raise unknown(name, each, self.choices)
            # A negated comparison, because NaN is in no bounds.
            if self.least is not None and not each >= self.least:
                raise InputError(f"{name} must be at least {self.least}, got {each}")
            if self.most is not None and not each <= self.most:
                raise InputError(f"{name} must be at most {self.most}, got {each}")
            if self.above is not None and not each > self.above:
                raise InputError(f"{name} must be above {self.above}, got {each}")


def option(default: Any, help: str, *, choices: Sequence[str] = (), **facts: Any) -> Any:
    """A field of a dataclass that is an option. default: MISSING for one that must be given. Facts: OptionFacts."""
    known = OptionFacts(help, choices=tuple(choices), **facts)
    return field(default=default, repr=not known.is_secret, metadata={"option": known})


def required(help: str, **facts: Any) -> Any:
    """An option without a default."""
    return option(MISSING, help, **facts)


def option_facts(options: type) -> Mapping[str, OptionFacts]:
    """What is known of each option of a dataclass, by the names of its fields."""
    return {each.name: each.metadata["option"] for each in fields(options) if "option" in each.metadata}


def option_lines(options: type) -> Mapping[str, str]:
    """The docstring's lines of each option of a dataclass, by field name."""
    facts = option_facts(options)
    return {name: fill(f"{name}: {each.help}", 116, subsequent_indent="    ") for name, each in facts.items()}


def described(options: Options) -> Options:
    """The dataclass with its options in its docstring, for help()."""
    options.__doc__ = "\n".join([f"{options.__doc__}\n", *option_lines(options).values()])
    return options
