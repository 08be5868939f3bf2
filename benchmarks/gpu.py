"""The torch backend on a GPU: exactness against float32, speed, memory, and peers, as Markdown tables.

    python -m benchmarks.gpu --out gpu.md          # everything, on the first CUDA device
    python -m benchmarks.gpu --only peak speed
    python -m benchmarks.gpu --device cpu --layers 2 --scale 0.05 --rounds 1     # a rehearsal without a GPU

Weights are random in the real shapes, made on the device: they say nothing about quality and everything about time,
memory and exactness. Useful operations are those of the tree: every distinct prefix once, the last layer for tokens
that end a row, no language-model head. Everybody takes turns in every round; times are medians, from plan to results.
Parts run in processes of their own: one that fails says why, and the others go on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.core import LARGE_SHAPES, QUERY, documents
from benchmarks.gpu_bench import SHAPES, WORKLOADS, Bench, operations
from qwen3_reranker import Reranker
from qwen3_reranker.backends.base import run_all
from qwen3_reranker.backends.torch import TorchBackend
from qwen3_reranker.backends.torch.float8 import round_matrices
from qwen3_reranker.backends.torch.memory import device_memory_needed
from qwen3_reranker.drift import text_set
from qwen3_reranker.engine_options import EngineOptions
from qwen3_reranker.plan import Plan
from qwen3_reranker.registry import SPECS
from testing.checkpoints import write_checkpoint
from testing.tokenizer import unpack_tokenizer

LARGE_WORKLOADS = ("1 x 100 x 120", "one pair of 32,000")
PARTS = ("peak", "speed", "exact", "large", "float8", "peers", "accuracy", "tokens", "kernels")
GIB = 2**30

Scores = Callable[[list[tuple[str, str]]], np.ndarray]


def peak(bench: Bench) -> None:
    """The rate of one large product of matrices, which all shares are of."""
    size = 8192 if bench.device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    seconds = bench.times({"product": lambda: left @ right})["product"]
    bench.peak = 2 * size**3 / seconds / 1e12
    bench.say(f"\nOne bfloat16 product of {size} x {size} random numbers: {bench.peak:,.3g} TFLOP/s, the peak below.")


def exact(bench: Bench) -> None:
    """Every way to compute 0.6B's states against float32, as logits of a random head of norm 1."""
    config = bench.config("0.6B")
    head_D = np.random.default_rng(0).standard_normal(config.hidden_size)
    head_D /= np.linalg.norm(head_D)
    oracle = bench.backend(bench.network(config, torch.float32, 0.04), "sdpa")
    # The second is small enough for graphs; the third has batches that read keys of earlier ones, the last a small one.
    trees = {name: bench.plan(name, config) for name in ("1 x 100 x 120", "1 x 100 x 41", "1 x 1000 x 30")}
    exact_N = {name: run_all(oracle.steps(tree)).hidden_ND @ head_D for name, tree in trees.items()}
    oracle.close()
    bench.table("0.6B", "way", "max move of a logit", "mean", "logits' spread")
    for way, (kernel, fused, graphs) in _ways(bench).items():
        try:
            network = bench.network(config, torch.bfloat16, 0.04)
            if fused:
                network.compile_layers()
            backend = bench.backend(network, kernel, graphs)
            for name, tree in trees.items():
                for _ in range(3):  # the third time a graph is replayed
                    logits_N = run_all(backend.steps(tree)).hidden_ND @ head_D
                moves_N = np.abs(logits_N - exact_N[name])
                bench.row(name, way, f"{moves_N.max():.4f}", f"{moves_N.mean():.4f}", f"{exact_N[name].std():.2f}")
            backend.close()
        except Exception as error:
            traceback.print_exc()
            bench.row("", way, f"failed: {_said(error)}", "", "")


def speed(bench: Bench) -> None:
    """0.6B on every workload, in each way."""
    config = bench.config("0.6B")
    plain, fused = bench.network(config), bench.network(config)
    fused.compile_layers()
    ways = {"torch's kernels": bench.backend(plain), "compiled": bench.backend(fused)}
    if bench.device.type == "cuda":
        ways["compiled, graphs"] = bench.backend(fused, graphs=True)
    bench.table("0.6B", "tokens", "way", "ms", "documents/s", "useful TFLOP/s (of peak)")
    for name in WORKLOADS:
        tree = bench.plan(name, config)
        seconds = bench.times({way: _runner(backend, tree) for way, backend in ways.items()})
        for way, taken in seconds.items():
            bench.row(
                name,
                f"{tree.num_tokens:,}",
                way,
                f"{taken * 1e3:.1f}",
                f"{tree.num_rows / taken:,.0f}",
                bench.share(operations(tree, config), taken),
            )
    for backend in ways.values():
        backend._forget()


