"""CrossEncoder: the class of sentence-transformers 6, with a Reranker inside and without torch."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from qwen3_reranker import prompt as prompts_module
from qwen3_reranker.arguments import refuse_below
from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.compat.activations import Activation, activated, checked_activation, named_activation
from qwen3_reranker.compat.encoder_facts import EncoderFacts, ModelCardFacts
from qwen3_reranker.compat.encoder_settings import EncoderSettings
from qwen3_reranker.compat.legacy_spellings import accepts_legacy_spellings
from qwen3_reranker.compat.model_options import encoder_options, opened
from qwen3_reranker.compat.text_pairs import is_single_pair, text_pairs
from qwen3_reranker.errors import InputError, UnavailableError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.weights import HubAccess, hub_access

_LOG = logging.getLogger(__name__)


class CrossEncoder(EncoderFacts):
    """A Qwen3-Reranker behind the surface of `sentence_transformers.CrossEncoder`.

    model_name_or_path: what Reranker opens, or an open Reranker. device: None, "" and cpu run this package's kernels,
    cuda and others run on torch. prompts, default_prompt_name: instructions by name; a prompt is what the model reads
    as its instruction. activation_fn: makes scores of logits; None takes what the checkpoint names, or else the
    sigmoid. cache_folder, token, local_files_only: how the Hub is asked. model_kwargs: dtype and device_map count, and
    what would change no score is accepted; so in processor_kwargs (model_max_length) and config_kwargs.
    trust_remote_code and keep_in_fp32_modules have no effect: no code of a checkpoint is run, and scores are made in
    float32.
    options: those of Reranker, such as precision="int8" and num_threads.

    `reranker` is the Reranker inside. Raises its errors, and InputError for what has no counterpart here.
    """

    @accepts_legacy_spellings(
        ("num_labels", "max_length", "activation_fn", "device"),
        model_name="model_name_or_path",
        automodel_args="model_kwargs",
        tokenizer_args="processor_kwargs",
        tokenizer_kwargs="processor_kwargs",
        config_args="config_kwargs",
        cache_dir="cache_folder",
        default_activation_function="activation_fn",
        ignored=("classifier_dropout",),
    )
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | Reranker,
        *,
        modules: None = None,
        device: object = None,
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | Path | None = None,
        trust_remote_code: bool = False,
        revision: str | None = None,
        local_files_only: bool = False,
        token: bool | str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        keep_in_fp32_modules: object = None,
        **options: Any,
    ) -> None:
        if modules is not None:
            raise InputError("modules of torch do not run here: save them with save_pretrained, and pass the folder")
        if backend != "torch":
            raise InputError(
                f"backend={backend!r} is an export that is not needed here: leave it out; this package's own kernels "
                "run on a CPU, and precision='int8' is the fastest on most"
            )
        keywords = {"model_kwargs": model_kwargs, "processor_kwargs": processor_kwargs, "config_kwargs": config_kwargs}
        meant = encoder_options(device, max_length, num_labels, keywords)
        with hub_access(HubAccess(token, cache_folder, local_files_only)):
            self.reranker = opened(model_name_or_path, {**meant, **options}, revision)
        stored = EncoderSettings.of(self.reranker.checkpoint)
        if prompts is not None and not isinstance(prompts, Mapping):
            raise InputError(f"prompts must be texts by name, got {type(prompts).__name__}")
        self.prompts = {**stored.prompts, **{name: text or "" for name, text in (prompts or {}).items()}}
        self.default_prompt_name = stored.default_prompt_name if default_prompt_name is None else default_prompt_name
        if self.default_prompt_name is not None and self.default_prompt_name not in self.prompts:
            raise InputError(
                f"default_prompt_name {self.default_prompt_name!r} must be one of prompts: {', '.join(self.prompts)}"
            )
        self._activation = (
            named_activation(stored.activation_name) if activation_fn is None else checked_activation(activation_fn)
        )
        self.model_card_data = ModelCardFacts() if model_card_data is None else model_card_data

    @accepts_legacy_spellings(sentences="inputs", activation_fct="activation_fn", ignored=("num_workers",))
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: object = None,
        pool: object = None,
        chunk_size: int | None = None,
    ) -> Any:
        """The score of each pair (query, document), (num_pairs,) float32 in input order; of one pair, a float32.

        convert_to_tensor: a tensor on the model's device; convert_to_numpy=False: a list of tensors. prompt_name and
        prompt: the instruction. batch_size, pool and chunk_size change nothing: pairs of one query are computed
        together, and every score is independent of the others. apply_softmax has no effect on one label.
        No pairs give float64 of shape (0,), as there. Raises InputError (a ValueError) and QueryTooLongError.
        """
        refuse_below("batch_size", batch_size, 1)
        self.refuse_other_device(device)
        is_single = is_single_pair(inputs)
        pairs = text_pairs([inputs] if is_single else inputs)
        scores_N = self._scores(pairs, prompt, prompt_name, activation_fn, show_progress_bar)[0]
        if convert_to_tensor or not convert_to_numpy:
            tensor = self._tensor(scores_N)
            result = tensor if convert_to_tensor else list(tensor)
        else:
            result = scores_N if pairs else np.array([])
        return result[0] if is_single else result

    @accepts_legacy_spellings(
        activation_fct="activation_fn",
        ignored=("num_workers", "apply_softmax", "convert_to_numpy", "convert_to_tensor"),
    )
    def rank(
        self,
        query: str,
        documents: Iterable[Any],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: object = None,
        pool: object = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """The documents, best first: {"corpus_id": index, "score": float}, with return_documents also "text".

        Scores that are equal in float32 are ordered by their logits, equal logits by the input. top_k: a slice
        [:top_k]. The other arguments and errors are those of `predict`.
        """
        refuse_below("batch_size", batch_size, 1)
        self.refuse_other_device(device)
        if isinstance(documents, str) or not isinstance(documents, Iterable):
            raise InputError(f"documents must be a list of strings, got {type(documents).__name__}")
        documents = list(documents)
        pairs = text_pairs([(query, document) for document in documents])
        scores, logits = self._scores(pairs, prompt, prompt_name, activation_fn, show_progress_bar)
        results = [
            {"corpus_id": index, "score": score, **({"text": documents[index]} if return_documents else {})}
            for index, score in enumerate(scores.tolist())
        ]
        results.sort(key=lambda result: (result["score"], logits[result["corpus_id"]]), reverse=True)
        return results[:top_k]

    def evaluate(self, evaluator: Any, output_path: str | None = None) -> Any:
        """What an evaluator of sentence-transformers makes of this model."""
        if output_path is not None:
            os.makedirs(output_path, exist_ok=True)
        return evaluator(self, output_path)

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        model_name: str | None = None,
        create_model_card: bool = True,
        train_datasets: Iterable[str] | None = None,
        safe_serialization: bool = True,
    ) -> None:
        """Write a folder that sentence-transformers and this class open, with prompts and activation function.

        Files of other names in the folder stay. Raises InputError for safe_serialization=False, and where the folder
        holds weights under other names, which a loader would take instead.
        """
        from qwen3_reranker.compat.saved_encoder import save

        save(self, path, model_name, create_model_card, train_datasets or (), safe_serialization)

    save = save_pretrained

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Save into a repository of the Hub; returns its address, or that of the pull request.

        options: those of sentence-transformers, see `saved_encoder.push`.
        """
        from qwen3_reranker.compat.saved_encoder import push

        return push(self, repo_id, **options)

    def fit(self, *_: Any, **__: Any) -> NoReturn:
        """Raises UnavailableError, which says how to train."""
        raise UnavailableError(
            "training is a command here: qwen3-reranker train run examples.jsonl --model "
            f"{self.reranker.checkpoint.name} --output runs/first; docs/train.md has the formats of examples, which "
            "`qwen3-reranker train prepare` makes of other tools' files"
        )

    old_fit = fit

    @classmethod
    def merge(cls, *_: Any, **__: Any) -> NoReturn:
        """Raises UnavailableError, which says how to merge."""
        raise UnavailableError("merging is a command here: qwen3-reranker train merge MODEL MODEL --output FOLDER")

    @property
    def activation_fn(self) -> Activation:
        """What makes scores of logits; may be set."""
        return self._activation

    @activation_fn.setter
    def activation_fn(self, activation: Activation) -> None:
        self._activation = checked_activation(activation)

    @property
    def default_activation_function(self) -> Activation:
        """An earlier name of `activation_fn`."""
        return self._activation

    def __repr__(self) -> str:
        return f"CrossEncoder({self.reranker!r})"

    def _scores(
        self,
        pairs: list[tuple[str, str]],
        prompt: str | None,
        prompt_name: str | None,
        activation_fn: Activation | None,
        show_progress_bar: bool | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores and logits of the pairs, both (num_pairs,) float32."""
        instruction = self._instruction(prompt, prompt_name)
        activation = self._activation if activation_fn is None else checked_activation(activation_fn)
        if not pairs:
            return (none := np.empty(0, np.float32)), none
        if show_progress_bar is None:
            show_progress_bar = _LOG.getEffectiveLevel() in (logging.INFO, logging.DEBUG)
        with _progress(show_progress_bar) as on_progress:
            logits_N = self.reranker.logits(pairs, instruction, on_progress=on_progress)
        return activated(activation, logits_N), logits_N

    def _instruction(self, prompt: str | None, prompt_name: str | None) -> str | None:
        if prompt is not None:
            if prompt_name is not None:
                _LOG.warning("prompt and prompt_name are both given; prompt counts")
        elif prompt_name is not None:
            if prompt_name not in self.prompts:
                raise InputError(f"prompt_name {prompt_name!r} must be one of prompts: {', '.join(self.prompts)}")
            prompt = self.prompts[prompt_name]
        elif self.default_prompt_name is not None:
            prompt = self.prompts.get(self.default_prompt_name)
        if prompt == "":
            # An empty prompt is none there: the default of the template itself, not that of the checkpoint.
            return prompts_module.template(self.reranker.options.prompt or "card").default_instruction
        return prompt

    def _tensor(self, scores_N: NDArray[np.float32]) -> Any:
        try:
            import torch
        except ImportError:
            raise UnavailableError(
                "tensors need torch, which is not installed: pip install torch, or leave out convert_to_tensor and "
                "convert_to_numpy=False"
            ) from None
        return torch.from_numpy(scores_N.copy()).to(str(self.device))


@contextmanager
def _progress(shown: bool) -> Iterator[OnProgress | None]:
    """What to call with the share done; it draws a bar on stderr, if one is wanted."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("Scoring", total=1.0)
        yield lambda share: bar.update(task, completed=share)
