"""Ray Serve runs the server: `serve run qwen3_reranker.serve.ray:app`."""

from __future__ import annotations

from typing import Any

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    # Ray's controller and proxies import parts of this package and need no server.
    if name == "app":
        from qwen3_reranker.serve.ray.deployment import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
