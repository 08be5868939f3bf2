"""The number of replicas follows the tokens and the requests that wait."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.ray.scaling import WaitingTokens


def context(*waiting: float, requests: float = 1) -> Any:
    """What Ray hands a policy: a value of each replica that has reported."""
    metrics = {"waiting_tokens": dict(enumerate(waiting))} if waiting else {}
    return SimpleNamespace(aggregated_metrics=metrics, total_num_requests=requests)


def wanted(policy: WaitingTokens, told: Any) -> int:
    """Ray rounds up."""
    replicas, state = policy(told)
    assert state == {}
    return math.ceil(replicas)


@pytest.mark.parametrize(
    ("waiting", "replicas"), [((0, 0), 1), ((500, 1500), 2), ((9000,), 9), ((100, 100, 100), 1), ((), 1)]
)
def test_there_is_a_replica_for_each_portion_of_tokens_that_wait_in_all(
    waiting: tuple[float, ...], replicas: int
) -> None:
    assert wanted(WaitingTokens(1000), context(*waiting)) == replicas


@pytest.mark.parametrize(("requests", "replicas"), [(0, 0), (0.1, 1), (64, 1), (65, 2), (400, 7)])
def test_small_requests_bring_replicas_too_as_many_of_them_hold_few_tokens(requests: float, replicas: int) -> None:
    assert wanted(WaitingTokens(1000, 64), context(100.0, requests=requests)) == max(replicas, 1)
    assert wanted(WaitingTokens(1000, 64), context(0.0, requests=requests)) == replicas


def test_a_portion_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="tokens_per_replica must be at least 1, got 0"):
        WaitingTokens(0)
    with pytest.raises(InputError, match="requests_per_replica must be at least 1, got 0"):
        WaitingTokens(requests_per_replica=0)
