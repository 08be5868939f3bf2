"""Every planted fault is named, exactly and alone; a healthy server is never accused."""

from __future__ import annotations

import pytest

from qwen3_reranker.doctor import CATALOGUE, ENDPOINT_FAULTS
from tests.doctor.conftest import Case, Cases, found

pytestmark = pytest.mark.slow

# What needs no reference, as every healthy server keeps to a rule that these break.
BY_RULE = (
    "double-sigmoid", "swapped", "softmax-over-documents", "zero-head", "generation-head", "empty-prompt",
    "instruction-ignored", "control-tokens-parsed", "batch-dependent", "index-mapping", "results-unsorted",
    "response-shape", "not-a-number",
)  # fmt: skip
BY_REFERENCE = (
    "no-template", "no-think-block", "lost-newline", "doubled-tail", "double-newlines", "other-instruction",
    "wrong-answer-words", "suffix-cut",
)  # fmt: skip
FAULTS = BY_RULE + BY_REFERENCE
SEEDS = (1, 2, 3, 4, 5)
WIRE_FORMATS = ("cohere", "tei", "vllm-score")


@pytest.mark.parametrize("fault", BY_RULE)
def test_a_broken_rule_is_named_without_a_reference(nano: Case, fault: str) -> None:
    assert found(nano.report("cohere", fault, reference=False)) == [fault]


@pytest.mark.parametrize("dialect", WIRE_FORMATS)
def test_a_healthy_server_of_a_model_that_judges_is_not_accused(nano: Case, dialect: str) -> None:
    report = nano.report(dialect, reference=False)
    assert found(report) == []
    assert any("--reference" in text for text in report.undecided)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_exactly_beside_a_reference(nano: Case, fault: str) -> None:
    assert found(nano.report("cohere", fault)) == [fault]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_weights_are_accused_of_nothing_with_or_without_a_reference(random_case: Cases, seed: int) -> None:
    case = random_case(seed)
    assert found(case.report("cohere")) == []
    assert found(case.report("cohere", reference=False)) == []


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", SEEDS[: len(WIRE_FORMATS)])
def test_every_fault_of_random_weights_is_named_exactly(random_case: Cases, seed: int, fault: str) -> None:
    dialect = WIRE_FORMATS[seed % len(WIRE_FORMATS)]
    # vLLM's /score answers in the order of the input, so nothing there can be out of order.
    expected = [] if (dialect, fault) == ("vllm-score", "results-unsorted") else [fault]
    assert found(random_case(seed).report(dialect, fault)) == expected


@pytest.mark.parametrize("fault", ["no-template", "lost-newline", "no-think-block", "suffix-cut", "wrong-answer-words"])
def test_random_weights_with_a_fault_that_needs_a_reference_are_not_accused_of_another(
    random_case: Cases, fault: str
) -> None:
    names = found(random_case(1).report("cohere", fault, reference=False))
    # Without a template there is nowhere to put an instruction, and that shows.
    assert names == (["instruction-ignored"] if fault == "no-template" else [])


def test_a_server_that_cuts_documents_rightly_is_healthy(random_case: Cases) -> None:
    report = random_case(1).report("cohere", limit=600)
    assert found(report) == []
    assert any("tokens" in note for note in report.notes)


def test_raw_logits_are_a_note_and_no_fault(nano: Case) -> None:
    for reference in (True, False):
        report = nano.report("cohere", "raw", reference=reference)
        assert found(report) == []
        assert any("raw logits" in note for note in report.notes)


def test_another_models_scores_are_explained_by_nothing(nano: Case, random_case: Cases) -> None:
    stranger = Case(nano.model, random_case(1).reference)
    assert found(stranger.report("cohere")) == ["unexplained"]


def test_what_a_finding_says_fits_a_terminal_and_every_fault_has_a_fix() -> None:
    for name, fault in CATALOGUE.items():
        assert fault.name == name
        assert all(text.endswith(".") for text in (fault.meaning, fault.cause, fault.fix))
    assert set(FAULTS) | {"unexplained"} == set(ENDPOINT_FAULTS)
