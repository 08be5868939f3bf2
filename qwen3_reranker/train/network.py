"""A batch of trees -> one yes/no logit for each document: the Qwen3 network, every shared prefix computed once.

Shapes: P prefix tokens, G groups, H head tokens of a group, D documents of a group, T document and suffix tokens,
N all tokens of the batch, C hidden width, Q query heads, K key/value heads, R = Q / K, E width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from qwen3_reranker.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Tree:
    """One prefix, G heads behind it, D documents behind each head; heads and documents are padded at their right.

    `document_lengths_GD` counts the suffix, which ends every document.
    """

    prefix_P: Tensor
    heads_GH: Tensor
    head_lengths_G: Tensor
    documents_GDT: Tensor
    document_lengths_GD: Tensor

    @property
    def num_tokens(self) -> int:
        """Real tokens, padding left out."""
        return len(self.prefix_P) + int(self.head_lengths_G.sum()) + int(self.document_lengths_GD.sum())


@dataclass(frozen=True, slots=True)
class Layout:
    """What all layers share: sizes, rotary angles and masks of one batch."""

    sizes: tuple[int, int, int, int, int]
    cos_NE: Tensor
    sin_NE: Tensor
    head_mask_HS: Tensor
    document_mask_GDTS: Tensor
    last_GD: Tensor


class Norm(nn.RMSNorm):
    """Root-mean-square norm, in float32 whatever comes in."""

    def forward(self, hidden: Tensor) -> Tensor:
        """The normed states, float32."""
        return super().forward(hidden.float())


class Attention(nn.Module):
    """Grouped-query attention with normed queries and keys over a tree."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_q, self.num_k, self.width = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.q_proj = nn.Linear(config.hidden_size, self.num_q * self.width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, self.num_k * self.width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, self.num_k * self.width, bias=False)
        self.o_proj = nn.Linear(self.num_q * self.width, config.hidden_size, bias=False)
        self.q_norm = Norm(self.width, eps=config.rms_norm_eps)
        self.k_norm = Norm(self.width, eps=config.rms_norm_eps)

    def forward(self, hidden_NC: Tensor, layout: Layout, last_only: bool) -> Tensor:
        """New hidden states: of all tokens (N, C), or of each document's last token (G*D, C)."""
        cos_N1E, sin_N1E = layout.cos_NE[:, None], layout.sin_NE[:, None]
        k_NKE = _rotate(self.k_norm(self.k_proj(hidden_NC).view(-1, self.num_k, self.width)), cos_N1E, sin_N1E)
        v_NKE = self.v_proj(hidden_NC).view(-1, self.num_k, self.width)
        if last_only:
            first = len(hidden_NC) - layout.last_GD.numel() * layout.sizes[4]
            index = _last_index(layout, first)
            hidden_NC, cos_N1E, sin_N1E = hidden_NC[index], cos_N1E[index], sin_N1E[index]
        q_NQE = _rotate(self.q_norm(self.q_proj(hidden_NC).view(-1, self.num_q, self.width)), cos_N1E, sin_N1E)
        mixed_NQE = (self._last if last_only else self._all)(q_NQE, k_NKE.to(v_NKE.dtype), v_NKE, layout)
        out_NC: Tensor = self.o_proj(mixed_NQE.flatten(1))
        return out_NC

    def _all(self, q_NQE: Tensor, k_NKE: Tensor, v_NKE: Tensor, layout: Layout) -> Tensor:
        P, G, H, D, T = layout.sizes
        q_NQE = q_NQE.to(v_NKE.dtype)
        prefix, heads, documents = torch.split(q_NQE, [P, G * H, G * D * T])
        mixed_prefix = self._mix(
            prefix[None], k_NKE[None, :P], v_NKE[None, :P], layout.head_mask_HS[:1, :0], causal=True
        )
        shared = (_behind(k_NKE, layout.sizes), _behind(v_NKE, layout.sizes))
        mixed_heads = self._mix(heads.view(G, H, self.num_q, self.width), *shared, layout.head_mask_HS)
        own = (_documents(k_NKE, shared[0], layout.sizes), _documents(v_NKE, shared[1], layout.sizes))
        mixed_documents = self._mix(
            documents.view(G * D, T, self.num_q, self.width), *own, layout.document_mask_GDTS.flatten(0, 1)
        )
        return torch.cat((mixed_prefix.flatten(0, 1), mixed_heads.flatten(0, 1), mixed_documents.flatten(0, 1)))

    def _last(self, q_NQE: Tensor, k_NKE: Tensor, v_NKE: Tensor, layout: Layout) -> Tensor:
        P, _, H, _, T = layout.sizes
        shared = (_behind(k_NKE, layout.sizes), _behind(v_NKE, layout.sizes))
        own = (_documents(k_NKE, shared[0], layout.sizes), _documents(v_NKE, shared[1], layout.sizes))
        index = layout.last_GD.flatten()[:, None, None].expand(-1, 1, P + H + T)
        mask_BTS = layout.document_mask_GDTS.flatten(0, 1).gather(1, index)
        return self._mix(q_NQE.to(v_NKE.dtype)[:, None], *own, mask_BTS).flatten(0, 1)

    def _mix(self, q_BTQE: Tensor, k_BSKE: Tensor, v_BSKE: Tensor, mask: Tensor, causal: bool = False) -> Tensor:
        """Attention of (B, T) queries over (B, S) keys; the R query heads of a key head lie one behind the other."""
        B, T = q_BTQE.shape[:2]
        q_BKRTE = q_BTQE.view(B, T, self.num_k, -1, self.width).permute(0, 2, 3, 1, 4)
        R = q_BKRTE.shape[2]
        if causal:
            mask = torch.ones(T, T, dtype=torch.bool, device=q_BTQE.device).tril()
        # (T, S) or (B, T, S) -> (B or 1, 1, R*T, S)
        mask = mask.expand(R, *mask.shape).flatten(0, 1)[None] if mask.dim() == 2 else _repeat(mask, R)
        mixed_BKLE = functional.scaled_dot_product_attention(
            q_BKRTE.flatten(2, 3), k_BSKE.transpose(1, 2), v_BSKE.transpose(1, 2), attn_mask=mask[:, None]
        )
        return mixed_BKLE.view(B, self.num_k, R, T, self.width).permute(0, 3, 1, 2, 4).flatten(2, 3)


