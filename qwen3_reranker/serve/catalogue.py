"""The models that the package knows, with their shapes, licences and published scores: what a page can say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qwen3_reranker.config import ModelConfig

RERANKING = "reranking"
EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True)
class Score:
    """One result as it was published, beside the baseline of its table.

    measure: what the number is, such as "10 English retrieval tasks, nDCG@10 x 100".
    """

    benchmark: str
    measure: str
    value: str
    baseline: str | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """Results of one source. baseline: what the second column is; remarks: what a reader must know to trust them."""

    source: str
    address: str | None
    rows: tuple[Score, ...]
    baseline: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Specification:
    """What is known of a model before it is loaded.

    id: the name that `Reranker` or `Embedder` opens. task: RERANKING or EMBEDDING. context: tokens that its makers
    promise, which may be fewer than `config.max_position_embeddings`. origin: what it was made from.
    """

    id: str
    name: str
    task: str
    summary: str
    maker: str
    released: str
    licence: str
    languages: str
    context: int
    config: ModelConfig
    origin: str
    scores: Scores
    address: str | None = None

    @property
    def stored_bytes(self) -> int:
        """Bytes of the weights in bfloat16, which is how all of them are published."""
        return 2 * self.config.num_parameters

    @property
    def bytes_in_8_bits(self) -> int:
        """Bytes of the layers' matrices in precision int8: a byte a weight, and a float32 scale for every 64."""
        return self.config.num_linear_parameters * 17 // 16

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values in float32, as the cpu backend keeps them."""
        return 2 * 4 * self.config.num_hidden_layers * self.config.num_key_value_heads * self.config.head_dim


def known(name: str) -> Specification | None:
    """The specification of the model with that id, whatever its case; None for one that nobody wrote down."""
    return next((each for each in KNOWN if each.id.lower() == name.lower()), None)


_REPORT = "https://arxiv.org/abs/2506.05176"
_SERIES = "Qwen3 Embedding technical report (arXiv 2506.05176)"

_RERANKER_BENCHMARKS = (
    ("MTEB-R", "10 English retrieval tasks, nDCG@10 × 100"),
    ("CMTEB-R", "8 Chinese retrieval tasks, nDCG@10 × 100"),
    ("MMTEB-R", "18 multilingual retrieval tasks, main score × 100"),
    ("MLDR", "long documents in 13 languages, nDCG@10 × 100"),
    ("MTEB-Code", "12 code retrieval tasks, nDCG@10 × 100"),
    ("FollowIR", "following instructions, p-MRR × 100"),
)
_WITHOUT_RERANKING = ("61.82", "71.02", "64.64", "50.26", "75.41", "5.09")
_EMBEDDING_BENCHMARKS = (
    ("MTEB (Multilingual)", "mean over tasks"),
    ("MTEB (Multilingual), retrieval", "mean over retrieval tasks"),
    ("MTEB (English, v2)", "mean over tasks"),
    ("C-MTEB", "Chinese, mean over tasks"),
)


def _reranker_scores(*values: str) -> Scores:
    rows = zip(_RERANKER_BENCHMARKS, values, _WITHOUT_RERANKING, strict=True)
    return Scores(
        source=f"{_SERIES}, Table 4",
        address=_REPORT,
        baseline="Not reranked",
        rows=tuple(Score(name, measure, value, baseline) for (name, measure), value, baseline in rows),
        remarks=(
            "All rows rerank the 100 best documents of Qwen3-Embedding-0.6B; the last column is that list as it was.",
            "Published by the makers. The columns MLDR and FollowIR cannot be repeated with the scripts that they "
            "published, and independent attempts at FollowIR came out lower.",
            "The training data include MS MARCO, NQ, HotpotQA, MIRACL, DuRetrieval, T2Ranking, Mr.TyDi, MLDR and "
            "CodeSearchNet: tasks made from these are not zero-shot.",
        ),
    )


def _embedding_scores(*values: str) -> Scores:
    return Scores(
        source="Qwen3-Embedding repository, README of June 2025",
        address="https://github.com/QwenLM/Qwen3-Embedding",
        rows=tuple(
            Score(name, measure, value) for (name, measure), value in zip(_EMBEDDING_BENCHMARKS, values, strict=True)
        ),
        remarks=("Published by the makers.",),
    )


_06B = ModelConfig(
    vocab_size=151669,
    hidden_size=1024,
    intermediate_size=3072,
    num_hidden_layers=28,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
    max_position_embeddings=40960,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    tie_word_embeddings=True,
)
_4B = replace(_06B, hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32)
# The larger embedding models are reported to lack vectors for the last four control tokens.
_REPORTED_WORDS = 151665
_8B = replace(_4B, hidden_size=4096, intermediate_size=12288, tie_word_embeddings=False)


def _qwen(id: str, task: str, summary: str, config: ModelConfig, origin: str, scores: Scores) -> Specification:
    return Specification(
        id=id,
        name=id.partition("/")[2],
        task=task,
        summary=summary,
        maker="Qwen team, Alibaba",
        released="June 2025",
        licence="Apache-2.0",
        languages="over 100, and programming languages",
        context=32768,
        config=config,
        origin=origin,
        scores=scores,
        address=f"https://huggingface.co/{id}",
    )


NANO = Specification(
    id="nano",
    name="nano",
    task=RERANKING,
    summary=(
        "Comes with the package and starts at once. For trying, testing and teaching, not for production: it is far "
        "weaker than Qwen's models, and a little below BM25."
    ),
    maker="this project",
    released="November 2026",
    licence="Apache-2.0",
    languages="mostly English, Japanese and shell commands; a little of many others",
    context=8192,
    config=ModelConfig(
        vocab_size=16026,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=8192,
        rms_norm_eps=1e-6,
        rope_theta=1e6,
        tie_word_embeddings=True,
    ),
    origin="trained from scratch on two CPU cores in two hours; shares no weights with Qwen's models",
    scores=Scores(
        source="its card, in the package: nDCG@10 after reranking BM25's 100 best, 50 queries a set",
        address=None,
        baseline="BM25 alone",
        rows=(
            Score("mean of 23 sets", "nDCG@10", "0.365", "0.345"),
            Score("jaquad_dev", "Japanese passages", "0.884", "0.923"),
            Score("iapp_thai_test", "Thai passages", "0.949", "0.898"),
            Score("codenn_csharp", "questions to C#", "0.339", "0.396"),
            Score("tldr/en", "English to shell commands", "0.321", "0.392"),
            Score("tldr/es", "Spanish to shell commands", "0.379", "0.200"),
            Score("vaswani_npl", "physics abstracts", "0.314", "0.385"),
            Score("cacm", "computing abstracts", "0.250", "0.396"),
        ),
        remarks=(
            "On average it is a little above the BM25 list that it was given, below it on English prose, and above it "
            "on shell commands in most languages. Both lists fused have 0.400.",
            "With 50 queries a set, differences of a few hundredths on one set mean nothing.",
        ),
    ),
)

KNOWN: tuple[Specification, ...] = (
    NANO,
    _qwen(
        "Qwen/Qwen3-Reranker-0.6B",
        RERANKING,
        "The smallest of Qwen's rerankers, and the one to begin with: it needs no GPU. By the published numbers it "
        "helps most with long documents, and not with code.",
        _06B,
        "Qwen3-0.6B-Base, fine-tuned",
        _reranker_scores("65.80", "71.31", "66.36", "67.28", "73.42", "5.41"),
    ),
    _qwen(
        "Qwen/Qwen3-Reranker-4B",
        RERANKING,
        "By the published numbers three points and more above 0.6B on every set, most with instructions and code, for "
        "eight times the work.",
        _4B,
        "Qwen3-4B-Base, fine-tuned",
        _reranker_scores("69.76", "75.94", "72.74", "69.97", "81.20", "14.84"),
    ),
    _qwen(
        "Qwen/Qwen3-Reranker-8B",
        RERANKING,
        "The largest, for twice the work of 4B. By the published numbers the two are close: 8B is ahead in Chinese, "
        "behind in English and with instructions.",
        _8B,
        "Qwen3-8B-Base, fine-tuned",
        _reranker_scores("69.02", "77.45", "72.94", "70.19", "81.22", "8.05"),
    ),
    _qwen(
        "Qwen/Qwen3-Embedding-0.6B",
        EMBEDDING,
        "Turns texts into vectors of up to 1,024 numbers, for the search whose results a reranker sorts.",
        _06B,
        "Qwen3-0.6B-Base, fine-tuned",
        _embedding_scores("64.33", "64.64", "70.70", "66.33"),
    ),
    _qwen(
        "Qwen/Qwen3-Embedding-4B",
        EMBEDDING,
        "Turns texts into vectors of up to 2,560 numbers.",
        replace(_4B, vocab_size=_REPORTED_WORDS),
        "Qwen3-4B-Base, fine-tuned",
        _embedding_scores("69.45", "69.60", "74.60", "72.27"),
    ),
    _qwen(
        "Qwen/Qwen3-Embedding-8B",
        EMBEDDING,
        "Turns texts into vectors of up to 4,096 numbers.",
        # An embedding model's checkpoint has no second matrix of words: nobody asks it for one.
        replace(_8B, vocab_size=_REPORTED_WORDS, tie_word_embeddings=True),
        "Qwen3-8B-Base, fine-tuned",
        _embedding_scores("70.58", "70.88", "75.22", "73.84"),
    ),
)
