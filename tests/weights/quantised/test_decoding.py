"""Matrices of every format decode to the bits that the format's own library makes of them.

golden.json holds small matrices at random and what the library named beside each reads from them with scales in
float32, where it rounds nothing on the way: compressed-tensors' compress and decompress, mlx's quantize and dequantize,
AutoAWQ's dequantize_gemm, AutoGPTQ's QuantLinear on the unit matrix, transformers' Fp8Dequantize.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from qwen3_reranker.errors import CheckpointError, InputError
from qwen3_reranker.weights import StoredTensor, Tensor, read_entries
from qwen3_reranker.weights.encodings import PLAIN
from qwen3_reranker.weights.quantised import read_quantisation

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
MATRIX = "model.layers.0.mlp.up_proj.weight"


def decoded(folder: Path, shape: tuple[int, int], fields: dict[str, Any], parts: dict[str, bytes]) -> Tensor:
    """The matrix whose parts lie in a file of that folder, a header and bytes."""
    entries, data = {}, b""
    for name, (dtype, sizes, content) in parts.items():
        entries[MATRIX.removesuffix("weight") + name] = {
            "dtype": dtype,
            "shape": sizes,
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    header = json.dumps(entries).encode()
    path = folder / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    config = folder / "config.json"
    config.write_text(json.dumps({"quantization_config": fields}))
    quantisation = read_quantisation(config, {"quantization_config": fields})
    assert quantisation is not None
    matrix = quantisation.matrix(MATRIX, shape, read_entries(path), path)
    assert matrix is not None
    return matrix


def golden(name: str, folder: Path, damaged: str | None = None, **fields: Any) -> tuple[Tensor, np.ndarray]:
    """The matrix as read here, and as its library reads it; a bit of the part `damaged` is another one."""
    stored = GOLDEN[name]
    parts = {}
    for part, each in stored["parts"].items():
        content = bytearray(base64.b64decode(each["data"]))
        content[0] ^= part == damaged
        parts[part] = (each["dtype"], each["shape"], bytes(content))
    values = np.frombuffer(base64.b64decode(stored["values"]), "<f4").reshape(len(stored["rows"]), -1)
    return decoded(folder, tuple(stored["shape"]), stored["fields"] | fields, parts), values


def used(name: str) -> list[str]:
    """The parts that values depend on: a matrix's shape is known from the network's."""
    return [part for part in GOLDEN[name]["parts"] if part != "weight_shape"]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_matrix_decodes_to_the_bits_of_the_formats_own_library(name: str, tmp_path: Path) -> None:
    tensor, values = golden(name, tmp_path)
    rows = GOLDEN[name]["rows"]
    whole = tensor.read()
    assert (whole.dtype, whole.shape) == (np.float32, tensor.shape)
    np.testing.assert_array_equal(whole[rows], values)
    np.testing.assert_array_equal(tensor.rows(rows[::-1]), values[::-1])
    np.testing.assert_array_equal(tensor.read(np.float64)[rows], values.astype(np.float64))


@pytest.mark.parametrize("name", GOLDEN)
def test_a_matrix_knows_what_it_takes_on_disk_and_from_which_files(name: str, tmp_path: Path) -> None:
    tensor, _ = golden(name, tmp_path)
    assert (isinstance(tensor, StoredTensor), tensor.is_float32) == (False, True)
    assert tensor.num_bytes == sum(len(base64.b64decode(GOLDEN[name]["parts"][part]["data"])) for part in used(name))
    assert {source.path.name for source in tensor.sources} == {"model.safetensors", "config.json"}


def digest(tensor: Tensor) -> str:
    found = hashlib.sha256()
    for piece in tensor.content():
        found.update(piece)
    return found.hexdigest()


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_cached_of_a_matrix_depends_on_every_part(name: str, tmp_path: Path) -> None:
    whole = digest(golden(name, tmp_path)[0])
    assert whole == digest(golden(name, tmp_path)[0])
    assert len({whole, *(digest(golden(name, tmp_path, part)[0]) for part in used(name))}) == len(used(name)) + 1


def test_what_is_cached_of_gptq_depends_on_what_the_configuration_says_of_its_zeros(tmp_path: Path) -> None:
    name = "gptq, 4 bits, ordered by activation"
    first, _ = golden(name, tmp_path)
    before, values = digest(first), first.read()
    second, _ = golden(name, tmp_path, checkpoint_format="gptq_v2")
    assert digest(second) != before
    assert (second.read() > values).mean() > 0.99, "a zero that is one smaller makes weights greater"


F32 = "F32"
SCALED = {"quant_method": "fp8", "activation_scheme": "static"}


def scale(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(("dtype", "kind"), [("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)])
def test_every_number_of_8_bits_is_what_torch_makes_of_it(dtype: str, kind: torch.dtype, tmp_path: Path) -> None:
    every = np.arange(256, dtype=np.uint8)
    parts = {"weight": (dtype, [8, 32], every.tobytes()), "weight_scale": (F32, [], scale(1))}
    expected = torch.from_numpy(every).view(kind).float().numpy().reshape(8, 32)
    np.testing.assert_array_equal(decoded(tmp_path, (8, 32), SCALED, parts).read(), expected)


@pytest.mark.parametrize("fields", [SCALED, {"quant_method": "modelopt", "quant_algo": "FP8"}], ids=str)
@pytest.mark.parametrize("sizes", [[], [1], [1, 1]], ids=str)
@pytest.mark.parametrize("suffix", ["weight_scale", "weight_scale_inv"])
def test_one_scale_for_a_matrix_may_have_any_shape_of_one_number(
    suffix: str, sizes: list[int], fields: dict[str, Any], tmp_path: Path
) -> None:
    parts = {
        "weight": ("F8_E4M3", [2, 2], bytes([0x38, 0x40, 0xB8, 0x00])),  # 1, 2, -1, 0
        suffix: (F32, sizes, scale(0.25)),
        "input_scale": (F32, [], scale(7)),
    }
    np.testing.assert_array_equal(decoded(tmp_path, (2, 2), fields, parts).read(), [[0.25, 0.5], [-0.25, 0]])


def test_scales_may_be_powers_of_two_in_one_byte(tmp_path: Path) -> None:
    parts = {
        "weight": ("F8_E4M3", [2, 2], bytes([0x38, 0x40, 0xB8, 0x00])),
        "weight_scale_inv": ("F8_E8M0", [1, 2], bytes([128, 125])),
    }
    fields = {"quant_method": "fp8", "weight_block_size": [2, 1], "scale_fmt": "ue8m0"}
    np.testing.assert_array_equal(decoded(tmp_path, (2, 2), fields, parts).read(), [[2, 0.5], [-2, 0]])


def test_inputs_are_grouped_in_order_unless_something_reordered_them(tmp_path: Path) -> None:
    """compressed-tensors leaves -1 in the groups of what it did not reorder."""
    name = "4 bits in groups"
    _, values = golden(name, tmp_path)
    stored = GOLDEN[name]["parts"]
    parts = {part: (each["dtype"], each["shape"], base64.b64decode(each["data"])) for part, each in stored.items()}

    def grouped(*groups: int) -> np.ndarray:
        part = ("I32", [32], np.repeat(np.array(groups, "<i4"), 8).tobytes())
        return decoded(tmp_path, (3, 32), GOLDEN[name]["fields"], {**parts, "weight_g_idx": part}).read()

    np.testing.assert_array_equal(grouped(-1, -1, -1, -1), values)
    bits = np.frombuffer(parts["weight_scale"][2], "<u2").astype("<u4") << 16
    scales_34 = bits.view("<f4").reshape(3, 4)
    digits = values.reshape(3, 4, 8) / scales_34[:, :, None]
    np.testing.assert_array_equal(grouped(3, 2, 1, 0).reshape(3, 4, 8), digits * scales_34[:, ::-1, None])


AWQ = {"quant_method": "awq", "bits": 4}
MLX = {"group_size": 32, "bits": 4, "mode": "affine"}
PACKED = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
GPTQ = {"quant_method": "gptq", "bits": 4, "desc_act": True}
WORDS = ("I32", [8, 2], bytes(64))
# What is wrong with a matrix of 16 outputs and 8 inputs: the parts, and what the error says.
WRONG: dict[str, tuple[dict[str, Any], dict[str, tuple[str, list[int], bytes]], str]] = {
    "a part is missing": (
        AWQ,
        {"qweight": WORDS},
        "up_proj.scales' is missing, which belongs to a matrix in 4-bit AWQ",
    ),
    "zeros are missing": (AWQ, {"qweight": WORDS, "scales": (F32, [1, 16], bytes(64))}, "up_proj.qzeros' is missing"),
    "another dtype": (AWQ, {"qweight": ("U32", [8, 2], bytes(64)), "scales": (F32, [1, 16], bytes(64))}, "must be I32"),
    "digits of another shape": (
        AWQ,
        {"qweight": ("I32", [2, 8], bytes(64)), "scales": (F32, [1, 16], bytes(64))},
        r"up_proj.qweight': expected shape \[8, 2\], got \[2, 8\], as 4-bit AWQ stores a matrix of \[16, 8\]",
    ),
    "groups that divide nothing": (
        AWQ,
        {"qweight": WORDS, "scales": (F32, [3, 16], bytes(192))},
        r"up_proj.scales': expected groups that divide 8 inputs, got shape \[3, 16\]",
    ),
    "no groups": (AWQ, {"qweight": WORDS, "scales": (F32, [0, 16], b"")}, "expected groups that divide 8 inputs"),
    "one dimension": (AWQ, {"qweight": WORDS, "scales": (F32, [16], bytes(64))}, "expected groups that divide"),
    "bits that are not read": (
        MLX,
        {"weight": ("U32", [16, 3], bytes(192)), "scales": (F32, [16, 1], bytes(64))},
        r"up_proj.weight': expected shape \[16, 1\] or \[16, 2\], got \[16, 3\]",
    ),
    "scales of eight bytes": (
        SCALED,
        {"weight": ("I8", [16, 8], bytes(128)), "weight_scale": ("F64", [16, 1], bytes(128))},
        "up_proj.weight_scale': dtype must be BF16 or F16 or F32 or F8_E8M0, got 'F64'",
    ),
    "a scale for nothing": (
        SCALED,
        {"weight": ("I8", [16, 8], bytes(128)), "weight_scale": (F32, [5, 1], bytes(20))},
        r"up_proj.weight_scale': expected shape \[16, 1\], got \[5, 1\]",
    ),
    "zeros of another shape": (
        PACKED,
        {
            "weight_packed": ("I32", [16, 1], bytes(64)),
            "weight_scale": (F32, [16, 1], bytes(64)),
            "weight_zero_point": ("I32", [1, 1], bytes(4)),
        },
        r"up_proj.weight_zero_point': expected shape \[2, 1\], got \[1, 1\]",
    ),
}


@pytest.mark.parametrize(("fields", "parts", "said"), WRONG.values(), ids=WRONG)
def test_parts_that_are_not_as_they_must_be_are_one_line_naming_file_and_tensor(
    fields: dict[str, Any], parts: dict[str, tuple[str, list[int], bytes]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        decoded(tmp_path, (16, 8), fields, parts)
    assert str(caught.value).startswith(f"{tmp_path / 'model.safetensors'}: tensor 'model.layers.0.mlp.up_proj.")
    assert str(caught.value).isprintable()


# Each layout's parts: the dtype and shape that are right for O outputs, I inputs, G groups and 4 bits, or nearly so.
PARTS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, str]]]] = {
    "awq": (AWQ, {"qweight": ("I32", "Io"), "qzeros": ("I32", "Go"), "scales": ("F16", "GO")}),
    "gptq": (GPTQ, {"qweight": ("I32", "iO"), "qzeros": ("I32", "Go"), "scales": ("F16", "GO"), "g_idx": ("I32", "I")}),
    "mlx": (MLX, {"weight": ("U32", "Oi"), "scales": ("BF16", "OG"), "biases": ("BF16", "OG")}),
    "packed": (
        PACKED,
        {
            "weight_packed": ("I32", "Oi"),
            "weight_scale": ("BF16", "OG"),
            "weight_zero_point": ("I32", "oG"),
            "weight_g_idx": ("I32", "I"),
        },
    ),
    "int8": (PACKED, {"weight": ("I8", "OI"), "weight_scale": ("F32", "OG"), "weight_zero_point": ("I8", "OG")}),
    "fp8": ({**SCALED, "weight_block_size": [8, 8]}, {"weight": ("F8_E4M3", "OI"), "weight_scale_inv": ("F32", "oi")}),
}
WIDTHS = {"I8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}


@given(data=st.data(), layout=st.sampled_from(sorted(PARTS)))
def test_any_parts_are_read_whole_or_refused(
    data: st.DataObject, layout: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fields, right = PARTS[layout]
    outputs, inputs = data.draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    groups = data.draw(st.sampled_from([size for size in range(1, inputs + 1) if inputs % size == 0]))
    length = {"O": outputs, "I": inputs, "G": groups, "o": -(-outputs // 8), "i": -(-inputs // 8)}
    lost = data.draw(st.sampled_from([None, None, *sorted(right)[1:]]))
    parts = {}
    for suffix in sorted(right.keys() - {lost}):
        dtype, axes = right[suffix]
        changed = data.draw(st.sampled_from(["", "", "", "dtype", "axes", "numbers"]))
        if changed == "dtype":
            dtype = data.draw(st.sampled_from(sorted(WIDTHS)))
        if changed == "axes":
            axes = data.draw(st.text("OIGoi", max_size=3))
        sizes = [length[axis] for axis in axes]
        random = np.random.default_rng(0 if changed == "numbers" else 1)
        content = random.integers(0, 256, WIDTHS[dtype] * math.prod(sizes), np.uint8).tobytes()
        # Groups that there are, unless numbers are to be any.
        is_order = suffix.endswith("g_idx") and changed != "numbers"
        parts[suffix] = (dtype, sizes, bytes(len(content)) if is_order else content)
    assume(parts.get("weight", ("",))[0] not in PLAIN)
    refused = False
    try:
        tensor = decoded(tmp_path_factory.getbasetemp(), (outputs, inputs), fields, parts)
        whole = tensor.read()
    except CheckpointError:
        refused = True
    if not refused:
        assert whole.shape == (outputs, inputs)
        np.testing.assert_array_equal(tensor.rows(range(outputs)), whole)


@pytest.mark.parametrize("group", [-2, 4, 2**31 - 1])
def test_an_input_of_a_group_that_there_is_none_of_is_an_error_when_it_is_read(group: int, tmp_path: Path) -> None:
    parts = {
        "qweight": ("I32", [1, 16], bytes(64)),
        "qzeros": ("I32", [4, 2], bytes(32)),
        "scales": (F32, [4, 16], bytes(256)),
        "g_idx": ("I32", [8], np.array([0, 1, 2, 3, 3, 2, group, 0], "<i4").tobytes()),
    }
    tensor = decoded(tmp_path, (16, 8), GPTQ, parts)
    with pytest.raises(CheckpointError, match=rf"up_proj.g_idx': groups must lie in 0..3, got {group}; it is damaged"):
        tensor.read()


@pytest.mark.parametrize("ids", [[-1], [3], [[0]], [0.5]], ids=str)
def test_rows_that_there_are_none_of_are_an_error(ids: list[Any], tmp_path: Path) -> None:
    tensor, _ = golden("4 bits in groups", tmp_path)
    with pytest.raises(InputError, match=r"rows of .*up_proj"):
        tensor.rows(ids)
