"""`convert`: a model -> the same model in another layout, with a comparison of scores."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar

from typer import Argument, Exit

from qwen3_reranker.cli.declared_options import declared, only, without
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions, PushOptions
from qwen3_reranker.cli.terminal import console_for, print_table
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError, RerankerError
from qwen3_reranker.option_fields import option
from qwen3_reranker.row_table import OPEN_ENDED, Column, RowTable

LAYOUTS = ("hf", "seq-cls", "sentence-transformers", "gguf")
ENCODINGS = ("f32", "f16", "bf16", "q8_0", "q4_0")
#: What this process ends with where scores moved further than they may.
NO_PARITY = 5


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """What to write, and how far scores may move."""

    group: ClassVar[str] = "Output"
    to: str | None = option(
        None, "The layout to write.", choices=LAYOUTS, shown="gguf for a DESTINATION that ends with .gguf"
    )
    quantize: str | None = option(
        None,
        "How to store matrices; q8_0 and q4_0 for gguf only.",
        choices=ENCODINGS,
        shown="as they are, where the layout can",
    )
    overwrite: bool = option(False, "Replace what is at DESTINATION.")
    no_parity: bool = option(False, "Do not score with both models afterwards.", group="Parity")
    bound: float | None = option(
        None,
        "How far a logit may move.",
        unit="LOGIT",
        shown="0.0001 where nothing is rounded; f16 0.05, bf16 0.2, q8_0 0.5, q4_0 3",
        group="Parity",
    )


@declared
def convert(
    source: Annotated[str, Argument(metavar="MODEL")],
    destination: Annotated[str, Argument(metavar="DESTINATION")],
    *,
    options: ConversionOptions,
    model: Annotated[ModelOptions, without("model")],
    engine: Annotated[EngineOptions, only("prompt")],
    hub: PushOptions,
    output: PrintOptions,
) -> None:
    """Write a model in another layout, then score the same texts with both.

    MODEL is anything that can be ranked with: nano, a folder in any layout, a .gguf file, a Hub id. A LoRA adapter is
    merged into its base. DESTINATION is a folder, or a file for gguf:

      hf                     causal-LM as Qwen publishes it: transformers, vLLM, SGLang
      seq-cls                a classifier of one label, yes - no: TEI, vLLM
      sentence-transformers  a CrossEncoder with its prompt and its score module
      gguf                   llama.cpp, with the rerank template, labels and head

    Weights are read and written in parts, so a model of 8B is converted within 4 GiB; scoring it needs the memory of
    ranking. From a GGUF file with an embedding of 8 bits, hf and sentence-transformers get the score head as one more
    matrix; where a layout cannot hold the head (an embedding of 4 bits, a trained classifier), nothing is written.
    If a logit moves further than the bound, the file stays, and the exit code is 5.

    --push sends what was written, if its scores hold, to a repository of the Hub with a card that names the source and
    how far scores moved. The token is that of HF_TOKEN or `hf auth login`, and is tried before the work.

    Examples:
      qwen3-reranker convert nano nano.gguf --quantize q8_0
      qwen3-reranker convert Qwen/Qwen3-Reranker-0.6B ./classifier --to seq-cls
      qwen3-reranker convert ./my-adapter ./merged --to hf --quantize bf16 --push owner/name
    """
    if options.to is None and not destination.endswith(".gguf"):
        raise InputError(f"missing --to: expected one of {', '.join(LAYOUTS)}, as {destination!r} does not say which")
    layout, bound = options.to or "gguf", options.bound
    if bound is not None and not bound >= 0:
        raise InputError(f"--bound must be a number of at least 0, got {bound}")

    from qwen3_reranker.cli.progress import ProgressBar
    from qwen3_reranker.cli.push import check_push, send
    from qwen3_reranker.convert import BOUNDS, measure_parity
    from qwen3_reranker.convert import convert as write
    from qwen3_reranker.weights import open_checkpoint

    check_push(hub)
    checkpoint = open_checkpoint(source, model.revision)
    with ProgressBar("converting") as bar:
        written = write(
            checkpoint,
            destination,
            layout,
            options.quantize,
            prompt=engine.prompt,
            overwrite=options.overwrite,
            on_progress=bar,
        )
    facts: dict[str, object] = {
        "source": source,
        "source_layout": checkpoint.layout,
        "destination": str(written.path),
        "layout": written.layout,
        "stored": options.quantize
        or ("as it was, f32 where it was decoded or merged" if written.decoded else "as it was"),
        "exact": written.exact,
        "bytes": written.num_bytes,
    }
    holds = True
    if not options.no_parity:
        allowed = BOUNDS["exact" if written.exact else options.quantize or "exact"] if bound is None else bound
        with ProgressBar("comparing scores") as bar:
            parity = measure_parity(
                source, written.path.absolute(), allowed, revision=model.revision, prompt=engine.prompt, on_progress=bar
            )
        holds = parity.holds
        facts["parity"] = {**asdict(parity), "holds": holds}
    failure: RerankerError | None = None
    if holds and hub.push:
        is_rounded = options.quantize is not None and not written.exact
        relation = (
            "quantized" if layout == "gguf" or is_rounded else "finetune" if checkpoint.layout == "lora" else None
        )
        try:
            facts["pushed"] = send(
                written.path, hub, base=source, relation=relation, remarks=_remarks(facts, options.quantize)
            )
        except RerankerError as error:
            failure = error
    if output.chosen == "json":
        print(json.dumps(facts, indent=2))
    else:
        print_table(RowTable([Column(), OPEN_ENDED], _rows(facts)), console_for(sys.stdout), headed=False)
    if failure:
        raise failure
    if not holds:
        raise Exit(NO_PARITY)


def _remarks(facts: dict[str, object], quantize: str | None) -> list[str]:
    """What a model's card says of its numbers."""
    kept = "Every number is the source's." if facts["exact"] else f"Matrices are stored in {quantize or 'float32'}."
    parity = facts.get("parity")
    if not isinstance(parity, dict):
        return [kept]
    return [
        f"{kept} On {parity['pairs']} pairs scored from both, in float32, logits (yes - no) differ from the source's "
        f"by {parity['max_delta']:.2g} at most and {parity['mean_delta']:.2g} in the mean."
    ]


def _rows(facts: dict[str, object]) -> list[list[str]]:
    kept = "every number kept" if facts["exact"] else "rounded"
    rows = [
        ["written", f"{facts['destination']}"],
        ["layout", f"{facts['source_layout']} -> {facts['layout']}"],
        ["weights", f"{facts['bytes']:,} bytes, {facts['stored']} ({kept})"],
    ]
    parity = facts.get("parity")
    if isinstance(parity, dict):
        verdict = "holds" if parity["holds"] else "DOES NOT HOLD"
        rows += [
            ["scores", f"{parity['pairs']} pairs scored from both, in float32"],
            ["", f"max |delta logit| {parity['max_delta']:.2g}, mean {parity['mean_delta']:.2g}"],
            ["", f"Kendall tau {parity['kendall_tau']:.3f}"],
            ["parity", f"{verdict}: at most {parity['bound']:g} was allowed"],
        ]
    if "pushed" in facts:
        rows.append(["pushed", f"{facts['pushed']}"])
    return rows
