"""llama.cpp's ranking of one pair, by what the GGUF file itself says: template, pooling, labels and head."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp


def rank(path: Path, query: str, document: str) -> list[float]:
    """The probability of each of the file's labels, in their order."""
    llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = 1024
    options.embeddings = True
    options.n_threads = options.n_threads_batch = 2
    context = llama_cpp.llama_init_from_model(model, options)
    try:
        assert llama_cpp.llama_pooling_type(context) == llama_cpp.LLAMA_POOLING_TYPE_RANK
        template = llama_cpp.llama_model_chat_template(model, b"rerank").decode()
        tokens = _tokens(model, template.replace("{query}", query).replace("{document}", document))
        # The batch points at the tokens; it does not hold them.
        batch = llama_cpp.llama_batch_get_one(tokens, len(tokens))
        assert llama_cpp.llama_decode(context, batch) == 0
        scores = llama_cpp.llama_get_embeddings_seq(context, 0)
        return [float(scores[label]) for label in range(llama_cpp.llama_model_n_cls_out(model))]
    finally:
        llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)


def _tokens(model: object, text: str) -> ctypes.Array[ctypes.c_int32]:
    encoded, room = text.encode(), (ctypes.c_int32 * 1024)()
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    # As its server does: nothing added, control tokens of the template parsed.
    count = llama_cpp.llama_tokenize(vocabulary, encoded, len(encoded), room, len(room), False, True)
    assert count > 0
    return (ctypes.c_int32 * count)(*room[:count])


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: object) -> None:
    pass
