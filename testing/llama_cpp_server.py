"""A real llama.cpp server of a GGUF file on this machine's CPU, in a process of its own.

The wheel of xllamacpp holds llama.cpp's own server as a library, so nothing is compiled. LLAMA_SERVER may name a
llama-server program, which is run in its place.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testing.local_server import free_port, serving_program

#: A llama-server to run in place of the library.
VARIABLE = "LLAMA_SERVER"


@contextmanager
def llama_cpp_server(model: Path, *, log: Path, cache: str = "f16", context: int = 8192) -> Iterator[str]:
    """The address of the server once it answers. cache: the type of its keys and values. context: most tokens."""
    port = free_port()
    if program := os.environ.get(VARIABLE):
        command = [program, "-m", str(model), "--rerank", "--port", str(port), "-np", "1", "-t", "1"]
        command += ["-c", str(context), "-b", str(context), "-ub", str(context), "-ctk", cache, "-ctv", cache]
    else:
        command = [sys.executable, "-m", "testing.llama_cpp_server", str(model), str(port), cache, str(context)]
    with serving_program(command, f"http://127.0.0.1:{port}/health", log):
        yield f"http://127.0.0.1:{port}"


def _serve(model: str, port: int, cache: str, context: int) -> None:
    """What `llama-server -m FILE --rerank` does, in this process."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.port = model, port
    # These two are what --rerank sets.
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = context
    parameters.n_parallel = 1
    parameters.cache_type_k = parameters.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{cache.upper()}")
    # Its threads wait for one another in a loop, which a loaded machine makes very slow.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
