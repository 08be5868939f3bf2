"""The tree-packed network gives each document the logit that stock transformers gives its separate row."""

from typing import Any

import numpy as np
import pytest
import torch

from qwen3_reranker.config import ModelConfig
from recipes.nano.groups import Group, tree
from recipes.nano.network import NanoNetwork

CONFIG = ModelConfig(
    vocab_size=426,
    hidden_size=48,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=8192,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=True,
)
PREFIX, SUFFIX = [7, 8, 9, 10, 11], [12, 13, 14]
YES, NO = 5, 6


def _group(head: Any, documents: tuple[Any, ...]) -> Group:
    unknown_D = np.full(len(documents), np.nan, np.float32)
    return Group(head, documents, 0, np.zeros(len(documents), np.float32), unknown_D, synthetic=False, unanswered=False)


def _groups(rng: np.random.Generator) -> list[Group]:
    def tokens(least: int, most: int) -> Any:
        return rng.integers(0, 400, rng.integers(least, most)).astype(np.uint16)

    return [_group(tokens(3, 30), tuple(tokens(1, 60) for _ in range(count))) for count in (4, 1, 3)]


def _network() -> NanoNetwork:
    torch.manual_seed(3)
    network = NanoNetwork(CONFIG, YES, NO)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_((torch.randn_like(weight) * 0.2 + (weight.dim() == 1)).to(torch.bfloat16))
    return network


@pytest.mark.slow
def test_a_packed_tree_scores_as_separate_rows_in_transformers() -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    network, groups = _network(), _groups(np.random.default_rng(4))
    stock = Qwen3ForCausalLM(Qwen3Config(**CONFIG.to_json()))
    missing, unknown = stock.load_state_dict(network.state_dict(), strict=False)
    assert (missing, unknown) == (["lm_head.weight"], [])
    stock.tie_weights()
    with torch.no_grad():
        logits_GD = network.logits(tree(groups, PREFIX, SUFFIX))
        for place, group in enumerate(groups):
            for number, document in enumerate(group.documents):
                row = [*PREFIX, *group.head.tolist(), *document.tolist(), *SUFFIX]
                last_V = stock(torch.tensor([row])).logits[0, -1]
                assert abs(float(logits_GD[place, number] - (last_V[YES] - last_V[NO]))) < 1e-4


def test_a_documents_logit_does_not_depend_on_its_neighbours() -> None:
    network, groups = _network(), _groups(np.random.default_rng(4))
    with torch.no_grad():
        together_GD = network.logits(tree(groups, PREFIX, SUFFIX))
        for place, group in enumerate(groups):
            for number, document in enumerate(group.documents):
                alone = network.logits(tree([_group(group.head, (document,))], PREFIX, SUFFIX))
                assert abs(float(together_GD[place, number] - alone[0, 0])) < 1e-4
