"""adapter: LoRA is merged in float32 as it is read; what it cannot merge exactly is refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qwen3_reranker import Reranker
from qwen3_reranker.backends.cpu.disk_cache import DiskCache
from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError
from qwen3_reranker.weights import StoredTensor, Tensor, is_plain, open_checkpoint
from testing.checkpoints import write_checkpoint
from testing.layouts import ADAPTER, edit_json, edit_tensors, write_adapter, write_classifier, write_cross_encoder

CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
QUERY, DOWN = "model.layers.1.self_attn.q_proj", "model.layers.0.mlp.down_proj"
QUERIES = {f"model.layers.{layer}.self_attn.q_proj": (32, 32) for layer in range(2)}
SHAPES = {**QUERIES, **{f"model.layers.{layer}.mlp.down_proj": (32, 48) for layer in range(2)}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("base"), dtype="BF16")


def expected(base: Path, folder: Path, module: str, scale: float) -> np.ndarray:
    """base + scale * B @ A in float64."""
    adapter = load_file(folder / ADAPTER)
    up, down = (adapter[f"{PREFIX}{module}.{part}.weight"].double() for part in ("lora_B", "lora_A"))
    weight = load_file(base / "model.safetensors")[f"{module}.weight"].double()
    merged: np.ndarray = (weight + scale * up @ down).numpy()
    return merged


def merged(folder: Path, module: str) -> Tensor:
    return open_checkpoint(folder).tensors[f"{module}.weight"]


def test_a_merged_matrix_is_its_base_and_the_product_rounded_once(base: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, base, SHAPES, rank=4, alpha=6)
    for module in SHAPES:
        exact, tensor = expected(base, folder, module, 6 / 4), merged(folder, module)
        np.testing.assert_allclose(tensor.read(np.float64), exact, rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(tensor.read(), exact.astype(np.float32))
        np.testing.assert_array_equal(tensor.rows([3, 0, 3]), exact[[3, 0, 3]].astype(np.float32))
        assert not is_plain(tensor)


def test_a_matrix_of_many_chunks_is_merged_in_every_one(tmp_path: Path) -> None:
    base = write_checkpoint(tmp_path / "base", intermediate_size=40_000, num_hidden_layers=1)
    folder = write_adapter(tmp_path / "lora", base, {"model.layers.0.mlp.up_proj": (40_000, 32)})
    exact = expected(base, folder, "model.layers.0.mlp.up_proj", 2)
    out = np.empty((40_000, 32), np.float32)
    assert merged(folder, "model.layers.0.mlp.up_proj").read(out=out) is out
    np.testing.assert_array_equal(out, exact.astype(np.float32))


def test_all_that_is_not_adapted_is_the_bases(base: Path, tmp_path: Path) -> None:
    checkpoint, original = open_checkpoint(write_adapter(tmp_path, base, QUERIES)), open_checkpoint(base)
    assert (checkpoint.layout, checkpoint.folder) == ("lora", tmp_path)
    assert (checkpoint.name, checkpoint.config) == (str(tmp_path), original.config)
    changed = {name for name, tensor in checkpoint.tensors.items() if not isinstance(tensor, StoredTensor)}
    assert changed == {f"{module}.weight" for module in QUERIES}
    np.testing.assert_array_equal(checkpoint.head.rows(7, 5), original.head.rows(7, 5))


SCALES: dict[str, tuple[dict[str, Any], float]] = {
    "alpha / rank": ({}, 2),
    "rank-stabilised": ({"use_rslora": True}, 8 / math.sqrt(4)),
    "alpha of the module": ({"alpha_pattern": {"q_proj": 3}}, 3 / 4),
    "the first that fits": ({"alpha_pattern": {"layers.0.self_attn.q_proj": 5, "self_attn.q_proj": 3}}, 3 / 4),
    "whole name": ({"alpha_pattern": {f"^{QUERY}".replace(".", r"\."): 3}}, 3 / 4),
    "another module's": ({"alpha_pattern": {"k_proj": 3, "proj": 4}}, 2),
    "rank of the module": ({"r": 16, "rank_pattern": {"q_proj|down_proj": 4}}, 2),
}


@pytest.mark.parametrize(("settings", "scale"), SCALES.values(), ids=SCALES)
def test_the_scale_is_what_the_configuration_says(
    settings: dict[str, Any], scale: float, base: Path, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path, base, SHAPES, rank=4, alpha=8, **settings)
    np.testing.assert_allclose(merged(folder, QUERY).read(), expected(base, folder, QUERY, scale), rtol=1e-6)


@pytest.mark.parametrize("place", ["base", "../base", "absolute"])
def test_the_base_is_found_beside_the_adapter_or_anywhere(place: str, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lora"
    write_adapter(folder, base if place == "absolute" else place, QUERIES, revision="main")
    if place != "absolute":
        (folder / place).symlink_to(base)
    assert merged(folder, QUERY).shape == (32, 32)


def test_the_adapters_own_tokenizer_comes_first(base: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, base, QUERIES)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: missing"):
        _ = open_checkpoint(folder).tokenizer
    (folder / "tokenizer.json").write_text("{}")
    assert open_checkpoint(folder).tokenizer.source == str(folder / "tokenizer.json")


def test_the_one_adapter_that_was_saved_by_name_is_read_from_its_sub_folder(base: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "reranker", base, SHAPES)
    named, place = open_checkpoint(tmp_path), open_checkpoint(tmp_path / "reranker")
    for module in SHAPES:
        name = f"{module}.weight"
        np.testing.assert_array_equal(named.tensors[name].read(), place.tensors[name].read())
    (tmp_path / "tokenizer.json").write_text("{}")
    assert open_checkpoint(tmp_path).tokenizer.source == str(tmp_path / "tokenizer.json")
    write_adapter(tmp_path / "another", base, SHAPES)
    with pytest.raises(CheckpointError, match=r"a model lies in sub-folders 'another', 'reranker': pass "):
        open_checkpoint(tmp_path)


def test_a_damaged_adapter_in_a_sub_folder_is_named_there(tmp_path: Path) -> None:
    (tmp_path / "reranker").mkdir()
    for name in (CONFIG, ADAPTER):
        (tmp_path / "reranker" / name).write_text("{}")
    with pytest.raises(CheckpointError, match=r"reranker/adapter_config\.json: peft_type must be LORA"):
        open_checkpoint(tmp_path)


def test_a_trained_head_takes_the_place_of_the_bases(base: Path, tmp_path: Path) -> None:
    head = torch.randn(320, 32)
    folder = write_adapter(tmp_path, base, QUERIES, modules_to_save=["lm_head"])
    edit_tensors(folder / ADAPTER, **{f"{PREFIX}lm_head.weight": head})
    np.testing.assert_array_equal(open_checkpoint(folder).head.rows(7, 5), head[[7, 5]].numpy())


def test_a_trained_classifier_takes_the_place_of_the_bases(base: Path, tmp_path: Path) -> None:
    score = torch.randn(1, 32)
    folder = write_adapter(tmp_path, base, QUERIES, task_type="SEQ_CLS", modules_to_save=["classifier", "score"])
    edit_tensors(folder / ADAPTER, **{f"{PREFIX}score.weight": score})
    np.testing.assert_array_equal(open_checkpoint(folder).head.rows(7, 5)[0], score[0].numpy())
    edit_tensors(folder / ADAPTER, **{f"{PREFIX}score.weight": torch.randn(2, 32)})
    with pytest.raises(CheckpointError, match=r"config\.json.*id2label"):
        open_checkpoint(folder)
    labelled = write_classifier(tmp_path / "base", base, yes_id=7, no_id=5, labels=("no", "yes"))
    edit_json(folder / CONFIG, base_model_name_or_path=str(labelled))
    assert open_checkpoint(folder).head.labels == (1, 0)


def test_a_bases_cross_encoder_settings_hold_for_its_adapter(base: Path, tmp_path: Path) -> None:
    encoder = write_cross_encoder(tmp_path / "base", base, ids=(30, 20), prompt="Find")
    checkpoint = open_checkpoint(write_adapter(tmp_path / "lora", encoder, QUERIES))
    assert (checkpoint.layout, checkpoint.instruction, checkpoint.head.labels) == ("lora", "Find", (30, 20))


def test_the_caches_name_changes_with_the_adapter_and_its_scale(base: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, base, QUERIES)

    def digest() -> str:
        return DiskCache(open_checkpoint(folder), enabled=True).digest()

    first = digest()
    assert digest() == first
    edit_json(folder / CONFIG, lora_alpha=9)
    second = digest()
    write_adapter(folder, base, QUERIES, seed=1)
    assert len({first, second, digest(), DiskCache(open_checkpoint(base), enabled=True).digest()}) == 4


def logits(model: Path | str, **options: Any) -> np.ndarray:
    pairs = [("how do I undo a commit", text) for text in ("git revert undoes a commit", "a cake of nuts", "a dog")]
    with Reranker(model, **options) as reranker:
        return reranker.logits(pairs)


@pytest.fixture(scope="module")
def adapted_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every matrix of nano's layers moved by an adapter."""
    shapes = {
        name.removesuffix(".weight"): (tensor.shape[0], tensor.shape[1])
        for name, tensor in open_checkpoint("nano").tensors.items()
        if name.startswith("model.layers.") and len(tensor.shape) == 2
    }
    return write_adapter(tmp_path_factory.mktemp("adapted"), "nano", shapes, spread=0.1)


