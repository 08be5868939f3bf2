"""A Hugging Face folder, in any of its five layouts -> Checkpoint; reads headers only.

Layouts: config.json and *.safetensors, single or sharded, of Qwen3ForCausalLM (causal-lm) or of
Qwen3ForSequenceClassification (seq-cls); the same with the files of a CrossEncoder (sentence-transformers); a network
without a head, or one whose modules pool the last token (embedding); a PEFT adapter that names its base (lora).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import CheckpointError, UnsupportedModelError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.tokens import TokenizerJson
from qwen3_reranker.weights import adapter, names
from qwen3_reranker.weights.checkpoint import Checkpoint, ScoreHead
from qwen3_reranker.weights.classifier import SCORE_BIAS, score_head, score_shape
from qwen3_reranker.weights.contents import no_model
from qwen3_reranker.weights.cross_encoder import as_cross_encoder
from qwen3_reranker.weights.embedding import has_bare_names, is_embedding, refuse_other_pooling, stored_prompts
from qwen3_reranker.weights.modules import MODULES, read_modules
from qwen3_reranker.weights.quantised import Quantisation, QuantisedTensor, read_quantisation
from qwen3_reranker.weights.safetensors import TensorEntry
from qwen3_reranker.weights.shards import INDEX, SINGLE, first_shard, folder_entries, shaped_tensor, weights_file
from qwen3_reranker.weights.stored_prompt import NOTHING_STORED, prompt_of_folder
from qwen3_reranker.weights.tensor import StoredTensor, Tensor
from qwen3_reranker.weights.tied import UNTIED, is_same
from qwen3_reranker.weights.tracked_tensors import TrackedTensors

_CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
_ON_THE_WAY = re.compile(r"checkpoint-\d+", re.ASCII)
_CAUSAL_LM = "Qwen3ForCausalLM"
_CLASSIFIER = "Qwen3ForSequenceClassification"
_NETWORK = "Qwen3Model"
_LOG = logging.getLogger(__name__)


def open_folder(folder: Path, name: str) -> Checkpoint:
    """The checkpoint in `folder`. Raises CheckpointError naming the file, and the tensor, that is not as it must be.

    An adapter's base is found as any model is, fetched if need be: ModelNotFoundError if it cannot be.
    """
    try:
        place = _named_adapter(folder) or folder
        if not (place / adapter.CONFIG).exists():
            return _open_whole(folder, name)
        adapted = adapter.open_adapter(place, name, lambda base: _open_base(base, name))
        if place != folder and (folder / TOKENIZER).is_file() and not (place / TOKENIZER).is_file():
            adapted = replace(adapted, read_tokenizer=lambda: read_tokenizer(folder))
        for holder in dict.fromkeys((folder, place)):
            own = prompt_of_folder(holder, {})
            if own != NOTHING_STORED:
                adapted = replace(adapted, stored_prompt=own, instruction=own.instruction or adapted.instruction)
        return as_cross_encoder(adapted, place)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror})") from None


def read_tokenizer(folder: Path) -> TokenizerJson:
    """tokenizer.json of a folder; raises CheckpointError where it has none or it cannot be read."""
    path = folder / TOKENIZER
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; {_tokenizer_instead(folder)}")
    return TokenizerJson.read(path)


def _tokenizer_instead(folder: Path) -> str:
    if any((folder / name).is_file() for name in ("vocab.json", "merges.txt", "tokenizer_config.json")):
        # That of another model would lack the words that were added to this one.
        return (
            "write it with transformers, which knows what was added to it: "
            f"AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    return "copy tokenizer.json of the model that this checkpoint was made from into the folder"


def _named_adapter(folder: Path) -> Path | None:
    """The sub-folder of the one adapter that peft saved, in a folder without a model."""
    if any((folder / name).exists() for name in (adapter.CONFIG, _CONFIG, SINGLE, INDEX)):
        return None
    found = [path for path in folder.iterdir() if (path / adapter.CONFIG).is_file()]
    # A training's intermediate states are not its result.
    return found[0] if len(found) == 1 and not _ON_THE_WAY.fullmatch(found[0].name) else None


def _open_base(folder: Path, name: str) -> Checkpoint:
    if (folder / adapter.CONFIG).exists():
        raise CheckpointError(
            f"{folder / adapter.CONFIG}: an adapter's base must not be an adapter itself; merge that one into its base"
        )
    base = _open_whole(folder, name)
    if base.stored_head is None:
        raise CheckpointError(
            f"{folder}: an adapter's base must not be an embedding model, as those are not merged here; merge the "
            "adapter with peft's merge_and_unload and save the result"
        )
    return base


def _open_whole(folder: Path, name: str) -> Checkpoint:
    config, fields = _read_config(folder)
    quantisation = read_quantisation(folder / _CONFIG, fields)
    path = weights_file(folder) or first_shard(folder)
    if path is None:
        raise no_model(folder, f"{folder / SINGLE}: missing, and so is {INDEX}")
    entries = TrackedTensors(names.without_wrappers(folder_entries(path)))
    modules = read_modules(folder)
    if is_embedding(modules, entries):
        refuse_other_pooling(folder, modules, config.hidden_size)
        return _open_embedding(folder, name, config, entries, path, quantisation)
    if _NETWORK in fields.get("architectures", []):
        raise CheckpointError(
            f"{folder / _CONFIG}: architectures names {_NETWORK}, a network without a head, but neither the tensors' "
            f"names nor {MODULES} make this an embedding model; write {_CAUSAL_LM} if its words judge"
        )
    if _CAUSAL_LM in fields.get("architectures", [_CAUSAL_LM]):
        if names.SCORE in entries:
            raise CheckpointError(
                f"{entries[names.SCORE].source.path}: holds tensor {names.SCORE!r}, but {_CONFIG} says {_CAUSAL_LM}; "
                f'if that tensor is the judge, write "architectures": ["{_CLASSIFIER}"], if not, remove it'
            )
        layout, tensors = "causal-lm", _needed(config, entries, path, quantisation)
        config, head = _words_head(config, tensors, entries, path, quantisation)
    else:
        # Without a language-model head there is none to expect or to count.
        config = replace(config, tie_word_embeddings=True)
        layout, tensors = "seq-cls", _needed(config, entries, path, quantisation)
        head = _classifier(config, fields, entries, path, quantisation)
        if names.HEAD in entries:
            head = replace(head, note=f"{names.SCORE}; {names.HEAD}, which is there too, is not used")
    _refuse_unread(config, entries, path, quantisation, spared=() if layout == "causal-lm" else (names.HEAD,))
    stored = prompt_of_folder(folder, fields)
    checkpoint = Checkpoint(
        name,
        folder,
        layout,
        config,
        tensors,
        head,
        lambda: read_tokenizer(folder),
        stored_prompt=stored,
        instruction=stored.instruction,
    )
    return as_cross_encoder(checkpoint, folder)


def _open_embedding(
    folder: Path,
    name: str,
    config: ModelConfig,
    entries: TrackedTensors[TensorEntry],
    path: Path,
    quantisation: Quantisation | None,
) -> Checkpoint:
    # Whatever the configuration says of a head, none is expected and none is counted.
    config = replace(config, tie_word_embeddings=True)
    tensors = _needed(config, entries, path, quantisation, bare=has_bare_names(entries))
    _refuse_unread(config, entries, path, quantisation, spared=(names.HEAD,))
    prompts = stored_prompts(folder)
    return Checkpoint(name, folder, "embedding", config, tensors, None, lambda: read_tokenizer(folder), prompts=prompts)


def _read_config(folder: Path) -> tuple[ModelConfig, Mapping[str, Any]]:
    path = folder / _CONFIG
    if not path.is_file():
        raise no_model(folder, f"{path}: missing")
    fields = read_object(path)
    config = ModelConfig.from_json(fields, str(path))
    architectures = fields.get("architectures", [_CAUSAL_LM])
    known = (_CAUSAL_LM, _CLASSIFIER, _NETWORK)
    if not isinstance(architectures, list) or sum(each in architectures for each in known) != 1:
        raise UnsupportedModelError(
            f"{path}: architectures must name one of {', '.join(known)}, got {shown(architectures)}; other judges on a "
            "Qwen3 network are not run"
        )
    return config, fields


def _words_head(
    config: ModelConfig,
    tensors: dict[str, Tensor],
    entries: Mapping[str, TensorEntry],
    path: Path,
    quantisation: Quantisation | None,
) -> tuple[ModelConfig, ScoreHead]:
    """The language-model head, and the configuration with what is true of it. One of its own goes into `tensors`."""
    if not config.tie_word_embeddings:
        return config, ScoreHead(tensors[names.HEAD])
    words = tensors[names.EMBEDDING]
    if not any(stored in entries for stored in _stored_names(names.HEAD, quantisation)):
        return config, ScoreHead(words)
    own = _tensor(names.HEAD, words.shape, entries, path, quantisation)
    if is_same(own, words):
        return config, ScoreHead(words)
    _LOG.warning("%s: %s is %s, as in transformers 5; set tie_word_embeddings to false", path, names.HEAD, UNTIED)
    tensors[names.HEAD] = own
    return replace(config, tie_word_embeddings=False), ScoreHead(own, note=UNTIED)


def _stored_names(name: str, quantisation: Quantisation | None) -> tuple[str, ...]:
    return (name,) if quantisation is None else quantisation.stored_names(name)


def _refuse_unread(
    config: ModelConfig,
    entries: TrackedTensors[TensorEntry],
    path: Path,
    quantisation: Quantisation | None,
    spared: Collection[str],
) -> None:
    """spared: names that the layout does not need, though others do."""
    needed = (*(name for name, _ in names.expected_shapes(config)), names.SCORE) if quantisation else ()
    written = (name for published in (*needed, *spared) for name in {published, names.bare_name(published)})
    known = {stored for name in written for stored in _stored_names(name, quantisation)}
    entries.refuse_unread(path, f"{_CONFIG}: num_hidden_layers", config.num_hidden_layers, known)


def _classifier(
    config: ModelConfig,
    fields: Mapping[str, Any],
    entries: Mapping[str, TensorEntry],
    path: Path,
    quantisation: Quantisation | None,
) -> ScoreHead:
    score = entries.get(names.SCORE)
    if score is None and quantisation is not None:
        score = quantisation.entry_of_rows(names.SCORE, entries)
    if score is None:
        raise CheckpointError(
            f"{path}: tensor {names.SCORE!r} is missing, though {_CONFIG} says {_CLASSIFIER}; a head is never made up: "
            f'fetch the checkpoint again, or write "architectures": ["{_CAUSAL_LM}"] if it is one'
        )
    tensor = _tensor(names.SCORE, score_shape(score, config.hidden_size), entries, path, quantisation)
    return score_head(tensor, entries.get(SCORE_BIAS), fields, str(path.parent / _CONFIG))


def _needed(
    config: ModelConfig,
    entries: Mapping[str, TensorEntry],
    path: Path,
    quantisation: Quantisation | None,
    bare: bool = False,
) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, shape in names.expected_shapes(config):
        stored = names.bare_name(name) if bare else name
        tensors[name] = replace(_tensor(stored, shape, entries, path, quantisation), name=name)
    return tensors


def _tensor(
    name: str, shape: tuple[int, ...], entries: Mapping[str, TensorEntry], path: Path, quantisation: Quantisation | None
) -> StoredTensor | QuantisedTensor:
    decoded = None if quantisation is None else quantisation.matrix(name, shape, entries, path)
    if decoded is not None:
        return decoded
    if name not in entries:
        raise _missing(name, entries, path, quantisation)
    return shaped_tensor(name, shape, entries[name], _CONFIG)


def _missing(
    name: str, entries: Mapping[str, TensorEntry], where: Path, quantisation: Quantisation | None
) -> CheckpointError:
    if any(".lora_A." in each or ".base_layer." in each for each in entries):
        return CheckpointError(
            f"{where}: tensor {name!r} is missing, and tensors of an adapter are there: a model saved with peft's "
            "layers in it; merge it first (merge_and_unload, then save_pretrained)"
        )
    other = next((each for each in entries if each.startswith(name.removesuffix("weight"))), None)
    if other is not None:
        said = f"and {quantisation.format.name} has no such part" if quantisation else f"and {_CONFIG} says no format"
        return CheckpointError(
            f"{where}: tensor {name!r} is missing, but {shown(other)} is there, {said}; configuration and weights are "
            "not of one model: fetch all files of one, or take an unquantised checkpoint or a GGUF"
        )
    if name == names.HEAD:
        return CheckpointError(
            f"{where}: tensor {name!r} is missing and {_CONFIG} says tie_word_embeddings is false; a head is never "
            "made up: add its tensor from the original model, or set tie_word_embeddings to true if it was trained so"
        )
    bare_name = names.bare_name(name)
    if bare_name != name and bare_name in entries:
        return CheckpointError(
            f"{where}: tensor {name!r} is missing, but {bare_name!r} is there: names without 'model.' are those of a "
            f"network without a head, but {MODULES} names no Pooling, as that of a Qwen3-Embedding does; fetch all "
            "files of one model"
        )
    return CheckpointError(
        f"{where}: tensor {name!r} is missing ({len(entries)} others are there); the checkpoint is incomplete or no "
        "Qwen3, and weights are never made up: fetch it again"
    )
