"""How to run a model: every option of the library, stated once, with its default, its meaning and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, Signature
from typing import Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

from qwen3_reranker.arguments import refuse_below
from qwen3_reranker.errors import InputError, unknown
from qwen3_reranker.option_fields import described, option, option_lines
from qwen3_reranker.prompt import TEMPLATES, template
from qwen3_reranker.registry import SPECS

BackendName = Literal["cpu", "torch", "vllm", "vllm-server", "reference"]
PrecisionName = Literal["float32", "bfloat16", "int8", "int8x2", "float16", "float8", "float64"]
KernelsName = Literal[
    "native",
    "amx",
    "avx512-bf16",
    "avx512-vnni",
    "avx-vnni",
    "avx2",
    "neon-bf16",
    "neon-i8mm",
    "neon-dot",
    "portable",
    "compiled",
]
PromptName = Literal["card", "card-vllm", "card-lost-newline", "card-no-think-block", "pair", "zerank"]
SpecialTokens = Literal["literal", "parse"]
BACKENDS: tuple[str, ...] = get_args(BackendName)
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
KERNELS: tuple[str, ...] = get_args(KernelsName)
SPECIAL_TOKENS: tuple[str, ...] = get_args(SpecialTokens)

_MAX_THREADS = 4096
_MAX = 2**31 - 1

Init = TypeVar("Init", bound=Callable[..., None])


class EmbedderOptions(TypedDict, total=False):
    """What an Embedder may be given; EngineOptions says what each is."""

    backend: BackendName
    precision: PrecisionName
    device: str | None
    kernels: KernelsName
    max_length: int | None
    max_batch_tokens: int | None
    prefix_cache_tokens: int
    min_shared_tokens: int
    num_threads: int | None
    special_tokens: SpecialTokens
    disk_cache: bool


class RerankerOptions(EmbedderOptions, total=False):
    """What a Reranker may be given: all fields of EngineOptions."""

    prompt: PromptName | None
    truncate_queries: bool
    engine_options: Mapping[str, Any] | None


@described
@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to run a model. One dial trades memory for speed: `max_batch_tokens`."""

    backend: str = option(
        "cpu",
        "What runs the network: cpu is this package's own kernels, torch is for GPUs, vllm is an installed vLLM, "
        "vllm-server is one elsewhere that gets tokens, reference is plain and slow.",
        choices=BACKENDS,
        group="Engine",
    )
    precision: str = option(
        "float32",
        "What matrices are multiplied in: "
        + "; ".join(f"on {name} {', '.join(spec.precisions)}" for name, spec in SPECS.items())
        + ". bfloat16 rounds weights and activations to 16 bits, int8 to 8 bits; int8x2 gives activations 16. "
        "inspect MODEL --drift says which is the fastest here that moves scores little.",
        choices=PRECISIONS,
        group="Engine",
    )
    device: str | None = option(
        None,
        "Where the torch backend runs: cuda, cuda:1, mps, cpu.",
        unit="NAME",
        shown="the first there is",
        group="Engine",
    )
    kernels: str = option(
        "native",
        "What computes. On cpu: native is the best compiled variant that this processor runs. "
        "On torch: compiled fuses operations, and starts slower.",
        choices=KERNELS,
        group="Engine",
    )
    prompt: str | None = option(
        None,
        "The prompt that the model was trained with: how instruction, query and document are written for it.",
        choices=tuple(TEMPLATES),
        shown="what its files say, or card",
        group="Model",
    )
    max_length: int | None = option(
        None,
        "Tokens of prompt and document together; the end of a longer document is cut.",
        unit="N",
        shown="8192, or the model's limit",
        group="Engine",
    )
    max_batch_tokens: int | None = option(
        None,
        "Tokens that are computed at once: memory grows with it, scores do not change.",
        unit="N",
        shown="; ".join(f"{name} {SPECS[name].batch_tokens}" for name in ("cpu", "torch", "vllm")),
        group="Engine",
    )
    prefix_cache_tokens: int = option(
        1024, "Tokens whose keys and values are kept between calls (template, recent queries); 0 keeps none."
    )
    min_shared_tokens: int = option(
        4, "A common beginning with fewer tokens is computed for each row, as a segment of its own costs more."
    )
    num_threads: int | None = option(
        None,
        "Threads that compute.",
        unit="N",
        flag="--threads",
        shown="as many as the process may use",
        group="Engine",
    )
    special_tokens: str = option(
        "literal",
        "How <|im_end|> and other control tokens in your texts are read: literal as text; parse as control tokens, as "
        "the reference code does.",
        choices=SPECIAL_TOKENS,
        group="Engine",
    )
    truncate_queries: bool = option(
        False, "Cut a query that leaves no space for a document, instead of an error.", group="Engine"
    )
    disk_cache: bool = option(
        True,
        "Keep 8-bit weights and the template's keys and values next to the model's files, for a fast next start.",
        group="Engine",
    )
    engine_options: Mapping[str, Any] | None = option(
        None,
        "An option of the vllm backend by vLLM's name, such as tensor_parallel_size=2; of vllm-server, url=ADDRESS.",
        unit="NAME=VALUE",
        flag="--engine-option",
        group="Engine",
    )

    def __post_init__(self) -> None:
        if self.prompt is not None:
            template(self.prompt)
        _one_of("backend", self.backend, BACKENDS)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("special_tokens", self.special_tokens, SPECIAL_TOKENS)
        _one_of("kernels", self.kernels, KERNELS)
        spec = SPECS[self.backend]
        if self.precision not in (known := spec.precisions):
            other = next(name for name, each in SPECS.items() if self.precision in each.precisions)
            raise InputError(
                f"the {self.backend} backend runs in {', '.join(known)}, got precision={self.precision!r}; "
                f'use backend="{other}" for {self.precision}'
            )
        if self.kernels not in (known := spec.kernels):
            other = next(name for name, each in SPECS.items() if self.kernels in each.kernels)
            raise InputError(
                f"the {self.backend} backend has kernels {', '.join(known)}, got kernels={self.kernels!r}; leave them "
                f'out or use backend="{other}"'
            )
        if self.device is not None and (self.backend != "torch" or not isinstance(self.device, str)):
            raise InputError(
                f"device is a name such as cuda and belongs to the torch backend, got device={self.device!r} with "
                f'backend={self.backend!r}; use backend="torch" or leave it out'
            )
        if self.engine_options is not None and not spec.takes_engine_options:
            raise InputError(
                f"engine_options is for the vllm backends, got backend={self.backend!r}; "
                'use backend="vllm" or leave it out'
            )
        if not isinstance(self.engine_options, Mapping | None):
            raise InputError(f"engine_options is a dictionary of vLLM's options, got {self.engine_options!r}")
        _at_least("max_length", self.max_length, 1)
        _at_least("max_batch_tokens", self.max_batch_tokens, 1)
        _at_least("num_threads", self.num_threads, 1, _MAX_THREADS)
        _at_least("prefix_cache_tokens", self.prefix_cache_tokens, 0)
        _at_least("min_shared_tokens", self.min_shared_tokens, 1)
        for name in ("truncate_queries", "disk_cache"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}")

    @classmethod
    def of(cls, options: Mapping[str, object]) -> EngineOptions:
        """The options by their names; raises InputError for an unknown one and for a value that cannot be used."""
        known = cls.__dataclass_fields__
        for name in options:
            if name not in known:
                raise unknown("option", name, known, "options are")
        return cls(**options)  # type: ignore[arg-type]

    @property
    def batch_tokens(self) -> int:
        """Tokens computed at once: `max_batch_tokens`, or the backend's own."""
        return self.max_batch_tokens or SPECS[self.backend].batch_tokens

    def refuse_screen(self, precision: object) -> None:
        """Raise InputError unless a model with these options can screen in this precision."""
        known = [each for each in SPECS[self.backend].screens if each != self.precision]
        if precision not in known:
            what = f"screens a model in {self.precision} by {', '.join(known)}" if known else "cannot screen"
            raise InputError(f"the {self.backend} backend {what}, got screen={precision!r}")

    def memory_options(self) -> dict[str, object]:
        """The options that memory depends on, by name, with the backend's own number where none was chosen."""
        return {
            "backend": self.backend,
            "max_batch_tokens": self.batch_tokens,
            "precision": self.precision,
            "kernels": self.kernels,
        }

    def for_tokens(self, num_tokens: int) -> EngineOptions:
        """The same options, with batches no larger than the `num_tokens` of a whole plan."""
        return replace(self, max_batch_tokens=min(self.batch_tokens, num_tokens))


def shows_options(options: type) -> Callable[[Init], Init]:
    """Let help(), completion and inspect see every option that an __init__ takes as `**options`, with its meaning.

    options: the TypedDict of their names and types; EngineOptions has the defaults and the words.
    """
    kinds = get_type_hints(options)
    fields = EngineOptions.__dataclass_fields__
    lines = option_lines(EngineOptions)

    def show(init: Init) -> Init:
        signature = Signature.from_callable(init, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        shown = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=fields[name].default, annotation=kinds[name])
            for name in fields
            if name in kinds
        ]
        init.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        init.__doc__ = "\n".join(lines[each.name] for each in shown)
        return init

    return show


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown(name, value, known)


def _at_least(name: str, value: int | None, least: int, most: int = _MAX) -> None:
    if value is None:
        return
    refuse_below(name, value, least)
    if value > most:
        raise InputError(f"{name} must be at most {most:,}, got {value:,}")
