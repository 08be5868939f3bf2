"""`train merge`: checkpoints or adapters of one model -> one checkpoint between them, streamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.terminal import visible
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option, required

METHODS = ("slerp", "average")
ENCODINGS = ("f32", "f16", "bf16")


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """How to merge, and what to write."""

    group: ClassVar[str] = "Output"
    method: str = option("slerp", "How to merge.", choices=METHODS, group="Merging")
    shares: str | None = option(None, "Share of each model.", unit="X,...", shown="the same for each", group="Merging")
    output: str = required("Folder for the merged model.", unit="FOLDER", flag="--output, -o")
    quantize: str | None = option(None, "How to store it.", choices=ENCODINGS, shown="f32")
    overwrite: bool = option(False, "Replace what is at FOLDER.")


@declared
def merge(models: Annotated[list[str], Argument(metavar="MODEL...")], *, options: MergeOptions) -> None:
    """Merge checkpoints or adapters of one model.

    One model of the same size has what several runs learned; slerp keeps the norms that an average makes smaller.
    Adapters are first merged into their bases. Weights are read and written in parts, so models may be larger than
    memory.

    Examples:
      qwen3-reranker train merge runs/a/model runs/b/model --output merged
      qwen3-reranker train merge Qwen/Qwen3-Reranker-0.6B runs/a/model --shares 0.3,0.7 -o merged --quantize bf16
    """
    from qwen3_reranker.convert import convert
    from qwen3_reranker.train.merging import merge as blend

    merged = blend(models, options.method, _numbers(options.shares))
    with ProgressBar("merging") as bar:
        written = convert(merged, options.output, "hf", options.quantize, overwrite=options.overwrite, on_progress=bar)
    print(f"{visible(str(written.path))}: {written.num_bytes:,} bytes, the {options.method} of {len(models)} models")


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"--shares must be numbers with commas between them, got {text!r}") from None
