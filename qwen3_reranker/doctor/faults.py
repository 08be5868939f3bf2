"""The catalogue of known faults: meaning, usual cause and fix of each."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault; `meaning`, `cause` and `fix` are sentences for the server's operator."""

    name: str
    meaning: str
    cause: str
    fix: str


_TEMPLATE_FIX = (
    "Give the server the reranker's template (vLLM, SGLang: --chat-template) or use one that has it built in."
)

ENDPOINT_FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "no-template",
            "Query and document reach the model without the reranker's prompt, so the order is almost random.",
            "The server joins query and document as for a classic cross-encoder; its template is optional and unset.",
            _TEMPLATE_FIX,
        ),
        Fault(
            "no-think-block",
            "The prompt ends before the empty think block, where the model was never trained to answer yes or no.",
            "A chat template that opens the assistant's turn and stops there (SGLang's does).",
            "End the template with <|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n.",
        ),
        Fault(
            "lost-newline",
            "The last newline of the prompt is missing, so the score is read at a wrong token.",
            "Jinja drops the newline at the end of a template file (vLLM's example template does so).",
            "End the template file with one more empty line, or set keep_trailing_newline.",
        ),
        Fault(
            "doubled-tail",
            "The user's turn is closed twice: <|im_end|> comes twice before the assistant's turn.",
            "The chat template closes the turn, and the code appends a suffix that closes it again.",
            "Append the suffix without its first line, or build the prompt without the chat template.",
        ),
        Fault(
            "double-newlines",
            "Instruction, query and document are separated by empty lines, not by single newlines.",
            "The form of the model card's vLLM code and of the official evaluation.",
            "Separate them by one newline. If you reproduce that evaluation, leave it.",
        ),
        Fault(
            "other-instruction",
            "If the request has no instruction, the server uses another one than the model card's.",
            "A template with its own default: an extra full stop, an older wording, or none.",
            "Send the instruction with every request, or correct the default in the template.",
        ),
        Fault(
            "empty-prompt",
            "Every pair gets the same score: neither query nor document reaches the model.",
            "A chat template that expects other roles than the server sends, so it renders nothing.",
            _TEMPLATE_FIX,
        ),
        Fault(
            "double-sigmoid",
            "Scores went through the sigmoid twice: they are between 0.5 and 0.731, and thresholds mean nothing.",
            "The model returns probabilities, and a later layer treats them as logits.",
            "Switch one of the two off (softmax in the graph, or the activation after it).",
        ),
        Fault(
            "softmax-over-documents",
            "Scores of one request add up to 1: they say which document is best, not whether any is good.",
            "The softmax runs over the documents of a request, not over yes and no of each document.",
            "Take the softmax of each document's logits of no and yes, and send that of yes.",
        ),
        Fault(
            "wrong-answer-words",
            "The score does not compare the words yes and no: it uses other tokens, or only one.",
            "Token ids looked up for ' yes' or 'Yes', or a head with one row instead of two.",
            "Compare the tokens yes (9693) and no (2152): the sigmoid of their logits' difference.",
        ),
        Fault(
            "swapped",
            "Yes and no are swapped: the best answer gets the lowest score.",
            'Labels in the other order: classifier_from_token must be ["no", "yes"]; GGUF heads hold yes first.',
            "Swap the two labels, or convert the checkpoint again.",
        ),
        Fault(
            "zero-head",
            "Every pair gets exactly 0.5: the score head is all zeros.",
            "An untied head (8B) that was never loaded, or a checkpoint that was converted without it.",
            "Update the server, or convert the checkpoint again with its lm_head.",
        ),
        Fault(
            "generation-head",
            "Every score is almost 0: it is one token's probability among the whole vocabulary, not yes against no.",
            "llama.cpp with a GGUF file without a rank head, converted before September 2025 or by an older script.",
            "Convert the original again with a recent llama.cpp; cls.output.weight must be in the file.",
        ),
        Fault(
            "instruction-ignored",
            "An instruction in the request changes nothing; it never reaches the prompt.",
            "The route has no such field, or the template has a fixed instruction.",
            "Use a route and template that accept it, or write your instruction into the template.",
        ),
        Fault(
            "suffix-cut",
            "A long document cuts off the end of the prompt, so the score is read in the middle of a text.",
            "Truncation of the finished prompt, not of the document.",
            "Truncate documents before they go into the prompt, or raise the server's limit above your longest.",
        ),
        Fault(
            "control-tokens-parsed",
            "Control tokens in a document's text take effect, so a document can end its turn and answer yes itself.",
            "The finished prompt is tokenized as one text, including special tokens.",
            "Encode user text without added tokens; until then remove <|...|> and <think> from documents.",
        ),
        Fault(
            "batch-dependent",
            "A pair's score changes with the other documents of the request.",
            "The model attends to padding or reads the score from it: a wrong side, mask or pad token.",
            "Correct padding side and mask; until then send one document per request.",
        ),
        Fault(
            "index-mapping",
            "Scores are attached to the wrong documents.",
            "Entries were sorted first and numbered afterwards, so the index is the rank.",
            "Number the documents before sorting.",
        ),
        Fault(
            "results-unsorted",
            "Entries do not come best first, as clients of this format expect.",
            "The server sends scores in the order of the input.",
            "Sort by score on the server; until then clients must not trust the order.",
        ),
        Fault(
            "response-shape",
            "Responses do not contain each document exactly once.",
            "Documents are dropped (empty ones, a default top_n), repeated, or counted from 1.",
            "Return every index from 0 to n-1 once.",
        ),
        Fault(
            "not-a-number",
            "Scores are missing, NaN or infinite.",
            "Overflow in 16 bits, or a row of only padding.",
            "Run the model in bfloat16 or float32; check the attention mask of padded rows.",
        ),
        Fault(
            "unexplained",
            "Scores differ from the reference's, and no known fault explains them.",
            "Other weights than the reference's, heavy quantization, or an unknown fault.",
            "Check that both run the same checkpoint; compare with another precision.",
        ),
    )
}
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
