"""The settings of models -> the calibrations that their probabilities come from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qwen3_reranker.errors import CalibrationError
from qwen3_reranker.reranker import Reranker
from qwen3_reranker.serve.models import ServedReranker
from qwen3_reranker.serve.settings import STORED_CALIBRATION, ModelSettings, ServerSettings

if TYPE_CHECKING:
    from qwen3_reranker.calibrate import Calibration

_log = logging.getLogger(__name__)


def read_calibrations(rerankers: Sequence[ServedReranker], settings: ServerSettings) -> dict[str, Calibration]:
    """The calibration of each model that has one, by the model's id.

    Raises CalibrationError for a file that holds none, and for one of another model.
    """
    found = {}
    for served in rerankers:
        chosen = next(each for each in settings.models if each.name == served.id)
        if chosen.calibration is None:
            continue
        try:
            found[served.id] = _read(chosen, served.reranker)
        except CalibrationError as error:
            raise CalibrationError(f"{served.id}: {error}") from None
    return found


def _read(chosen: ModelSettings, reranker: Reranker) -> Calibration:
    # Imported for a server with a calibration alone.
    from qwen3_reranker.calibrate import Calibration, stored_file

    assert chosen.calibration is not None
    is_stored = chosen.calibration == STORED_CALIBRATION
    found = Calibration.read(stored_file(reranker.checkpoint.folder) if is_stored else Path(chosen.calibration))
    if chosen.allow_other_calibration:
        return found
    found.refuse_other_model(reranker)
    if not found.holds_for(reranker, None):
        _log.warning(
            "%s: the calibration belongs to another instruction than the model's own: requests that give none get the "
            "model's own probabilities",
            chosen.name,
        )
    return found
