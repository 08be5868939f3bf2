"""A model and what it was made from -> its README.md, with the metadata that the Hub reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen3_reranker.errors import InputError
from qwen3_reranker.hub.model_files import README
from qwen3_reranker.json_object import read_object
from qwen3_reranker.model_facts import known
from qwen3_reranker.prompt import Template
from qwen3_reranker.weights import Checkpoint, resolve
from qwen3_reranker.weights.adapter import CONFIG as ADAPTER
from qwen3_reranker.weights.hub import is_bundled
from qwen3_reranker.weights.hub_name import read_hub_name

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

#: What a card calls the model before it has a place on the Hub.
THIS_FOLDER = "path/of/this/folder"
#: What a model has from the one that it was made from.
INHERITED = ("license", "license_name", "license_link", "language")
TAGS = ("reranker", "qwen3", "qwen3-reranker")
_LIBRARIES = {"sentence-transformers": "sentence-transformers", "gguf": "gguf", "lora": "peft"}
_RUNS_IN = {
    "causal-lm": "transformers, vLLM and SGLang run it too.",
    "seq-cls": "transformers, TEI and vLLM run it too.",
    "sentence-transformers": "sentence-transformers runs it too, as a CrossEncoder.",
    "gguf": "llama.cpp runs it too.",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was made from. name: for people. base: its id on the Hub, None for a model that is not there.

    metadata: what its card says that its offspring shares, license and languages among them.
    """

    name: str
    base: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def origin(model: str | os.PathLike[str]) -> Origin:
    """The origin that `model` is for what is made from it; reads files of this machine only.

    model: nano, a folder, a GGUF file or a Hub id. A folder's own README.md names its base and its license. Raises
    ModelNotFoundError for what is no name.
    """
    name = os.fspath(model)
    wanted = None if is_bundled(name) or os.path.exists(os.path.expanduser(name)) else read_hub_name(name)
    if wanted is not None:
        facts = known(wanted.repository)
        return Origin(wanted.repository, wanted.repository, {"license": facts.licence.lower()} if facts else {})
    path = resolve(model)
    card = read_card(path / README) if path.is_dir() else None
    data: Any = card.data if card else None
    metadata = data.to_dict() if card else {}
    base = metadata.get("base_model")
    if base is None and (path / ADAPTER).is_file():
        base = read_object(path / ADAPTER).get("base_model_name_or_path")
    is_on_hub = isinstance(base, str) and not is_bundled(base) and read_hub_name(base) is not None
    shown = f"{name}, the model that comes with qwen3_reranker" if is_bundled(name) else path.absolute().name
    return Origin(shown, base if is_on_hub else None, {key: metadata[key] for key in INHERITED if key in metadata})


def read_card(path: Path) -> ModelCard | None:
    """The README.md of a model, None where there is none. Raises InputError if its metadata cannot be read."""
    if not path.is_file():
        return None
    try:
        return parsed_card(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def parsed_card(text: str, name: str) -> ModelCard:
    """A card's text as metadata and body. Raises InputError, which calls it `name`, for metadata that is damaged."""
    from huggingface_hub import ModelCard

    if re.match(r"\s*---\r?\n", text) is None:
        text = f"---\n{{}}\n---\n{text}"
    try:
        return ModelCard(text)
    except Exception as error:
        # yaml's errors have no common base with those of huggingface_hub.
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: the metadata between the lines --- cannot be read ({reason})") from None


def card_text(
    origin: Origin, layout: str, body: Iterable[str], *, relation: str | None, results: Iterable[EvalResult] = ()
) -> str:
    """The README.md of a model in that layout: metadata, then the lines of the body.

    relation: to the base, as the Hub has it: finetune, adapter, quantized or merge; None leaves it out. results:
    measured on this model.
    """
    from huggingface_hub import ModelCardData

    made_from: dict[str, Any] = {"base_model": origin.base, "base_model_relation": relation} if origin.base else {}
    data = ModelCardData(
        **origin.metadata,
        **made_from,
        pipeline_tag="text-ranking",
        library_name=_LIBRARIES.get(layout, "transformers"),
        tags=list(TAGS),
        eval_results=list(results) or None,
        model_name="this model" if results else None,
    )
    return "\n".join(["---", data.to_yaml(), "---", "", *body]).rstrip("\n") + "\n"


def body_of(checkpoint: Checkpoint, origin: Origin | None, remarks: Iterable[str]) -> list[str]:
    """The body of a card for a model that has none. origin: None where nobody says what it was made from."""
    made = f"{origin.name}," if origin else "A Qwen3-Reranker model"
    return [
        f"# {THIS_FOLDER}",
        "",
        f"{made} in the layout {checkpoint.layout}, sent by qwen3_reranker {version('qwen3_reranker')}.",
        *remarks,
        *filter(None, [_RUNS_IN.get(checkpoint.layout)]),
        "",
        *use(checkpoint.template()),
    ]


def use(template: Template) -> list[str]:
    """The lines that say how to rank with the model, and with which prompt."""
    return [
        "## Use",
        "",
        "```python",
        "from qwen3_reranker import Reranker",
        "",
        f'reranker = Reranker("{THIS_FOLDER}")',
        'ranking = reranker.rank("query", ["a document", "another"])',
        "```",
        "",
        f"`qwen3-reranker convert {THIS_FOLDER} DESTINATION --to hf|seq-cls|sentence-transformers|gguf` writes it for "
        "transformers, vLLM, sentence-transformers or llama.cpp, and proves that scores stay the same.",
        "",
        f"Default instruction: `{template.default_instruction}`",
        "",
        "Prompt:",
        "",
        "```text",
        template.written(template.default_instruction or "", "{query}", "{document}").rstrip("\n"),
        "```",
        "",
    ]
