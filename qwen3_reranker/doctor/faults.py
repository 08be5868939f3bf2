"""The catalogue of known faults: meaning, usual cause and fix of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from qwen3_reranker.endpoints.endpoint_faults import ENDPOINT_FAULTS, Fault

FILE_FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "unreadable-files",
            "The checkpoint cannot be opened.",
            "An incomplete download, a missing file, or a file that is not what its name says.",
            "The evidence names the file and what to do.",
        ),
        Fault(
            "unsupported-model",
            "This model cannot run here: it has another architecture, or is an export for another program.",
            "Another model mistaken for a Qwen3-Reranker, or its files for another program.",
            "Use a Qwen3-Reranker in safetensors or GGUF. Nothing is damaged, so another download does not help.",
        ),
        Fault(
            "unread-format",
            "The weights are quantised in a format that is not supported here.",
            "A checkpoint made for one program or one kind of GPU; the evidence names its format.",
            "Use the original checkpoint, or a GGUF; another download does not help.",
        ),
        Fault(
            "index-mismatch",
            "The index of the weights does not agree with the files in its folder.",
            "Shards of two revisions in one folder, or a missing shard.",
            "Download all files of one revision into an empty folder.",
        ),
        Fault(
            "missing-head",
            "There is no score head, and the config says that it is not tied to the word vectors.",
            "A conversion that dropped lm_head.weight, or one of an embedding model.",
            "Download the original, or convert it again with its head.",
        ),
        Fault(
            "embedding-model",
            "This is an embedding model: it gives each text a vector, and has no score head.",
            "Qwen3-Embedding mistaken for Qwen3-Reranker: names, sizes and configurations look alike.",
            "Use a Qwen3-Reranker to rank; this one embeds texts (Embedder in Python).",
        ),
        Fault(
            "other-judge",
            "These files are another reranker's: its scores under the prompt of Qwen3-Reranker would mean nothing.",
            "A model of the same network that was trained with another prompt, or for another task.",
            "Use a Qwen3-Reranker, or name the prompt that it was trained with (--prompt).",
        ),
        Fault(
            "no-judge",
            "The head cannot separate yes from no: its two rows are equal, zero or not finite.",
            "A checkpoint that was saved before its head was loaded.",
            "Convert the original again, with its lm_head.",
        ),
        Fault(
            "untied-head",
            "config.json ties the head to the word vectors, but the files hold another head. It is used here and in "
            "transformers 5; older releases, and programs that read only the config, ignore it and score differently.",
            "Fine-tuning that trained the head, saved with the old config.",
            "Set tie_word_embeddings to false; remove lm_head.weight if it was not trained.",
        ),
        Fault(
            "unread-tensors",
            "The files hold tensors that a Qwen3 network of this configuration does not use.",
            "A config of a smaller model, or a checkpoint of another network with extra parts.",
            "Correct the config if they were trained; the evidence names them.",
        ),
        Fault(
            "quantized-head",
            "The score head is stored in few bits, which moves every score.",
            "Quantization of all matrices, including the head.",
            "Quantize again and leave lm_head (GGUF: cls.output, token_embd) in 16 bits.",
        ),
        Fault(
            "no-rank-head",
            "The GGUF file has no rank head. It works here, but llama.cpp scores every document near zero.",
            "A conversion made before September 2025, or by a script that does not know rerankers.",
            "Convert the original again with a recent llama.cpp; cls.output.weight must be in the file.",
        ),
        Fault(
            "wrong-tokenizer",
            "The tokenizer is not the one that the weights were trained with.",
            "tokenizer.json of another model, or one with more tokens than word vectors.",
            "Copy tokenizer.json from the original model.",
        ),
        Fault(
            "damaged-weights",
            "Weights hold numbers that are not finite.",
            "Training that diverged, or a conversion that overflowed 16 bits.",
            "Download or convert the checkpoint again.",
        ),
        Fault(
            "other-config",
            "The rotary base or the norms' epsilon differs from that of every Qwen3-Reranker.",
            "A config of another model, or one edited for long contexts.",
            "Copy config.json from the original model.",
        ),
        Fault(
            "no-pad-token",
            "Servers that batch a sequence classifier need a padding token, and the config names none.",
            "A conversion that omitted pad_token_id.",
            'Write "pad_token_id": 151643 into config.json.',
        ),
        Fault(
            "template-no-think-block",
            "The chat template writes the reranker's prompt without the empty think block.",
            "A template made for models without thinking.",
            "End the template with <|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n.",
        ),
        Fault(
            "template-lost-newline",
            "The chat template renders one newline at the end, not two.",
            "Jinja drops the newline at the end of a template file.",
            "End the template file with one more empty line.",
        ),
    )
}
CATALOGUE = {**ENDPOINT_FAULTS, **FILE_FAULTS}


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, and the numbers that show it."""

    fault: Fault
    evidence: str


@dataclass(slots=True)
class DoctorReport:
    """The result of all checks, which add to it.

    undecided: what could not be checked, and why. notes: other observations. checked: finished checks.
    """

    target: str
    kind: str = ""
    notes: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    _found: dict[str, Finding] = field(default_factory=dict)

    def find(self, fault: str, evidence: str) -> None:
        """Add a finding by the fault's name in the catalogue. The last evidence of a fault counts."""
        self._found[fault] = Finding(CATALOGUE[fault], evidence)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One finding for each fault."""
        return tuple(self._found.values())

    @property
    def healthy(self) -> bool:
        """Whether there are no findings."""
        return not self._found
