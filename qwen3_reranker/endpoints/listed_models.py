"""The reply of /v1/models -> the entry of each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed_models(reply: object) -> list[Mapping[str, Any]]:
    """The entries; none where a server replies otherwise, or not at all."""
    listed = reply.get("data") if isinstance(reply, Mapping) else None
    return [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
