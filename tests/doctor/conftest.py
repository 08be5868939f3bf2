"""Models for faulty servers, and a reference of the same weights for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from qwen3_reranker import Reranker
from qwen3_reranker.doctor import DoctorReport, Endpoint, ReferenceModel, check_endpoint
from qwen3_reranker.doctor.reference_model import Ids
from testing.checkpoints import write_nano_checkpoint
from testing.faulty_server import Model, Patient, serve


class Remembering(ReferenceModel):
    """Computes each row once: all faults are held against the same ones, and a row's bits depend on no other."""

    def __init__(self, reranker: Reranker) -> None:
        super().__init__(reranker)
        self._known: dict[bytes, NDArray[np.float64]] = {}

    def hidden(self, rows: Sequence[Ids]) -> NDArray[np.float64]:
        names = [ids.tobytes() for ids in rows]
        new = {name: ids for name, ids in zip(names, rows, strict=True) if name not in self._known}
        if new:
            self._known.update(zip(new, super().hidden(list(new.values())), strict=True))
        return np.stack([self._known[name] for name in names])


@dataclass(frozen=True)
class Case:
    """One set of weights: what serves them, and what judges the server."""

    model: Model
    reference: ReferenceModel

    def report(
        self, dialect: str, fault: str = "", *, reference: bool = True, limit: int | None = None
    ) -> DoctorReport:
        """The doctor's report on a server with that fault."""
        with serve(Patient(self.model, dialect, fault, limit)) as patient:
            return check_endpoint(Endpoint(patient.url), self.reference if reference else None)


Cases = Callable[[int], Case]


def found(report: DoctorReport) -> list[str]:
    """The names of what was found."""
    return [finding.fault.name for finding in report.findings]


@pytest.fixture(scope="session")
def nano() -> Case:
    """The bundled model, which judges."""
    reranker = Reranker("nano")
    return Case(Model(reranker), Remembering(reranker))


@pytest.fixture(scope="session")
def random_case(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Random weights of that seed behind nano's tokenizer, which judge nothing; each made once."""
    made: dict[int, Case] = {}

    def case(seed: int) -> Case:
        if seed not in made:
            folder = write_nano_checkpoint(tmp_path_factory.mktemp(f"seed-{seed}"), initializer_range=0.2, seed=seed)
            reranker = Reranker(str(folder))
            made[seed] = Case(Model(reranker), Remembering(reranker))
        return made[seed]

    return case
