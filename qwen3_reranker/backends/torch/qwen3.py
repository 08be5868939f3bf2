"""The Qwen3 network as torch modules: packed tokens -> each leaf's final state.

Class and parameter names are those of transformers. attention.py has the attention itself.

Shapes: T tokens of a batch, F of them end a row, P keys of cached segments and of the batch, D hidden, O = H * E,
H query heads, G key/value heads, E head_dim, I intermediate, L layers, C cached tokens, N tokens to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from qwen3_reranker.backends.torch.model_input import ModelInput
from qwen3_reranker.config import ModelConfig

#: The maximum of tokens that inference takes through everything but attention at once: a row of 32K tokens then needs
#: little more memory than that. A batch is no longer than one chunk, unless one segment is.
CHUNK_TOKENS = 16384

# The maximum of compiled variants of a layer's halves: dtypes, devices, sizes of one.
_MAX_COMPILED = 64

PreAttention = Callable[["Qwen3DecoderLayer", Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
PostAttention = Callable[["Qwen3DecoderLayer", Tensor, Tensor], Tensor]


class Qwen3RMSNorm(nn.Module):
    """Root-mean-square norm, computed and returned in float32 for every input."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """The normed states, float32."""
        return functional.rms_norm(hidden.float(), self.weight.shape, self.weight.float(), self.eps)


class Qwen3Attention(nn.Module):
    """The projections of attention, with the norms of heads and rotary positions.

    qkv_proj: one matrix for queries, keys and values, in the form that only runs; see weights.merge_projections.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        q_size, kv_size = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        self.sizes = [q_size, kv_size, kv_size]
        self.q_proj = nn.Linear(config.hidden_size, q_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(q_size, config.hidden_size, bias=False)
        self.q_norm = Qwen3RMSNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = Qwen3RMSNorm(config.head_dim, config.rms_norm_eps)
        self.qkv_proj: nn.Module | None = None

    def project_qkv(self, normed_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, (T, H, E), keys and values, (T, G, E) each."""
        if self.qkv_proj is not None:
            q_TO, k, v = torch.split(self.qkv_proj(normed_TD), self.sizes, dim=-1)
        else:
            q_TO, k, v = self.q_proj(normed_TD), self.k_proj(normed_TD), self.v_proj(normed_TD)
        return self._rotated(self.q_norm, q_TO, cos_T1E, sin_T1E), *self._keys_values(k, v, cos_T1E, sin_T1E)

    def project_q(self, normed_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
        """Queries, (T, H, E)."""
        return self._rotated(self.q_norm, self.q_proj(normed_TD), cos_T1E, sin_T1E)

    def project_kv(self, normed_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (T, G, E) each."""
        return self._keys_values(self.k_proj(normed_TD), self.v_proj(normed_TD), cos_T1E, sin_T1E)

    def _keys_values(self, k: Tensor, v: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor]:
        return self._rotated(self.k_norm, k, cos_T1E, sin_T1E), self._heads(v)

    def _rotated(self, norm: nn.Module, projected: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
        return _apply_rotary(norm(self._heads(projected)), cos_T1E, sin_T1E).to(projected.dtype)

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.view(len(projected), -1, self.head_dim)


class Qwen3MLP(nn.Module):
    """The gated feed-forward block (SwiGLU).

    gate_up_proj: one matrix for gate and up, in the form that only runs; see weights.merge_projections.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.gate_up_proj: nn.Module | None = None

    def forward(self, normed_TD: Tensor) -> Tensor:
        """What the block adds to each state, (T, D)."""
        if self.gate_up_proj is not None:
            gate_TI, up_TI = self.gate_up_proj(normed_TD).chunk(2, dim=-1)
        else:
            gate_TI, up_TI = self.gate_proj(normed_TD), self.up_proj(normed_TD)
        output_TD: Tensor = self.down_proj(functional.silu(gate_TI) * up_TI)
        return output_TD


class Qwen3DecoderLayer(nn.Module):
    """One decoder layer, in two halves around attention. `dtype` is what matrices multiply."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.self_attn = Qwen3Attention(config)
        self.mlp = Qwen3MLP(config)
        self.input_layernorm = Qwen3RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = Qwen3RMSNorm(config.hidden_size, config.rms_norm_eps)

    def pre_attention(self, hidden_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, (T, H, E), keys and values, (T, G, E) each, of these tokens."""
        return self.self_attn.project_qkv(self._normed(hidden_TD), cos_T1E, sin_T1E)

    def keys_values(self, hidden_TD: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values alone, which the last layer needs of tokens that end no row."""
        return self.self_attn.project_kv(self._normed(hidden_TD), cos_T1E, sin_T1E)

    def queries(self, hidden_FD: Tensor, cos_F1E: Tensor, sin_F1E: Tensor) -> Tensor:
        """Queries alone, which the last layer needs too of tokens that end a row."""
        return self.self_attn.project_q(self._normed(hidden_FD), cos_F1E, sin_F1E)

    def post_attention(self, hidden_TD: Tensor, attention_TO: Tensor) -> Tensor:
        """The states after the layer, (T, D), from those before it and attention's outputs."""
        hidden_TD = hidden_TD + self.self_attn.o_proj(attention_TO)
        output_TD: Tensor = self.mlp(self.post_attention_layernorm(hidden_TD).to(self.dtype))
        return hidden_TD + output_TD

    def _normed(self, hidden_TD: Tensor) -> Tensor:
        normed_TD: Tensor = self.input_layernorm(hidden_TD)
        return normed_TD.to(self.dtype)


class Qwen3Model(nn.Module):
    """Word vectors, decoder layers and the final norm."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Qwen3DecoderLayer(config, dtype) for _ in range(config.num_hidden_layers))
        self.norm = Qwen3RMSNorm(config.hidden_size, config.rms_norm_eps)

    def each_layer(self) -> Iterator[Qwen3DecoderLayer]:
        """The layers in order."""
        for layer in self.layers:
            assert isinstance(layer, Qwen3DecoderLayer)
            yield layer


class Qwen3ForPooling(nn.Module):
    """A Qwen3 network without its language-model head, pooled at the last token of each row.

    dtype: what matrices multiply and attention runs in; norms and rotary positions are float32 in every precision.
    chunk_tokens: without gradients, tokens that pass through everything but attention at once.
    Trainable as it is built; weights.merge_projections makes the form that only runs.
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
        self._pre_attention: PreAttention = Qwen3DecoderLayer.pre_attention
        self._post_attention: PostAttention = Qwen3DecoderLayer.post_attention
        self.model = Qwen3Model(config, dtype)
        # On the CPU for every device: transformers computes them there too, and powers differ by a bit.
        half_E = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device="cpu") / config.head_dim
        self.register_buffer("inv_freq_E", 1.0 / config.rope_theta**half_E, persistent=False)

    def compile_layers(self) -> None:
        """Compile the halves of the layers. Norms, rotary positions and gates are fused around the products.

        The first batches wait for the compiler; batches of other lengths share the code.
        """
        # Entries belong to the code, so dtypes, devices and networks share one limit, and beyond it code would run
        # uncompiled without a message. While one thread compiles, another may run: uncompiled, not as an error.
        torch._dynamo.config.recompile_limit = max(_MAX_COMPILED, torch._dynamo.config.recompile_limit)
        torch._dynamo.config.error_on_nested_fx_trace = False
        self._pre_attention = torch.compile(Qwen3DecoderLayer.pre_attention, dynamic=True)
        self._post_attention = torch.compile(Qwen3DecoderLayer.post_attention, dynamic=True)

    def enable_gradient_checkpointing(self) -> None:
        """Train in less memory: the halves of the layers are computed again for gradients.

        Kept are a layer's states, queries, keys, values and attention's outputs; the wide feed-forward states are not.
        """
        self._pre_attention = partial(checkpoint, Qwen3DecoderLayer.pre_attention, use_reentrant=False)
        self._post_attention = partial(checkpoint, Qwen3DecoderLayer.post_attention, use_reentrant=False)

    def forward(
        self, inputs: ModelInput, on_layer: Callable[[int], None] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The final state of each leaf, and the keys and values of `inputs.keep_N`.

        The states are (F, D) float32. Keys and values are (L, 2, N, G, E), None where none are kept.
        """
        hidden_TD = self.model.embed_tokens(inputs.tokens_T).to(self.dtype)
        cos_T1E, sin_T1E = self._rotary_factors(inputs.positions_T)
        new_kv: list[Tensor] = []
        last = len(self.model.layers) - 1
        for index, layer in enumerate(self.model.each_layer()):
            if index < last:
                q_THE, k_TGE, v_TGE = self._in_chunks(partial(self._pre_attention, layer), hidden_TD, cos_T1E, sin_T1E)
            else:
                k_TGE, v_TGE = self._in_chunks(layer.keys_values, hidden_TD, cos_T1E, sin_T1E)
            if inputs.keep_N is not None:
                new_kv.append(torch.stack([each.index_select(0, inputs.keep_N) for each in (k_TGE, v_TGE)]))
            if inputs.kv_cache_L2CGE is not None:
                k_TGE = torch.cat((inputs.kv_cache_L2CGE[index, 0], k_TGE))
                v_TGE = torch.cat((inputs.kv_cache_L2CGE[index, 1], v_TGE))
            if index < last:
                attention_TO = inputs.all_queries(q_THE, k_TGE, v_TGE)
                # Memory has its maximum in the next line; what attention read is not needed there.
                del q_THE, k_TGE, v_TGE
                [hidden_TD] = self._in_chunks(partial(self._post_attention, layer), hidden_TD, attention_TO)
            else:
                leaves_F = inputs.leaves_F
                hidden_FD, cos_F1E, sin_F1E = (each.index_select(0, leaves_F) for each in (hidden_TD, cos_T1E, sin_T1E))
                if not len(leaves_F):  # a batch of nothing but shared beginnings
                    break
                q_FHE = layer.queries(hidden_FD, cos_F1E, sin_F1E)
                hidden_FD = layer.post_attention(hidden_FD, inputs.leaf_queries(q_FHE, k_TGE, v_TGE))
            if on_layer:
                on_layer(index + 1)
        return self.model.norm(hidden_FD), torch.stack(new_kv) if new_kv else None

    def _in_chunks(self, function: Callable[..., Any], *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs[0]) <= self.chunk_tokens or torch.is_grad_enabled():
            return _as_tuple(function(*inputs))
        chunks = zip(*(torch.split(each, self.chunk_tokens) for each in inputs), strict=True)
        outputs = [_as_tuple(function(*chunk)) for chunk in chunks]
        return tuple(torch.cat(output) for output in zip(*outputs, strict=True))

    def _rotary_factors(self, positions_T: Tensor) -> tuple[Tensor, Tensor]:
        """Factors of each number and the one half a head away, (T, 1, E)."""
        # float32 in every precision: that is how the models were trained and how transformers runs them.
        angle_T1E = (positions_T.float()[:, None] * self.get_buffer("inv_freq_E"))[:, None]
        cos_T1E, sin_T1E = angle_T1E.cos(), angle_T1E.sin()
        return torch.cat((cos_T1E, cos_T1E), dim=-1), torch.cat((-sin_T1E, sin_T1E), dim=-1)


def _apply_rotary(heads_THE: Tensor, cos_T1E: Tensor, sin_T1E: Tensor) -> Tensor:
    # The halves change places by a flip: no copy is joined, and a compiler fuses it.
    tokens, heads, width = heads_THE.shape
    flipped_THE = heads_THE.view(tokens, heads, 2, width // 2).flip(2).flatten(2)
    return heads_THE * cos_T1E + flipped_THE * sin_T1E


def _as_tuple(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)
