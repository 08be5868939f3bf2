"""A workload that is only described gets the plan that real rows of that kind would get."""

import numpy as np
import pytest

from qwen3_reranker import plan
from qwen3_reranker.plan import WorkloadShape, workload_plan
from qwen3_reranker.records import Receipt, Row


@pytest.mark.parametrize("shared", [(39, 31), (0, 0), (0, 7)], ids=str)
@pytest.mark.parametrize("max_length", [8192, 90])
def test_it_has_the_segments_of_rows_of_random_tokens(shared: tuple[int, int], max_length: int) -> None:
    prefix, head = shared
    described = workload_plan(
        WorkloadShape(3, 5, 20), prefix_tokens=prefix, query_prefix_tokens=head, suffix_tokens=9, max_length=max_length
    )
    random = np.random.default_rng(0)
    start = random.integers(0, 10**6, prefix)
    rows = []
    for _ in range(3):
        opening = np.concatenate((start, random.integers(0, 10**6, head)))
        for _ in range(5):
            ids = np.concatenate((opening, random.integers(0, 10**6, 29)))[:max_length].astype(np.int32)
            rows.append(Row(ids, (prefix, prefix + head), Receipt(20, 20, 0, 0)))
    real = plan.build(rows)
    assert described.num_row_tokens == real.num_row_tokens
    assert described.num_tokens == real.num_tokens
    lengths = [sorted(np.diff(each.starts_S1).tolist()) for each in (described, real)]
    assert lengths[0] == lengths[1]
    assert sorted(described.parents_S.tolist()) == sorted(real.parents_S.tolist())
