"""Initial values: embeddings from co-occurrence, and attention that counts rare words shared with the query.

A small network does not learn matching by itself, so training starts from it. An embedding row is half a random code
(equal tokens match), half co-occurrence (related tokens match), plus the token's rarity. The first layer marks each
token as part of the query or the document. The second lets each token attend to equal tokens of the query. The last
layer collects the rare matches as "yes". All of it is trained like any other weight.

Shapes: V vocabulary, C hidden width, E width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qwen3_reranker.backends.torch.qwen3 import Qwen3Attention, Qwen3DecoderLayer
from qwen3_reranker.errors import InputError
from qwen3_reranker.prompt import TEMPLATES
from recipes.nano import tokenizer
from recipes.nano.cache import Cache
from recipes.nano.network import NanoNetwork
from recipes.nano.pool import NO_WORD

WINDOW = 4
SHORT_DOCUMENT = 48
PAIRS_AT_ONCE = 4_000_000
# Context counts are flattened as in word2vec and PPMI + SVD practice (Levy, Goldberg, Dagan 2015).
SMOOTHING = 0.75
# This and the plain numbers below were chosen by how well the untrained network orders synthetic pairs.
# Queries and keys are normed: the gain decides how far a perfect match outweighs two hundred unlike keys.
MATCH_GAIN = 0.9
# Radians a token: over a row of 300 such an entry turns by less than a quarter of a circle.
SLOWEST_TURN = 0.005
FAINT = 0.1
# Entries of the residual stream with a meaning at the start; training may use them as it likes.
RARITY, CONSTANT, IN_QUERY, IN_DOCUMENT, MATCHED = range(5)
ENTRIES = 5
MARK = 1.0
FINAL_GAIN = 0.04


@dataclass(frozen=True, slots=True)
class Marks:
    """Tokens of the template that mark the start of query and document."""

    query: int
    document: int


def marks(fields: dict[str, Any]) -> Marks:
    """The first tokens of the query's and the document's label."""
    heads, _ = TEMPLATES["card"].pieces(None, ["query"], [])
    read = tokenizer.literal(fields)
    opening = read.encode(heads[0].opening).ids
    label = read.encode("<Query>:").ids
    assert opening[-len(label) :] == label, "the query's label must be tokens of its own"
    return Marks(query=label[0], document=tokenizer.label(fields)[0])


def initialise(
    network: NanoNetwork, rarity_V: NDArray[np.float32], meaning_VC: Tensor | None, marks: Marks, seed: int
) -> None:
    """Set every parameter. `meaning_VC` are rows of unit length, or None for purely random codes."""
    generator = torch.Generator().manual_seed(seed)
    config = network.config
    with torch.no_grad():
        codes_VC = torch.randn(config.vocab_size, config.hidden_size, generator=generator)
        if meaning_VC is not None:
            codes_VC = (codes_VC + meaning_VC * config.hidden_size**0.5) / 2**0.5
        rarity = torch.from_numpy(rarity_V)
        codes_VC[:, :ENTRIES] = 0.0
        codes_VC[:, RARITY] = (rarity - rarity.mean()) / rarity.std().clamp(min=1e-3)
        codes_VC[:, CONSTANT] = 2.0
        codes_VC[marks.query, IN_QUERY] = codes_VC[marks.document, IN_DOCUMENT] = MARK
        network.model.embed_tokens.weight.copy_(codes_VC)
        layers = list(network.model.each_layer())
        still_E = _still(config.head_dim, config.rope_theta)
        for layer in layers:
            _start_layer(layer, config.num_hidden_layers, generator)
            _start_matching(layer.self_attn, still_E)
        _start_marks(layers[0].self_attn, still_E, generator)
        heads = _Heads(layers[1].self_attn)
        heads.v_KEC[0, 0] = 0.0
        heads.v_KEC[0, 0, IN_QUERY], heads.v_KEC[0, 0, IN_DOCUMENT] = 1.0, -1.0
        heads.o_CKRE[MATCHED, 0, :, 0] = 1.0
        yes_C, no_C = codes_VC[network.yes_id], codes_VC[network.no_id]
        _start_answer(layers[-1].self_attn, still_E, nn.functional.normalize(yes_C - no_C, dim=0), generator)
        network.model.norm.weight.fill_(FINAL_GAIN)


def grow(network: NanoNetwork, stored: Mapping[str, Tensor], seed: int) -> None:
    """Take the weights of a network of as many layers or fewer. New layers add nothing yet, and stand before the last.

    The last collects the answer; what new ones learn to write before it, it can read.
    """
    generator = torch.Generator().manual_seed(seed)
    config, layers = network.config, list(network.model.each_layer())
    still_E = _still(config.head_dim, config.rope_theta)
    old = 1 + max(int(name.split(".")[2]) for name in stored if name.startswith("model.layers."))
    with torch.no_grad():
        for layer in layers[old - 1 : -1]:
            _start_layer(layer, config.num_hidden_layers, generator)
            _start_matching(layer.self_attn, still_E)
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
            layer.input_layernorm.weight.fill_(1.0)
            layer.post_attention_layernorm.weight.fill_(1.0)
    last, target = f"model.layers.{old - 1}.", f"model.layers.{len(layers) - 1}."
    renamed = {target + name.removeprefix(last) if name.startswith(last) else name: w for name, w in stored.items()}
    missing, unknown = network.load_state_dict(renamed, strict=False)
    new = tuple(f"model.layers.{index}." for index in range(old - 1, len(layers) - 1))
    if unknown or not all(name.startswith(new) for name in missing):
        raise InputError(f"the network to start from has other tensors: {', '.join([*unknown, *missing][:3])}")


def draw_together(network: NanoNetwork, word_V: NDArray[np.int32]) -> None:
    """Move the vector of each token halfway to the mean of those that spell the same word.

    " Word" and "word" are unlike tokens, and what a small network reads does not teach it that they match: after two
    runs the cosine of such vectors was 0.2 at the median. word_V: see `tokenizer.words`.
    """
    embedding = network.model.embed_tokens.weight
    with torch.no_grad():
        for word in np.unique(word_V[word_V != NO_WORD]):
            same = torch.from_numpy(np.flatnonzero(word_V == word))
            if len(same) > 1:
                embedding[same] = (embedding[same] + embedding[same].mean(0)) / 2


class _Heads:
    """Views of an attention block's weights by key head."""

    def __init__(self, attention: Qwen3Attention) -> None:
        width = attention.head_dim
        num_k = attention.sizes[1] // width
        self.q_KREC = attention.q_proj.weight.view(num_k, -1, width, attention.q_proj.in_features)
        self.k_KEC = attention.k_proj.weight.view(num_k, width, -1)
        self.v_KEC = attention.v_proj.weight.view(num_k, width, -1)
        self.o_CKRE = attention.o_proj.weight.view(attention.o_proj.out_features, num_k, -1, width)


