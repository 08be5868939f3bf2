"""`push`: a model's folder or GGUF file -> a repository on the Hub; and what --push of other verbs does."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, only
from qwen3_reranker.cli.shared_options import PushOptions
from qwen3_reranker.cli.terminal import note, visible
from qwen3_reranker.errors import UploadError
from qwen3_reranker.option_fields import option

if TYPE_CHECKING:
    from qwen3_reranker.hub import Upload

_MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class UploadOptions:
    """How a model is sent."""

    group: ClassVar[str] = "Hub"
    base: str | None = option(
        None, "What it was made from: a Hub id, nano or a folder, where its card does not say so.", unit="MODEL"
    )
    dry_run: bool = option(False, "Show what would be sent and its card, and send nothing.")


@declared
def push(
    model: Annotated[str, Argument(metavar="FOLDER_OR_GGUF")],
    repository: Annotated[str, Argument(metavar="OWNER/NAME")],
    *,
    options: UploadOptions,
    hub: Annotated[PushOptions, only("private")],
) -> None:
    """Send a model's folder or GGUF file to a repository of the Hub, with its card.

    Only files of the model are sent: weights, configuration, tokenizer, README.md, LICENSE. Data, states of an
    optimiser, logs and caches stay here. README.md is the card; what it lacks of license, languages and base is taken
    from the base's card, and where there is none one is made, which never replaces the repository's own. The token is
    that of HF_TOKEN or `hf auth login`. The files on this machine are not changed.

    Examples:
      qwen3-reranker push runs/first/model owner/name
      qwen3-reranker push model-q8_0.gguf owner/name --base Qwen/Qwen3-Reranker-0.6B --private
      qwen3-reranker push runs/first/model owner/name --dry-run
    """
    if options.dry_run:
        from qwen3_reranker.hub import prepare_upload

        upload = prepare_upload(model, repository, base=options.base)
        _show(upload)
        print(upload.card)
        return
    where = replace(hub, push=repository)
    check_push(where)
    print(send(Path(model), where, base=options.base))


def check_push(options: PushOptions) -> None:
    """Raise InputError or UploadError for a --push that would fail after the work."""
    if options.push:
        from qwen3_reranker.hub import check_access

        check_access(options.push)


def send(path: Path, options: PushOptions, **facts: Any) -> str:
    """Show what is sent to the repository of --push, send it, and return the address. facts: as for prepare_upload.

    Raises InputError and UploadError; the latter says how to try again.
    """
    from qwen3_reranker.hub import prepare_upload

    assert options.push is not None
    upload = prepare_upload(path, options.push, **facts)
    _show(upload)
    try:
        return upload.send(private=options.private)
    except UploadError as error:
        base = facts.get("base")
        again = shlex.join(
            [
                *("qwen3-reranker", "push", str(path), options.push),
                *(["--private"] if options.private else []),
                *(["--base", base] if base else []),
            ]
        )
        raise UploadError(f"{error}. The model is complete in {path}; to send it again: {again}") from None


def _show(upload: Upload) -> None:
    sizes = upload.sizes
    lines = [f"to {upload.repository}: {len(sizes)} files, {sum(sizes.values()):,} bytes"]
    lines += [f"  {name}  {size:,} bytes" for name, size in sizes.items()]
    if upload.left_out:
        shown = ", ".join(upload.left_out[:_MOST_SHOWN]) + (", ..." if len(upload.left_out) > _MOST_SHOWN else "")
        lines.append(f"  not sent: {shown}")
    for line in lines:
        print(visible(line), file=sys.stderr, flush=True)
    for remark in upload.remarks:
        note(remark)
