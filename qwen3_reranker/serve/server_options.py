"""ServerOptions: settings of the server with a flag, stated once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qwen3_reranker.option_fields import option


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Settings of the server that have a flag. None leaves one to the file, the environment and its default."""

    group: ClassVar[str] = "Server"
    host: str | None = option(None, "Address to listen on.", unit="ADDRESS", shown="127.0.0.1")
    port: int | None = option(None, "Port to listen on; 0 for a free one.", unit="N", flag="--port, -p", shown="8000")
    keys: str | None = option(
        None, "SQLite file or database URL of keys and usage; without it no request needs a key.", unit="PATH|URL"
    )
    allow_public: bool | None = option(None, "Serve without keys on an address that others can reach.")
    timeout: float | None = option(
        None,
        "Seconds that a request may take; a client may set fewer with `x-request-timeout`, as openai's SDK does by "
        "itself.",
        unit="SECONDS",
        shown="60",
    )
    max_waiting_tokens: int | None = option(
        None, "Tokens of each model that are admitted and not yet computed.", unit="N", shown="2,000,000"
    )
    log_format: str | None = option(None, "Lines of the log: text or json.", choices=("text", "json"), shown="text")