def large(bench: Bench) -> None:
    """4B and 8B: speed, and memory beside what `inspect` says beforehand."""
    bench.table("model", "workload", "ms", "useful TFLOP/s (of peak)", "peak memory", "predicted")
    for name in LARGE_SHAPES:
        config = bench.config(name)
        network = bench.network(config)
        network.compile_layers()
        backend = bench.backend(network)
        for workload in LARGE_WORKLOADS:
            tree = bench.plan(workload, config)
            run_all(backend.steps(tree))
            if bench.device.type == "cuda":  # what compiling took is not what running takes
                torch.cuda.reset_peak_memory_stats(bench.device)
            seconds = bench.times({"": _runner(backend, tree)}, max(1, bench.rounds // 2))[""]
            options = EngineOptions(backend="torch", precision="bfloat16", prefix_cache_tokens=0)
            predicted = sum(item.num_bytes for item in device_memory_needed(config, options, tree))
            used = torch.cuda.max_memory_allocated(bench.device) if bench.device.type == "cuda" else 0
            bench.row(
                name,
                workload,
                f"{seconds * 1e3:,.0f}",
                bench.share(operations(tree, config), seconds),
                f"{used / GIB:.1f} GiB" if used else "not measured",
                f"{predicted / GIB:.1f} GiB",
            )
        backend.close()


def float8(bench: Bench) -> None:
    """8-bit matrices beside bfloat16's: speed, and how far states' logits move."""
    bench.table("model", "bfloat16 ms", "float8 ms", "speed", "max move of a logit", "logits' spread")
    for name in LARGE_SHAPES:
        config = bench.config(name)
        tree = bench.plan("1 x 100 x 120", config)
        wide, narrow = bench.network(config), bench.network(config)
        round_matrices(narrow.model.layers)
        for network in (wide, narrow):
            network.compile_layers()
        backends = {"bfloat16": bench.backend(wide), "float8": bench.backend(narrow)}
        seconds = bench.times({way: _runner(backend, tree) for way, backend in backends.items()})
        head_D = np.random.default_rng(0).standard_normal(config.hidden_size) / config.hidden_size**0.5
        first_N, second_N = (run_all(backend.steps(tree)).hidden_ND @ head_D for backend in backends.values())
        bench.row(
            name,
            f"{seconds['bfloat16'] * 1e3:,.0f}",
            f"{seconds['float8'] * 1e3:,.0f}",
            f"{seconds['bfloat16'] / seconds['float8']:.2f}x",
            f"{np.abs(first_N - second_N).max():.3f}",
            f"{first_N.std():.2f}",
        )
        for backend in backends.values():
            backend.close()


def kernels(bench: Bench) -> None:
    """The kernels of attention in one network."""
    config = bench.config("0.6B")
    network = bench.network(config)
    names = ("flash", "sdpa") if bench.device.type == "cuda" else ("sdpa",)
    bench.table("0.6B", *(f"{name} ms" for name in names))
    for workload in ("1 x 100 x 120", "1 x 1000 x 30"):
        tree = bench.plan(workload, config)
        runs = {name: _runner(bench.backend(network, name), tree) for name in names}
        seconds = bench.times(runs, max(1, bench.rounds // 2))
        bench.row(workload, *(f"{taken * 1e3:.1f}" for taken in seconds.values()))


def tokens(bench: Bench) -> None:
    """What making tokens and plans takes, of real texts, beside running them in 0.6B."""
    with tempfile.TemporaryDirectory() as folder:
        reranker = Reranker(str(_checkpoint(bench, Path(folder))), plan_only=True)
        network = bench.network(reranker.config)
        backend = bench.backend(network)
        bench.table("texts", "tokens and plan ms", "network ms", "share")
        for count, length in ((100, 120), (100, 41), (1000, 30)):
            texts = documents(length, max(1, round(count * bench.scale)))
            tree = reranker.tree(QUERY, texts)
            seconds = bench.times({"plan": _tree(reranker, texts), "run": _runner(backend, tree)})
            share = seconds["plan"] / (seconds["plan"] + seconds["run"])
            bench.row(
                f"1 x {len(texts)} x {length}",
                f"{seconds['plan'] * 1e3:.1f}",
                f"{seconds['run'] * 1e3:.1f}",
                f"{share:.0%}",
            )


def peers(bench: Bench) -> None:
    """0.6B from texts to scores beside sentence-transformers in bfloat16."""
    with tempfile.TemporaryDirectory() as name:
        folder = _checkpoint(bench, Path(name))
        everybody = {"sentence-transformers, batch 32": _sentence_transformers(bench, folder)}
        for way, kernels in {"torch's kernels": "native", "compiled": "compiled"}.items():
            everybody[way] = _reranker(bench, folder, "bfloat16", kernels)
        bench.table("0.6B, texts to scores", "who", "ms", "speed")
        for count, length in ((100, 120), (100, 41)):
            texts = documents(length, max(1, round(count * bench.scale)))
            pairs = [(QUERY, text) for text in texts]
            seconds = bench.times({way: partial(scores, pairs) for way, scores in everybody.items()})
            first = next(iter(seconds.values()))
            for way, taken in seconds.items():
                workload = f"1 x {len(texts)} x {length}"
                bench.row(workload, way, f"{taken * 1e3:.1f}", f"{first / taken:.1f}x")


def accuracy(bench: Bench) -> None:
    """How far from float32 0.6B's logits are in 16 and 8 bits, ours and the reference implementation's."""
    with tempfile.TemporaryDirectory() as name:
        folder = _checkpoint(bench, Path(name))
        count = max(2, round(18 * bench.scale))
        # Of many queries: what a query's head has in common moves all its logits alike, and one of them is luck.
        pairs = [(each.query, text) for each in text_set() for text in each.documents[:count]]
        exact_N = _reranker(bench, folder, "float32")(pairs)
        bench.table(
            f"0.6B, {len(pairs)} real texts, random weights",
            "mean distance from float32",
            "root mean square",
            "largest",
        )
        bench.row("(float32: spread of the logits)", f"{exact_N.std():.2f}", "", "")
        everybody = {"sentence-transformers, bfloat16": _sentence_transformers(bench, folder)}
        for precision in ("bfloat16", "float16", "float8"):
            everybody[f"qwen3_reranker, {precision}"] = _reranker(bench, folder, precision)
        for precision in SPECS["cpu"].reduced_precisions:
            own = Reranker(str(folder), precision=precision, prefix_cache_tokens=0)
            everybody[f"qwen3_reranker, cpu backend, {precision}"] = own.logits
        for way, scores in everybody.items():
            moves_N = np.abs(scores(pairs) - exact_N)
            bench.row(way, *(f"{each:.4f}" for each in (moves_N.mean(), np.sqrt((moves_N**2).mean()), moves_N.max())))


def _reranker(bench: Bench, folder: Path, precision: str, kernels: str = "native") -> Scores:
    settings = {"backend": "torch", "device": str(bench.device), "prefix_cache_tokens": 0}
    return Reranker(str(folder), precision=precision, kernels=kernels, **settings).logits


def _sentence_transformers(bench: Bench, folder: Path) -> Scores:
    from sentence_transformers import CrossEncoder

    from benchmarks.rivals.prompt import INSTRUCTION
    from benchmarks.rivals.sentence_transformers import SentenceTransformers

    prepared = folder.parent / "prepared"
    SentenceTransformers.prepare(folder, prepared)
    model = CrossEncoder(
        str(prepared),
        device=str(bench.device),
        activation_fn=torch.nn.Identity(),
        model_kwargs={"dtype": torch.bfloat16, "attn_implementation": "sdpa"},
        prompts={"rerank": INSTRUCTION},
        default_prompt_name="rerank",
        local_files_only=True,
    )

    def scores(pairs: list[tuple[str, str]]) -> np.ndarray:
        return np.asarray(model.predict(pairs, batch_size=32, show_progress_bar=False), dtype=np.float32)

    return scores


def _ways(bench: Bench) -> dict[str, tuple[str, bool, bool]]:
    if bench.device.type != "cuda":
        return {"bfloat16": ("sdpa", False, False), "bfloat16, compiled": ("sdpa", True, False)}
    return {
        "bfloat16, flash": ("flash", False, False),
        "bfloat16, sdpa": ("sdpa", False, False),
        "bfloat16, flash, compiled": ("flash", True, False),
        "bfloat16, flash, compiled, graphs": ("flash", True, True),
    }


def _checkpoint(bench: Bench, folder: Path) -> Path:
    shape = dict(SHAPES["0.6B"])
    if bench.layers:
        shape["num_hidden_layers"] = bench.layers
    tokenizer = unpack_tokenizer(folder)
    return write_checkpoint(folder / "model", **shape, dtype="BF16", initializer_range=0.04, tokenizer_file=tokenizer)


def _runner(backend: TorchBackend, tree: Plan) -> Callable[[], object]:
    return lambda: run_all(backend.steps(tree))


def _tree(reranker: Reranker, texts: Sequence[str]) -> Callable[[], object]:
    return lambda: reranker.tree(QUERY, texts)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def main() -> int:
    """Run the parts asked for, each in a process of its own where they are several; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--layers", type=int, help="fewer layers, for a rehearsal")
    parser.add_argument("--scale", type=float, default=1.0, help="that share of the documents, for a rehearsal")
    parser.add_argument("--out", type=Path, help="add the tables to this file as well")
    options = parser.parse_args()
    if len(options.only) > 1:
        # An error of a GPU ends the process that met it, and memory is whole again in the next one.
        rest = [each for each in sys.argv[1:] if each not in ("--only", *PARTS)]
        commands = [[sys.executable, "-m", "benchmarks.gpu", *rest, "--only", part] for part in options.only]
        return max(int(subprocess.run(command, check=False).returncode != 0) for command in commands)
    with options.out.open("a", encoding="utf-8") if options.out else tempfile.TemporaryFile("w") as out:
        bench = Bench(options, out)
        what = "no GPU: a rehearsal, whose times mean nothing"
        if bench.device.type == "cuda":
            what = torch.cuda.get_device_name(bench.device)
        bench.say(f"\n## {options.only[0]}\n")
        bench.say(f"torch {torch.__version__}, {what}; medians of {bench.rounds} rounds; random weights.")
        try:
            with torch.inference_mode():
                peak(bench)
                if options.only[0] != "peak":
                    globals()[options.only[0]](bench)
        except Exception as error:
            traceback.print_exc()
            bench.say(f"\nfailed: {_said(error)}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
