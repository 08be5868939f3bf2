"""A model's name -> a local folder or GGUF file. Fetches safetensors, JSON, at most one GGUF model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from qwen3_reranker.config import refuse_other_networks
from qwen3_reranker.errors import CheckpointError, InputError, ModelNotFoundError, UnsupportedModelError
from qwen3_reranker.json_object import read_object
from qwen3_reranker.weights import gguf_names
from qwen3_reranker.weights.contents import foreign
from qwen3_reranker.weights.hub_name import HubName, is_server, read_hub_name

# A folder for each model that comes with the package.
_BUNDLED = files("qwen3_reranker.weights") / "bundled"
FETCHED = ("*.safetensors", "*.json", "chat_template.jinja")
# What this package keeps next to a model (backends/cpu/disk_cache.py) is made on this machine and trusted by name.
NEVER_FETCHED = (".qwen3_reranker/*",)

_EXPECTED = (
    "expected nano (comes with the package), a folder, a GGUF file, or a Hub id like Qwen/Qwen3-Reranker-0.6B, "
    "owner/name:Q8_0 or owner/name:file.gguf"
)
_OLLAMA = re.compile(r"(?:https?://)?(?:www\.)?(?:registry\.)?ollama\.(?:com|ai)/|ollama:", re.IGNORECASE)
_FILE_OF_OLLAMA = "pass the file that holds it on this machine, which `ollama show NAME --modelfile` names behind FROM"
_MAGIC = b"GGUF"
# Where huggingface_hub keeps the files of a commit.
_SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})(?:/|$)")
# Rerankers on other networks that people ask for: XLM-RoBERTa, DeBERTa, Qwen2, BERT and their like.
_OTHER_FAMILIES = ("bge-reranker", "mxbai-rerank", "jina-reranker", "ms-marco-", "gte-multilingual-reranker")


@dataclass(frozen=True, slots=True)
class HubAccess:
    """How the Hub is asked. token: None takes the one of `hf auth login`. cache_dir: None takes the Hub's own."""

    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False


_DEFAULT_ACCESS = HubAccess()
_ACCESS: ContextVar[HubAccess] = ContextVar("_ACCESS", default=_DEFAULT_ACCESS)


@contextmanager
def hub_access(access: HubAccess) -> Iterator[None]:
    """Fetch models in this way until the block ends."""
    before = _ACCESS.set(access)
    try:
        yield
    finally:
        _ACCESS.reset(before)


