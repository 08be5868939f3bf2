"""Context: what the handlers of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.prices import Prices
from qwen3_reranker.serve.json_http import Bodies
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.middleware import Drain
from qwen3_reranker.serve.models import Models
from qwen3_reranker.serve.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Context:
    """One server: settings, models, keys (None: off), prices (None: all models are free), metrics, bodies."""

    settings: ServerSettings
    models: Models
    accounts: Accounts | None
    prices: Prices | None
    metrics: Metrics
    bodies: Bodies
    drain: Drain
    version: str

    @classmethod
    def of(
        cls, settings: ServerSettings, models: Models, accounts: Accounts | None, metrics: Metrics, version: str
    ) -> Context:
        """The context of a new server."""
        return cls(
            settings=settings,
            models=models,
            accounts=accounts,
            prices=Prices(models.prices) if any(price is not None for price in models.prices.values()) else None,
            metrics=metrics,
            bodies=Bodies(settings.max_body_bytes, settings.max_bodies_bytes, settings.body_timeout),
            drain=Drain(),
            version=version,
        )
