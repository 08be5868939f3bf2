"""The tokenizers library against faster ones, by itself and in `Tokens.encode`, as Markdown tables.

    python -m benchmarks.tokenisation                              # this repository's own texts: English and code
    python -m benchmarks.tokenisation --corpus a.jsonl b.txt       # the field "text" of each line, or whole files

Every round encodes texts that no round before it had, as libraries remember words. First, all tokens are compared: of
the text, and of every character there is in two surroundings. Libraries that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from qwen3_reranker import prompt
from qwen3_reranker.fast_tokenizer import FastTokenizer, Ids
from qwen3_reranker.tokens import TokenizerJson, Tokens
from testing.tokenizer import unpack_tokenizer

Encode = Callable[[Sequence[str]], list[Ids]]

ROOT = Path(__file__).parents[1]
CARD = prompt.template("card")
# Documents of a call and bytes of each.
WORKLOADS = ((100, 540), (1000, 135), (100, 2300))
LIBRARY, FLOW = "tokenizers", "Tokens.encode, exact"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, nargs="+", help="files to take texts from")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    text = corpus(options.corpus or own_files())
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = TokenizerJson.read(unpack_tokenizer(Path(folder)))
    found = {name: version(name) or "is not installed" for name in ("tokenizers", "gigatoken", "quicktok-v1")}
    print(f"{len(text):,} bytes of text, {os.cpu_count()} CPUs", *(f"{each} {found[each]}" for each in found), sep=", ")
    compare(libraries(tokenizer), LIBRARY, [text.decode()])
    compare(flows(tokenizer), FLOW, [text[:100_000].decode(errors="ignore"), "a\U00010f49\u0eca", " e\u0301"])
    print("\n| documents x bytes | what | MB/s | documents/s | ratio | first call, ms |\n|---|---|---|---|---|---|")
    for count, size in WORKLOADS:
        rounds = list(calls(text, count, size, options.rounds))
        table(f"{count} x {size}", libraries(tokenizer), LIBRARY, rounds)
        table(f"{count} x {size}", flows(tokenizer), FLOW, rounds)


def compare(runs: dict[str, Encode], beside: str, texts: Sequence[str]) -> None:
    """Print which library gives other tokens, on the measured texts and on every character."""
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for what, some in (
        ("the text", texts),
        ("single characters", every),
        ("characters among letters", [f"a\u0301{each}\u0323'{each}{each}'s" for each in every]),
    ):
        expected = [ids.tobytes() for ids in runs[beside](some)]
        for label, run in runs.items():
            if label != beside:
                same = [one.tobytes() == other for one, other in zip(run(some), expected, strict=True)]
                print(f"- {label}: {what}: {same.count(False):,} of {len(some):,} have other tokens")


def table(name: str, runs: dict[str, Encode], beside: str, rounds: list[list[str]]) -> None:
    """One row a run: the median of its rounds; the order turns, so that nobody always finds the caches warm."""
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    order = list(runs)
    for texts in rounds:
        for label in order:
            start = time.perf_counter()
            runs[label](texts)
            seconds[label].append(time.perf_counter() - start)
        order = order[1:] + order[:1]
    sizes = [sum(len(text.encode()) for text in texts) for texts in rounds]
    for label, taken in seconds.items():
        rate = median(size / each for size, each in zip(sizes, taken, strict=True))
        ratio = median(theirs / each for theirs, each in zip(seconds[beside], taken, strict=True))
        documents = len(rounds[0]) / median(taken)
        cells = f"{rate / 1e6:.1f} | {documents:,.0f} | {ratio:.1f}x | {taken[0] * 1000:.1f}"
        print(f"| {name} | {label} | {cells} |", flush=True)


def libraries(tokenizer: TokenizerJson) -> dict[str, Encode]:
    """Each library by itself, newly created: from texts to one int32 array each."""
    exact = tokens(tokenizer, fast=False)._encode_exactly

    def one_thread(texts: Sequence[str]) -> list[Ids]:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        try:
            return exact(texts)
        finally:
            del os.environ["TOKENIZERS_PARALLELISM"]

    runs: dict[str, Encode] = {LIBRARY: exact, "tokenizers, 1 thread": one_thread}
    if version("gigatoken"):
        import gigatoken

        giga = gigatoken.Tokenizer.from_json(json.dumps({**tokenizer.fields, "added_tokens": []}))
        runs["gigatoken, 1 thread"] = lambda texts: [giga.encode(text).view(np.int32) for text in texts]
    if version("quicktok-v1"):
        import quicktok

        # Its own copy of Qwen3's vocabulary.
        quick = quicktok.get_encoding("qwen3")

        def encode(texts: Sequence[str], threads: int) -> list[Ids]:
            ids, ends = quick.encode_batch(list(texts), threads)
            return np.split(ids.view(np.int32), ends[1:-1])

        runs["quicktok, 1 thread"] = lambda texts: encode(texts, 1)
        runs["quicktok"] = lambda texts: encode(texts, 0)
    return runs


def flows(tokenizer: TokenizerJson) -> dict[str, Encode]:
    """From a query and documents to rows: with the exact tokenizer only, and as installed."""

    def rows(ours: Tokens) -> Encode:
        return lambda texts: [row.ids for row in ours.encode(*CARD.pieces(None, ["a query"] * len(texts), texts))]

    runs = {FLOW: rows(tokens(tokenizer, fast=False))}
    installed = tokens(tokenizer, fast=True)
    if isinstance(installed.text_encoder, FastTokenizer):
        # It may have met these texts in another table.
        installed.text_encoder._encoder._renew()
        runs["Tokens.encode, with gigatoken"] = rows(installed)
    return runs


def tokens(tokenizer: TokenizerJson, fast: bool) -> Tokens:
    """Tokens of the card's template."""
    return Tokens(tokenizer, prefix=CARD.prefix, suffix=CARD.suffix, max_length=8192, fast=fast)


def corpus(files: Sequence[Path]) -> bytes:
    """All texts in a row, short pieces of every file by turns."""
    texts = []
    for file in files:
        written = file.read_text(encoding="utf-8")
        texts += [json.loads(line)["text"] for line in written.splitlines()] if file.suffix == ".jsonl" else [written]
    pieces = [text[start : start + 20_000] for text in texts for start in range(0, len(text), 20_000)]
    np.random.default_rng(0).shuffle(pieces)
    return "\n".join(pieces).encode()


def own_files() -> list[Path]:
    """This repository's prose and code."""
    folders = ("qwen3_reranker", "tests", "native", "docs", "examples", "benchmarks")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*"))]
    return [file for file in (*sorted(ROOT.glob("*.md")), *files) if file.suffix in (".md", ".py", ".cpp", ".h")]


def calls(text: bytes, count: int, size: int, rounds: int) -> Iterator[list[str]]:
    """The documents of each round; ends early where the text is used up."""
    for start in range(0, min(rounds * count * size, len(text) - count * size + 1), count * size):
        yield [text[at : at + size].decode(errors="ignore") for at in range(start, start + count * size, size)]


def version(name: str) -> str:
    """The version that is installed, or nothing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
