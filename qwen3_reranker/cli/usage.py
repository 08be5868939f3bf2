"""A command line that cannot be read -> one sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import zip_longest
from typing import Any


def sentence(error: Any, arguments: Sequence[str]) -> str:
    """What typer's error of usage says, and the page that helps. arguments: all that the program was given."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "qwen3-reranker"
    return f"{_said(error, arguments)} See {command} --help."


def meant(word: str, known: Sequence[str]) -> str:
    """A question for the known word that this one is a misspelling of, or nothing."""
    alike = get_close_matches(word, known, n=1)
    return f" Did you mean {alike[0]}?" if alike else ""


def _said(error: Any, arguments: Sequence[str]) -> str:
    if unknown := getattr(error, "option_name", None) if hasattr(error, "possibilities") else None:
        known = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
        return f"No such option: {unknown}.{meant(unknown, known)}"
    parameter, text = getattr(error, "param", None), str(error.format_message())
    if parameter is not None and text.startswith("Invalid value") and parameter.param_type_name == "option":
        # The sentence differs among releases of typer, and not all of them say what came.
        kind = "a whole number" if "integer" in text else "a number"
        return f"{parameter.opts[0]} must be {kind}, got {_given(arguments, parameter.opts)!r}."
    return text if text.endswith((".", "?")) else f"{text}."


def _given(arguments: Sequence[str], names: Sequence[str]) -> str:
    """The value that followed one of an option's names last."""
    value = ""
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, joined, rest = argument.partition("=")
        if argument in names:
            value = following
        elif joined and name in names:
            value = rest
        elif argument[:2] in names and not argument.startswith("--"):
            value = argument[2:]
    return value