def _start_layer(layer: Qwen3DecoderLayer, num_layers: int, generator: torch.Generator) -> None:
    attention, mlp = layer.self_attn, layer.mlp
    for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5, generator=generator)
    for linear in (attention.o_proj, mlp.down_proj):
        nn.init.normal_(linear.weight, std=0.5 * (linear.in_features * 2 * num_layers) ** -0.5, generator=generator)
        linear.weight[:ENTRIES] = 0.0
    attention.q_norm.weight.fill_(MATCH_GAIN)
    attention.k_norm.weight.fill_(MATCH_GAIN)


def _still(width: int, rope_theta: float) -> Tensor:
    """Entries of a head whose rotation within a row is negligible, (E,)."""
    turns = rope_theta ** -(torch.arange(0, width, 2) / width)
    return (turns < SLOWEST_TURN).repeat(2)


def _start_matching(attention: Qwen3Attention, still_E: Tensor) -> None:
    """First key head and its query heads: equal maps without position, so equal tokens match."""
    heads = _Heads(attention)
    heads.k_KEC[0, ~still_E] *= FAINT
    heads.k_KEC[0, :, :ENTRIES] = 0.0
    heads.q_KREC[0] = heads.k_KEC[0]


def _start_marks(attention: Qwen3Attention, still_E: Tensor, generator: torch.Generator) -> None:
    """Last key head of layer 0: every token attends to the marks before it."""
    heads = _Heads(attention)
    sign_E = _sign(still_E, generator)
    heads.q_KREC[-1] *= FAINT
    heads.q_KREC[-1, :, :, CONSTANT] = sign_E
    heads.k_KEC[-1, :, :ENTRIES] = 0.0
    heads.k_KEC[-1, :, IN_QUERY] = heads.k_KEC[-1, :, IN_DOCUMENT] = 32.0 * sign_E
    heads.v_KEC[-1, :2] = 0.0
    heads.v_KEC[-1, 0, IN_QUERY] = heads.v_KEC[-1, 1, IN_DOCUMENT] = 8.0
    heads.o_CKRE[IN_QUERY, -1, :, 0] = heads.o_CKRE[IN_DOCUMENT, -1, :, 1] = 0.5 / heads.q_KREC.shape[1]


