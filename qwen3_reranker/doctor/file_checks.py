"""A checkpoint's files -> their faults; no template or code of the checkpoint is executed."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qwen3_reranker.added_tokens import QWEN_CONTROL
from qwen3_reranker.doctor.faults import DoctorReport
from qwen3_reranker.errors import CheckpointError, UnreadTensorsError, UnsupportedFormatError, UnsupportedModelError
from qwen3_reranker.heads import YesNoHead
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.prompt import template
from qwen3_reranker.tokens import Tokens
from qwen3_reranker.weights import Checkpoint, first_not_finite, open_checkpoint, read_entries
from qwen3_reranker.weights.tied import UNTIED

_CARD = template("card")
_FAULTY_TEMPLATES = {"card-no-think-block": "template-no-think-block", "card-lost-newline": "template-lost-newline"}
_INDEX = "model.safetensors.index.json"
# Eight bits move a logit less than float16 activations do; fewer bits move it visibly.
_PLAIN = ("F32", "F16", "BF16", "Q8_0", "INT8", "MLX 8-bit", "compressed-tensors 8-bit")
# Qwen3's own vocabulary; a smaller one, such as nano's, has other ids.
_QWEN3_ENTRIES = 151_669
_QWEN3_IDS = {"yes": 9693, "no": 2152, "<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}
_ROPE_THETA, _NORM_EPS = 1_000_000.0, 1e-6


def check_files(model: str | os.PathLike[str], revision: str | None = None) -> DoctorReport:
    """Name the faults of a checkpoint: folder, .gguf file, Hub id or nano.

    Reads every number once. Raises ModelNotFoundError if there is no such model; a checkpoint that cannot be opened
    is a finding.
    """
    report = DoctorReport(os.fspath(model), "not opened")
    checks = _FileChecks(Path(model), report)
    try:
        with _without_warnings():
            checkpoint = open_checkpoint(model, revision)
    except CheckpointError as error:
        checks.unopened(error)
    else:
        report.target, report.kind = checkpoint.name, f"{checkpoint.layout} in {checkpoint.folder}"
        checks.opened(checkpoint)
    if report.healthy:
        report.undecided.append("whether these weights rank well: rank something, or evaluate them")
    return report


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the warnings of opening a checkpoint: here they are findings or notes."""
    log = logging.getLogger("qwen3_reranker.weights")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


