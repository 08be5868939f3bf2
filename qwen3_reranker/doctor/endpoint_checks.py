"""An endpoint -> its faults, by rules first, then by a comparison of scores."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from qwen3_reranker.backends.base import OnProgress
from qwen3_reranker.doctor.client import Client
from qwen3_reranker.doctor.endpoint import Endpoint
from qwen3_reranker.doctor.faults import DoctorReport
from qwen3_reranker.doctor.reference_checks import ReferenceChecks
from qwen3_reranker.doctor.reference_model import ReferenceModel
from qwen3_reranker.endpoints import clear_pairs, probes
from qwen3_reranker.endpoints.endpoint_errors import MalformedReplyError, RefusedError, SlowError
from qwen3_reranker.endpoints.flat_scores import flat_fault
from qwen3_reranker.endpoints.score_transforms import SCORE_TRANSFORMS, Numbers, ScoreTransform, logit, sigmoid
from qwen3_reranker.endpoints.wire_formats import ANY_INSTRUCTION, nested

_PROMPT_FAULTS = "no-template, no-think-block, lost-newline, other forms of the prompt"
# In logits: another batch moves a 16-bit server by less, reading padding moves it by more.
_BATCH_TOLERANCE = 0.3
_INSTRUCTION_FIELDS = [nested(each, probes.OTHER_INSTRUCTION) for each in ANY_INSTRUCTION]
_GOLDEN_PAIRS = [(probes.GOLDEN_QUERY, document) for document in probes.GOLDEN_DOCUMENTS]
_CLEAR_PAIRS = [(query, document) for query in probes.CLEAR_QUERIES for document in probes.CLEAR_DOCUMENTS]
# Enough pairs to separate all hypotheses, few enough for a large reference.
_COMPARED_PAIRS = _GOLDEN_PAIRS + _CLEAR_PAIRS[: 2 * len(probes.CLEAR_DOCUMENTS)]


def check_endpoint(
    endpoint: Endpoint, reference: ReferenceModel | None = None, on_progress: OnProgress | None = None
) -> DoctorReport:
    """Send every probe to the endpoint and name its faults.

    reference: a local model with the same weights, which identifies faults of the prompt by their scores. Without it,
    only a broken rule of every healthy server is a finding. on_progress: called with the share of finished steps.
    Raises EndpointError if the endpoint stops responding.
    """
    return _EndpointChecks(endpoint, reference, on_progress or (lambda share: None)).run()


class _EndpointChecks:
    def __init__(self, endpoint: Endpoint, reference: ReferenceModel | None, advance: OnProgress) -> None:
        self.endpoint, self.reference, self.advance = endpoint, reference, advance
        self.client = Client(endpoint)
        self.report = DoctorReport(endpoint.address)
        self.transform: ScoreTransform | None = None
        self.noise = 0.0

    def run(self) -> DoctorReport:
        try:
            if self._requests_agree() and self._scores_vary():
                self._compare_scores()
        except MalformedReplyError as malformed:
            self.report.find(malformed.fault, malformed.evidence)
            self.report.undecided.append("everything that needs a score of every document; repair the above first")
        if self.client.unsorted is not None:
            self.report.find("results-unsorted", self.client.unsorted)
        endpoint = self.endpoint
        self.report.kind = f"{endpoint.dialect.name} at {endpoint.path}, {endpoint.num_requests} requests"
        return self.report

    def _requests_agree(self) -> bool:
        """Whether responses for several documents are readable, and equal for another document order."""
        query, documents = probes.GOLDEN_QUERY, list(probes.GOLDEN_DOCUMENTS)
        first_N = self.client.together(query, documents)
        self.noise = float(np.max(np.abs(self.client.together(query, documents) - first_N)))
        reversed_N = self.client.together(query, documents[::-1])[::-1]
        spread = float(np.ptp(first_N))
        moved_N = np.abs(reversed_N - first_N)
        regrouped = float(np.max(np.abs(np.sort(reversed_N) - np.sort(first_N))))
        self.report.checked.append("shape and order of answers")
        if spread > 1e-6 and regrouped < 0.05 * spread and np.max(moved_N) > 0.3 * spread:
            worst = int(np.argmax(moved_N))
            self.report.find(
                "index-mapping",
                f"{documents[worst][:40]!r} scores {first_N[worst]:.4f}, and {reversed_N[worst]:.4f} when the same "
                "documents are sent in reverse order; the set of scores is the same",
            )
        return True

    def _scores_vary(self) -> bool:
        """Whether scores depend on the texts, and on each document independently."""
        together_N = self.client.together(probes.GOLDEN_QUERY, probes.GOLDEN_DOCUMENTS)
        other_N = self.client.together(probes.CLEAR_QUERIES[1], probes.CLEAR_DOCUMENTS)
        alone_N = self.client.each_alone(_COMPARED_PAIRS)
        sums = (float(together_N.sum()), float(other_N.sum()))
        all_N = np.concatenate((together_N, other_N, alone_N))
        self.report.checked.append("scores that depend on the texts")
        if np.ptp(alone_N) < 1e-7 and abs(alone_N[0] - 1) < 1e-3 and all(abs(total - 1) < 1e-3 for total in sums):
            self.report.find(
                "softmax-over-documents",
                f"{len(together_N)} scores add up to {sums[0]:.4f}, {len(other_N)} others to {sums[1]:.4f}, and every "
                f"document sent by itself scores {alone_N[0]:.4f}",
            )
        elif (fault := flat_fault(all_N)) == "generation-head":
            self.report.find(fault, f"all {len(all_N)} scores are between {np.min(all_N):.1g} and {np.max(all_N):.1g}")
        elif fault is not None:
            self.report.find(fault, f"all {len(alone_N)} pairs score {alone_N[0]:.6g}, whatever their texts")
        else:
            return True
        self.report.undecided.append("prompt, instruction, truncation, batches: the scores carry no information yet")
        return False

    def _compare_scores(self) -> None:
        self.advance(0.2)
        compared_N = self.client.each_alone(_COMPARED_PAIRS)
        self.advance(0.3)
        golden_N = compared_N[: len(_GOLDEN_PAIRS)]
        likely_N = golden_N if np.all((golden_N >= 0) & (golden_N <= 1)) else sigmoid(golden_N)
        golden = bool(np.max(np.abs(likely_N - sigmoid(np.array(probes.GOLDEN_LOGITS)))) <= 0.02)
        if golden:
            self.report.notes.append(
                f"scores equal those of {probes.GOLDEN_MODEL}: within 0.02 for four published pairs"
            )
        comparison = None
        if self.reference is not None:
            comparison = ReferenceChecks(self.report, self.reference, self.client, _COMPARED_PAIRS, compared_N)
            self.transform = comparison.transform
        self.advance(0.5)
        if self.transform is None:
            self.transform = self._transform_without_reference(golden)
        if self.endpoint.is_calibrated:
            self.report.notes.append("a calibration gives its probabilities: what was examined are its logits")
        elif self.transform is SCORE_TRANSFORMS[1]:
            self.report.notes.append("scores are raw logits yes - no, not probabilities: they need other thresholds")
        self._batches_agree(self.transform)
        self._instruction_counts(comparison)
        self.advance(0.7)
        explained = comparison is not None and comparison.explained
        if comparison is not None and explained:
            comparison.control_tokens()
            comparison.long_documents()
        else:
            self._count_control_tokens()
            self.report.undecided.append("suffix-cut: whether long documents cut off the end of the prompt")

    def _transform_without_reference(self, golden: bool) -> ScoreTransform:
        scores_QD = self.client.each_alone(_CLEAR_PAIRS).reshape(len(probes.CLEAR_QUERIES), -1)
        if golden:
            return clear_pairs.plain_transform(scores_QD)
        result = clear_pairs.check_clear_pairs(scores_QD)
        for fault, evidence in result.findings:
            self.report.find(fault, evidence)
        if self.reference is None:
            self.report.undecided.append(f"{_PROMPT_FAULTS}: they need --reference with the same weights")
        if not result.decided:
            self.report.undecided.append(
                "swapped, double-sigmoid: the scores do not separate clear-cut pairs; the model is untrained or "
                "another one, or the template is missing"
            )
        self.report.checked.append("clear-cut pairs")
        return result.transform

    def _batches_agree(self, transform: ScoreTransform) -> None:
        if any(finding.fault.name == "index-mapping" for finding in self.report.findings):
            self.report.undecided.append("batch-dependent: needs scores that belong to their documents")
            return
        documents = [*probes.GOLDEN_DOCUMENTS]
        neighbours = [probes.long_document(probes.LONG_PASSAGES[0] + number) for number in range(probes.NUM_NEIGHBOURS)]
        alone_N = self.client.each_alone(_GOLDEN_PAIRS)
        groups = {f"with {len(documents)} short ones": documents, "with long ones": documents + neighbours}
        for name, group in groups.items():
            try:
                scores_N = self.client.together(probes.GOLDEN_QUERY, group)[: len(documents)]
            except (RefusedError, SlowError) as error:
                self.report.notes.append(
                    f"{len(group)} documents together, some of them long, could not be tested: {error}"
                )
                continue
            moved_N = np.abs(_logits(transform, scores_N) - _logits(transform, alone_N))
            if np.max(moved_N) > _BATCH_TOLERANCE:
                worst = int(np.argmax(moved_N))
                self.report.find(
                    "batch-dependent",
                    f"{documents[worst][:40]!r} scores {alone_N[worst]:.4f} alone and {scores_N[worst]:.4f} {name}: "
                    f"{moved_N[worst]:.2f} in the logit",
                )
                break
        self.report.checked.append("the same score alone and with other documents")

    def _instruction_counts(self, comparison: ReferenceChecks | None) -> None:
        if comparison is not None and comparison.explained and not comparison.takes_instruction:
            return  # Without a template there is no place for an instruction.
        default_N = self.client.each_alone(_GOLDEN_PAIRS)
        accepted = []
        for field in _INSTRUCTION_FIELDS:
            with suppress(RefusedError):
                scores_N = self.client.each_alone(_GOLDEN_PAIRS, **field)
                accepted.append(next(iter(field)))
                if self._instructed(comparison, default_N, scores_N):
                    self.report.checked.append(f"the instruction, sent as {accepted[-1]!r}")
                    return
        if accepted:
            self.report.find(
                "instruction-ignored",
                f"an opposite instruction, sent as {', '.join(map(repr, accepted))}, moves no score of "
                f"{len(_GOLDEN_PAIRS)} pairs by more than {self._unmoved:.1g}",
            )
        else:
            self.report.notes.append("the server refuses instructions in every known field")

    @property
    def _unmoved(self) -> float:
        return 1e-6 + 3 * self.noise

    def _instructed(self, comparison: ReferenceChecks | None, default_N: Numbers, scores_N: Numbers) -> bool:
        if comparison is not None and comparison.explained:
            return comparison.instructed(_GOLDEN_PAIRS, scores_N, probes.OTHER_INSTRUCTION)
        return bool(np.max(np.abs(scores_N - default_N)) > self._unmoved)

    def _count_control_tokens(self) -> None:
        fewer = self.client.prompt_tokens(probes.GOLDEN_QUERY, probes.UNCOUNTED_DOCUMENT)
        more = self.client.prompt_tokens(probes.GOLDEN_QUERY, probes.COUNTED_DOCUMENT)
        each = (more - fewer) / probes.NUM_COUNTED if more is not None and fewer is not None else 2.0
        if 0.5 < each <= 1.5:
            self.report.find(
                "control-tokens-parsed",
                f"{probes.NUM_COUNTED} times <|im_end|> in a document add {each * probes.NUM_COUNTED:.0f} tokens to "
                "the server's own count; as text each would add several",
            )
        elif each >= 3:
            self.report.checked.append("control tokens in documents, by the server's count of tokens")
        else:
            self.report.undecided.append("control-tokens-parsed: the server does not report its token count")


def _logits(transform: ScoreTransform, scores_N: Numbers) -> Numbers:
    undone_N = transform.inverse(scores_N)
    return np.clip(logit(scores_N) if undone_N is None else undone_N, -6, 6)