def _start_answer(attention: Qwen3Attention, still_E: Tensor, yes_C: Tensor, generator: torch.Generator) -> None:
    """First key head of the last layer: the last token counts rare matched tokens as yes."""
    heads = _Heads(attention)
    sign_E = _sign(still_E, generator)
    heads.q_KREC[0] *= FAINT
    heads.q_KREC[0, :, :, CONSTANT] = sign_E
    heads.k_KEC[0] *= 0.3
    # Tokens of the query match themselves: only those behind the document's mark may count.
    for entry, weight in ((MATCHED, 3.0), (IN_DOCUMENT, 4.0), (RARITY, 1.0)):
        heads.k_KEC[0, :, entry] = weight * sign_E
    heads.v_KEC[0, 0] = 0.0
    heads.v_KEC[0, 0, MATCHED], heads.v_KEC[0, 0, CONSTANT] = 1.0, -0.5
    heads.o_CKRE[:, 0, :, 0] = yes_C[:, None]


def _sign(still_E: Tensor, generator: torch.Generator) -> Tensor:
    sign_E: Tensor = torch.randn(len(still_E), generator=generator) * still_E
    return nn.functional.normalize(sign_E, dim=0)


def meanings(cache: Cache, vocab_size: int, width: int, seed: int) -> Tensor:
    """Rows of unit length, (V, C): the truncated SVD of positive pointwise mutual information."""
    torch.manual_seed(seed)
    counts_VV = _counts(cache, vocab_size)
    total = counts_VV.sum(dtype=torch.float64).float()
    rows_V = counts_VV.sum(0).clamp(min=1.0)
    context_V = rows_V**SMOOTHING
    context_V *= total / context_V.sum()
    counts_VV.mul_(total).div_(rows_V[:, None]).div_(context_V).clamp_(min=1.0).log_()
    left_VC, strength_C, _ = torch.svd_lowrank(counts_VV, q=width, niter=2)
    meaning_VC = left_VC * strength_C.sqrt()
    unit_VC: Tensor = nn.functional.normalize(meaning_VC, dim=-1)
    return unit_VC


def _counts(cache: Cache, vocab_size: int) -> Tensor:
    """How often two tokens stand within WINDOW of each other, or in a query and its short positive; symmetric."""
    flat = torch.zeros(vocab_size * vocab_size)
    stream = torch.from_numpy(cache.documents.values.astype(np.int64))
    for distance in range(1, WINDOW + 1):
        pairs_M = stream[:-distance] * vocab_size + stream[distance:]
        for first in range(0, len(pairs_M), PAIRS_AT_ONCE):
            pairs = pairs_M[first : first + PAIRS_AT_ONCE]
            flat.scatter_add_(0, pairs, torch.ones(len(pairs)))
    pending: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float32]] = []
    for row in np.flatnonzero(~cache.held_out & ~cache.synthetic).tolist():
        document = np.unique(cache.documents[cache.positives[row][0]]).astype(np.int64)
        if len(document) <= SHORT_DOCUMENT:
            query = np.unique(cache.queries[cache.query[row]]).astype(np.int64)
            pending.append((query[:, None] * vocab_size + document).ravel())
            # A long text says less about each pair.
            weights.append(np.full(len(query) * len(document), 2 * WINDOW / len(document), np.float32))
        if len(pending) >= 20_000:
            _add(flat, pending, weights)
    _add(flat, pending, weights)
    counts_VV = flat.view(vocab_size, vocab_size)
    counts_VV += counts_VV.T.clone()
    return counts_VV


def _add(flat: Tensor, pending: list[NDArray[np.int64]], weights: list[NDArray[np.float32]]) -> None:
    if pending:
        flat.scatter_add_(0, torch.from_numpy(np.concatenate(pending)), torch.from_numpy(np.concatenate(weights)))
        pending.clear()
        weights.clear()
