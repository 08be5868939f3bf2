"""WaitingTokens: how many replicas a deployment should have, by the tokens that wait in them."""

from __future__ import annotations

from typing import Any

from qwen3_reranker.errors import InputError

#: What each replica reports under this name: tokens that its models have taken and not computed.
WAITING_TOKENS = "waiting_tokens"


class WaitingTokens:
    """A policy of Ray Serve's `autoscaling_config`: one replica for each `tokens_per_replica` that wait.

    A request may hold one pair or a thousand, so the number of requests, by which Ray scales by default, does not tell
    how much work waits. Many small requests hold few tokens, and fill a server all the same: `requests_per_replica` is
    what one replica may have at most, with those that wait in the proxies. Ray applies its bounds, factors and delays
    to what the policy returns.

    Raises InputError for a number below 1.
    """

    def __init__(self, tokens_per_replica: int = 20_000, requests_per_replica: int = 128) -> None:
        for name, value in (("tokens_per_replica", tokens_per_replica), ("requests_per_replica", requests_per_replica)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        self._tokens_per_replica = tokens_per_replica
        self._requests_per_replica = requests_per_replica

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """The wanted number of replicas, and no state. context: Ray's AutoscalingContext."""
        waiting = sum((context.aggregated_metrics or {}).get(WAITING_TOKENS, {}).values())
        requests = context.total_num_requests
        # Any request needs a replica, also before its body has arrived and its tokens are known.
        return max(waiting / self._tokens_per_replica, requests / self._requests_per_replica), {}
