"""An error of the library -> the same error with the flags of a verb."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Any

from qwen3_reranker.errors import ConfigurationError, RerankerError

# A name that is quoted, or part of a path or of a longer word, is somebody's text.
_APART = r"(?<![\w'\"/.=-])"
_ENDED = r"(?![\w'\"/=(:]|\.\w)"
_VALUE = r"'[^']*'|\"[^\"]*\"|[\w+-]+(?:\.\w+)*"


def in_flags(message: str, parameters: Iterable[Any]) -> str:
    """The message with the options among a verb's parameters under the names of their flags.

    num_threads becomes --threads, precision='int8' becomes --precision int8. A name that is a word of English too is
    an option only before "=", after "unknown", and as the first word before "must".
    """
    flags: dict[str, str] = {}
    for parameter in parameters:
        long = [name for name in parameter.opts if name.startswith("--")]
        flags |= {name: long[0] for name in (parameter.name, *(_in_python(each) for each in long)) if long}
    if not flags:
        return message
    names = "|".join(map(re.escape, flags))
    snakes = "|".join(re.escape(name) for name in flags if "_" in name) or r"(?!)"
    pattern = (
        rf"{_APART}(?P<given>{names})=(?P<value>{_VALUE})"
        rf"|{_APART}(?P<snake>{snakes}){_ENDED}"
        rf"|(?<=unknown )(?P<unknown>{names})(?= ['\"])"
        rf"|^(?P<first>{names})(?= must )"
    )

    def flag(found: re.Match[str]) -> str:
        name = next(found[group] for group in ("given", "snake", "unknown", "first") if found[group])
        value = found["value"]
        if value is None or value == "True":
            return flags[name]
        return f"{flags[name]} {shlex.quote(value.strip(chr(39) + chr(34)))}"

    return re.sub(pattern, flag, message)


def speak_of_flags(error: RerankerError, parameters: Iterable[Any]) -> None:
    """Let an error of the library speak of flags, unless it is about a file of settings."""
    if isinstance(error, ConfigurationError):
        return
    if error.args and isinstance(error.args[0], str):
        error.args = (in_flags(error.args[0], parameters), *error.args[1:])


def _in_python(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
