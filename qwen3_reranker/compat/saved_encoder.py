"""A CrossEncoder -> a folder, or a repository of the Hub, that sentence-transformers and this package open."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from qwen3_reranker.compat.activations import stored_name
from qwen3_reranker.convert import convert
from qwen3_reranker.errors import InputError
from qwen3_reranker.hub import origin, prepare_upload
from qwen3_reranker.hub.model_card import THIS_FOLDER, body_of, card_text, parsed_card
from qwen3_reranker.hub.model_files import README
from qwen3_reranker.json_object import read_object
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.modules import SETTINGS

if TYPE_CHECKING:
    from qwen3_reranker.compat.pair_encoder import CrossEncoder

_WEIGHTS = "model.safetensors"


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
            card = _card(model, checkpoint.name, model_name or str(folder), train_datasets)
            (model / README).write_text(card, encoding="utf-8")
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
    """Save into a repository, made if missing; returns its address, or that of the pull request.

    exist_ok: a repository that exists is no error. local_model_path: a saved folder to send instead. A model card that
    the repository has stays, unless replace_model_card. Raises UploadError where the Hub refuses, and the errors of
    `save`.
    """
    with TemporaryDirectory() as scratch:
        if local_model_path is None:
            save(encoder, scratch, repo_id, False, train_datasets or (), safe_serialization)
        upload = prepare_upload(local_model_path or scratch, repo_id, base=encoder.reranker.checkpoint.name)
        if train_datasets:
            upload = replace(upload, card=_with_datasets(upload.card, train_datasets))
        if replace_model_card:
            upload = replace(upload, card_is_new=False)
        return upload.send(
            private=bool(private),
            token=token,
            exist_ok=exist_ok or create_pr,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
        )


def _card(folder: Path, base: str, name: str, datasets: Iterable[str]) -> str:
    """The README.md of a saved model, which was made from `base`."""
    made_from = origin(base)
    text = card_text(made_from, "sentence-transformers", body_of(open_checkpoint(folder), made_from, ()), relation=None)
    return _with_datasets(text.replace(THIS_FOLDER, name), datasets)


def _with_datasets(card: str, datasets: Iterable[str]) -> str:
    if not (named := list(datasets)):
        return card
    parsed = parsed_card(card, README)
    vars(parsed.data)["datasets"] = named
    return str(parsed)
