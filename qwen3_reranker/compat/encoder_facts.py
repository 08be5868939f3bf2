"""EncoderFacts: what a CrossEncoder says of its model and device, and what of torch's has no counterpart here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NoReturn, Self

from qwen3_reranker.arguments import refuse_below
from qwen3_reranker.compat.model_options import device_options
from qwen3_reranker.compat.text_pairs import is_single_pair
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.reranker import Reranker

_ABSENT = {
    **dict.fromkeys(
        ("model", "transformers_model", "modules", "parameters", "state_dict", "forward", "half", "bfloat16", "float"),
        "no torch module computes here; `reranker.checkpoint` holds the tensors, and precision= chooses the arithmetic",
    ),
    **dict.fromkeys(("preprocess", "tokenize"), "`reranker.rows(queries, documents)` gives the tokens of each pair"),
    **dict.fromkeys(("train", "gradient_checkpointing_enable"), "training is the command `qwen3-reranker train run`"),
}


class DeviceName(str):
    """The name of a device, such as cuda:0, with the parts that torch.device gives."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """Its kind, such as cuda."""
        return str(self).partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """Its number, if it has one."""
        number = self.partition(":")[2]
        return int(number) if number else None


class ModelCardFacts:
    """What evaluators of sentence-transformers leave for a model card: each one's measures, the latest of each."""

    def __init__(self) -> None:
        self.eval_results_dict: dict[Any, dict[str, Any]] = {}

    def set_evaluation_metrics(self, evaluator: Any, metrics: Mapping[str, Any], epoch: int = 0, step: int = 0) -> None:
        """Take note of what an evaluator measured."""
        self.eval_results_dict[evaluator] = dict(metrics)


class EncoderFacts:
    """The part of CrossEncoder that computes no score. reranker: the model inside."""

    model_type = "CrossEncoder"
    backend = "torch"
    num_labels = 1
    modalities = ("text",)
    reranker: Reranker

    @property
    def max_seq_length(self) -> int:
        """Tokens of a whole row, the prompt included; may be set. A longer document is cut at its end."""
        return self.reranker.tokens.max_length

    @max_seq_length.setter
    def max_seq_length(self, max_length: int) -> None:
        refuse_below("max_length", max_length, 1)
        self.reranker.tokens.max_length = self.reranker.config.row_length(max_length)

    max_length = max_seq_length

    def get_max_seq_length(self) -> int:
        """`max_seq_length` as a method."""
        return self.max_seq_length

    @property
    def device(self) -> DeviceName:
        """The name of the device."""
        return DeviceName(self.reranker.options.device or "cpu")

    @property
    def dtype(self) -> str:
        """The precision, by name."""
        return self.reranker.options.precision

    @property
    def config(self) -> SimpleNamespace:
        """The fields of a published config.json that describe the network, and num_labels, as attributes."""
        return SimpleNamespace(**self.reranker.config.to_json(), num_labels=1)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer as a PreTrainedTokenizerFast. Raises UnavailableError without transformers."""
        try:
            from transformers import PreTrainedTokenizerFast
        except ImportError:
            raise UnavailableError(
                "the tokenizer is given as one of transformers, which is not installed: pip install transformers, or "
                "read reranker.rows(queries, documents)"
            ) from None
        import json

        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(json.dumps(self.reranker.checkpoint.tokenizer.fields))
        ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
        return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer, padding_side="left", model_max_length=self.max_length, **ends
        )

    @property
    def processor(self) -> Any:
        """The tokenizer."""
        return self.tokenizer

    def to(self, device: object = None, *_: Any, **__: Any) -> Self:
        """Itself, if it is on that device; raises InputError for another: a model does not move."""
        self.refuse_other_device(device)
        return self

    def cpu(self) -> Self:
        """Itself, if it is on the CPU."""
        return self.to("cpu")

    def cuda(self, device: object = None) -> Self:
        """Itself, if it is on that GPU."""
        return self.to("cuda" if device is None else device)

    def eval(self) -> Self:
        """Itself: it never trains."""
        return self

    def compile(self, *_: Any, **__: Any) -> None:
        """Nothing: the kernels are compiled."""

    def start_multi_process_pool(self, target_devices: object = None) -> dict[str, Any]:
        """A pool without processes, for `predict(pool=...)`: all cores compute already."""
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: object) -> None:
        """Nothing runs in a pool."""

    def is_singular_input(self, inputs: Any) -> bool:
        """Whether `predict` takes it for one pair."""
        return is_single_pair(inputs)

    def supports(self, modality: object) -> bool:
        """Whether the model reads this modality: text alone."""
        return modality == "text"

    def get_backend(self) -> str:
        """torch, which is what that argument has to be."""
        return self.backend

    def __getattr__(self, name: str) -> NoReturn:
        reason = _ABSENT.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{f': {reason}' if reason else ''}")

    def refuse_other_device(self, device: object) -> None:
        """Raise InputError for another device than the model's; None is the model's."""
        if device is None:
            return
        name = device_options(device).get("device", "cpu")
        if name != self.device and name != self.device.type:
            raise InputError(f"the model is on {self.device} and does not move: open it with device={name!r}")
