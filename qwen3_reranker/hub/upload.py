"""A model on this machine and a repository's name -> one commit on the Hub."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen3_reranker.errors import InputError, UploadError
from qwen3_reranker.hub.model_card import (
    INHERITED,
    TAGS,
    THIS_FOLDER,
    Origin,
    body_of,
    card_text,
    origin,
    parsed_card,
    read_card,
)
from qwen3_reranker.hub.model_files import README, files_of, others_weights
from qwen3_reranker.hub.refusals import TOKENS, refused
from qwen3_reranker.json_object import read_object
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.adapter import CONFIG as ADAPTER
from qwen3_reranker.weights.hub import is_bundled
from qwen3_reranker.weights.hub_name import read_hub_name

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelCard

# What `train run` leaves in its folder beside the model.
_RUN, _MODEL_OF_RUN = "run.json", "model"
# To its base, of a model in a layout that says it.
_RELATIONS = {"gguf": "quantized", "lora": "adapter"}


@dataclass(frozen=True, slots=True)
class Upload:
    """What is to be sent. files: by path in the repository. card: README.md, made or completed for the repository.

    card_is_new: whether the card was made here; such a one never replaces one that the repository has.
    left_out: files of the folder that stay here. remarks: what the reader should know before it is sent.
    """

    repository: str
    files: dict[str, Path]
    card: str
    card_is_new: bool
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file, the card included."""
        return {README: len(self.card.encode()), **{name: path.stat().st_size for name, path in self.files.items()}}

    def send(
        self,
        *,
        private: bool = False,
        token: str | None = None,
        exist_ok: bool = True,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
    ) -> str:
        """Create the repository if there is none, and send everything as one commit.

        private: of a new repository; an existing one must be private already. token: None takes the one of HF_TOKEN or
        `hf auth login`. revision: the branch, made if missing. Returns the address of the repository, or of the pull
        request. Raises UploadError where the Hub refuses or cannot be reached, InputError for a card that it does not
        take.
        """
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(token=token)
        with _refusals(self.repository), _bars_on_terminals():
            api.create_repo(self.repository, private=private or None, exist_ok=exist_ok)
            if revision is not None:
                api.create_branch(self.repository, branch=revision, exist_ok=True)
            known = self._checked_names(api, private, revision)
            contents: dict[str, Any] = dict(self.files)
            if not (self.card_is_new and README in known):
                contents[README] = self.card.encode()
            commit = api.create_commit(
                self.repository,
                [CommitOperationAdd(path_in_repo=name, path_or_fileobj=each) for name, each in contents.items()],
                commit_message=commit_message or "Upload a model with qwen3_reranker",
                revision=revision,
                create_pr=create_pr,
            )
        return commit.pr_url if create_pr and commit.pr_url else f"{api.endpoint}/{self.repository}"

    def _checked_names(self, api: HfApi, private: bool, revision: str | None) -> list[str]:
        """The names of the files that the repository holds."""
        found = api.model_info(self.repository, revision=revision)
        if private and not found.private:
            raise UploadError(
                f"{self.repository} exists and is public, so nothing was sent: make it private in its settings, or "
                "leave --private out"
            )
        names = [each.rfilename for each in found.siblings or []]
        if others := others_weights(names, self.files):
            raise UploadError(
                f"{self.repository} holds another model's {', '.join(others[:3])}, with which this one would not open: "
                "delete them there, or send it to another repository"
            )
        return names


def check_access(repository: str) -> None:
    """Ask the Hub whether this machine's token may write to owner/name, so that long work does not end in a refusal.

    The token is that of HF_TOKEN or `hf auth login`. Raises InputError for what is no name of a repository, and
    UploadError without a token, without rights, or without a network.
    """
    from huggingface_hub import HfApi

    owner = _owner(repository)
    with _refusals(repository):
        found = HfApi().whoami()
    owners = [found.get("name"), *(each.get("name") for each in found.get("orgs", []))]
    if owner not in owners:
        raise UploadError(
            f"this token is of {owners[0]!r} and may not write to {repository}: expected an owner among "
            f"{', '.join(map(str, owners))}"
        )
    if found.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise UploadError(
            f"this token may only read, and {repository} is to be written: take one that may write ({TOKENS})"
        )


