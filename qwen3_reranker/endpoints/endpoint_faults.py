"""The catalogue of servers' known faults: meaning, usual cause and fix of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault; `meaning`, `cause` and `fix` are sentences for the server's operator."""

    name: str
    meaning: str
    cause: str
    fix: str


_TEMPLATE_FIX = (
    "Start the server with the reranker's template: vLLM and SGLang take --chat-template. deploy/qwen3_reranker.jinja "
    "is right, and docs/fix-your-server.md says more."
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
            "End the template file with one more empty line, or use deploy/qwen3_reranker.jinja.",
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