class Mlp(nn.Module):
    """The gated feed-forward block."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_NC: Tensor) -> Tensor:
        """The block's addition to each hidden state."""
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(hidden_NC)) * self.up_proj(hidden_NC))
        return out


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = Norm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = Norm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, hidden_NC: Tensor, layout: Layout, last_only: bool) -> Tensor:
        """Hidden states after the layer, of all tokens or of each document's last."""
        mixed = self.self_attn(self.input_layernorm(hidden_NC), layout, last_only)
        if last_only:
            hidden_NC = hidden_NC[_last_index(layout, len(hidden_NC) - layout.last_GD.numel() * layout.sizes[4])]
        hidden_NC = hidden_NC + mixed
        added: Tensor = self.mlp(self.post_attention_layernorm(hidden_NC))
        return hidden_NC + added


class Body(nn.Module):
    """Embeddings, layers and the final norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = Norm(config.hidden_size, eps=config.rms_norm_eps)


class Network(nn.Module):
    """Names of parameters are those of a published Qwen3 causal-LM checkpoint with tied embeddings."""

    def __init__(self, config: ModelConfig, yes_id: int, no_id: int) -> None:
        super().__init__()
        self.config, self.yes_id, self.no_id = config, yes_id, no_id
        self.model = Body(config)

    def forward(self, tree: Tree) -> Tensor:
        """The logit yes - no of each document, float32, (G, D); those of padded documents mean nothing."""
        layout = self._layout(tree)
        tokens_N = torch.cat((tree.prefix_P, tree.heads_GH.flatten(), tree.documents_GDT.flatten()))
        hidden_NC = self.model.embed_tokens(tokens_N)
        final = len(self.model.layers) - 1
        for place, layer in enumerate(self.model.layers):
            hidden_NC = layer(hidden_NC, layout, place == final)
        direction_C = self.model.embed_tokens.weight[self.yes_id] - self.model.embed_tokens.weight[self.no_id]
        with torch.autocast("cpu", enabled=False):
            logits: Tensor = self.model.norm(hidden_NC) @ direction_C.float()
        return logits.view(tree.document_lengths_GD.shape)

    def _layout(self, tree: Tree) -> Layout:
        (P,), (G, H), (_, D, T) = tree.prefix_P.shape, tree.heads_GH.shape, tree.documents_GDT.shape
        start_G = P + tree.head_lengths_G
        positions_N = torch.cat(
            (
                torch.arange(P),
                (P + torch.arange(H)).expand(G, H).flatten(),
                (start_G[:, None, None] + torch.arange(T)).expand(G, D, T).flatten(),
            )
        )
        half = torch.arange(0, self.config.head_dim, 2, dtype=torch.float32)
        angles_NE = positions_N[:, None] * (self.config.rope_theta ** -(half / self.config.head_dim)).repeat(2)
        behind_S = torch.arange(P + H)
        head_mask_HS = behind_S <= P + torch.arange(H)[:, None]
        shared_GS = behind_S < start_G[:, None]
        own_TT = torch.ones(T, T, dtype=torch.bool).tril()
        mask = torch.cat((shared_GS[:, None, None].expand(G, D, T, P + H), own_TT.expand(G, D, T, T)), dim=-1)
        return Layout(
            (P, G, H, D, T),
            angles_NE.cos(),
            angles_NE.sin(),
            head_mask_HS,
            mask,
            (tree.document_lengths_GD - 1).clamp(min=0),
        )


def _rotate(heads_NXE: Tensor, cos_N1E: Tensor, sin_N1E: Tensor) -> Tensor:
    first, second = heads_NXE.chunk(2, dim=-1)
    return heads_NXE * cos_N1E + torch.cat((-second, first), dim=-1) * sin_N1E


def _behind(part_NKE: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Keys or values of the prefix and each head: (G, P + H, K, E)."""
    P, G, H, _, _ = sizes
    return torch.cat(
        (part_NKE[:P].expand(G, -1, -1, -1), part_NKE[P : P + G * H].view(G, H, *part_NKE.shape[1:])), dim=1
    )


def _documents(part_NKE: Tensor, behind_GSKE: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Keys or values of everything before and in each document: (G*D, P + H + T, K, E)."""
    P, G, H, D, T = sizes
    shared = behind_GSKE[:, None].expand(G, D, *behind_GSKE.shape[1:]).flatten(0, 1)
    return torch.cat((shared, part_NKE[P + G * H :].view(G * D, T, *part_NKE.shape[1:])), dim=1)


def _last_index(layout: Layout, first: int) -> Tensor:
    rows = torch.arange(layout.last_GD.numel())
    return first + rows * layout.sizes[4] + layout.last_GD.flatten()


def _repeat(mask_BTS: Tensor, times: int) -> Tensor:
    return mask_BTS[:, None].expand(-1, times, -1, -1).flatten(1, 2)
