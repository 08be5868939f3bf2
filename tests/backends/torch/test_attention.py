"""Every kernel of attention gives what the plain formula gives, forwards and backwards."""

import numpy as np
import pytest
import torch
from torch import Tensor

from qwen3_reranker import plan
from qwen3_reranker.backends.torch.attention import attention
from qwen3_reranker.backends.torch.layout import Sequences, lay_out
from qwen3_reranker.backends.torch.padding import capacity, filled
from testing.rows import tree_rows

HEADS, GROUPS, DIM = 4, 2, 16


def formula(sequences: Sequences, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
    """Query by query, head by head."""
    mixed = torch.zeros(len(q_THE), HEADS * DIM, dtype=q_THE.dtype)
    for number in range(len(sequences.query_lengths)):
        start, end = sequences.query_starts_S1[number : number + 2].tolist()
        keys = sequences.keys_K[slice(*sequences.key_starts_S1[number : number + 2].tolist())]
        for query in range(start, end):
            seen = torch.from_numpy(keys[: len(keys) - (end - query - 1)])
            for head in range(HEADS):
                group = head * GROUPS // HEADS
                weight = torch.softmax(k_PGE[seen, group] @ q_THE[query, head] / DIM**0.5, dim=0)
                mixed[query, head * DIM : (head + 1) * DIM] = weight @ v_PGE[seen, group]
    return mixed


def sequences_of(seed: int, limit: int) -> list[tuple[Sequences, int]]:
    """Sequences of tokens and of leaves, and the size of the pool, of every batch of a tree."""
    built = plan.build(tree_rows(seed, 9, 40), 4)
    kept: set[int] = set()
    found = []
    for batch in plan.split(built, limit):
        layout = lay_out(built, batch, kept)
        keys = len(layout.tokens_T) + sum(len(built.tokens(segment)) for segment in layout.ancestors)
        found += [(each, keys) for each in (layout.everyone, layout.leaves) if len(each.query_lengths)]
        kept = (kept | batch.keep) - batch.release
    return found


def random_inputs(sequences: Sequences, keys: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((int(sequences.query_starts_S1[-1]), HEADS), (keys, GROUPS), (keys, GROUPS))
    return [torch.randn(*shape, DIM, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("limit", [60, 10_000], ids=["kept ancestors", "one batch"])
def test_padded_buckets_give_what_the_formula_gives(limit: int) -> None:
    for sequences, keys in sequences_of(3, limit):
        inputs = random_inputs(sequences, keys)
        attend = attention("sdpa")(sequences, keys, torch.device("cpu"))
        assert torch.allclose(attend(*inputs), formula(sequences, *inputs), atol=1e-12)


def test_gradients_of_padded_buckets_are_those_of_the_formula() -> None:
    for sequences, keys in sequences_of(5, 60):
        attend = attention("sdpa")(sequences, keys, torch.device("cpu"))
        inputs = [each.requires_grad_() for each in random_inputs(sequences, keys)]
        wanted = torch.autograd.grad(formula(sequences, *inputs).square().sum(), inputs)
        ours = torch.autograd.grad(attend(*inputs).square().sum(), inputs)
        for first, second in zip(ours, wanted, strict=True):
            assert torch.allclose(first, second, atol=1e-10)


def test_what_fills_a_layout_up_changes_no_result() -> None:
    built = plan.build(tree_rows(7, 9, 40), 4)
    [batch] = plan.split(built, 10_000)
    layout = lay_out(built, batch, ())
    full = filled(layout, 0, capacity(layout, 0, 0))
    for some, more in ((layout.everyone, full.everyone), (layout.leaves, full.leaves)):
        queries = int(some.query_starts_S1[-1])
        inputs = random_inputs(more, len(full.tokens_T))
        plain = attention("sdpa")(some, len(full.tokens_T), torch.device("cpu"))
        padded = attention("sdpa")(more, len(full.tokens_T), torch.device("cpu"))
        q_THE, k_PGE, v_PGE = inputs
        wanted = plain(q_THE[:queries], k_PGE, v_PGE)
        assert torch.allclose(padded(*inputs)[:queries], wanted, atol=1e-12)


def test_a_long_sequence_is_cut_into_pieces_that_see_what_it_sees() -> None:
    # 5,000 queries of 5,000 keys are more scores than a bucket holds.
    length = 5000
    sequences = Sequences(np.array([0, length]), np.array([0, length]), np.arange(length))
    attend = attention("sdpa")(sequences, length, torch.device("cpu"))
    q_THE, k_PGE, v_PGE = (each.float() for each in random_inputs(sequences, length))
    mixed = attend(q_THE, k_PGE, v_PGE)
    for place in (0, 700, length - 1):
        alone = Sequences(np.array([0, 1]), np.array([0, place + 1]), np.arange(place + 1))
        expected = formula(alone, q_THE[place : place + 1], k_PGE, v_PGE)
        assert torch.allclose(mixed[place], expected[0], atol=1e-5)
