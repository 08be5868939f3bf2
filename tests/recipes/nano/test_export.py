"""What the folder holds is what was measured, bit for bit, in 16 and 8 bits; other libraries read the same numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.backends.cpu.kernels import make_transformer, native_module
from qwen3_reranker.backends.cpu.layer_weights import all_matrices, int8_arrays
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.safetensors import read_entries
from recipes.nano import export, tokenizer
from recipes.nano.network import NanoNetwork
from recipes.nano.recipe import TINY
from testing.tokenizer import NANO_TOKENIZER

# Whole groups of 64 inputs, and whole panels of 64 outputs in the kernels.
CONFIG = ModelConfig(
    vocab_size=300,
    hidden_size=128,
    intermediate_size=192,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=512,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=True,
)
Weights = dict[str, np.ndarray]


def random_network(config: ModelConfig = CONFIG) -> NanoNetwork:
    """Weights of several sizes, norms that are no bfloat16, and a group of zeros."""
    network, generator = NanoNetwork(config, 1, 2), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * (0.01 if weight.dim() == 2 else 1.0))
        network.model.embed_tokens.weight[3] = 0.0
        network.model.embed_tokens.weight[4] *= 1e4
    return network


def weights_of(network: NanoNetwork) -> Weights:
    return {name: weight.detach().numpy().copy() for name, weight in network.named_parameters()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Weights]:
    network, folder = random_network(), tmp_path_factory.mktemp("export")
    export.round_weights(network, "int8")
    export.write(network, tokenizer.load(NANO_TOKENIZER), {}, folder, "int8")
    return folder, weights_of(network)


def test_every_weight_that_is_read_is_the_one_that_was_measured(written: tuple[Path, Weights]) -> None:
    folder, measured = written
    read = {name: tensor.read() for name, tensor in open_checkpoint(folder).tensors.items()}
    assert read.keys() == measured.keys()
    for name, values in read.items():
        np.testing.assert_array_equal(values, measured[name], name)


def test_a_matrix_takes_eight_and_a_half_bits_a_weight(written: tuple[Path, Weights]) -> None:
    entries = read_entries(written[0] / "model.safetensors")
    parts = [entry for entry in entries.values() if len(entry.shape) == 2]
    matrices = sum(values.size for values in written[1].values() if values.ndim == 2)
    assert 8 * sum(entry.num_bytes for entry in parts) == 8.5 * matrices


def test_rounding_moves_a_weight_by_half_a_step_and_a_rounded_one_not_at_all() -> None:
    network = random_network()
    before = weights_of(network)
    export.round_weights(network, "int8")
    rounded = weights_of(network)
    for name, values in rounded.items():
        if values.ndim == 2:
            groups = before[name].reshape(-1, export.GROUP)
            steps = np.abs(groups).max(axis=1, keepdims=True) / 127
            # A scale of 8 bits is up to 1/256 from this step.
            assert (np.abs(values.reshape(groups.shape) - groups) <= 0.502 * steps).all(), name
    export.round_weights(network, "int8")
    for name, values in weights_of(network).items():
        np.testing.assert_array_equal(values, rounded[name], name)


def test_a_network_that_was_not_rounded_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"embed_tokens.weight is not rounded"):
        export.write(random_network(), tokenizer.load(NANO_TOKENIZER), {}, tmp_path, "int8")


def test_widths_that_are_no_groups_of_64_share_a_scale_among_fewer_inputs(tmp_path: Path) -> None:
    network = random_network(TINY.config(300))
    export.round_weights(network, "int8")
    export.write(network, tokenizer.load(NANO_TOKENIZER), {}, tmp_path, "int8")
    for name, tensor in open_checkpoint(tmp_path).tensors.items():
        np.testing.assert_array_equal(tensor.read(), weights_of(network)[name], name)


def test_int8_on_the_cpu_backend_rounds_no_weight_again(written: tuple[Path, Weights]) -> None:
    checkpoint = open_checkpoint(written[0])
    transformer = make_transformer(checkpoint.config, native_module().variants()[0], 1)
    arrays = int8_arrays(checkpoint, DiskCache(checkpoint, enabled=False), transformer)
    for tensor in all_matrices(checkpoint):
        digits, scales = tensor.decoder.parts  # type: ignore[attr-defined]
        # In the kernels' order, and 128 more.
        kept, expected = arrays[f"{tensor.name}.bytes"], digits.stored().view(np.int8).astype(np.int16) + 128
        np.testing.assert_array_equal(np.sort(kept), np.sort(expected.astype(np.uint8)), tensor.name)
        np.testing.assert_array_equal(
            np.sort(arrays[f"{tensor.name}.scales"]), np.sort(scales.read().reshape(-1)), tensor.name
        )


def test_bfloat16_holds_what_was_measured_in_two_bytes_a_weight(tmp_path: Path) -> None:
    network = random_network()
    export.round_weights(network, "bfloat16")
    export.write(network, tokenizer.load(NANO_TOKENIZER), {}, tmp_path, "bfloat16")
    measured, tensors = weights_of(network), open_checkpoint(tmp_path).tensors
    assert tensors.keys() == measured.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.read(), measured[name], name)
    entries = read_entries(tmp_path / "model.safetensors").values()
    assert sum(entry.num_bytes for entry in entries) == 2 * sum(values.size for values in measured.values())


@pytest.mark.slow
def test_transformers_reads_the_same_weights(written: tuple[Path, Weights]) -> None:
    folder, measured = written
    network = AutoModelForCausalLM.from_pretrained(folder)
    assert network.lm_head.weight is network.model.embed_tokens.weight
    for name, weight in network.named_parameters():
        np.testing.assert_array_equal(weight.detach().numpy(), measured[name], name)
