"""The network's modules: published names, gradients through the tree, chunks, and the forms that only run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qwen3_reranker import plan
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.reference import ReferenceBackend
from qwen3_reranker.backends.torch import Qwen3ForPooling, load
from qwen3_reranker.backends.torch.attention import attention_builder
from qwen3_reranker.backends.torch.model_input import whole_plan_input
from qwen3_reranker.plan import Plan
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.names import HEAD, expected_shapes
from testing.checkpoints import write_checkpoint
from testing.rows import tree_rows

CPU = torch.device("cpu")
# Once weights are loaded, the number type of the files proves nothing more.
one_folder = pytest.mark.parametrize("folder", ["F32"], indirect=True)


@pytest.fixture(scope="module", params=["F32", "BF16"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    return write_checkpoint(folder, initializer_range=0.2, num_hidden_layers=3, tied=False, dtype=request.param)


def hidden(network: Qwen3ForPooling, built: Plan) -> Tensor:
    """States in the order of rows."""
    inputs, order = whole_plan_input(built, attention_builder("sdpa"), CPU)
    return network(inputs)[0][torch.from_numpy(order)]


def test_parameters_have_the_published_names_and_shapes_and_none_is_a_language_model_head(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    published = {name: shape for name, shape in expected_shapes(checkpoint.config) if name != HEAD}
    ours = {name: tuple(each.shape) for name, each in load(checkpoint, CPU).named_parameters()}
    assert ours == published
    assert set(Qwen3ForPooling(checkpoint.config).state_dict()) == set(published)


def test_loaded_weights_are_those_of_the_files_to_the_bit(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    for name, parameter in load(checkpoint, CPU).named_parameters():
        assert np.array_equal(parameter.detach().numpy(), checkpoint.tensors[name].read()), name


def test_merged_matrices_take_no_more_memory_and_give_the_same_states(folder: Path) -> None:
    checkpoint, built = open_checkpoint(str(folder)), plan.build(tree_rows(1, 9, 30), 4)
    plain, merged = load(checkpoint, CPU), load(checkpoint, CPU, merged=True)
    assert sum(each.numel() for each in merged.parameters()) == sum(each.numel() for each in plain.parameters())
    assert not any(each.requires_grad for each in merged.parameters())
    with torch.no_grad():
        assert torch.allclose(hidden(plain, built), hidden(merged, built), atol=1e-6)


@pytest.mark.slow
@one_folder
def test_gradients_through_the_tree_are_those_of_rows_computed_one_by_one(folder: Path) -> None:
    some = tree_rows(2, 9, 30)
    tree = plan.build(some, 1)
    assert tree.num_tokens < 0.5 * tree.num_row_tokens
    target_ND = torch.from_numpy(np.random.default_rng(0).standard_normal((len(some), 32)).astype(np.float32))
    gradients = []
    for together in (True, False):
        network = load(open_checkpoint(str(folder)), CPU)
        plans = [tree] if together else [plan.build([row]) for row in some]
        states_ND = torch.cat([hidden(network, built) for built in plans])
        (states_ND - target_ND).square().mean().backward()
        gradients.append({name: each.grad for name, each in network.named_parameters()})
    for name, expected in gradients[1].items():
        scale = float(expected.abs().max())
        assert scale > 1e-4, f"{name}: gradients so small would prove nothing"
        assert torch.allclose(gradients[0][name], expected, rtol=0, atol=1e-4 * scale), name


@one_folder
@pytest.mark.parametrize("chunk_tokens", [1, 7, 50])
def test_chunks_do_not_move_a_state(folder: Path, chunk_tokens: int) -> None:
    checkpoint, built = open_checkpoint(str(folder)), plan.build(tree_rows(4, 9, 30), 4)
    network = load(checkpoint, CPU)
    with torch.no_grad():
        whole = hidden(network, built)
        network.chunk_tokens = chunk_tokens
        assert torch.allclose(hidden(network, built), whole, atol=1e-5)


@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_sixteen_bits_stay_near_float64(folder: Path, dtype: torch.dtype, most: float) -> None:
    checkpoint, built = open_checkpoint(str(folder)), plan.build(tree_rows(5, 9, 30), 4)
    exact = run_all(ReferenceBackend(checkpoint).steps(built)).hidden_ND
    with torch.no_grad():
        ours = hidden(load(checkpoint, CPU, dtype, merged=True), built)
    assert ours.dtype == torch.float32
    moved = np.abs(ours.numpy() - exact)
    # Something is rounded, and by no more than so many bits allow: states have a root mean square near 1.
    assert 1e-4 < moved.max() < most


def test_eight_bits_are_the_product_of_rounded_rows() -> None:
    from qwen3_reranker.backends.torch.float8 import Float8Linear, rounded

    generator = torch.Generator().manual_seed(0)
    weight_OD, x_TD = torch.randn(48, 64, generator=generator), torch.randn(5, 64, generator=generator) * 30
    x_TD[2] = 0
    matrix = Float8Linear(weight_OD)
    ours = matrix(x_TD.bfloat16())
    x8_TD, x_scale = rounded(x_TD.bfloat16())
    w8_OD, w_scale = rounded(weight_OD)
    expected = (x8_TD.float() * x_scale) @ (w8_OD.float() * w_scale).T
    assert ours.dtype == torch.bfloat16
    assert torch.allclose(ours.float(), expected, rtol=1e-2, atol=1e-2)
    assert torch.equal(ours[2], torch.zeros(48, dtype=torch.bfloat16))
    exact = x_TD @ weight_OD.T
    assert 1e-4 < (ours.float() - exact).norm() / exact.norm() < 0.05


@one_folder
@pytest.mark.slow
def test_gradients_are_those_of_transformers(folder: Path) -> None:
    from transformers import AutoModel

    some = tree_rows(6, 6, 30)
    theirs = AutoModel.from_pretrained(folder, dtype=torch.float32)
    total = torch.zeros(())
    for row in some:
        state_D = theirs(torch.from_numpy(row.ids)[None].long()).last_hidden_state[0, -1]
        total = total + state_D.square().sum() * 0.01 + state_D.sum()
    total.backward()
    network = load(open_checkpoint(str(folder)), CPU)
    states_ND = hidden(network, plan.build(some, 1))
    loss = states_ND.square().sum() * 0.01 + states_ND.sum()
    loss.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    expected = {f"model.{name}": each.grad for name, each in theirs.named_parameters()}
    for name, each in network.named_parameters():
        scale = float(expected[name].abs().max())
        assert torch.allclose(each.grad, expected[name], atol=1e-4 * scale), name


@one_folder
@pytest.mark.slow
# torch's own compiler uses what torch has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:.*deprecated.*", "ignore::FutureWarning:torch")
def test_fused_layers_give_the_same_states_and_compile_once_for_all_sizes(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    plain, fused = load(checkpoint, CPU, merged=True), load(checkpoint, CPU, merged=True)
    fused.compile_layers()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    with torch.no_grad():
        for seed, count in ((1, 3), (2, 9), (3, 20), (4, 30)):
            built = plan.build(tree_rows(seed, count, 30), 4)
            assert torch.allclose(hidden(fused, built), hidden(plain, built), atol=1e-5)
            if seed == 1:
                first = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= first + 1
