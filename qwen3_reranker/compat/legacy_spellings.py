"""Spellings of earlier releases of a library -> today's, each noted in the log once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

_LOG = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def accepts_legacy_spellings(
    positional: Sequence[str] = (), *, ignored: Sequence[str] = (), **renamed: str
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Let a method take arguments by their earlier names; where both names are given, today's counts.

    positional: keywords that were positional once, in their order after self and the first argument. ignored: names
    that had a meaning once. renamed: today's name of each earlier one.
    """

    def decorate(method: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Returned:
            if positional:
                arguments, late = arguments[:2], arguments[2:]
                for name, value in zip(positional, late, strict=False):
                    _note(f"{name} is a keyword argument: write {name}=...")
                    named.setdefault(name, value)
                if len(late) > len(positional):
                    raise TypeError(f"{method.__name__} takes {2 + len(positional)} positional arguments at most")
            for old, new in renamed.items():
                if old in named:
                    _note(f"the argument {old} is called {new} now")
                    value = named.pop(old)
                    named.setdefault(new, value)
            for old in ignored:
                if old in named:
                    _note(f"the argument {old} has no effect")
                    del named[old]
            return method(*arguments, **named)

        return cast(Callable[Parameters, Returned], call)

    return decorate


@cache
def _note(message: str) -> None:
    _LOG.warning("%s", message)
