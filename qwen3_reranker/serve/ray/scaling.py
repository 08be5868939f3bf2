"""WaitingTokens: how many replicas a deployment should have, by the tokens that wait in them."""

from __future__ import annotations

from typing import Any

from qwen3_reranker.errors import InputError

#: What each replica reports under this name: tokens that its models have taken and not computed.
WAITING_TOKENS = "waiting_tokens"


class WaitingTokens:
    """A policy of Ray Serve's `autoscaling_config`: one replica for each `tokens_per_replica` that wait.

    A request may hold one pair or a thousand, so the number of requests, by which Ray scales of itself, does not tell
    how much work waits. Ray applies its bounds, factors and delays to what the policy returns.

    Raises InputError for a number below 1.
    """

    def __init__(self, tokens_per_replica: int = 20_000) -> None:
        if tokens_per_replica < 1:
            raise InputError(f"tokens_per_replica must be at least 1, got {tokens_per_replica}")
        self._tokens_per_replica = tokens_per_replica

    def __call__(self, context: Any) -> tuple[float, dict[str, Any]]:
        """The wanted number of replicas, and no state. context: Ray's AutoscalingContext."""
        waiting = sum((context.aggregated_metrics or {}).get(WAITING_TOKENS, {}).values())
        # The last replica must not end below a request that has no tokens yet, as its body is still on the way.
        least = 1 if context.total_num_requests > 0 else 0
        return max(least, waiting / self._tokens_per_replica), {}
