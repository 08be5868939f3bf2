"""The number of replicas follows the tokens that wait."""

from types import SimpleNamespace
from typing import Any

import pytest

from qwen3_reranker.errors import InputError
from qwen3_reranker.serve.ray.scaling import WaitingTokens


def context(*waiting: float, requests: int = 1) -> Any:
    """What Ray hands a policy: a value of each replica that has reported."""
    metrics = {"waiting_tokens": dict(enumerate(waiting))} if waiting else {}
    return SimpleNamespace(aggregated_metrics=metrics, total_num_requests=requests)


@pytest.mark.parametrize(
    ("waiting", "replicas"), [((0, 0), 1), ((500, 1500), 2), ((9000,), 9), ((100, 100, 100), 1), ((), 1)]
)
def test_there_is_a_replica_for_each_portion_of_tokens_that_wait_in_all(
    waiting: tuple[float, ...], replicas: int
) -> None:
    assert WaitingTokens(1000)(context(*waiting)) == (replicas, {})


def test_no_replica_is_wanted_where_no_request_is() -> None:
    assert WaitingTokens()(context(0.0, requests=0)) == (0, {})


def test_a_portion_of_no_token_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        WaitingTokens(0)