def prepare_upload(
    model: str | os.PathLike[str],
    repository: str,
    *,
    base: str | None = None,
    relation: str | None = None,
    remarks: Iterable[str] = (),
) -> Upload:
    """Open the folder or GGUF file and choose what is sent: files of a model only. A folder's README.md is the card.

    What the card lacks is added: a license and languages from the base's card, the repository's name, and the card as
    the source of measures without one. Where there is no card, one is made. base: what the model was made from, in any
    form that `Reranker` takes, for a card that does not say so. relation, remarks: for a new card.
    Raises InputError for what is no repository's name or no model's place, an adapter whose base is a folder of this
    machine, or metadata that cannot be read; CheckpointError for a model that does not open.
    """
    _owner(repository)
    path = Path(model).expanduser()
    _check_place(path)
    checkpoint = open_checkpoint(path.absolute())
    files = files_of(checkpoint, checkpoint.folder if path.is_dir() else path)
    if base is None and checkpoint.layout == "lora":
        base = str(read_object(path / ADAPTER)["base_model_name_or_path"])
    made_from = origin(base) if base else None
    own = read_card(path / README) if path.is_dir() else None
    card = own or parsed_card(
        card_text(
            made_from or Origin("", None),
            checkpoint.layout,
            body_of(checkpoint, made_from, remarks),
            relation=relation or _RELATIONS.get(checkpoint.layout),
        ),
        README,
    )
    said = tuple(_complete(card, repository, made_from))
    name = f"{repository}:{path.name}" if path.is_file() else repository
    return Upload(
        repository, files.sent, str(card).replace(THIS_FOLDER, name), own is None, files.left_out, remarks=said
    )


def push(model: str | os.PathLike[str], repository: str, *, private: bool = False, base: str | None = None) -> str:
    """Send a model's folder or GGUF file to owner/name on the Hub, with its card, and return the address.

    The same as `check_access`, `prepare_upload` and `Upload.send`, one after the other.
    """
    check_access(repository)
    return prepare_upload(model, repository, base=base).send(private=private)


def refuse_local_base(base: str) -> None:
    """Raise InputError for an adapter's base that nobody else could find."""
    if not is_bundled(base) and (os.path.exists(base) or read_hub_name(base) is None):
        raise InputError(
            f"the adapter's base is {base}, which exists on this machine alone: send the merged model instead "
            "(qwen3-reranker convert ADAPTER FOLDER --to hf --push owner/name)"
        )


def _owner(repository: str) -> str:
    """The owner in owner/name. Raises InputError for what is no name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    owner, slash, _ = repository.partition("/")
    try:
        validate_repo_id(repository)
    except HFValidationError:
        slash = ""
    if not slash:
        raise InputError(f"{repository!r} is no name of a repository on the Hub: expected owner/name")
    return owner


def _check_place(path: Path) -> None:
    if not path.exists():
        raise InputError(
            f"no folder or GGUF file {os.fspath(path)!r}: expected a model on this machine (convert writes one)"
        )
    if (path / _RUN).is_file() and (path / _MODEL_OF_RUN).is_dir():
        raise InputError(f"{path} is the folder of a run, with its state: send {path / _MODEL_OF_RUN}")
    if (path / ADAPTER).is_file():
        refuse_local_base(str(read_object(path / ADAPTER).get("base_model_name_or_path")))


def _complete(card: ModelCard, repository: str, made_from: Origin | None) -> Iterator[str]:
    """Add to the card what it lacks. Yields remarks."""
    from huggingface_hub import HfApi

    api = HfApi()
    data: Any = card.data
    fields: dict[str, Any] = vars(data)
    defaults: dict[str, Any] = {"pipeline_tag": "text-ranking", "tags": list(TAGS)}
    if made_from:
        defaults |= {**made_from.metadata, "base_model": made_from.base}
    fields |= {key: value for key, value in defaults.items() if not fields.get(key)}
    if isinstance(data.base_model, str) and not (data.license and data.language):
        fields |= {key: value for key, value in _facts_of(api, data.base_model).items() if not fields.get(key)}
    if not data.license:
        yield "the card names no license; write `license: ...` between the lines --- of README.md"
    for result in data.eval_results or []:
        data.model_name = repository.partition("/")[2]
        if result.source_url is None:
            result.source_name, result.source_url = "the model's card", f"{api.endpoint}/{repository}"


def _facts_of(api: HfApi, base: str) -> dict[str, Any]:
    """What a model shares with its base, from the base's card on the Hub; nothing where it cannot be read."""
    try:
        found: Any = api.model_info(base).card_data or {}
    except Exception:
        # Which network library raises here differs between releases, and a card without a license is still one.
        return {}
    return {key: found.get(key) for key in INHERITED if found.get(key) is not None}


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Turn whatever huggingface_hub and its network library raise into errors of ours."""
    try:
        with warnings.catch_warnings():
            # The Hub's remarks about metadata that it takes all the same.
            warnings.simplefilter("ignore", UserWarning)
            yield
    except Exception as error:
        raise refused(error, repository) from None


@contextmanager
def _bars_on_terminals() -> Iterator[None]:
    """Show the Hub's progress bars on a terminal alone."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hide = not (sys.stderr and sys.stderr.isatty()) and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()