class _FileChecks:
    def __init__(self, path: Path, report: DoctorReport) -> None:
        self.path, self.report = path, report

    def unopened(self, error: CheckpointError) -> None:
        """Find why a checkpoint cannot be opened: kind, index, head, or another error."""
        if isinstance(error, UnsupportedModelError):
            is_format = isinstance(error, UnsupportedFormatError)
            self.report.find("unread-format" if is_format else "unsupported-model", str(error))
            return
        if not self._index_agrees(self.path):
            return
        if isinstance(error, UnreadTensorsError):
            self.report.find("unread-tensors", str(error))
            return
        missing_head = any(
            words in str(error) for words in ("'lm_head.weight' is missing", "'score.weight' is missing")
        )
        self.report.find("missing-head" if missing_head else "unreadable-files", str(error))

    def opened(self, checkpoint: Checkpoint) -> None:
        """Check everything in files that can be opened."""
        self.report.checked.append("every tensor's name, shape and position")
        if self._index_agrees(checkpoint.folder) and (checkpoint.folder / _INDEX).is_file():
            self.report.checked.append("the index of the weights")
        if checkpoint.stored_head is None:
            # The other checks are for models with a score head.
            file = checkpoint.embedding_tensor.file
            self.report.find(
                "embedding-model", f"{file}: the tensors of a network that pools its last token, and no head"
            )
            return
        damaged = first_not_finite(checkpoint)
        if damaged is not None:
            self.report.find("damaged-weights", f"{damaged.file}: {damaged.name} holds NaN or infinity")
        self.report.checked.append("that every number is finite")
        tokens = self._tokenizer(checkpoint)
        if tokens is not None:
            self._head(checkpoint, tokens)
        self._config(checkpoint)
        self._prompt(checkpoint)

    def _index_agrees(self, folder: Path) -> bool:
        if not (folder / _INDEX).is_file():
            return True
        try:
            listed = read_object(folder / _INDEX)
            names = listed.get("weight_map")
            if not isinstance(names, Mapping):
                raise CheckpointError(f"{folder / _INDEX}: holds no weight_map")
            stored = {}
            for file in sorted(set(map(str, names.values()))):
                if not (folder / file).is_file():
                    raise CheckpointError(f"the index names {file}, which is missing")
                stored.update({name: (file, entry.num_bytes) for name, entry in read_entries(folder / file).items()})
        except CheckpointError as error:
            self.report.find("index-mismatch", str(error))
            return False
        if unlisted := [name for name in stored if name not in names]:
            self.report.notes.append(f"tensors that the index does not list, and nothing reads: {_some(unlisted)}")
        misplaced = [name for name, file in names.items() if stored.get(name, ("",))[0] != file]
        metadata = listed.get("metadata")
        expected = metadata.get("total_size") if isinstance(metadata, Mapping) else None
        total = sum(num_bytes for _, num_bytes in stored.values())
        if misplaced:
            self.report.find(
                "index-mismatch", f"{len(misplaced)} tensors are not where the index says, {misplaced[0]} first"
            )
        elif expected is not None and expected != total:
            self.report.find("index-mismatch", f"the index says {expected:,} bytes in total, the files hold {total:,}")
        else:
            return True
        return False

    def _tokenizer(self, checkpoint: Checkpoint) -> Tokens | None:
        try:
            limit = checkpoint.config.max_position_embeddings
            tokens = Tokens(checkpoint.tokenizer, prefix=_CARD.prefix, suffix=_CARD.suffix, max_length=limit)
        except CheckpointError as error:
            self.report.find("wrong-tokenizer", str(error))
            return None
        if tokens.num_entries > checkpoint.config.vocab_size:
            self.report.find(
                "wrong-tokenizer",
                f"{tokens.num_entries:,} entries, but word vectors for only {checkpoint.config.vocab_size:,}",
            )
            return None
        ids = {"yes": tokens.yes_id, "no": tokens.no_id, **tokens.control_ids}
        other = {word: ids.get(word) for word, number in _QWEN3_IDS.items() if ids.get(word) != number}
        if checkpoint.config.vocab_size >= _QWEN3_ENTRIES and other:
            word = next(iter(other))
            self.report.find("wrong-tokenizer", f"{word!r} is {other[word]}, in Qwen3's vocabulary {_QWEN3_IDS[word]}")
        self.report.checked.append("the tokenizer's words and control tokens")
        if tokens.added_words:
            self.report.notes.append(f"added words, which texts may contain: {_some(tokens.added_words)}")
        if own := tokens.control_ids.keys() - QWEN_CONTROL:
            self.report.notes.append(f"added control tokens, which no text becomes by default: {_some(sorted(own))}")
        return tokens

    def _head(self, checkpoint: Checkpoint, tokens: Tokens) -> None:
        head = checkpoint.head
        if head.tensor.dtype not in _PLAIN:
            self.report.find("quantized-head", f"{head.tensor.name} is stored as {head.tensor.dtype}")
        if checkpoint.layout == "gguf" and head.note.startswith("rebuilt"):
            self.report.find("no-rank-head", f"the score head is {head.note}")
        rows = head.rows(tokens.yes_id, tokens.no_id)
        try:
            weight_D = YesNoHead(rows, head.tensor.name).weight_D
        except CheckpointError as error:
            self.report.find("no-judge", str(error))
            return
        self.report.checked.append(f"the score head, a vector of length {float(np.linalg.norm(weight_D)):.3g}")
        if head.note == UNTIED:
            self.report.find("untied-head", f"{head.tensor.file}: {head.tensor.name} is {head.note}")
        elif head.note and not head.note.startswith("rebuilt"):
            self.report.notes.append(f"the score head is {head.note}")

    def _config(self, checkpoint: Checkpoint) -> None:
        config = checkpoint.config
        # GGUF holds both in float32.
        usual = math.isclose(config.rope_theta, _ROPE_THETA, rel_tol=1e-5)
        if not usual or not math.isclose(config.rms_norm_eps, _NORM_EPS, rel_tol=1e-5):
            self.report.find(
                "other-config",
                f"rope_theta {config.rope_theta:,.0f} and rms_norm_eps {config.rms_norm_eps:g}; every Qwen3-Reranker "
                f"has {_ROPE_THETA:,.0f} and {_NORM_EPS:g}",
            )
        if checkpoint.layout == "seq-cls" and _json(checkpoint.folder / "config.json").get("pad_token_id") is None:
            self.report.find("no-pad-token", "config.json of a sequence classifier has no pad_token_id")
        self.report.checked.append("rotary base, epsilon, padding")

    def _prompt(self, checkpoint: Checkpoint) -> None:
        stored = checkpoint.stored_prompt
        if stored.unknown:
            self.report.find("other-judge", stored.unknown)
        elif stored.name in _FAULTY_TEMPLATES:
            self.report.find(_FAULTY_TEMPLATES[stored.name], stored.note)
        else:
            if stored.name is not None:
                self.report.checked.append(f"the stored template, as text: it is the prompt {stored.name}")
            elif not stored.note:
                self.report.notes.append("no stored template for reranking: a server that needs one must be given it")
            if stored.note:
                self.report.notes.append(stored.note)


def _some(words: Iterable[str]) -> str:
    """The count and the first five."""
    every = list(words)
    return f"{len(every):,} ({', '.join(map(shown, every[:5]))}{', ...' if len(every) > 5 else ''})"


def _json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
