"""`download`: the name of a model -> its size and memory, and then its files in the Hub's cache."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.known_models import ModelNeeds, known_and_cached, words_of
from qwen3_reranker.cli.rate_text import byte_size
from qwen3_reranker.cli.shared_options import ModelOptions
from qwen3_reranker.cli.terminal import console_for, note, print_table
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.row_table import Column, RowTable


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Whether to fetch the files."""

    dry_run: bool = option(False, "Fetch nothing: print sizes, and what fits this machine.", group="Output")


@declared
def download(
    model: Annotated[str, Argument(metavar="MODEL")],
    *,
    source: Annotated[ModelOptions, without("model")],
    options: DownloadOptions,
) -> None:
    """Fetch a model of the Hub, so that it can be used without a network.

    MODEL is a Hub id such as owner/name or owner/name:Q8_0. Size and memory of Qwen's models are printed before
    anything is fetched, and a disk without enough space for the files is an error then. The name of the folder or file
    that holds the model is printed at the end.

    Examples:
      qwen3-reranker download Qwen/Qwen3-Reranker-0.6B
      qwen3-reranker download Qwen/Qwen3-Reranker-8B --dry-run
    """
    from qwen3_reranker.machine_memory import machine_memory
    from qwen3_reranker.weights import resolve
    from qwen3_reranker.weights.hub_cache import cache_folder

    needs = next((each for each in known_and_cached(machine_memory()) if each.id.lower() == model.lower()), None)
    if needs is not None:
        if model != needs.id and not Path(model).exists():
            # The Hub's cache tells upper from lower case.
            model = needs.id
        rows = [[name, text] for name, text in words_of(needs)]
        print_table(RowTable([Column(), Column()], rows), console_for(sys.stderr), headed=False)
        if not needs.cached:
            _refuse_full_disk(needs, cache_folder())
    elif options.dry_run:
        note(f"nothing is known of {model!r} before it is fetched; `models` lists the models that are known")
    if options.dry_run:
        return
    print(resolve(model, source.revision))


def _refuse_full_disk(needs: ModelNeeds, folder: Path) -> None:
    """Raise InputError where the disk has no room for the files."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if free < needs.file_bytes:
        raise InputError(
            f"{needs.id} takes {byte_size(needs.file_bytes)}, and {existing} has {byte_size(free)} left: free some, or "
            "name another disk in HF_HOME"
        )