@pytest.fixture(scope="module")
def exact(adapted_nano: Path) -> np.ndarray:
    return logits(adapted_nano, backend="reference", precision="float64")


@pytest.fixture(scope="module")
def unadapted() -> np.ndarray:
    return logits("nano")


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [({}, 1e-4), ({"precision": "int8x2"}, 0.05), ({"precision": "int8"}, 0.2)],
    ids=str,
)
def test_every_engine_runs_the_merged_matrices(
    adapted_nano: Path, exact: np.ndarray, unadapted: np.ndarray, options: dict[str, Any], tolerance: float
) -> None:
    assert np.abs(exact - unadapted).max() > 2 * tolerance, "an adapter without effect would prove nothing"
    assert np.abs(exact - logits(adapted_nano, **options)).max() < tolerance


def configured(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / CONFIG, **changes)


def with_tensors(**changes: torch.Tensor | None) -> Callable[[Path], None]:
    named = {PREFIX + name: values for name, values in changes.items()}
    return lambda folder: edit_tensors(folder / ADAPTER, **named)


def written(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def removed(folder: Path) -> None:
    (folder / ADAPTER).unlink()


def pickled(folder: Path) -> None:
    (folder / ADAPTER).rename(folder / "adapter_model.bin")


def without_prefix(folder: Path) -> None:
    edit_tensors(folder / ADAPTER, **{"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(4, 32)})


A, B = f"{QUERY}.lora_A.weight", f"{QUERY}.lora_B.weight"
WORDS = "model.embed_tokens.weight"
DAMAGE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "not JSON": (written(CONFIG, b"{"), (CONFIG, "not JSON")),
    "other method": (configured(peft_type="IA3"), (CONFIG, "peft_type", "'IA3'", "merge")),
    "DoRA": (configured(use_dora=True), (CONFIG, "'use_dora'", "merge")),
    "biases": (configured(bias="all"), (CONFIG, "bias", "'all'")),
    "bias of LoRA": (configured(lora_bias=True), (CONFIG, "'lora_bias'")),
    "transposed": (configured(fan_in_fan_out=True), (CONFIG, "'fan_in_fan_out'")),
    "trained words": (configured(trainable_token_indices=[1]), (CONFIG, "'trainable_token_indices'")),
    "repeated layers": (configured(layer_replication=[[0, 2]]), (CONFIG, "'layer_replication'")),
    "a later variant": (configured(use_something_new=True), (CONFIG, "'use_something_new'", "merge")),
    "changed base": (configured(init_lora_weights="pissa_niter_4"), (CONFIG, "'pissa_niter_4'", "base's weights")),
    "initialised by a list": (configured(init_lora_weights=[]), (CONFIG, "init_lora_weights")),
    "no base": (configured(base_model_name_or_path=None), (CONFIG, "base_model_name_or_path", "None")),
    "base nowhere": (configured(base_model_name_or_path="/nowhere/x"), (CONFIG, "'/nowhere/x'", "Hub id")),
    "revision a number": (configured(revision=3), (CONFIG, "revision", "3")),
    "its own base": (configured(base_model_name_or_path="."), (CONFIG, "must not be an adapter itself")),
    "base no model": (lambda folder: (folder / "x").mkdir() or configured(base_model_name_or_path="x")(folder), ("x",)),
    "rank": (configured(r=5), (ADAPTER, "expected shape [5, ", "got [4, ")),
    "rank no number": (configured(r=True), (CONFIG, "r of model.layers", "True")),
    "rank zero": (configured(r=0), (CONFIG, "r of model.layers", "got 0")),
    "alpha no number": (configured(lora_alpha="8"), (CONFIG, "lora_alpha of model.layers", "'8'")),
    "alpha infinite": (configured(lora_alpha=math.inf), (CONFIG, "lora_alpha", "inf")),
    "patterns a list": (configured(alpha_pattern=["q_proj"]), (CONFIG, "alpha_pattern", "object")),
    "endless pattern": (configured(alpha_pattern={"(.*)*x": 3}), (CONFIG, "alpha_pattern", "'(.*)*x'", "write")),
    "broken pattern": (configured(rank_pattern={"(q_proj": 3}), (CONFIG, "rank_pattern", "'(q_proj'")),
    "target without tensors": (
        configured(target_modules=["q_proj", "k_proj"]),
        (CONFIG, "names model.layers.0.self_a"),
    ),
    "tensors without target": (configured(target_modules=["k_proj"]), (CONFIG, "does not name", "all the same")),
    "half a pair": (with_tensors(**{B: None}), (ADAPTER, B, "missing")),
    "other half": (with_tensors(**{A: None}), (ADAPTER, A, "missing")),
    "shape": (with_tensors(**{B: torch.ones(31, 4)}), (ADAPTER, "expected shape [32, 4]", "[31, 4]")),
    "no matrix": (with_tensors(**{A: torch.ones(())}), (ADAPTER, "expected shape [4, 32]")),
    "whole numbers": (with_tensors(**{A: torch.ones(4, 32, dtype=torch.int8)}), (ADAPTER, "'I8'")),
    "magnitudes": (with_tensors(**{f"{QUERY}.lora_magnitude_vector": torch.ones(32)}), (ADAPTER, "magnitude")),
    "words": (with_tensors(**{WORDS: torch.ones(320, 32)}), (ADAPTER, WORDS, "seven matrices")),
    "a norm": (with_tensors(**{"model.norm.weight": torch.ones(32)}), (ADAPTER, "model.norm.weight")),
    "another network": (with_tensors(**{"model.layers.9.self_attn.q_proj.lora_A.weight": torch.ones(4, 32)}), ("9",)),
    "names of others": (without_prefix, (ADAPTER, PREFIX)),
    "no weights": (removed, (ADAPTER, "missing")),
    "pickle": (pickled, (ADAPTER, "never read", "safe_serialization")),
    "cut": (lambda folder: written(ADAPTER, (folder / ADAPTER).read_bytes()[:-5])(folder), (ADAPTER, "truncated")),
    "a whole model too": (written("model.safetensors", b"x"), ("model.safetensors", "which is meant is open")),
    "lost head": (configured(modules_to_save=["lm_head"]), (ADAPTER, "lm_head.weight", "missing")),
    "lost classifier": (configured(modules_to_save=["score"]), (ADAPTER, "score.weight", "missing")),
    "no classifier": (configured(task_type="SEQ_CLS"), (CONFIG, "SEQ_CLS", "never made up")),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_merged_exactly_is_one_line_naming_the_file(
    damage: Callable[[Path], object], said: tuple[str, ...], base: Path, tmp_path: Path
) -> None:
    damage(write_adapter(tmp_path, base, QUERIES))
    with pytest.raises((CheckpointError, InputError)) as caught:
        open_checkpoint(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert all(part in message for part in said), message
    assert message.isprintable()


def test_a_base_that_is_nowhere_is_a_model_that_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"adapter_config\.json"):
        open_checkpoint(write_adapter(tmp_path, "/nowhere/at all", QUERIES))


def test_a_head_of_another_kind_than_the_bases_is_refused(base: Path, tmp_path: Path) -> None:
    classifier = write_classifier(tmp_path / "base", base, yes_id=7, no_id=5)
    folder = write_adapter(tmp_path / "lora", classifier, QUERIES)
    edit_tensors(folder / ADAPTER, **{f"{PREFIX}lm_head.weight": torch.ones(320, 32)})
    with pytest.raises(CheckpointError, match=r"the judge is 'score\.weight'"):
        open_checkpoint(folder)


def test_a_file_that_changed_since_is_not_merged(base: Path, tmp_path: Path) -> None:
    tensor = merged(write_adapter(tmp_path, base, QUERIES), QUERY)
    edit_tensors(tmp_path / ADAPTER, **{f"{PREFIX}{A}": torch.ones(9, 32)})
    with pytest.raises(CheckpointError, match="changed since"):
        tensor.read()


def test_targets_that_peft_writes_out_by_layer_are_compared_too(base: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, base, QUERIES, target_modules=list(QUERIES))
    assert json.loads((folder / CONFIG).read_text())["target_modules"] == list(QUERIES)
    assert merged(folder, QUERY).shape == (32, 32)
