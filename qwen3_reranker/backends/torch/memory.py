"""A plan's memory on a device of the torch backend, item by item, before loading.

Sizes follow qwen3.py and attention.py: what is alive where a layer needs the maximum, for the largest batch.
"""

from __future__ import annotations

from qwen3_reranker.backends.base import MemoryItem
from qwen3_reranker.backends.layout import lay_out
from qwen3_reranker.backends.torch.attention import BUCKET_SCORES
from qwen3_reranker.backends.torch.devices import choose_device
from qwen3_reranker.backends.torch.qwen3 import CHUNK_TOKENS
from qwen3_reranker.backends.torch.varlen import VarlenMetadata, attention_metadata
from qwen3_reranker.config import ModelConfig
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.plan import Plan, split

_FLOAT = 4
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float8": 2}
# In 16 bits on a processor oneDNN compiles code for each number of rows that a matrix multiplies, and keeps that of the
# last 1,024. Its size is oneDNN's own matter: with AMX it was 0.6 to 1.6 MB at the matrices of 0.6B and up to 2.7 MB at
# 8B's, 1.3 MB in the mean (torch 2.13); with AVX-512 alone a tenth of that.
_CODE_BYTES = 2 << 20
_MAX_CODES = 1024


def device_memory_needed(config: ModelConfig, options: EngineOptions, plan: Plan) -> list[MemoryItem]:
    """The maximum for this plan with these options, without the memory of torch itself."""
    width = _BYTES[options.precision]
    matrix_bytes = 1 if options.precision == "float8" else width
    words = config.vocab_size * config.hidden_size
    a_token = config.num_hidden_layers * 2 * config.num_key_value_heads * config.head_dim * width
    batch, tokens, kept = 0, 0, 0
    held = 0
    row_counts: set[int] = set()
    leaf_counts: set[int] = set()
    lengths = plan.starts_S1[1:] - plan.starts_S1[:-1]
    known: set[int] = set()
    for each in split(plan, options.batch_tokens):
        layout = lay_out(plan, each)
        all_queries = attention_metadata(plan, layout, known).all_queries
        batch = max(batch, _batch(config, options.precision, all_queries))
        tokens = max(tokens, len(layout.tokens_T))
        row_counts |= {min(len(layout.tokens_T), CHUNK_TOKENS), len(layout.tokens_T) % CHUNK_TOKENS}
        leaf_counts.add(len(layout.leaves_F))
        known |= each.keep
        held += int(lengths[list(each.keep)].sum())
        kept = max(kept, held)
        known -= each.release
        held -= int(lengths[list(each.release)].sum())
    states = plan.num_rows * config.hidden_size * _FLOAT
    # The matrices of a layer, and in the last one keys' and values', which are alike; the leaves' without those.
    codes = min(5 * len(row_counts - {0}) + 4 * len(leaf_counts - {0}), _MAX_CODES)
    items = [
        MemoryItem(
            "layers",
            config.num_linear_parameters * matrix_bytes,
            f"weights of {config.num_hidden_layers} layers in {options.precision}",
        ),
        MemoryItem("word vectors", words * width, f"{config.vocab_size:,} of {config.hidden_size:,} numbers"),
        MemoryItem("batch", batch, f"{tokens:,} tokens at once, where a layer needs the maximum"),
        # Twice: the segments, and the pool that a batch gathers from them.
        MemoryItem("shared", 2 * kept * a_token, f"keys and values of {kept:,} tokens that several batches read"),
        MemoryItem(
            "prefix cache",
            options.prefix_cache_tokens * a_token,
            f"keys and values of up to {options.prefix_cache_tokens:,} tokens kept between calls",
        ),
        MemoryItem("results", states, f"a state for each of {plan.num_rows:,} rows"),
    ]
    if width < _FLOAT and _on_processor(options.device):
        reason = f"what oneDNN compiles for {codes:,} shapes of products in 16 bits, and keeps"
        items.append(MemoryItem("compiled code", codes * _CODE_BYTES, reason))
    return items


def _on_processor(device: str | None) -> bool:
    # A name is taken as it is: memory may be stated for a device that this machine lacks.
    return (choose_device(None).type if device is None else device) == "cpu"


def _batch(config: ModelConfig, precision: str, all_queries: VarlenMetadata) -> int:
    """Bytes alive at once: states and heads of all tokens, gathered keys, a chunk's scratch."""
    width = _BYTES[precision]
    tokens, keys = int(all_queries.cu_seqlens_q[-1]), len(all_queries.kv_indices)
    chunk = min(tokens, CHUNK_TOKENS)
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, values = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    heads = queries + 2 * values
    angles = 2 * tokens * (config.head_dim // 2) * _FLOAT
    # The states before and after a layer; chunks are joined at their end, so both exist twice then.
    copies = 2 if tokens > chunk else 1
    norm = 3 * hidden * _FLOAT
    pre_attention = tokens * (hidden + copies * heads) * width + chunk * max(
        norm, (hidden + heads) * width + 4 * queries * _FLOAT
    )
    # What padded buckets take and FlashAttention does not: queries and outputs once more, and a bucket's mask.
    mask = min(BUCKET_SCORES, int((all_queries.seqlens_q * all_queries.seqlens_k).sum()))
    mask *= config.num_attention_heads // config.num_key_value_heads * (1 + _FLOAT)
    attention = tokens * (hidden + heads + 4 * queries) * width + 2 * (keys + tokens) * values * width + mask
    post_attention = tokens * ((1 + copies) * hidden + queries) * width + chunk * (
        hidden * width + max(norm, (hidden + 4 * inner) * width)
    )
    return angles + max(pre_attention, attention, post_attention)
