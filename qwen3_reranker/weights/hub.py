"""What the caller calls a model (nano, a folder, a Hub id) -> a local folder; fetches safetensors and JSON alone."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError

BUNDLED = ("nano",)
FETCHED = ("*.safetensors", "*.json")
# What this package keeps beside a model (backends/cpu/disk_cache.py) is made here and believed by its name.
NEVER_FETCHED = (".qwen3_reranker/*",)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_EXPECTED = "expected nano (comes with the package), a folder, or a Hub id like Qwen/Qwen3-Reranker-0.6B"


def resolve(model: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder that holds `model`; a Hub id is fetched unless its files are cached, at `revision` if given.

    Raises ModelNotFoundError if there is no such model or it cannot be fetched, CheckpointError for a GGUF file,
    InputError for a revision of anything that is not on the Hub.
    """
    name = os.fspath(model)
    folder = _local(name)
    if folder is not None and revision is not None:
        raise InputError(f"revision {revision!r} was asked for, but {name!r} is not on the Hub; leave the revision out")
    return _fetch(name, revision) if folder is None else folder


def _local(name: str) -> Path | None:
    if name in BUNDLED:
        return _bundled(name)
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return Path(path)
    if os.path.isfile(path):
        if path.endswith(".gguf"):
            raise CheckpointError(f"{path}: GGUF is not read yet; use the safetensors checkpoint")
        raise ModelNotFoundError(f"{path!r} is a file: pass the folder that holds it; {_EXPECTED}")
    if _HUB_ID.fullmatch(name) is None or name.endswith(".gguf"):
        raise ModelNotFoundError(f"no model {name!r}: there is no such file or folder; {_EXPECTED}")
    return None


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

    try:
        return _snapshot(name, revision)
    except CheckpointError:
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
            return _snapshot(name, revision, local_files_only=True)
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        problem = (
            f"{name!r} could not be fetched from the Hub ({type(error).__name__}: {reason}): "
            "check the network and the disk and try again, or pass nano or a folder"
        )
    raise ModelNotFoundError(problem)


def _snapshot(name: str, revision: str | None, local_files_only: bool = False) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import tqdm

    class TerminalBar(tqdm):
        """The Hub's progress bar, on a terminal only: `disable=None` is tqdm's word for that."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = options.get("disable") or None
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]

    folder = Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(FETCHED),
            ignore_patterns=list(NEVER_FETCHED),
            local_files_only=local_files_only,
            tqdm_class=TerminalBar,
        )
    )
    if not folder.is_dir():
        raise CheckpointError(f"{name!r}: the Hub repository holds no safetensors and no JSON; nothing else is read")
    return folder
