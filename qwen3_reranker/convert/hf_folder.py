"""A model -> a Hugging Face folder: causal-LM, sequence classification or sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from qwen3_reranker.convert.output_tensor import OutputTensor
from qwen3_reranker.convert.source_model import END_OF_TEXT, END_OF_TURN, EncodingOf, SourceModel
from qwen3_reranker.prompt import Template
from qwen3_reranker.weights import names

WEIGHTS = "model.safetensors"
_TORCH_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def causal_lm(
    model: SourceModel, encoding_of: EncodingOf, names_words: bool = False
) -> tuple[dict[str, bytes], list[OutputTensor]]:
    """Text files by name, and the tensors of model.safetensors.

    names_words: as in `SourceModel.words_head`.
    """
    tensors = [*model.network(encoding_of), *model.words_head(encoding_of, names_words)]
    tied = all(tensor.name != names.HEAD for tensor in tensors)
    return _files(model, tensors, {"architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": tied}), tensors


def sequence_classification(model: SourceModel, encoding_of: EncodingOf) -> tuple[dict[str, bytes], list[OutputTensor]]:
    """One label, whose float32 row is yes - no; rounding it would move every logit."""
    difference_1D = (model.head_rows_2D[:1] - model.head_rows_2D[1:]).astype(np.float32)
    tensors = [*model.network(encoding_of), OutputTensor(names.SCORE, "F32", difference_1D)]
    fields = {
        "architectures": ["Qwen3ForSequenceClassification"],
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    return _files(model, tensors, fields), tensors


def sentence_transformers(model: SourceModel, encoding_of: EncodingOf) -> tuple[dict[str, bytes], list[OutputTensor]]:
    """A causal-LM folder plus the modules of a CrossEncoder that returns logits."""
    files, tensors = causal_lm(model, encoding_of, names_words=True)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_LogitScore",
            "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore",
        },
    ]
    flat = {"method": "forward", "method_output_name": "logits"}
    transformer = {
        "transformer_task": "text-generation",
        "modality_config": {"text": flat, "message": {**flat, "format": "flat"}},
        "module_output_name": "causal_logits",
    }
    score = {
        "true_token_id": model.answer_ids[0],
        "false_token_id": model.answer_ids[1] if len(model.answer_ids) == 2 else None,
        "module_input_name": "causal_logits",
    }
    instruction = model.template.default_instruction
    encoder = {
        "model_type": "CrossEncoder",
        "prompts": {} if instruction is None else {"query": instruction},
        "default_prompt_name": None if instruction is None else "query",
        "activation_fn": "torch.nn.modules.linear.Identity",
    }
    return {
        **files,
        "modules.json": _json(modules),
        "sentence_bert_config.json": _json(transformer),
        "1_LogitScore/config.json": _json(score),
        "config_sentence_transformers.json": _json(encoder),
    }, tensors


def chat_template(template: Template) -> str:
    """The prompt as Jinja, for sentence-transformers, vLLM and SGLang.

    It reads query and document from messages of these roles, or else from the first two, and the instruction from a
    message of the role system or a variable, instruction or instruct. SGLang finds it by the words of the prompt.
    """

    def content(role: str) -> str:
        return f"(messages | selectattr('role', 'eq', '{role}') | map(attribute='content') | first)"

    # The template has the default too, because a caller may pass no instruction.
    default = json.dumps(template.default_instruction)
    instruction = (
        f"{content('system')} | default(instruction, true) | default(instruct, true) | default({default}, true)"
    )
    query, document = (
        f"{{{{ {content(role)} | default(messages[{place}].content) }}}}"
        for place, role in enumerate(("query", "document"))
    )
    written = template.written(f"{{{{ {instruction} }}}}", query, document).removesuffix(template.suffix)
    # As plain text, the end would lose one newline to Jinja and others to editors.
    return f"{written}{{{{ {json.dumps(template.suffix)} -}}}}\n"


def _files(model: SourceModel, tensors: list[OutputTensor], fields: Mapping[str, Any]) -> dict[str, bytes]:
    return {
        "config.json": _json({**_config(model, tensors), **fields}),
        "tokenizer.json": json.dumps(model.tokenizer_fields, ensure_ascii=False, indent=2).encode(),
        "tokenizer_config.json": _json(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": END_OF_TURN,
                "pad_token": END_OF_TEXT,
                "padding_side": "left",
                "model_max_length": model.config.max_position_embeddings,
                "clean_up_tokenization_spaces": False,
            }
        ),
        "chat_template.jinja": chat_template(model.template).encode(),
    }


def _config(model: SourceModel, tensors: list[OutputTensor]) -> dict[str, Any]:
    # Loaders convert every matrix to this type. If there are several, the widest loses nothing.
    stored = {tensor.encoding for tensor in tensors if len(tensor.shape) == 2 and tensor.name != names.SCORE}
    matrices = stored.pop() if len(stored) == 1 else "F32"
    return {
        **model.config.to_json(),
        "bos_token_id": model.control_id(END_OF_TEXT),
        "dtype": _TORCH_TYPES[matrices],
        "eos_token_id": model.control_id(END_OF_TURN),
        "pad_token_id": model.control_id(END_OF_TEXT),
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
