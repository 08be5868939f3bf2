"""What the caller calls a model -> a local folder or .gguf file; fetches safetensors, JSON and at most one .gguf."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError

BUNDLED = ("nano",)
FETCHED = ("*.safetensors", "*.json")
# What this package keeps beside a model (backends/cpu/disk_cache.py) is made here and believed by its name.
NEVER_FETCHED = (".qwen3_reranker/*",)

_NAME = r"[A-Za-z0-9][\w.-]*"
_HUB_ID = re.compile(rf"{_NAME}/{_NAME}(:({_NAME}/)*{_NAME}\.gguf)?", re.ASCII)
_EXPECTED = (
    "expected nano (comes with the package), a folder, a .gguf file, or a Hub id like Qwen/Qwen3-Reranker-0.6B or "
    "owner/name:file.gguf"
)


def resolve(model: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder or .gguf file that holds `model`; a Hub id is fetched unless it is cached, at `revision` if given.

    A folder, or a repository on the Hub, that holds one .gguf file and no safetensors is that file.
    Raises ModelNotFoundError if there is no such model or it cannot be fetched, InputError where one of several .gguf
    files must be named and for a revision of anything that is not on the Hub.
    """
    name = os.fspath(model)
    path = _local(name)
    if path is not None and revision is not None:
        raise InputError(f"revision {revision!r} was asked for, but {name!r} is not on the Hub; leave the revision out")
    return _fetch(name, revision) if path is None else path


def _local(name: str) -> Path | None:
    if name in BUNDLED:
        return _bundled(name)
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return _folder_or_gguf(Path(path))
    if os.path.isfile(path):
        if path.endswith(".gguf"):
            return Path(path)
        raise ModelNotFoundError(f"{path!r} is a file: pass the folder that holds it; {_EXPECTED}")
    if _HUB_ID.fullmatch(name) is None or (name.endswith(".gguf") and ":" not in name):
        raise ModelNotFoundError(f"no model {name!r}: there is no such file or folder; {_EXPECTED}")
    return None


def _folder_or_gguf(folder: Path) -> Path:
    try:
        found = sorted(path.name for path in folder.iterdir() if path.suffix in (".safetensors", ".gguf"))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror})") from None
    if not found or any(name.endswith(".safetensors") for name in found):
        return folder
    if len(found) > 1:
        raise InputError(f"{folder} holds {len(found)} GGUF files ({_listed(found)}): pass the path of one of them")
    return folder / found[0]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _bundled(name: str) -> Path:
    folder = files("qwen3_reranker.weights") / "bundled" / name
    if not isinstance(folder, Path) or not folder.is_dir():
        raise ModelNotFoundError(f"the bundled model {name!r} is not in this installation; install the package again")
    return folder


def _fetch(name: str, revision: str | None) -> Path:
    # Imported here: a bundled or local model must not wait for it.
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, file = name.partition(":")
    try:
        return _obtained(repository, file, revision)
    except (CheckpointError, InputError):
        raise
    except GatedRepoError:
        problem = f"{name!r} is gated: accept its terms on its Hub page, then log in with `hf auth login`"
    except RepositoryNotFoundError:
        problem = (
            f"no model {name!r}: there is neither such a folder nor such a Hub repository; {_EXPECTED}; "
            "if it is private, log in with `hf auth login`"
        )
    except RevisionNotFoundError:
        problem = f"{name!r} has no revision {revision!r} on the Hub: expected a branch, a tag or a full commit hash"
    except HFValidationError:
        problem = f"no model {name!r}: not a valid Hub id; {_EXPECTED}"
    except LocalEntryNotFoundError:
        problem = (
            f"{name!r} (revision {revision or 'main'}) is not wholly in the Hub's cache and the Hub cannot be reached: "
            "go online once (HF_HUB_OFFLINE unset), or pass nano or a folder"
        )
    except Exception as error:
        # Which network library raises here differs between releases of huggingface_hub. Where a proxy refuses, it has
        # not yet looked into its cache, as it does for every other lack of a network.
        with suppress(OSError):
            return _obtained(repository, file, revision, local_files_only=True)
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        problem = (
            f"{name!r} could not be fetched from the Hub ({type(error).__name__}: {reason}): "
            "check the network and the disk and try again, or pass nano or a folder"
        )
    raise ModelNotFoundError(problem)


def _obtained(repository: str, file: str, revision: str | None, local_files_only: bool = False) -> Path:
    """The folder of a repository's snapshot, or the GGUF file in it that is named or the only model there is."""
    if not file:
        folder = _snapshot(repository, revision, FETCHED, local_files_only)
        if any(folder.rglob("*.safetensors")):
            return folder
        files = _gguf_files(repository, revision, folder, local_files_only)
        if len(files) > 1:
            raise InputError(
                f"{repository!r} holds {len(files)} GGUF files ({_listed(files)}): say which one, like "
                f"{repository}:{files[0]}"
            )
        if not files:
            # What is missing in a folder of JSON alone is told by whoever opens it.
            if folder.is_dir():
                return folder
            raise CheckpointError(
                f"{repository!r}: the Hub repository holds no safetensors, no JSON and no GGUF; nothing else is read"
            )
        [file] = files
    path = _snapshot(repository, revision, (file,), local_files_only) / file
    if not path.is_file():
        raise ModelNotFoundError(f"{repository!r} holds no file {file!r}, or it is not in the Hub's cache")
    return path


def _gguf_files(repository: str, revision: str | None, folder: Path, local_files_only: bool) -> list[str]:
    """The names of the repository's GGUF files; without a network, of those in its cached snapshot."""
    from huggingface_hub import HfApi

    if local_files_only:
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.gguf"))
    siblings = HfApi().model_info(repository, revision=revision).siblings or []
    return sorted(sibling.rfilename for sibling in siblings if sibling.rfilename.endswith(".gguf"))


def _snapshot(name: str, revision: str | None, patterns: Sequence[str], local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import tqdm

    class TerminalBar(tqdm):
        """The Hub's progress bar, on a terminal only: `disable=None` is tqdm's word for that."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = options.get("disable") or None
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]

    return Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(patterns),
            ignore_patterns=list(NEVER_FETCHED),
            local_files_only=local_files_only,
            tqdm_class=TerminalBar,
        )
    )
