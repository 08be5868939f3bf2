"""How to reach a rerank server: every option, stated once, with its default, its meaning and its checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypedDict, get_args, get_type_hints

from qwen3_reranker.endpoints.address import KEY_VARIABLE
from qwen3_reranker.endpoints.wire_formats import WIRE_FORMATS
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import described, option, option_facts

CheckName = Literal["warn", "error", "off"]


class RemoteOptions(TypedDict, total=False):
    """What a Reranker of a URL may be given; ServerOptions says what each is."""

    api_key: str | None
    dialect: str
    served_name: str | None
    check: CheckName
    timeout: float
    deadline: float | None
    retries: int
    concurrency: int
    max_documents: int | None
    max_bytes: int


@described
@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to reach a server, where the model is a URL."""

    group: ClassVar[str] = "Server"
    api_key: str | None = option(
        None,
        "Sent as a bearer token; it is safer in the environment.",
        unit="KEY",
        shown=KEY_VARIABLE,
        is_secret=True,
    )
    dialect: str = option(
        "auto", "The API of the server.", choices=("auto", *WIRE_FORMATS), shown="auto: each is tried"
    )
    served_name: str | None = option(None, "The model's name in requests.", unit="NAME", shown="none")
    check: str = option(
        "warn",
        "What to do if the server does not score as a reranker does, which a few requests show when it connects.",
        choices=get_args(CheckName),
    )
    timeout: float = option(60.0, "Longest time of a request.", unit="SECONDS", above=0)
    deadline: float | None = option(
        None, "Longest time of a call, with all its requests.", unit="SECONDS", shown="no limit", above=0
    )
    retries: int = option(
        10, "How often a request is sent again after 429, 502, 503, 504 or a broken connection.", unit="N", least=0
    )
    concurrency: int = option(8, "Requests at once.", unit="N", least=1)
    max_documents: int | None = option(
        None, "Documents of a request; a longer list is split.", unit="N", shown="64; 32 for tei", least=1
    )
    max_bytes: int = option(1 << 20, "Bytes of a request; a longer list is split.", unit="N", least=1)

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for name, facts in option_facts(type(self)).items():
            value = getattr(self, name)
            is_right = isinstance(value, kinds[name] | int if kinds[name] in (float, float | None) else kinds[name])
            if not is_right or isinstance(value, bool) or value in (math.inf, -math.inf):
                raise InputError(f"{name} must be {_words(kinds[name])}, got {type(value).__name__}")
            facts.check(name, value)

    @classmethod
    def of(cls, options: Mapping[str, object], url: str) -> ServerOptions:
        """The options by their names; raises InputError for one that a server does not have, and for its value."""
        known = option_facts(cls)
        for name in options:
            if name not in known:
                raise InputError(
                    f"{name} is an option of a model on this machine, and {url} is a server, which chose its own; "
                    f"options of a server are {', '.join(known)}"
                )
        return cls(**options)  # type: ignore[arg-type]


def _words(kind: object) -> str:
    written = str(getattr(kind, "__name__", kind)).replace(" | None", " or None")
    return written.replace("str", "a string").replace("float", "a number").replace("int", "a whole number")
