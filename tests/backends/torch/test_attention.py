"""Every kernel of attention gives what the plain formula gives, forwards and backwards."""

import numpy as np
import pytest
import torch
from torch import Tensor

from qwen3_reranker import plan
from qwen3_reranker.backends.layout import lay_out
from qwen3_reranker.backends.torch.attention import attention_builder
from qwen3_reranker.backends.torch.padding import graph_shape, pad_to
from qwen3_reranker.backends.torch.varlen import VarlenMetadata, attention_metadata, varlen_metadata
from testing.rows import tree_rows

HEADS, GROUPS, DIM = 4, 2, 16


def formula(metadata: VarlenMetadata, q_THE: Tensor, k_PGE: Tensor, v_PGE: Tensor) -> Tensor:
    """Query by query, head by head."""
    mixed = torch.zeros(len(q_THE), HEADS * DIM, dtype=q_THE.dtype)
    for number in range(len(metadata.seqlens_q)):
        start, end = metadata.cu_seqlens_q[number : number + 2].tolist()
        keys = metadata.kv_indices[slice(*metadata.cu_seqlens_k[number : number + 2].tolist())]
        for query in range(start, end):
            seen = torch.from_numpy(keys[: len(keys) - (end - query - 1)])
            for head in range(HEADS):
                group = head * GROUPS // HEADS
                weight = torch.softmax(k_PGE[seen, group] @ q_THE[query, head] / DIM**0.5, dim=0)
                mixed[query, head * DIM : (head + 1) * DIM] = weight @ v_PGE[seen, group]
    return mixed


def metadata_of(seed: int, limit: int) -> list[tuple[VarlenMetadata, int]]:
    """Sequences of tokens and of leaves, and the size of the pool, of every batch of a tree."""
    built = plan.build(tree_rows(seed, 9, 40), 4)
    kept: set[int] = set()
    found = []
    for batch in plan.split(built, limit):
        layout = lay_out(built, batch)
        metadata = attention_metadata(built, layout, kept)
        keys = len(layout.tokens_T) + sum(len(built.tokens(segment)) for segment in metadata.cached_segments)
        found += [(each, keys) for each in (metadata.all_queries, metadata.leaf_queries) if len(each.seqlens_q)]
        kept = (kept | batch.keep) - batch.release
    return found


def random_inputs(metadata: VarlenMetadata, keys: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((int(metadata.cu_seqlens_q[-1]), HEADS), (keys, GROUPS), (keys, GROUPS))
    return [torch.randn(*shape, DIM, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("limit", [60, 10_000], ids=["kept ancestors", "one batch"])
def test_padded_buckets_give_what_the_formula_gives(limit: int) -> None:
    for metadata, keys in metadata_of(3, limit):
        inputs = random_inputs(metadata, keys)
        attend = attention_builder("sdpa")(metadata, keys, torch.device("cpu"))
        assert torch.allclose(attend(*inputs), formula(metadata, *inputs), atol=1e-12)


def test_gradients_of_padded_buckets_are_those_of_the_formula() -> None:
    for metadata, keys in metadata_of(5, 60):
        attend = attention_builder("sdpa")(metadata, keys, torch.device("cpu"))
        inputs = [each.requires_grad_() for each in random_inputs(metadata, keys)]
        wanted = torch.autograd.grad(formula(metadata, *inputs).square().sum(), inputs)
        ours = torch.autograd.grad(attend(*inputs).square().sum(), inputs)
        for first, second in zip(ours, wanted, strict=True):
            assert torch.allclose(first, second, atol=1e-10)


def test_padding_changes_no_result() -> None:
    built = plan.build(tree_rows(7, 9, 40), 4)
    [batch] = plan.split(built, 10_000)
    layout = lay_out(built, batch)
    metadata = attention_metadata(built, layout, ())
    padded_layout, padded = pad_to(graph_shape(layout, metadata, 0, 0), layout, metadata, 0)
    pool = len(padded_layout.tokens_T)
    for some, more in ((metadata.all_queries, padded.all_queries), (metadata.leaf_queries, padded.leaf_queries)):
        queries = int(some.cu_seqlens_q[-1])
        inputs = random_inputs(more, pool)
        plain = attention_builder("sdpa")(some, pool, torch.device("cpu"))
        ours = attention_builder("sdpa")(more, pool, torch.device("cpu"))
        q_THE, k_PGE, v_PGE = inputs
        wanted = plain(q_THE[:queries], k_PGE, v_PGE)
        assert torch.allclose(ours(*inputs)[:queries], wanted, atol=1e-12)


def test_a_long_sequence_is_cut_into_blocks_that_see_what_it_sees() -> None:
    # 5,000 queries of 5,000 keys are more scores than a bucket holds.
    length = 5000
    metadata = varlen_metadata(np.array([0, length]), np.array([0, length]), np.arange(length))
    attend = attention_builder("sdpa")(metadata, length, torch.device("cpu"))
    q_THE, k_PGE, v_PGE = (each.float() for each in random_inputs(metadata, length))
    mixed = attend(q_THE, k_PGE, v_PGE)
    for index in (0, 700, length - 1):
        alone = varlen_metadata(np.array([0, 1]), np.array([0, index + 1]), np.arange(index + 1))
        expected = formula(alone, q_THE[index : index + 1], k_PGE, v_PGE)
        assert torch.allclose(mixed[index], expected[0], atol=1e-5)
