"""The Qwen3 network as torch modules: packed tokens of a tree in, the state after the final norm of each leaf out.

Parameter names are the published ones. Nothing here knows how attention is computed: see attention.py.

Shapes: T tokens of a batch, F of them end a row, P keys of kept ancestors and of the batch, D hidden, H query heads,
G key/value heads, E head_dim, L layers, C kept tokens, N tokens to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from qwen3_reranker.backends.torch.packed import Packed
from qwen3_reranker.config import ModelConfig

#: Inference takes tokens through everything but attention in chunks, no smaller than a batch, which is one of them: a
#: row of 32K tokens needs little more room than that.
CHUNK_TOKENS = 16384

# Ways to compile a layer's halves that are kept: dtypes, devices, sizes of one.
_MOST_COMPILED = 64

Before = Callable[["Layer", Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
Behind = Callable[["Layer", Tensor, Tensor], Tensor]


class Norm(nn.Module):
    """Root-mean-square norm, computed and returned in float32 whatever comes in."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """The normed states, float32."""
        return functional.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps)


class Attention(nn.Module):
    """What lies before and behind attention: projections, norms of heads, rotation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        queries, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        self.sizes = [queries, keys, keys]
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)
        self.q_norm = Norm(config.head_dim, config.rms_norm_eps)
        self.k_norm = Norm(config.head_dim, config.rms_norm_eps)
        self.qkv_proj: nn.Module | None = None

    def project(self, normed_TD: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values as they come from their matrices, (T, heads * E) each."""
        if self.qkv_proj is not None:
            return torch.split(self.qkv_proj(normed_TD), self.sizes, dim=-1)
        return self.q_proj(normed_TD), self.k_proj(normed_TD), self.v_proj(normed_TD)

    def queries(self, q_TO: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
        """Normed and rotated queries, (T, H, E)."""
        return _rotated(self.q_norm(self._heads(q_TO)), cos_T1E, sin_T1E).to(q_TO.dtype)

    def keys_values(self, k_TK: Tensor, v_TK: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor]:
        """Normed and rotated keys, and values, (T, G, E) each."""
        return _rotated(self.k_norm(self._heads(k_TK)), cos_T1E, sin_T1E).to(k_TK.dtype), self._heads(v_TK)

    def _heads(self, x_TO: Tensor) -> Tensor:
        return x_TO.view(len(x_TO), -1, self.head_dim)


class Mlp(nn.Module):
    """The gated feed-forward block."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.gate_up_proj: nn.Module | None = None

    def forward(self, normed_TD: Tensor) -> Tensor:
        """What the block adds to each state."""
        if self.gate_up_proj is not None:
            gate_TI, up_TI = self.gate_up_proj(normed_TD).chunk(2, dim=-1)
        else:
            gate_TI, up_TI = self.gate_proj(normed_TD), self.up_proj(normed_TD)
        added_TD: Tensor = self.down_proj(functional.silu(gate_TI) * up_TI)
        return added_TD


class Layer(nn.Module):
    """One decoder layer, cut at attention. `dtype` is what matrices multiply."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = Norm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = Norm(config.hidden_size, config.rms_norm_eps)

    def before(self, x_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of these tokens."""
        attention = self.self_attn
        q_TO, k_TK, v_TK = attention.project(self.input_layernorm(x_TD).to(self.dtype))
        return attention.queries(q_TO, cos_T1E, sin_T1E), *attention.keys_values(k_TK, v_TK, cos_T1E, sin_T1E)

    def keys_values(self, x_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values alone: what the last layer needs of tokens that end no row."""
        attention, normed_TD = self.self_attn, self.input_layernorm(x_TD).to(self.dtype)
        return attention.keys_values(attention.k_proj(normed_TD), attention.v_proj(normed_TD), cos_T1E, sin_T1E)

    def queries(self, x_FD: Tensor, cos_F1E: Tensor, sin_F1E: Tensor) -> Tensor:
        """Queries alone: what the last layer needs of tokens that end a row, beside their keys and values."""
        attention, normed_FD = self.self_attn, self.input_layernorm(x_FD).to(self.dtype)
        return attention.queries(attention.q_proj(normed_FD), cos_F1E, sin_F1E)

    def behind(self, x_TD: Tensor, mixed_TO: Tensor) -> Tensor:
        """The states after the layer, from those before it and what attention took from the values."""
        x_TD = x_TD + self.self_attn.o_proj(mixed_TO)
        added_TD: Tensor = self.mlp(self.post_attention_layernorm(x_TD).to(self.dtype))
        return x_TD + added_TD


class Body(nn.Module):
    """Word vectors, layers and the final norm."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, dtype) for _ in range(config.num_hidden_layers))
        self.norm = Norm(config.hidden_size, config.rms_norm_eps)

    def each_layer(self) -> Iterator[Layer]:
        """The layers in order."""
        for layer in self.layers:
            assert isinstance(layer, Layer)
            yield layer


class Network(nn.Module):
    """A Qwen3 network without its language-model head; `dtype` is what matrices multiply and attention runs in.

    Norms and rotation are float32 in every precision. Trainable as it is built; weights.merge makes the form that only
    runs. chunk_tokens: where nobody asks for gradients, tokens that pass through everything but attention at once.
    """

    def __init__(
        self,
        config: ModelConfig,
        dtype: torch.dtype = torch.float32,
        chunk_tokens: int = CHUNK_TOKENS,
    ) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        self.chunk_tokens = chunk_tokens
        self._before: Before = Layer.before
        self._behind: Behind = Layer.behind
        self.model = Body(config, dtype)
        # On the CPU whatever device is built on: transformers computes them there too, and powers differ by a bit.
        half_E = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device="cpu") / config.head_dim
        self.register_buffer("frequency_E", 1.0 / config.rope_theta**half_E, persistent=False)

    def fuse(self) -> None:
        """Compile what lies between attention and attention: norms, rotation and gates are fused around the products.

        The first batches wait for the compiler; shapes that differ in tokens share the code.
        """
        # Entries belong to the code, so dtypes, devices and networks share one bound, and what is beyond it would run
        # uncompiled without a word. And while one thread compiles, another may run: uncompiled, not as an error.
        torch._dynamo.config.recompile_limit = max(_MOST_COMPILED, torch._dynamo.config.recompile_limit)
        torch._dynamo.config.error_on_nested_fx_trace = False
        self._before = torch.compile(Layer.before, dynamic=True)
        self._behind = torch.compile(Layer.behind, dynamic=True)

    def recompute(self) -> None:
        """Train in less memory: what lies between attention and attention is computed again when gradients come.

        Kept are a layer's states, queries, keys, values and what attention took; the wide feed-forward states are not.
        """
        self._before = partial(checkpoint, Layer.before, use_reentrant=False)
        self._behind = partial(checkpoint, Layer.behind, use_reentrant=False)

    def forward(self, packed: Packed, on_layer: Callable[[int], None] | None = None) -> tuple[Tensor, Tensor | None]:
        """The state after the final norm of each leaf, (F, D) float32, and keys and values of `packed.keep_N`.

        The latter are (L, 2, N, G, E), None where nothing is to be kept.
        """
        x_TD = self.model.embed_tokens(packed.tokens_T).to(self.dtype)
        cos_T1E, sin_T1E = self._rotation(packed.positions_T)
        kept: list[Tensor] = []
        final = len(self.model.layers) - 1
        for index, layer in enumerate(self.model.each_layer()):
            if index < final:
                q_THE, k_TGE, v_TGE = self._in_chunks(partial(self._before, layer), x_TD, cos_T1E, sin_T1E)
            else:
                k_TGE, v_TGE = self._in_chunks(layer.keys_values, x_TD, cos_T1E, sin_T1E)
            if packed.keep_N is not None:
                kept.append(torch.stack([each.index_select(0, packed.keep_N) for each in (k_TGE, v_TGE)]))
            if packed.kept_L2CGE is not None:
                k_TGE = torch.cat((packed.kept_L2CGE[index, 0], k_TGE))
                v_TGE = torch.cat((packed.kept_L2CGE[index, 1], v_TGE))
            if index < final:
                mixed_TO = packed.everyone(q_THE, k_TGE, v_TGE)
                # The widest moment comes now; what attention read need not be there.
                del q_THE, k_TGE, v_TGE
                [x_TD] = self._in_chunks(partial(self._behind, layer), x_TD, mixed_TO)
            else:
                leaves_F = packed.leaves_F
                x_FD, cos_F1E, sin_F1E = (each.index_select(0, leaves_F) for each in (x_TD, cos_T1E, sin_T1E))
                if not len(leaves_F):  # a batch of nothing but shared beginnings
                    break
                q_FHE = layer.queries(x_FD, cos_F1E, sin_F1E)
                x_FD = layer.behind(x_FD, packed.leaves(q_FHE, k_TGE, v_TGE))
            if on_layer:
                on_layer(index + 1)
        return self.model.norm(x_FD), torch.stack(kept) if kept else None

    def _in_chunks(self, function: Callable[..., Any], *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs[0]) <= self.chunk_tokens or torch.is_grad_enabled():
            return _as_tuple(function(*inputs))
        chunks = zip(*(torch.split(each, self.chunk_tokens) for each in inputs), strict=True)
        parts = [_as_tuple(function(*some)) for some in chunks]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    def _rotation(self, positions_T: Tensor) -> tuple[Tensor, Tensor]:
        """Factors of each number of a head and of the one half a head away, (T, 1, E) each."""
        # float32 in every precision: that is how the models were trained and how transformers runs them.
        angle_T1E = (positions_T.float()[:, None] * self.get_buffer("frequency_E"))[:, None]
        cos_T1E, sin_T1E = angle_T1E.cos(), angle_T1E.sin()
        return torch.cat((cos_T1E, cos_T1E), dim=-1), torch.cat((-sin_T1E, sin_T1E), dim=-1)


def _rotated(heads_THE: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
    # Halves trade places by a flip: no copy is joined, and a compiler fuses it.
    tokens, heads, width = heads_THE.shape
    other_THE = heads_THE.view(tokens, heads, 2, width // 2).flip(2).flatten(2)
    return heads_THE * cos_T1E + other_THE * sin_T1E


def _as_tuple(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)
