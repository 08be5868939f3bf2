"""What a forked child has to renew, as it gets locks in any state and no threads.

The one thread of the child is a copy of the thread that forked. What the others were at stays half done.
"""

from __future__ import annotations

# Hooks run in the order of their registration: thread pools hold a lock over a fork, which must be free in a child
# before ours start one.
import concurrent.futures.thread  # noqa: F401
import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something that holds locks or threads."""

    def in_forked_child(self) -> None:
        """Make anew what does not survive a fork. It is called in a child before anything else, and waits for none."""
        ...


_PARALLELISM = "TOKENIZERS_PARALLELISM"
_RENEWED: WeakSet[Renewable] = WeakSet()
_child = False


def renew_in_children(each: Renewable) -> None:
    """Let `each` be renewed in every process forked from this one, while it lives."""
    _RENEWED.add(each)


def is_forked_child() -> bool:
    """Whether this process was forked from one that had loaded this package."""
    return _child


def _renew() -> None:
    global _child
    _child = True
    for each in list(_RENEWED):
        each.in_forked_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@cache
def tokenize_alone_in_children() -> None:
    """Let tokenizers use no threads in a forked child, where its parent's are missing.

    It would wait for them for ever where the environment asks for them. Otherwise some releases turn them off
    themselves, and print a page about it unless they find it done when the child begins; so it is done before.
    """
    before: list[str | None] = []

    def turn_off() -> None:
        before.append(os.environ.get(_PARALLELISM))
        os.environ[_PARALLELISM] = "false"

    def restore() -> None:
        value = before.pop()
        if value is None:
            os.environ.pop(_PARALLELISM, None)
        else:
            os.environ[_PARALLELISM] = value

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=turn_off, after_in_parent=restore, after_in_child=before.clear)
