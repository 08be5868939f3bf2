"""`inspect`: a model -> what it is, its memory, and the drift of its precisions."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from typer import Argument

from qwen3_reranker.cli.declared_options import declared, without
from qwen3_reranker.cli.drift_facts import drift_facts
from qwen3_reranker.cli.memory_facts import memory_facts, parsed_workload
from qwen3_reranker.cli.shared_options import ModelOptions, PrintOptions
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.option_fields import option
from qwen3_reranker.registry import SPECS

if TYPE_CHECKING:
    from qwen3_reranker import plan
    from qwen3_reranker.weights import Checkpoint


@dataclass(frozen=True, kw_only=True)
class InspectOptions(PrintOptions):
    """What else to measure, and how to print it all."""

    group: ClassVar[str] = "Output"
    drift: bool = option(
        False,
        "Score built-in texts in every precision of the backend; show how far each moves logits and order, how fast it "
        "is on this machine, and which one to use.",
    )
    workload: str | None = option(
        None,
        "State the memory for Q queries with D documents of T tokens each.",
        unit="QxDxT",
        shown="any on the cpu backend, 1x100x120 on torch",
    )


@declared
def inspect(
    model: Annotated[str, Argument(metavar="[MODEL]")] = "nano",
    *,
    source: Annotated[ModelOptions, without("model")],
    output: InspectOptions,
    engine: Annotated[EngineOptions, without("prompt", "special_tokens", "truncate_queries")],
) -> None:
    """Show what a model is made of and how much memory it needs.

    MODEL is nano (which comes with the package), a folder, a .gguf file, or a Hub id, which is downloaded if it is not
    in the cache. Its files are checked; no weights are loaded into memory.
    The memory is an upper bound for ranking with these options: of the process on the cpu backend, of the device on
    torch.

    With --drift the model also ranks 180 built-in texts in each precision, which takes minutes for a large model. The
    precision that it advises is the fastest on this machine of those that move a logit by at most 0.05 on average.

    Examples:
      qwen3-reranker inspect nano
      qwen3-reranker inspect Qwen/Qwen3-Reranker-0.6B --max-batch-tokens 1024
      qwen3-reranker inspect Qwen/Qwen3-Reranker-4B --precision int8
      qwen3-reranker inspect ./my-model --backend torch --workload 1x1000x30
      qwen3-reranker inspect ./my-model --drift
      qwen3-reranker inspect ./my-model --format json
    """
    workload = parsed_workload(output.workload)
    if not SPECS[engine.backend].states_memory:
        raise InputError(f"inspect states the memory of the cpu and the torch backend, not of {engine.backend}")

    from qwen3_reranker.weights import open_checkpoint

    found = _facts(open_checkpoint(model, source.revision), engine, workload)
    if output.drift:
        found["drift"] = drift_facts(model, source.revision, engine)
    if output.chosen == "json":
        print(json.dumps(found, indent=2))
    else:
        from qwen3_reranker.cli.inspect_table import write_model

        write_model(found, sys.stdout)


def _facts(checkpoint: Checkpoint, options: EngineOptions, workload: plan.WorkloadShape | None) -> dict[str, Any]:
    from qwen3_reranker.prompt import EMBEDDING_SUFFIX, Constants
    from qwen3_reranker.tokens import Tokens

    config = checkpoint.config
    head = checkpoint.stored_head
    stored = checkpoint.stored_prompt
    # The files of another kind of reranker are described too; only their prompt is not known.
    named = options.prompt or ("card" if stored.unknown else None)
    chosen = None if head is None else checkpoint.template(named)
    embedded = Constants(prefix="", middle="", suffix=EMBEDDING_SUFFIX)
    constants = embedded if chosen is None else chosen.constants
    tokens = Tokens(checkpoint.tokenizer, **constants, max_length=config.row_length(options.max_length))
    tensors = (*checkpoint.tensors.values(), *(() if head is None else (head.tensor,)))
    files = sorted({source.path for tensor in tensors for source in tensor.sources})
    return {
        "model": checkpoint.name,
        "folder": str(checkpoint.folder),
        "layout": checkpoint.layout,
        "files": {file.name: file.stat().st_size for file in files},
        "parameters": config.num_parameters,
        "tensors": dict(Counter(tensor.dtype for tensor in checkpoint.tensors.values())),
        "config": asdict(config),
        "head": None
        if head is None or chosen is None
        else {
            "tensor": head.tensor.name,
            "note": head.note,
            "tied": head.tensor is checkpoint.embedding_tensor,
            # One row is yes - no already.
            "rows": list(head.labels or (tokens.word_id(word) for word in chosen.answers)),
            "yes_id": tokens.yes_id,
            "no_id": tokens.no_id,
        },
        "prompt": None if chosen is None else "unknown" if stored.unknown and not options.prompt else chosen.name,
        "prompt_note": "" if options.prompt else stored.unknown or stored.note,
        "instruction": checkpoint.instruction,
        "prompts": dict(checkpoint.prompts),
        "tokenizer": {
            "entries": tokens.num_entries,
            "control_tokens": len(tokens.control_ids),
            "added_words": len(tokens.added_words),
            "prefix_tokens": len(tokens.prefix_ids),
            "suffix_tokens": len(tokens.suffix_ids),
        },
        "memory": memory_facts(checkpoint, tokens, replace(options, prompt=named), workload),
    }
