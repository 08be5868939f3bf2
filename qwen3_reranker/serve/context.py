"""Context: what the handlers of one server share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen3_reranker.serve.accounts.accounts import Accounts
from qwen3_reranker.serve.accounts.prices import Prices
from qwen3_reranker.serve.metrics import Metrics
from qwen3_reranker.serve.middleware import Drain
from qwen3_reranker.serve.models import Models
from qwen3_reranker.serve.request_body import Bodies
from qwen3_reranker.serve.served_index import ServedIndex
from qwen3_reranker.serve.settings import ServerSettings
from qwen3_reranker.serve.workers import Workers

if TYPE_CHECKING:
    from qwen3_reranker.calibrate import Calibration


@dataclass(slots=True)
class Context:
    """One server: settings, models, index of files (None: off), keys (None: off), prices.

    `use` changes settings and prices of a running server.
    """

    settings: ServerSettings
    models: Models
    index: ServedIndex | None
    accounts: Accounts | None
    prices: Prices
    metrics: Metrics
    bodies: Bodies
    drain: Drain
    workers: Workers
    version: str

    @classmethod
    def of(
        cls,
        settings: ServerSettings,
        models: Models,
        accounts: Accounts | None,
        metrics: Metrics,
        version: str,
        index: ServedIndex | None = None,
    ) -> Context:
        """The context of a new server."""
        return cls(
            settings=settings,
            models=models,
            index=index,
            accounts=accounts,
            prices=Prices(models.prices),
            metrics=metrics,
            bodies=Bodies(settings),
            drain=Drain(),
            workers=Workers(metrics),
            version=version,
        )

    def use(self, settings: ServerSettings, calibrations: Mapping[str, Calibration]) -> None:
        """Take over new settings and the calibrations that they name, in the event loop.

        Requests that are inside keep the prices they were given.
        """
        self.settings = settings
        self.models.use(settings, calibrations)
        self.prices = Prices(self.models.prices)
        self.bodies.use(settings)
