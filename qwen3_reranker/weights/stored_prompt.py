"""A checkpoint's files -> which prompt its judge reads, as far as they say so. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError
from qwen3_reranker.json_object import read_object, shown
from qwen3_reranker.prompt import TEMPLATES
from qwen3_reranker.weights.chat_template import ReadTemplate, read_chat_template, read_placeholders
from qwen3_reranker.weights.gguf_metadata import Metadata
from qwen3_reranker.weights.modules import INPUT, MODULES

TEMPLATE_FILE = "chat_template.jinja"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_RERANK = "tokenizer.chat_template.rerank"
# Keys of gguf-py/gguf/constants.py under which a file may say what it is; base models are counted from 0.
_NAMES = ("general.name", "general.basename", "general.finetune")
_BASE_NAMES = ("name", "repo_url")
_MOST_BASES = 4
_OURS = "qwen3reranker"
_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """What a checkpoint's files say of the prompt that its judge reads.

    name: of the prompt that they hold; None where they hold none. instruction: what that prompt says of relevance where
    it is given none. unknown: what shows that these files are another judge's, which is run only with a prompt that the
    caller names; empty for all others. note: what a caller who names no prompt should know.
    """

    name: str | None = None
    instruction: str | None = None
    unknown: str = ""
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the files leave open which of our prompts it is, as the note says."""
        return self.name is None and bool(self.note)


NOTHING_STORED = StoredPrompt()


def prompt_of_folder(folder: Path, fields: Mapping[str, Any]) -> StoredPrompt:
    """What a folder says: its chat template, its own code, and how sentence-transformers feeds it.

    fields: those of config.json. Raises CheckpointError for files that cannot be read.
    """
    if code := fields.get("auto_map"):
        return StoredPrompt(
            unknown=f"{folder / 'config.json'}: auto_map names code of its own, {shown(code)}, which is never run"
        )
    place, read = _chat_template(folder)
    if read is not None and read.prompt is not None:
        return StoredPrompt(read.prompt, read.instruction, note=_differs(place, read))
    is_fed = _is_fed_a_template(folder)
    if read is not None and (read.reads_pairs or is_fed):
        return StoredPrompt(unknown=f"{place}: the chat template is not Qwen3-Reranker's, it writes {_said(read)}")
    if is_fed is False:
        return StoredPrompt(
            note=f"{folder / INPUT}: the model reads plain text and has no template for pairs, so its files do not say "
            'which prompt it was trained with. prompt="card" is used; choose prompt="pair" if it was trained on pairs '
            'of a query and a document without a prompt, and prompt="card" if on the prompt of Qwen3-Reranker'
        )
    return NOTHING_STORED


def prompt_of_gguf(metadata: Metadata, has_head: bool) -> StoredPrompt:
    """The prompt that a GGUF file tells: its template for reranking, or without a head its names."""
    if _RERANK in metadata:
        read = read_placeholders(metadata.text(_RERANK))
        place = f"{metadata.path}: {_RERANK}"
        if read.prompt is None:
            return StoredPrompt(unknown=f"{place} is not Qwen3-Reranker's, it writes {_said(read)}")
        return StoredPrompt(read.prompt, read.instruction, note=_differs(place, read))
    keys = [*_NAMES, *(f"general.base_model.{n}.{name}" for n in range(_MOST_BASES) for name in _BASE_NAMES)]
    names = {key: metadata.text(key) for key in keys if key in metadata}
    if has_head or any(_OURS in re.sub(r"[^a-z0-9]", "", name.lower()) for name in names.values()):
        return NOTHING_STORED
    called = ", ".join(f"{key} {shown(name)}" for key, name in names.items()) or "no name at all"
    return StoredPrompt(
        unknown=f"{metadata.path}: has no head for reranking, and its own names do not say Qwen3-Reranker ({called})"
    )


def _chat_template(folder: Path) -> tuple[str, ReadTemplate | None]:
    """The place of the folder's chat template and what it says. None where it has none."""
    path = folder / TEMPLATE_FILE
    if path.is_file():
        return str(path), read_chat_template(_text(path))
    path = folder / _TOKENIZER_CONFIG
    if not path.is_file():
        return "", None
    stored = read_object(path).get("chat_template")
    if isinstance(stored, list):
        # As transformers 4 saved several; "default" is the one that is used.
        named = {each.get("name"): each.get("template") for each in stored if isinstance(each, dict)}
        stored = named.get("default")
    return str(path), read_chat_template(stored) if isinstance(stored, str) and stored else None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError(f"{path}: expected a chat template of at most {_MOST_BYTES:,} bytes, got more")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not UTF-8 at byte {error.start}; fetch the file again") from None


def _is_fed_a_template(folder: Path) -> bool | None:
    """Whether sentence-transformers puts pairs through the chat template. None for a folder that it did not write."""
    if not (folder / MODULES).exists() or not (folder / INPUT).exists():
        return None
    modalities = read_object(folder / INPUT).get("modality_config")
    return "message" in modalities if isinstance(modalities, dict) else None


def _differs(place: str, read: ReadTemplate) -> str:
    if not read.exact:
        return f"{place}: differs in blank space from Qwen3-Reranker's prompt, which is used"
    if read.prompt == "card" or read.prompt is None or TEMPLATES[read.prompt].default_instruction is None:
        return ""
    return (
        f'{place}: the stored prompt is {read.prompt}, a variant of Qwen3-Reranker\'s, and is used; prompt="card" is '
        "the model card's own"
    )


def _said(read: ReadTemplate) -> str:
    return shown(read.text.replace("\0", "...")) if read.text.strip("\0") else "the bare texts"
