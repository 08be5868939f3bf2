"""A PEFT folder with a LoRA adapter -> its base's checkpoint with merged matrices.

Layout: PeftModel.save_pretrained of peft 0.21. The file's tensors say which matrices are adapted; target_modules is
compared with them where it is a list, as no regular expression of a checkpoint is run that could take long.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.tokens import TokenizerJson
from qwen3_reranker.weights import names
from qwen3_reranker.weights.checkpoint import Checkpoint, ScoreHead
from qwen3_reranker.weights.classifier import score_head, score_shape
from qwen3_reranker.weights.hub import is_bundled, resolve
from qwen3_reranker.weights.merged import MergedTensor
from qwen3_reranker.weights.safetensors import TensorEntry, read_entries
from qwen3_reranker.weights.shards import shaped_tensor, weights_file
from qwen3_reranker.weights.tensor import Source, Tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_MERGE = "merge it with peft (merge_and_unload, then save_pretrained) and use the merged folder"
# Fields that change nothing of what is merged here, or that are looked at one by one. What is in neither must be unset:
# it names a variant of LoRA that is merged in another way.
_READ = frozenset(
    (
        *("alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "eva_config"),
        *("exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform"),
        *("lora_alpha", "lora_dropout", "lora_dtype", "megatron_core", "modules_to_save", "peft_type", "peft_version"),
        *("qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "task_type"),
        *("unsloth_fixed", "use_rslora", "velora_config"),
    )
)
# pissa, olora, corda, loftq and their like change the base's weights too.
_KEEPING_THE_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
# Without repetition a pattern takes no time to speak of, whoever wrote it.
_SAFE_PATTERN = re.compile(r"[\w.^$\\|()-]{1,256}", re.ASCII)
_MOST_PATTERNS = 10_000


def open_adapter(folder: Path, name: str, open_base: Callable[[Path], Checkpoint]) -> Checkpoint:
    """The base's checkpoint with the folder's adapter merged into it; reads headers only.

    open_base opens the folder that base_model_name_or_path names: next to the adapter, or where a model is found.
    Raises ModelNotFoundError for a base that is nowhere, CheckpointError naming the field or the tensor of an adapter
    that is damaged, does not fit, or is more than LoRA on the layers' matrices and a trained head.
    """
    path = folder / CONFIG
    fields = read_object(path)
    _refuse_other_adapters(fields, path)
    entries = _entries(folder)
    base = open_base(_base_folder(fields, folder, path))
    merged = _merged(entries, base, fields, path)
    head = _head(entries, base, fields, path)
    own_tokenizer = folder / "tokenizer.json"
    return replace(
        base,
        name=name,
        folder=folder,
        layout="lora",
        tensors={**base.tensors, **merged},
        stored_head=head,
        read_tokenizer=(lambda: TokenizerJson.read(own_tokenizer)) if own_tokenizer.is_file() else base.read_tokenizer,
    )


def _refuse_other_adapters(fields: Mapping[str, Any], path: Path) -> None:
    if fields.get("peft_type") != "LORA":
        raise CheckpointError(f"{path}: peft_type must be LORA, got {shown(fields.get('peft_type'))}; {_MERGE}")
    if fields.get("bias", "none") != "none":
        raise CheckpointError(f"{path}: bias must be none, got {shown(fields['bias'])}: Qwen3 has no biases; {_MERGE}")
    initial = fields.get("init_lora_weights")
    if initial not in _KEEPING_THE_BASE:
        raise CheckpointError(
            f"{path}: init_lora_weights {shown(initial)} changes the base's weights as well; save the adapter again "
            f"with path_initial_model_for_weight_conversion, or {_MERGE}"
        )
    for field, value in fields.items():
        if value and field not in _READ and not (field == "loftq_config" and initial != "loftq"):
            raise CheckpointError(
                f"{path}: {shown(field)} is {shown(value)}, which is not plain LoRA and is not merged here; {_MERGE}"
            )


def _entries(folder: Path) -> dict[str, TensorEntry]:
    """The adapter's tensors under the base's names."""
    path = folder / WEIGHTS
    if (whole := weights_file(folder)) is not None:
        raise CheckpointError(
            f"{folder}: holds a whole model ({whole.name}) and an adapter ({CONFIG}), so which is meant is open; "
            "move one of them into a folder of its own"
        )
    if not path.exists():
        pickled = (folder / "adapter_model.bin").exists()
        raise CheckpointError(
            f"{path}: missing; "
            + (
                "adapter_model.bin holds pickled weights, which are never read because loading them runs code: "
                "save the adapter with safe_serialization=True"
                if pickled
                else "fetch the adapter again"
            )
        )
    entries = read_entries(path)
    for name in entries:
        if not name.startswith(_PREFIX):
            raise CheckpointError(
                f"{path}: tensor {shown(name)}: expected a name that begins with {_PREFIX}, as peft writes it"
            )
    return {name.removeprefix(_PREFIX): entry for name, entry in entries.items()}


def _base_folder(fields: Mapping[str, Any], folder: Path, path: Path) -> Path:
    base, revision = fields.get("base_model_name_or_path"), fields.get("revision")
    where = f"{path}: base_model_name_or_path"
    if not isinstance(base, str) or not base or not isinstance(revision, str | None):
        raise CheckpointError(
            f"{where} must be a folder or a Hub id, and revision a string or null, got {shown(base)} and "
            f"{shown(revision)}; write where the adapter's base is"
        )
    neighbour = folder / base
    if neighbour.is_dir():
        return neighbour
    on_disk = is_bundled(base) or os.path.exists(os.path.expanduser(base))
    try:
        found = resolve(base, None if on_disk else revision)
    except InputError as error:
        raise ModelNotFoundError(
            f"{where} is {shown(base)}: {error}; write the folder of the adapter's base, or its Hub id, there"
        ) from None
    if not found.is_dir():
        raise CheckpointError(f"{where} is {shown(base)}: expected a folder of safetensors, got a file")
    return found


def _merged(
    entries: Mapping[str, TensorEntry], base: Checkpoint, fields: Mapping[str, Any], path: Path
) -> dict[str, MergedTensor]:
    """Each adapted matrix by its name in the base."""
    matrices = {
        name.removesuffix(".weight"): tensor
        for name, tensor in base.tensors.items()
        if name.startswith("model.layers.") and len(tensor.shape) == 2
    }
    adapted = _adapted_modules(entries, matrices)
    _compare_targets(fields, matrices, adapted, path)
    scales, source = _Scales(fields, path), Source.of(path)
    merged = {}
    for module in adapted:
        tensor = matrices[module]
        outputs, inputs = tensor.shape
        rank, scale = scales.of(module)
        down = shaped_tensor(module + _DOWN, (rank, inputs), entries[module + _DOWN], f"{CONFIG} and the base")
        up = shaped_tensor(module + _UP, (outputs, rank), entries[module + _UP], f"{CONFIG} and the base")
        merged[tensor.name] = MergedTensor(tensor, up, down, scale, source)
    return merged


def _adapted_modules(entries: Mapping[str, TensorEntry], matrices: Mapping[str, Tensor]) -> list[str]:
    adapted = []
    for name, entry in entries.items():
        if name in (names.SCORE, names.HEAD):
            continue
        module, end = next(((name.removesuffix(end), end) for end in (_DOWN, _UP) if name.endswith(end)), (name, ""))
        if not end or module not in matrices:
            raise CheckpointError(
                f"{entry.source.path}: tensor {shown(_PREFIX + name)}: expected lora_A and lora_B of the base's seven "
                f"matrices a layer, {names.SCORE} or {names.HEAD}; the adapter is of another network, or {_MERGE}"
            )
        other = module + (_UP if end == _DOWN else _DOWN)
        if other not in entries:
            raise CheckpointError(
                f"{entry.source.path}: tensor {shown(_PREFIX + other)} is missing beside {shown(_PREFIX + name)}; "
                "the adapter is incomplete, fetch it again"
            )
        if end == _DOWN:
            adapted.append(module)
    return adapted


def _compare_targets(fields: Mapping[str, Any], matrices: Mapping[str, Tensor], adapted: list[str], path: Path) -> None:
    targets = fields.get("target_modules")
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        return
    endings = set(targets)

    def is_targeted(module: str) -> bool:
        parts = module.split(".")
        return any(".".join(parts[start:]) in endings for start in range(len(parts)))

    present = set(adapted)
    narrowed = any(fields.get(field) for field in ("exclude_modules", "layers_to_transform"))
    for module in matrices:
        if is_targeted(module) != (module in present) and (module in present or not narrowed):
            problem = "has no tensors for it" if module not in present else "has tensors for it all the same"
            raise CheckpointError(
                f"{path}: target_modules {'names' if is_targeted(module) else 'does not name'} {module}, but {WEIGHTS} "
                f"{problem}; the two files are not of one adapter, fetch it again"
            )


class _Scales:
    """Rank, and scale of the product, of each adapted module, as adapter_config.json says."""

    def __init__(self, fields: Mapping[str, Any], path: Path) -> None:
        self._path = path
        self._rank, self._alpha = fields.get("r"), fields.get("lora_alpha")
        self._ranks, self._alphas = (self._patterns(fields, name) for name in ("rank_pattern", "alpha_pattern"))
        self._is_rank_stabilised = bool(fields.get("use_rslora"))

    def of(self, module: str) -> tuple[int, float]:
        """alpha / rank, or alpha / sqrt(rank) where it is rank-stabilised (arXiv 2312.03732)."""
        rank, alpha = self._first(self._ranks, module, self._rank), self._first(self._alphas, module, self._alpha)
        if type(rank) is not int or rank < 1:
            raise CheckpointError(f"{self._path}: r of {module} must be a positive whole number, got {shown(rank)}")
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise CheckpointError(f"{self._path}: lora_alpha of {module} must be a number, got {shown(alpha)}")
        return rank, alpha / (math.sqrt(rank) if self._is_rank_stabilised else rank)

    def _patterns(self, fields: Mapping[str, Any], name: str) -> list[tuple[re.Pattern[str], Any]]:
        table = fields.get(name) or {}
        if not isinstance(table, dict) or len(table) > _MOST_PATTERNS:
            raise CheckpointError(f"{self._path}: {name} must be an object of module -> number, got {shown(table)}")
        patterns = []
        for key, value in table.items():
            try:
                if _SAFE_PATTERN.fullmatch(key) is None:
                    raise re.error("repetitions and sets are not run")
                # As in peft's get_pattern_key.
                patterns.append((re.compile(rf"(.*\.)?({key})$"), value))
            except re.error as error:
                raise CheckpointError(
                    f"{self._path}: {name}: expected a module's name, got {shown(key)} ({error}); write the names out, "
                    f"or {_MERGE}"
                ) from None
        return patterns

    @staticmethod
    def _first(patterns: list[tuple[re.Pattern[str], Any]], module: str, otherwise: Any) -> Any:
        return next((value for pattern, value in patterns if pattern.match(module)), otherwise)


def _head(entries: Mapping[str, TensorEntry], base: Checkpoint, fields: Mapping[str, Any], path: Path) -> ScoreHead:
    """The adapter's own head, if it has trained one, or else its base's."""
    saved = fields.get("modules_to_save") or []
    for name in (names.SCORE, names.HEAD):
        if isinstance(saved, list) and name.removesuffix(".weight") in saved and name not in entries:
            raise CheckpointError(
                f"{path.parent / WEIGHTS}: tensor {_PREFIX + name!r} is missing, though modules_to_save names it; "
                "the adapter is incomplete, fetch it again"
            )
    is_classifier = base.head.tensor.name == names.SCORE
    if names.HEAD in entries and (is_classifier or names.SCORE in entries):
        raise CheckpointError(
            f"{path.parent / WEIGHTS}: holds {names.HEAD!r}, but the judge is {names.SCORE!r}; "
            "the adapter is of another network"
        )
    if names.SCORE in entries:
        config_path = base.folder / "config.json"
        score, labels = entries[names.SCORE], read_object(config_path)
        # What a language model's config.json says of labels is a default of transformers.
        labels = labels if is_classifier or score.shape[:1] != (1,) else {}
        tensor = shaped_tensor(names.SCORE, score_shape(score, base.config.hidden_size), score, "config.json")
        return score_head(tensor, None, labels, str(config_path))
    if names.HEAD in entries:
        shape = (base.config.vocab_size, base.config.hidden_size)
        return ScoreHead(
            shaped_tensor(names.HEAD, shape, entries[names.HEAD], "the base's config.json"), base.head.labels
        )
    if fields.get("task_type") == "SEQ_CLS" and not is_classifier:
        raise CheckpointError(
            f"{path}: task_type is SEQ_CLS, but neither adapter nor base holds {names.SCORE!r}; a head is never made "
            "up: save the adapter again with modules_to_save=['score']"
        )
    return base.head
