"""The catalogue: every fault that can be named, what it means, what usually causes it, and how to repair it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault. `meaning`, `cause` and `fix` are sentences for whoever runs the server."""

    name: str
    meaning: str
    cause: str
    fix: str


_TEMPLATE_FIX = "Give the server the judge template (vLLM, SGLang: --chat-template) or use one that has it built in."

ENDPOINT_FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "no-template",
            "Query and document reach the model without the judge prompt around them, so the order is near random.",
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
            "The last newline of the prompt is missing, so the model is read one token too early or at another one.",
            "Jinja drops the newline at the end of a template file (vLLM's example template does so).",
            "End the template file with one more empty line, or set keep_trailing_newline.",
        ),
        Fault(
            "doubled-tail",
            "The user's turn is closed twice: <|im_end|> stands twice in front of the assistant's turn.",
            "The chat template closes the turn, and the code appends a suffix that closes it again.",
            "Append the suffix without its first line, or build the prompt without the chat template.",
        ),
        Fault(
            "double-newlines",
            "Instruction, query and document stand an empty line apart, not on lines that follow one another.",
            "The form of the model card's vLLM code and of the official evaluation.",
            "Separate them by one newline. If you reproduce that evaluation, this is as it should be.",
        ),
        Fault(
            "other-instruction",
            "Without an instruction of the caller, another one is used than the model card's.",
            "A template with a default of its own: a full stop more, an older wording, or none.",
            "Send the instruction with every request, or correct the default in the template.",
        ),
        Fault(
            "empty-prompt",
            "Every pair gets the same score: neither query nor document reaches the model.",
            "A chat template that expects other roles than the server sends, and so renders nothing.",
            _TEMPLATE_FIX,
        ),
        Fault(
            "double-sigmoid",
            "Scores went through the sigmoid twice: they lie between 0.5 and 0.731, and thresholds mean nothing.",
            "The server sends probabilities and a layer behind it takes them for logits.",
            "Switch one of the two off (softmax in the graph, or the activation behind it).",
        ),
        Fault(
            "softmax-over-documents",
            "Scores of one request add up to 1: they say which document is best, not whether one is good.",
            "The softmax runs over the documents of a request, not over yes and no of each document.",
            "Take the softmax of each document's logits of no and yes, and send that of yes.",
        ),
        Fault(
            "wrong-answer-words",
            "The score is not made of the words yes and no: other tokens are compared, or one alone.",
            "Token ids looked up for ' yes' or 'Yes', or a head with one row instead of two.",
            "Compare the tokens yes (9693) and no (2152): the sigmoid of their logits' difference.",
        ),
        Fault(
            "swapped",
            "Yes and no are exchanged: what answers best gets the lowest score.",
            'Labels in the other order: classifier_from_token must be ["no", "yes"]; GGUF heads hold yes first.',
            "Exchange the two labels, or convert the checkpoint again.",
        ),
        Fault(
            "zero-head",
            "Every pair gets exactly 0.5: the head that judges holds zeros.",
            "An untied head (8B) that was never loaded, or a checkpoint that was converted without it.",
            "Update the server, or convert the checkpoint anew with its lm_head.",
        ),
        Fault(
            "generation-head",
            "Every score is next to nothing: one number's share among all of a generation head's, not yes against no.",
            "llama.cpp with a GGUF file without a rank head, converted before September 2025 or by an older script.",
            "Convert the original again with a recent llama.cpp; cls.output.weight must be in the file.",
        ),
        Fault(
            "instruction-ignored",
            "An instruction in the request changes nothing; it never reaches the prompt.",
            "The route has no such field, or the template has the instruction written in.",
            "Use a route and template that take it, or write your instruction into the template.",
        ),
        Fault(
            "suffix-cut",
            "A long document cuts the end of the prompt off, so the model is read in the middle of a text.",
            "Truncation of the finished prompt instead of the document alone.",
            "Cut documents before they go into the prompt, or raise the server's limit above your longest.",
        ),
        Fault(
            "control-tokens-parsed",
            "Control tokens written in a document are obeyed, so a document can end its turn and answer yes itself.",
            "The finished prompt is tokenized as one text, special tokens included.",
            "Encode user text without added tokens; until then remove <|...|> and <think> from documents.",
        ),
        Fault(
            "batch-dependent",
            "A pair's score changes with the documents beside it.",
            "Padding that the model attends to or reads its answer from: a wrong side, mask or pad token.",
            "Correct padding side and mask, or send one document a request until that is done.",
        ),
        Fault(
            "index-mapping",
            "Scores are attached to the wrong documents.",
            "Entries were sorted and numbered afterwards, so that the index is the rank.",
            "Number the documents before sorting.",
        ),
        Fault(
            "results-unsorted",
            "Entries do not come best first, as clients of this format expect.",
            "The server sends scores in the order of the input.",
            "Sort by score on the server; clients must not trust the order until then.",
        ),
        Fault(
            "response-shape",
            "Answers do not hold each document exactly once.",
            "Documents are dropped (empty ones, a default top_n), repeated, or counted from 1.",
            "Answer with every index from 0 to n-1 once.",
        ),
        Fault(
            "not-a-number",
            "Scores are missing, NaN or infinite.",
            "Overflow in 16 bits, or a row that is all padding.",
            "Run the model in bfloat16 or float32; check the attention mask of padded rows.",
        ),
        Fault(
            "unexplained",
            "Scores are not those of the reference, and no known fault explains them.",
            "Other weights than the reference, heavy quantization, or a fault that is not known yet.",
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
            "A download that was cut short, a file that is missing, or one that is not what its name says.",
            "The evidence names the file and what to do.",
        ),
        Fault(
            "unsupported-model",
            "This is a model of a kind that is not run here: another architecture, or an export for another program.",
            "Another model taken for a Qwen3-Reranker, or its files for another program.",
            "Take a Qwen3-Reranker in safetensors or GGUF; nothing is damaged, so fetching again does not help.",
        ),
        Fault(
            "unread-format",
            "The weights are quantised in a format that is not read here.",
            "A checkpoint made for one program or one kind of GPU; the evidence names its format.",
            "Take the checkpoint that it was made of, or a GGUF; there is nothing to fetch again.",
        ),
        Fault(
            "index-mismatch",
            "The index of the weights does not agree with the files beside it.",
            "Shards of two revisions in one folder, or one that is missing.",
            "Fetch all files of one revision into an empty folder.",
        ),
        Fault(
            "missing-head",
            "There is no head to judge with, and the config says that it is not tied to the word vectors.",
            "A conversion that dropped lm_head.weight, or one of an embedding model.",
            "Fetch the original, or convert it again with its head.",
        ),
        Fault(
            "embedding-model",
            "This is an embedding model: it gives each text a vector, and has no head that judges a document.",
            "Qwen3-Embedding taken for Qwen3-Reranker: names, sizes and configurations look alike.",
            "Use a Qwen3-Reranker to rank; this one embeds texts (Embedder in Python).",
        ),
        Fault(
            "other-judge",
            "These files are another judge's: their scores under the prompt of Qwen3-Reranker would mean nothing.",
            "A model of the same network that was trained on a prompt of its own, or not to judge at all.",
            "Use a Qwen3-Reranker, or name the prompt that it was trained with (--prompt).",
        ),
        Fault(
            "no-judge",
            "The head cannot tell yes from no: its two rows are equal, zero or not finite.",
            "A head that was never loaded before the checkpoint was saved.",
            "Convert the original again, with its lm_head.",
        ),
        Fault(
            "untied-head",
            "config.json ties the head to the word vectors, but one of its own lies beside them and differs. It judges "
            "here and in transformers 5; older releases, and what reads the config alone, drop it and score otherwise.",
            "Fine-tuning that trained the head, saved with the old config.",
            "Set tie_word_embeddings to false; remove lm_head.weight if it was not trained.",
        ),
        Fault(
            "unread-tensors",
            "The files hold tensors that a Qwen3 network of this configuration does not read.",
            "A config of a smaller model, or a checkpoint of another network with parts of its own.",
            "Correct the config if they were trained; the evidence names them.",
        ),
        Fault(
            "quantized-head",
            "The vector that judges is stored in few bits, which moves every score.",
            "Quantization of all matrices, the head included.",
            "Quantize again and leave lm_head (GGUF: cls.output, token_embd) in 16 bits.",
        ),
        Fault(
            "no-rank-head",
            "The GGUF file has no rank head. It runs here; llama.cpp scores every document near zero with it.",
            "A conversion made before September 2025, or by a script that does not know rerankers.",
            "Convert the original again with a recent llama.cpp; cls.output.weight must be in the file.",
        ),
        Fault(
            "wrong-tokenizer",
            "The tokenizer is not the one that the weights were trained with.",
            "tokenizer.json of another model, or one that was extended further than the word vectors.",
            "Copy tokenizer.json from the original model.",
        ),
        Fault(
            "damaged-weights",
            "Weights hold numbers that are not finite.",
            "Training that diverged, or a conversion that overflowed 16 bits.",
            "Fetch or convert the checkpoint again.",
        ),
        Fault(
            "other-config",
            "The rotary base or the norms' epsilon is none of a Qwen3-Reranker.",
            "A config of another model, or one that was edited for long contexts.",
            "Copy config.json from the original model.",
        ),
        Fault(
            "no-pad-token",
            "Servers that batch a sequence classifier need a padding token, and none is named.",
            "A conversion that left pad_token_id out.",
            'Write "pad_token_id": 151643 into config.json.',
        ),
        Fault(
            "template-no-think-block",
            "The chat template writes the judge's prompt without the empty think block.",
            "A template made for models that do not think.",
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
    """A fault that was found, and the numbers that show it."""

    fault: Fault
    evidence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination found. `undecided` says what could not be told, and why; `notes` what else was seen."""

    target: str
    kind: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    undecided: tuple[str, ...]
    checked: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
