"""Settings -> an application that is ready: keys first, which fail fast, then models, which take long."""

from __future__ import annotations

from collections.abc import Callable

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.app import Application
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.served import open_models
from qwen3_reranker.serve.settings import Settings


def open_application(
    settings: Settings, version: str, on_open: Callable[[str], None] = lambda _name: None
) -> Application:
    """Open the keys, load and warm up the models; raises what either raises, and then nothing stays open."""
    accounts = _open_accounts(settings)
    metrics = Metrics(version)
    try:
        models = open_models(settings, metrics, on_open)
    except BaseException:
        if accounts is not None:
            accounts.close()
        raise
    return Application(settings, models, accounts, metrics, version)


def _open_accounts(settings: Settings) -> Accounts | None:
    if settings.keys is None:
        return None
    pepper = settings.pepper.get_secret_value().encode() if settings.pepper else None
    return Accounts(settings.keys, pepper, flush_interval=settings.usage_flush, cache_seconds=settings.keys_cache)
