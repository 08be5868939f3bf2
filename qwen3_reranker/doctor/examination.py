"""The examination of an endpoint: what any healthy server keeps to, then whose scores these are."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.doctor import judgement, probes
from qwen3_reranker.doctor.comparison import Comparison
from qwen3_reranker.doctor.endpoint import Endpoint, RefusedError, SlowError
from qwen3_reranker.doctor.faults import CATALOGUE, Finding, Report
from qwen3_reranker.doctor.hypotheses import Judge
from qwen3_reranker.doctor.interview import Interview, MalformedError
from qwen3_reranker.doctor.matching import READINGS, Numbers, Reading, logit, sigmoid

_PROMPT_FAULTS = "no-template, no-think-block, lost-newline, other forms of the prompt"
# Each probed query has an answer, so no judge gives all pairs less; llama.cpp without a rank head gives 1e-20 to 1e-28.
_LEAST_PROBABILITY = 1e-8
# Logits: 16-bit servers move by less when a batch changes, reading padding moves by more.
_BATCH_TOLERANCE = 0.3
_INSTRUCTION_FIELDS = (
    {"instruction": probes.OTHER_INSTRUCTION},
    {"instruct": probes.OTHER_INSTRUCTION},
    {"chat_template_kwargs": {"instruction": probes.OTHER_INSTRUCTION}},
)
_GOLDEN_PAIRS = [(probes.GOLDEN_QUERY, document) for document in probes.GOLDEN_DOCUMENTS]
_CLEAR_PAIRS = [(query, document) for query in probes.CLEAR_QUERIES for document in probes.CLEAR_DOCUMENTS]
# Enough to tell every hypothesis from every other, few enough for a large reference.
_COMPARED_PAIRS = _GOLDEN_PAIRS + _CLEAR_PAIRS[: 2 * len(probes.CLEAR_DOCUMENTS)]


def examine(endpoint: Endpoint, judge: Judge | None = None, on_progress: OnProgress | None = None) -> Report:
    """Ask the endpoint about every probe and name what is wrong with it.

    judge: a reference of the same weights; with it, faults of the prompt are told apart by their scores. Without it,
    only what breaks a rule that every healthy server keeps is a finding. on_progress is told the share of steps done,
    which take unlike times. Raises EndpointError if it stops answering.
    """
    return _Examination(endpoint, judge, on_progress or (lambda share: None)).run()


class _Examination:
    def __init__(self, endpoint: Endpoint, judge: Judge | None, advance: OnProgress) -> None:
        self.endpoint, self.judge, self.advance = endpoint, judge, advance
        self.interview = Interview(endpoint)
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.undecided: list[str] = []
        self.checked: list[str] = []
        self.reading: Reading | None = None
        self.noise = 0.0

    def run(self) -> Report:
        try:
            if self._requests_agree() and self._scores_judge():
                self._whose_scores()
        except MalformedError as malformed:
            self._find(malformed.fault, malformed.evidence)
            self.undecided.append("everything that needs a score of every document; repair the above first")
        if self.interview.unsorted is not None:
            self._find("results-unsorted", self.interview.unsorted)
        kind = f"{self.endpoint.dialect.name} at {self.endpoint.path}, {self.endpoint.num_requests} requests"
        address = self.endpoint.address
        known = tuple({finding.fault.name: finding for finding in self.findings}.values())
        return Report(address, kind, known, tuple(self.notes), tuple(self.undecided), tuple(self.checked))

    def _find(self, fault: str, evidence: str) -> None:
        self.findings.append(Finding(CATALOGUE[fault], evidence))

    def _requests_agree(self) -> bool:
        """Whether answers to several documents can be read at all, and say the same in another order."""
        query, documents = probes.GOLDEN_QUERY, list(probes.GOLDEN_DOCUMENTS)
        first_N = self.interview.together(query, documents)
        self.noise = float(np.max(np.abs(self.interview.together(query, documents) - first_N)))
        reversed_N = self.interview.together(query, documents[::-1])[::-1]
        spread = float(np.ptp(first_N))
        moved_N = np.abs(reversed_N - first_N)
        regrouped = float(np.max(np.abs(np.sort(reversed_N) - np.sort(first_N))))
        self.checked.append("shape and order of answers")
        if spread > 1e-6 and regrouped < 0.05 * spread and np.max(moved_N) > 0.3 * spread:
            worst = int(np.argmax(moved_N))
            self._find(
                "index-mapping",
                f"{documents[worst][:40]!r} scores {first_N[worst]:.4f}, and {reversed_N[worst]:.4f} when the same "
                "documents are sent in reverse; the scores as such are the same",
            )
        return True

    def _scores_judge(self) -> bool:
        """Whether scores depend on the texts, and on each document by itself."""
        together_N = self.interview.together(probes.GOLDEN_QUERY, probes.GOLDEN_DOCUMENTS)
        other_N = self.interview.together(probes.CLEAR_QUERIES[1], probes.CLEAR_DOCUMENTS)
        alone_N = self.interview.each_alone(_COMPARED_PAIRS)
        sums = (float(together_N.sum()), float(other_N.sum()))
        all_N = np.concatenate((together_N, other_N, alone_N))
        self.checked.append("scores that depend on the texts")
        if np.ptp(alone_N) < 1e-7 and abs(alone_N[0] - 1) < 1e-3 and all(abs(total - 1) < 1e-3 for total in sums):
            self._find(
                "softmax-over-documents",
                f"{len(together_N)} scores add up to {sums[0]:.4f}, {len(other_N)} others to {sums[1]:.4f}, and every "
                f"document sent alone scores {alone_N[0]:.4f}",
            )
        elif np.min(all_N) >= 0 and 0 < np.max(all_N) < _LEAST_PROBABILITY:
            self._find(
                "generation-head", f"all {len(all_N)} scores lie between {np.min(all_N):.1g} and {np.max(all_N):.1g}"
            )
        elif np.ptp(all_N) < 1e-7:
            # A head of zeros gives a logit of 0 and so 0.5, or its sigmoid if that is taken twice.
            zero = min(abs(alone_N[0] - value) for value in (0.5, 0.0, float(sigmoid(np.array(0.5)))))
            fault = "zero-head" if zero < 1e-6 else "empty-prompt"
            self._find(fault, f"all {len(alone_N)} pairs score {alone_N[0]:.6g}, whatever they say")
        else:
            return True
        self.undecided.append("prompt, instruction, truncation, batches: the scores say nothing until that is repaired")
        return False

    def _whose_scores(self) -> None:
        self.advance(0.2)
        compared_N = self.interview.each_alone(_COMPARED_PAIRS)
        self.advance(0.3)
        golden_N = compared_N[: len(_GOLDEN_PAIRS)]
        likely_N = golden_N if np.all((golden_N >= 0) & (golden_N <= 1)) else sigmoid(golden_N)
        golden = bool(np.max(np.abs(likely_N - sigmoid(np.array(probes.GOLDEN_LOGITS)))) <= 0.02)
        if golden:
            self.notes.append(f"scores are those of {probes.GOLDEN_MODEL}: within 0.02 for four published pairs")
        comparison = None
        if self.judge is not None:
            comparison = Comparison(self.judge, self.interview, _COMPARED_PAIRS, compared_N)
            self._take(comparison)
            self.reading = comparison.reading
        self.advance(0.5)
        if self.reading is None:
            self.reading = self._read_without_reference(golden)
        if self.reading is READINGS[1]:
            self.notes.append("scores are raw logits yes - no, not probabilities: thresholds are others than usual")
        self._batches_agree(self.reading)
        self._instruction_counts(comparison)
        self.advance(0.7)
        explained = comparison is not None and comparison.explained
        if comparison is not None and explained:
            comparison.control_tokens()
            comparison.long_documents()
            self._take(comparison)
        else:
            self._count_control_tokens()
            self.undecided.append("suffix-cut: whether long documents cut the prompt's end off")

    def _take(self, comparison: Comparison) -> None:
        for fault, evidence in comparison.findings:
            self._find(fault, evidence)
        self.notes.extend(comparison.notes)
        self.checked.extend(comparison.checked)
        for taken in (comparison.findings, comparison.notes, comparison.checked):
            taken.clear()

    def _read_without_reference(self, golden: bool) -> Reading:
        scores_QD = self.interview.each_alone(_CLEAR_PAIRS).reshape(len(probes.CLEAR_QUERIES), -1)
        if golden:
            return judgement.plain_reading(scores_QD)
        judged = judgement.judge_clear_pairs(scores_QD)
        for fault, evidence in judged.findings:
            self._find(fault, evidence)
        if self.judge is None:
            self.undecided.append(f"{_PROMPT_FAULTS}: they need --reference with the same weights")
        if not judged.decided:
            self.undecided.append(
                "swapped, double-sigmoid: clear-cut pairs are not told apart, as by an untrained model, another "
                "one, or a missing template"
            )
        self.checked.append("clear-cut pairs")
        return judged.reading

    def _batches_agree(self, reading: Reading) -> None:
        if any(finding.fault.name == "index-mapping" for finding in self.findings):
            self.undecided.append("batch-dependent: once scores belong to their documents")
            return
        documents = [*probes.GOLDEN_DOCUMENTS]
        neighbours = [probes.long_document(probes.LONG_PASSAGES[0] + number) for number in range(probes.NUM_NEIGHBOURS)]
        alone_N = self.interview.each_alone(_GOLDEN_PAIRS)
        groups = {f"among {len(documents)} short ones": documents, "beside long ones": documents + neighbours}
        for name, group in groups.items():
            try:
                scores_N = self.interview.together(probes.GOLDEN_QUERY, group)[: len(documents)]
            except (RefusedError, SlowError) as error:
                self.notes.append(f"{len(group)} documents together, some of them long, could not be tried: {error}")
                continue
            moved_N = np.abs(_logits(reading, scores_N) - _logits(reading, alone_N))
            if np.max(moved_N) > _BATCH_TOLERANCE:
                worst = int(np.argmax(moved_N))
                self._find(
                    "batch-dependent",
                    f"{documents[worst][:40]!r} scores {alone_N[worst]:.4f} alone and {scores_N[worst]:.4f} {name}: "
                    f"{moved_N[worst]:.2f} in the logit",
                )
                break
        self.checked.append("the same score alone and beside others")

    def _instruction_counts(self, comparison: Comparison | None) -> None:
        if comparison is not None and comparison.explained and not comparison.takes_instruction:
            return  # Without a template there is nowhere to put one.
        default_N = self.interview.each_alone(_GOLDEN_PAIRS)
        accepted = []
        for field in _INSTRUCTION_FIELDS:
            with suppress(RefusedError):
                scores_N = self.interview.each_alone(_GOLDEN_PAIRS, **field)
                accepted.append(next(iter(field)))
                if self._instructed(comparison, default_N, scores_N):
                    self.checked.append(f"the instruction, sent as {accepted[-1]!r}")
                    return
        if accepted:
            self._find(
                "instruction-ignored",
                f"an opposite instruction, sent as {', '.join(map(repr, accepted))}, moves no score of "
                f"{len(_GOLDEN_PAIRS)} pairs beyond {self._unmoved:.1g}",
            )
        else:
            self.notes.append("instructions are refused, not ignored: none of the known fields is accepted")

    @property
    def _unmoved(self) -> float:
        return 1e-6 + 3 * self.noise

    def _instructed(self, comparison: Comparison | None, default_N: Numbers, scores_N: Numbers) -> bool:
        if comparison is not None and comparison.explained:
            return comparison.instructed(_GOLDEN_PAIRS, scores_N, probes.OTHER_INSTRUCTION)
        return bool(np.max(np.abs(scores_N - default_N)) > self._unmoved)

    def _count_control_tokens(self) -> None:
        fewer = self.interview.prompt_tokens(probes.GOLDEN_QUERY, probes.UNCOUNTED_DOCUMENT)
        more = self.interview.prompt_tokens(probes.GOLDEN_QUERY, probes.COUNTED_DOCUMENT)
        each = (more - fewer) / probes.NUM_COUNTED if more is not None and fewer is not None else 2.0
        if 0.5 < each <= 1.5:
            self._find(
                "control-tokens-parsed",
                f"{probes.NUM_COUNTED} times <|im_end|> in a document add {each * probes.NUM_COUNTED:.0f} tokens to "
                "the server's own count; as text they would add several each",
            )
        elif each >= 3:
            self.checked.append("control tokens in documents, by the server's count of tokens")
        else:
            self.undecided.append("control-tokens-parsed: the server does not say how many tokens it read")


def _logits(reading: Reading, scores_N: Numbers) -> Numbers:
    undone_N = reading.undo(scores_N)
    return np.clip(logit(scores_N) if undone_N is None else undone_N, -6, 6)