def resolve(model: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder or GGUF file that holds `model`. A Hub id is fetched unless it is cached, at `revision` if given.

    A file is GGUF by what it begins with, whatever it is called. A folder, or a repository on the Hub, that holds one
    GGUF model and no safetensors is that file; the first part names a model in several. hub_name.py says in which
    forms a model of the Hub may be written.
    Raises ModelNotFoundError if there is no such model or it cannot be fetched, InputError where one of several GGUF
    files must be named, for a revision of anything that is not on the Hub, and for two different ones.
    """
    name = os.fspath(model)
    path = _local(name)
    if path is not None:
        if revision is not None:
            raise InputError(
                f"revision {revision!r} was asked for, but {name!r} is not on the Hub; leave the revision out"
            )
        return path
    wanted = _on_the_hub(name)
    if wanted.revision is not None and revision not in (None, wanted.revision):
        raise InputError(
            f"{name!r} names revision {wanted.revision!r}, but {revision!r} was asked for; leave one of them out"
        )
    return _fetch(name, replace(wanted, revision=wanted.revision or revision))


def lasting_name(model: str | os.PathLike[str], revision: str | None, folder: Path) -> tuple[str, str | None]:
    """The name and revision that find the same files again. Neither the folder nor newer commits matter.

    folder: where `model` was found at `revision`.
    """
    name = os.fspath(model)
    if is_bundled(name):
        return name, None
    if _local(name) is not None:
        return os.path.abspath(os.path.expanduser(name)), None
    wanted = _on_the_hub(name)
    commit = _SNAPSHOT.search(folder.as_posix())
    which = wanted.file or wanted.tag
    return wanted.repository + (f":{which}" if which else ""), commit[1] if commit else wanted.revision or revision


def is_bundled(name: str | os.PathLike[str]) -> bool:
    """Whether it names a bundled model, whatever the current folder holds."""
    return any(folder.name == os.fspath(name) and folder.is_dir() for folder in _BUNDLED.iterdir())


def _local(name: str) -> Path | None:
    if is_bundled(name):
        return _bundled(name)
    try:
        path = os.path.expanduser(name)
    except ValueError:
        # No path holds a NUL or half a surrogate pair.
        return None
    if os.path.isdir(path):
        return _folder_or_gguf(Path(path))
    if os.path.isfile(path):
        if path.endswith(".gguf") or _begins_with_magic(path):
            return Path(path)
        raise ModelNotFoundError(f"{path!r} is a file that is not GGUF: pass the folder that holds it; {_EXPECTED}")
    folder, _, tag = path.rpartition(":")
    if tag and os.path.isdir(folder) and (found := _gguf_files_in(Path(folder))):
        return Path(folder) / _chosen(folder, found, tag, "/")
    return None


def _begins_with_magic(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def _on_the_hub(name: str) -> HubName:
    if _OLLAMA.match(name):
        raise ModelNotFoundError(
            f"{name!r} is a model of Ollama's registry, from which nothing is fetched: {_FILE_OF_OLLAMA}, or a Hub id"
        )
    if is_server(name):
        raise ModelNotFoundError(f"{name!r} is a server: this needs the model's files on this machine; {_EXPECTED}")
    wanted = read_hub_name(name)
    if wanted is None:
        raise ModelNotFoundError(f"no model {name!r}: there is no such file or folder; {_EXPECTED}")
    if wanted.file and not wanted.file.endswith(".gguf"):
        raise ModelNotFoundError(
            f"{name!r} names {wanted.file!r}, and only GGUF files are models by themselves: pass {wanted.repository}; "
            f"{_EXPECTED}"
        )
    return wanted


def _gguf_files_in(folder: Path) -> list[str]:
    return gguf_names.models(_names_in(folder, ".gguf"))


def _names_in(folder: Path, suffix: str) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if path.suffix == suffix]
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read ({error.strerror})") from None


def _folder_or_gguf(folder: Path) -> Path:
    if _names_in(folder, ".safetensors") or not (found := _gguf_files_in(folder)):
        return folder
    if len(found) > 1:
        raise InputError(f"{folder} holds {len(found)} GGUF files ({_listed(found)}): pass the path of one of them")
    return folder / found[0]


def _chosen(place: str, names: list[str], tag: str, joint: str) -> str:
    """The one GGUF file of the place that has this name or this quantisation. Raises InputError for none or several."""
    if tag.endswith(".gguf"):
        found = [name for name in names if name == gguf_names.parts(tag)[0]]
    else:
        found = gguf_names.with_quantisation(names, tag)
    if len(found) == 1:
        return found[0]
    how_many = "several GGUF files" if found else "no GGUF file"
    others = found or names
    raise InputError(
        f"{place!r} holds {how_many} of {tag!r} ({_listed(others)}): say which one, like {place}{joint}{others[0]}"
        if others
        else f"{place!r} holds no GGUF file; leave {tag!r} out for its safetensors"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _bundled(name: str) -> Path:
    folder = _BUNDLED / name
    if not isinstance(folder, Path):
        raise ModelNotFoundError(f"the bundled model {name!r} lies in an archive; install the package as files")
    return folder


def _fetch(name: str, wanted: HubName) -> Path:
    # Imported here: a bundled or local model must not wait for it.
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    revision = wanted.revision
    try:
        return _obtained(wanted)
    except (CheckpointError, InputError):
        raise
    except GatedRepoError:
        problem = f"{name!r} is gated: accept its terms on its Hub page, then log in with `hf auth login`"
    except RepositoryNotFoundError:
        problem = (
            f"no model {name!r}: there is neither such a folder nor such a Hub repository; {_EXPECTED}; "
            "if it is private, log in with `hf auth login`"
        )
        if wanted.tag:
            problem += f"; if it is Ollama's name of a model, {_FILE_OF_OLLAMA}"
    except RevisionNotFoundError:
        problem = f"{name!r} has no revision {revision!r} on the Hub: expected a branch, a tag or a full commit hash"
    except HFValidationError:
        problem = f"no model {name!r}: not a valid Hub id; {_EXPECTED}"
    except LocalEntryNotFoundError:
        problem = _not_cached(name, wanted)
    except Exception as error:
        # Which network library raises here differs between releases of huggingface_hub. Where a proxy refuses, it has
        # not yet looked into its cache, as it does for every other lack of a network.
        with suppress(OSError), hub_access(replace(_ACCESS.get(), local_files_only=True)):
            return _obtained(wanted)
        if isinstance(error, OfflineModeIsEnabled):
            raise ModelNotFoundError(_not_cached(name, wanted)) from None
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        problem = (
            f"{name!r} could not be fetched from the Hub ({type(error).__name__}: {reason}): "
            "check the network and the disk and try again, or pass nano or a folder"
        )
    raise ModelNotFoundError(problem)


def _not_cached(name: str, wanted: HubName) -> str:
    revision = wanted.revision or "main"
    problem = (
        f"{name!r} (revision {revision}) is not fully in the Hub's cache and the Hub cannot be reached: go online once "
        "(HF_HUB_OFFLINE unset), or pass nano or a folder"
    )
    if any(family in wanted.repository.lower() for family in _OTHER_FAMILIES):
        problem += "; by its name it is of another family than Qwen3-Reranker, which alone is run"
    return problem


def _obtained(wanted: HubName) -> Path:
    """The folder of a repository's snapshot, or its GGUF file, the named or the only one."""
    repository, revision, file = wanted.repository, wanted.revision, wanted.file
    if wanted.tag:
        found = _gguf_files(repository, revision)
        file = _chosen(repository, found, wanted.tag, ":")
    elif not file:
        folder = _snapshot(repository, revision, ("*.json",))
        _refuse_other_networks(folder)
        # The name of the folder is the commit's.
        folder = _snapshot(repository, folder.name, FETCHED)
        if any(folder.rglob("*.safetensors")):
            return folder
        found = _gguf_files(repository, revision)
        if len(found) > 1:
            raise InputError(
                f"{repository!r} holds {len(found)} GGUF files ({_listed(found)}): say which one, like "
                f"{repository}:{_example(found)}"
            )
        if not found:
            if not _ACCESS.get().local_files_only and (instead := foreign(_files(repository, revision))):
                raise UnsupportedModelError(f"{repository!r}: the Hub repository holds no safetensors; {instead}")
            # What is missing in a folder of JSON alone is an error when it is opened.
            if folder.is_dir():
                return folder
            raise CheckpointError(
                f"{repository!r}: the Hub repository holds no safetensors, no JSON and no GGUF; nothing else is read"
            )
        [file] = found
    parts = gguf_names.parts(file)
    path = _snapshot(repository, revision, parts) / parts[0]
    if not path.is_file():
        raise ModelNotFoundError(f"{repository!r} holds no file {parts[0]!r}, or it is not in the Hub's cache")
    return path


def _example(names: list[str]) -> str:
    """The shortest that tells one of the names from the others."""
    tag = gguf_names.quantisation(names[0])
    return tag if tag and gguf_names.with_quantisation(names, tag) == names[:1] else names[0]


def _refuse_other_networks(folder: Path) -> None:
    """Raise UnsupportedModelError before gigabytes are fetched that cannot be run."""
    path = folder / "config.json"
    if path.is_file():
        refuse_other_networks(read_object(path), str(path))


def _files(repository: str, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    siblings = HfApi(token=_ACCESS.get().token).model_info(repository, revision=revision).siblings or []
    return [sibling.rfilename for sibling in siblings]


def _gguf_files(repository: str, revision: str | None) -> list[str]:
    """The names of the repository's GGUF models. Without a network, those in its cached snapshot."""
    if _ACCESS.get().local_files_only:
        # Asked for no file, as a pattern of several would ask for all of them.
        folder = _snapshot(repository, revision, ())
        return gguf_names.models(path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf"))
    return gguf_names.models(name for name in _files(repository, revision) if name.endswith(".gguf"))


def _snapshot(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import tqdm

    class TerminalBar(tqdm):
        """The Hub's progress bar, on a terminal only: `disable=None` is tqdm's word for that."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options["disable"] = options.get("disable") or None
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]

    access = _ACCESS.get()
    return Path(
        snapshot_download(
            name,
            revision=revision,
            token=access.token,
            cache_dir=access.cache_dir,
            allow_patterns=list(patterns),
            ignore_patterns=list(NEVER_FETCHED),
            local_files_only=access.local_files_only,
            tqdm_class=TerminalBar,
        )
    )
