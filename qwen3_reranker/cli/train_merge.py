"""`train merge`: checkpoints or adapters of one model -> one checkpoint between them, streamed."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from qwen3_reranker.cli import flags
from qwen3_reranker.cli.progress import ProgressBar
from qwen3_reranker.cli.terminal import visible
from qwen3_reranker.errors import InputError

METHODS = ("slerp", "average")
ENCODINGS = ("f32", "f16", "bf16")


def merge(
    models: Annotated[list[str], Argument(metavar="MODEL...")],
    *,
    output: Annotated[str, flags.flag("Output", "--output", "-o", value="FOLDER", meaning="Where it goes.")],
    method: Annotated[
        str,
        flags.flag("Merging", "--method", value=flags.choice(METHODS), meaning="How. [slerp]"),
    ] = "slerp",
    shares: Annotated[
        str | None,
        flags.flag("Merging", "--shares", value="X,...", meaning="How much of each. [as much of each]"),
    ] = None,
    quantize: Annotated[
        str | None,
        flags.flag("Output", "--quantize", value=flags.choice(ENCODINGS), meaning="How to store it. [f32]"),
    ] = None,
    overwrite: Annotated[bool, flags.flag("Output", "--overwrite", meaning="Replace what lies at FOLDER.")] = False,
) -> None:
    """Merge checkpoints or adapters of one model.

    What several runs learned, in one model of the same size: slerp keeps the length that a plain average would lose.
    Adapters are merged with their bases. Weights pass through memory slab by slab, so models may be larger than it.

    Examples:
      qwen3-reranker train merge runs/a/model runs/b/model --output merged
      qwen3-reranker train merge Qwen/Qwen3-Reranker-0.6B runs/a/model --shares 0.3,0.7 -o merged --quantize bf16
    """
    method = flags.one_of("--method", method, METHODS)
    if quantize is not None:
        quantize = flags.one_of("--quantize", quantize, ENCODINGS)
    from qwen3_reranker.convert import convert
    from qwen3_reranker.train.merging import merge as blend

    merged = blend(models, method, _numbers(shares))
    with ProgressBar("merging") as bar:
        written = convert(merged, output, "hf", quantize, overwrite=overwrite, on_progress=bar)
    print(f"{visible(str(written.path))}: {written.num_bytes:,} bytes, the {method} of {len(models)} models")


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"--shares must be numbers with commas between them, got {text!r}") from None
