"""Every error we raise, as one tree. Each knows its exit code and its HTTP status."""

from __future__ import annotations

from collections.abc import Iterable

# Likeness of two words, 0 to 1, above which one is taken for the other misspelt; int4 and int8 are at 0.75.
_ALIKE = 0.76


class RerankerError(Exception):
    """Anything that went wrong in a way we foresaw. The message says what was expected, what came and what to do."""

    exit_code = 1
    http_status = 500


class InputError(RerankerError, ValueError):
    """What the caller gave cannot be used, such as an unknown name."""

    exit_code = 2
    http_status = 400


def unknown(name: str, value: object, known: Iterable[str], listed: str = "expected one of") -> InputError:
    """An InputError for a value that is none of the known words. It names the word that it is a misspelling of."""
    from difflib import get_close_matches

    words = list(known)
    alike = []
    if isinstance(value, str):
        swapped = [word for word in words if sorted(word) == sorted(value.lower())]
        alike = swapped or get_close_matches(value.lower(), words, n=1, cutoff=_ALIKE)
    meant = f"did you mean {alike[0]!r}? " if alike else ""
    return InputError(f"unknown {name} {value!r}: {meant}{listed} {', '.join(words)}")


class QueryTooLongError(InputError):
    """Instruction and query alone fill the row, so no document fits. Truncation of queries was not asked for.

    least_tokens: tokens that the row must have for one of a document; 0 where that is not known.
    """

    http_status = 422

    def __init__(self, message: str, least_tokens: int = 0) -> None:
        super().__init__(message)
        self.least_tokens = least_tokens


class ConfigurationError(InputError):
    """A setting in a file or a variable cannot be used. The message has its name there, which is not a flag."""


class NotUnicodeError(InputError):
    """A text holds half of a surrogate pair alone, which no encoding can hold."""


class RecordError(InputError):
    """A record holds no text where one was expected; `index` is its place in the list."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class TooLongError(InputError):
    """A pair does not fit, and the caller forbade cutting it; `index` is its place."""

    http_status = 422

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class JobChangedError(InputError):
    """A folder holds the parts of a job with another input or other options. The message says what differs."""

    http_status = 409


class CalibrationError(InputError):
    """A file holds no calibration, or one that was fitted for another model or instruction."""


class ModelNotFoundError(InputError):
    """No model of that name is bundled, a folder, on the Hub or cached."""

    http_status = 404


class PrecisionError(InputError):
    """The precision cannot hold the numbers of this network, whose weights are whole."""

    http_status = 500


class CheckpointError(RerankerError, ValueError):
    """A checkpoint's files are missing, damaged, misshapen or of a kind we do not run. Names file and tensor."""

    exit_code = 3
    http_status = 500


class UnsupportedModelError(CheckpointError):
    """A model of a kind that we do not run: another architecture, an export, pickles. Nothing about it is damaged."""

    exit_code = 2


class UnsupportedFormatError(UnsupportedModelError):
    """A Qwen3 network whose numbers are quantised in a way that we do not read."""


class UnreadTensorsError(CheckpointError):
    """A checkpoint holds tensors that nothing reads. Its scores would be another model's."""


class UnavailableError(RerankerError, RuntimeError):
    """What was asked for is not installed or does not run here: kernels, devices, extras."""

    exit_code = 4
    http_status = 503


class UploadError(RerankerError, RuntimeError):
    """The Hub did not take a model: no token, no rights, no network. The files on this machine are unchanged."""

    exit_code = 4
    http_status = 502


class OutOfMemoryError(RerankerError, MemoryError):
    """A call needs more memory than the device or the machine has. It alone failed, and smaller ones still run."""

    exit_code = 6
    http_status = 503
