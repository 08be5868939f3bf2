"""The id of a request, in its reply and in the log."""

from __future__ import annotations

import re
import secrets

_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """The id that a client has given in `x-request-id`, or a new one where it gave none that can be used."""
    return given if given and _VALID_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
