"""A CrossEncoder -> a folder, or a repository of the Hub, that sentence-transformers and this package open."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from qwen3_reranker.compat.activations import stored_name
from qwen3_reranker.convert import convert
from qwen3_reranker.errors import InputError
from qwen3_reranker.json_object import read_object
from qwen3_reranker.weights.modules import SETTINGS

if TYPE_CHECKING:
    from qwen3_reranker.compat.pair_encoder import CrossEncoder

_WEIGHTS, _CARD = "model.safetensors", "README.md"


def save(
    encoder: CrossEncoder,
    path: str | os.PathLike[str],
    model_name: str | None,
    create_model_card: bool,
    train_datasets: Iterable[str],
    safe_serialization: bool = True,
) -> None:
    """Write the model into a folder, made if missing; arguments and errors are those of `save_pretrained`."""
    activation = stored_name(encoder.activation_fn)
    if not safe_serialization:
        raise InputError("weights are written as safetensors alone, as a pickle runs code: leave safe_serialization")
    folder = Path(path).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    others = [each.name for each in folder.glob("*.safetensors*") if each.name != _WEIGHTS]
    if others:
        raise InputError(f"{folder} holds other weights ({others[0]}), which a loader may take: choose another folder")
    # Written aside and moved file by file, as the folder may hold other things, and the open model itself.
    with TemporaryDirectory(dir=folder, prefix=".saving-") as scratch:
        checkpoint = encoder.reranker.checkpoint
        model = convert(
            checkpoint, Path(scratch) / "model", "sentence-transformers", prompt=encoder.reranker.options.prompt
        ).path
        settings = {
            **read_object(model / SETTINGS),
            "activation_fn": activation,
            "prompts": dict(encoder.prompts),
            "default_prompt_name": encoder.default_prompt_name,
        }
        (model / SETTINGS).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if create_model_card:
            card = _card(model_name or folder.resolve().name, checkpoint.name, train_datasets)
            (model / _CARD).write_text(card, encoding="utf-8")
        for file in [each for each in model.rglob("*") if each.is_file()]:
            target = folder / file.relative_to(model)
            target.parent.mkdir(exist_ok=True)
            os.replace(file, target)


def push(
    encoder: CrossEncoder,
    repo_id: str,
    token: str | None = None,
    private: bool | None = None,
    safe_serialization: bool = True,
    commit_message: str | None = None,
    local_model_path: str | None = None,
    exist_ok: bool = False,
    replace_model_card: bool = False,
    train_datasets: Iterable[str] | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Save into a repository, made if missing; returns the address of the commit, or of the pull request.

    exist_ok: a repository that exists is no error. local_model_path: a saved folder to upload instead. A model card
    that the repository has stays, unless replace_model_card. Raises the errors of huggingface_hub and of `save`.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repository = api.create_repo(repo_id, private=private, exist_ok=exist_ok or create_pr).repo_id
    if revision is not None:
        api.create_branch(repository, branch=revision, exist_ok=True)
    with TemporaryDirectory() as scratch:
        if local_model_path is None:
            has_card = not replace_model_card and api.file_exists(repository, _CARD, revision=revision)
            save(encoder, scratch, repository, not has_card, train_datasets or (), safe_serialization)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=local_model_path or scratch,
            commit_message=commit_message or "Add new CrossEncoder model",
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.pr_url if create_pr else commit.commit_url)


def _card(name: str, base: str, datasets: Iterable[str]) -> str:
    """The README.md of a saved model, with front matter for the Hub."""
    front = ["pipeline_tag: text-ranking", "library_name: sentence-transformers", "tags: [reranker, qwen3]"]
    if not Path(base).exists() and "/" in base:
        front.append(f"base_model: {json.dumps(base.partition(':')[0])}")
    if named := list(datasets):
        front.append(f"datasets: {json.dumps(named)}")
    use = [
        "from sentence_transformers import CrossEncoder  # or: from qwen3_reranker.compat import CrossEncoder",
        "",
        f"model = CrossEncoder({json.dumps(name)})",
        'scores = model.predict([("query", "a document")])',
    ]
    return "\n".join(["---", *front, "---", "", f"# {name}", "", "```python", *use, "```", ""])
