"""An endpoint compared with a reference model: its prompt, control tokens and truncation."""

from __future__ import annotations

import re

import numpy as np

from qwen3_reranker.doctor.client import Client
from qwen3_reranker.doctor.faults import DoctorReport
from qwen3_reranker.doctor.hypotheses import Prompt
from qwen3_reranker.doctor.matching import (
    distance,
    fitted_hypotheses,
    loose,
    nearest,
    plainly_nearer,
)
from qwen3_reranker.doctor.reference_model import Ids, Pair, ReferenceModel
from qwen3_reranker.endpoints import probes
from qwen3_reranker.endpoints.endpoint_errors import RefusedError, SlowError
from qwen3_reranker.endpoints.score_transforms import Numbers, ScoreTransform

_CONTROL = re.compile(r"<\|[a-z_]+\|>|</?think>")
# Share of the loosest fit: if the uncut document fits this well, no other length is tried.
_NEAR = 0.25
_LEAST_CUT = 64
_MOST_CANDIDATES = 5
_LONG_QUERIES = probes.CLEAR_QUERIES[:4]


class ReferenceChecks:
    """Compares an endpoint with a reference model, and adds to the report."""

    def __init__(
        self, report: DoctorReport, reference: ReferenceModel, client: Client, pairs: list[Pair], scores_N: Numbers
    ) -> None:
        self.report, self._reference, self._client = report, reference, client
        verdict = fitted_hypotheses(reference, pairs, scores_N)
        self._best = verdict.best
        self._limit = loose(verdict.spread)
        report.checked.append(f"prompt, head and scale, compared with {reference.name}")
        healthy = "no scale fits" if verdict.healthy is None else f"{verdict.healthy.error:.3f}"
        if self._best is None:
            evidence = f"over {len(pairs)} pairs logits differ from the reference's by {healthy} (root mean square)"
            report.find("unexplained", evidence)
        elif self._best.faults:
            evidence = (
                f"{self._best.description}: this gives the endpoint's logits of {len(pairs)} pairs to within "
                f"{self._best.error:.3f} (root mean square); the canonical prompt differs by {healthy}"
            )
            for fault in self._best.faults:
                report.find(fault, evidence)
        else:
            self.report.notes.append(
                f"logits equal the reference's to within {self._best.error:.2g} (root mean square)"
            )

    @property
    def explained(self) -> bool:
        """Whether a hypothesis gives the endpoint's scores, so that further checks can use it."""
        return self._best is not None

    @property
    def transform(self) -> ScoreTransform | None:
        """How the endpoint transforms logits into scores, if known."""
        return None if self._best is None else self._best.transform

    @property
    def takes_instruction(self) -> bool:
        """Whether the endpoint's prompt holds an instruction."""
        return self._best is not None and self._best.prompt.labelled

    def instructed(self, pairs: list[Pair], scores_N: Numbers, instruction: str) -> bool:
        """Whether scores requested with an instruction differ from those of the default instruction."""
        prompt, observed_N = self._prompt, self._observed(scores_N)
        instructed_N = self._logits(self._reference.rows(prompt, pairs, instruction))
        default_N = self._logits(self._reference.rows(prompt, pairs))
        ignored = distance(observed_N, default_N)
        return not plainly_nearer(ignored, distance(observed_N, instructed_N), self._limit)

    def control_tokens(self) -> None:
        """Check whether control tokens in a document are parsed, encoded as text, or removed."""
        pairs = [(probes.GOLDEN_QUERY, document) for document in probes.CONTROL_DOCUMENTS]
        try:
            observed_N = self._observed(self._client.each_alone(pairs))
        except RefusedError:
            self.report.notes.append("the server refuses documents with control tokens")
            return
        removed = [(query, _CONTROL.sub("", document)) for query, document in pairs]
        prompt = self._prompt
        literal_N = self._logits(self._reference.rows(prompt, pairs))
        parsed_N = self._logits(self._reference.rows(prompt, pairs, parse=True))
        cleaned_N = self._logits(self._reference.rows(prompt, removed))
        parsed = distance(observed_N, parsed_N)
        _, errors = nearest(observed_N, {"literal": literal_N, "removed": cleaned_N})
        if plainly_nearer(parsed, min(errors.values()), self._limit):
            evidence = (
                f"for {len(pairs)} documents with control tokens in their text, parsing them gives the endpoint's "
                f"logits to within {parsed:.3f}; encoding them as text differs by {errors['literal']:.3f}"
            )
            self.report.find("control-tokens-parsed", evidence)
        else:
            self.report.checked.append("control tokens in documents")

    def long_documents(self) -> None:
        """Check whether a long document cuts off the end or the beginning of the prompt."""
        for passages in probes.LONG_PASSAGES:
            pairs = [(query, probes.long_document(passages)) for query in _LONG_QUERIES]
            rows = self._reference.rows(self._prompt, pairs)
            longest = max(map(len, rows))
            if longest > self._reference.max_length:
                self.report.notes.append(f"documents of {longest:,} tokens were not tested: too long for the reference")
                return
            try:
                observed_N = self._observed(self._client.each_alone(pairs))
            except (RefusedError, SlowError) as error:
                self.report.notes.append(f"documents of {longest:,} tokens could not be tested: {error}")
                return
            if not self._healthy_length(rows, observed_N, search=passages == probes.LONG_PASSAGES[0]):
                return
            self.report.checked.append(f"documents of {longest:,} tokens")

    def _healthy_length(self, rows: list[Ids], observed_N: Numbers, search: bool) -> bool:
        whole_N = self._logits(rows)
        length = max(map(len, rows))
        if distance(observed_N, whole_N) <= _NEAR * self._limit:
            return True
        limits = [limit for limit in probes.COMMON_LIMITS if limit < length]
        cut = self._document_cuts(rows, limits)
        healthy, errors = nearest(observed_N, {"whole": whole_N, **cut})
        fine = errors[healthy]
        wrong = {limit: self._logits([row[:limit] for row in rows]) for limit in limits}
        wrong.update({-limit: self._logits([row[-limit:] for row in rows]) for limit in limits})
        name, error = self._nearest_cut(observed_N, wrong)
        if search and min(error, fine) > _NEAR * self._limit:
            more = self._searched(rows, observed_N)
            other, other_error = self._nearest_cut(observed_N, more)
            if other_error < error:
                name, error = other, other_error
        if plainly_nearer(error, fine, self._limit):
            kept = f"the first {name:,}" if name > 0 else f"the last {-name:,}"
            self.report.find(
                "suffix-cut",
                f"of rows of {length:,} tokens only {kept} are read: this gives the endpoint's logits to within "
                f"{error:.3f}; the whole prompt differs by {distance(observed_N, whole_N):.3f}",
            )
            return False
        if fine > self._limit:
            self.report.notes.append(
                f"scores of documents of {length:,} tokens fit neither the whole text nor a common limit"
            )
        elif healthy != "whole":
            self.report.notes.append(
                f"documents of {length:,} tokens are cut, and the prompt's end is kept ({healthy})"
            )
        return True

    def _document_cuts(self, rows: list[Ids], limits: list[int]) -> dict[str, Numbers]:
        """Logits if only the document is cut. A limit may count the whole row or the text without its ends."""
        prefix, suffix = self._reference.ends(self._prompt)
        cut: dict[str, Numbers] = {}
        for limit in limits:
            kinds = {f"rows to {limit:,} tokens": limit, f"texts to {limit:,} tokens": prefix + limit + suffix}
            for name, kept in kinds.items():
                if kept < min(map(len, rows)):
                    shortened = [np.concatenate((row[: kept - suffix], row[len(row) - suffix :])) for row in rows]
                    cut[name] = self._logits(shortened)
        return cut

    def _searched(self, rows: list[Ids], observed_N: Numbers) -> dict[int, Numbers]:
        """Logits at the few lengths that fit the first row best, of all lengths."""
        lengths = range(_LEAST_CUT, len(rows[0]))
        logits_L = self._logits([rows[0][:length] for length in lengths])
        order = np.argsort(np.abs(logits_L - observed_N[0]))[:_MOST_CANDIDATES]
        chosen = [lengths[index] for index in order.tolist()]
        return {length: self._logits([row[:length] for row in rows]) for length in chosen}

    def _nearest_cut(self, observed_N: Numbers, cuts: dict[int, Numbers]) -> tuple[int, float]:
        errors = {length: distance(observed_N, logits_N) for length, logits_N in cuts.items()}
        best = min(errors, key=errors.__getitem__)
        return best, errors[best]

    @property
    def _prompt(self) -> Prompt:
        assert self._best is not None
        return self._best.prompt

    def _observed(self, scores_N: Numbers) -> Numbers:
        assert self._best is not None
        logits_N = self._best.transform.inverse(scores_N)
        # A score outside this scale counts as far away from every hypothesis.
        return np.full_like(scores_N, 1e3) if logits_N is None else logits_N

    def _logits(self, rows: list[Ids]) -> Numbers:
        assert self._best is not None
        logits_N: Numbers = self._reference.hidden(rows) @ self._reference.heads[self._best.head]
        return logits_N
