"""The same promises as benchmarks/fuzz.py, held against files that coverage leads to: needs atheris.

    pip install atheris
    python -m benchmarks.guided_fuzz gguf -runs=100000

What follows the reader's name goes to libFuzzer. A broken promise ends the run and leaves its input here.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import tracemalloc
from pathlib import Path
from types import FunctionType, ModuleType

import atheris

from testing.fuzzing import CORPUS, READERS, broken_promise, whole_files

QUANTISED = ("awq", "formats", "gptq", "grid", "mlx", "numbers", "packed", "parts", "quantisation", "scaled", "tensor")
READING = (
    *("gguf", "gguf_header", "gguf_metadata", "gguf_tokenizer", "safetensors", "tensor", "encodings"),
    *(f"quantised.{each}" for each in QUANTISED),
)


def main() -> None:
    """Fuzz one reader, beginning with whole files and what found bugs before."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"usage: python -m benchmarks.guided_fuzz {'|'.join(READERS)} [-runs=N and other flags of libFuzzer]")
    reader, logger = sys.argv[1], logging.getLogger("qwen3_reranker")
    # A file without a head is said so each time.
    logger.setLevel(logging.ERROR)
    folder = Path(tempfile.mkdtemp())
    seeds = folder / "seeds"
    seeds.mkdir()
    known = [path.read_bytes() for path in sorted((CORPUS / reader).glob("*"))]
    for number, content in enumerate([*whole_files(reader, folder), *known]):
        (seeds / str(number)).write_bytes(content)
    path = folder / f"case.{reader}"
    tracemalloc.start()

    def one(data: bytes) -> None:
        path.write_bytes(data)
        promise = broken_promise(reader, path, len(data))
        assert promise is None, promise

    # An editable installation's own import hook would hide the modules from atheris's.
    for name in (*(f"qwen3_reranker.weights.{each}" for each in READING), "qwen3_reranker.json_object"):
        _instrument(sys.modules[name])
    atheris.Setup([sys.argv[0], str(seeds), *sys.argv[2:]], one)
    atheris.Fuzz()


def _instrument(module: ModuleType) -> None:
    """Count what runs in a module's functions, and in the methods of its classes."""
    for name, member in list(vars(module).items()):
        if getattr(member, "__module__", None) != module.__name__:
            continue
        if isinstance(member, FunctionType):
            setattr(module, name, atheris.instrument_func(member))
        elif isinstance(member, type):
            for inner, method in list(vars(member).items()):
                if isinstance(method, FunctionType):
                    setattr(member, inner, atheris.instrument_func(method))


if __name__ == "__main__":
    main()
