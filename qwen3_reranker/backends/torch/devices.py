"""Options -> device, number type and attention kernel, or an error that names the available ones."""

from __future__ import annotations

import logging

import torch

from qwen3_reranker.errors import InputError, UnavailableError

_log = logging.getLogger(__name__)
_KINDS = ("cuda", "mps", "cpu")
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    # Only matrices are in 8 bits; everything between them is in 16.
    "float8": torch.bfloat16,
}


def choose_device(name: str | None) -> torch.device:
    """The device of this name. None takes the first that is present of cuda, mps and cpu.

    Raises InputError for the name of no device, UnavailableError for a device that this machine or this torch lacks.
    """
    if name is None:
        device = torch.device(next(kind for kind in _KINDS if _present(kind)))
        _log.info("device %s, the first that is there of %s", device, ", ".join(_KINDS))
        return device
    return _device(name)


def number_type(precision: str, device: torch.device) -> torch.dtype:
    """The type of states between matrices. Raises UnavailableError for a precision that the device cannot run."""
    if precision == "float8" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        raise UnavailableError(
            f'precision="float8" needs a GPU of compute capability 8.9 or later, {torch.cuda.get_device_name(device)} '
            f'has {".".join(map(str, torch.cuda.get_device_capability(device)))}; use precision="bfloat16"'
        )
    if precision == "float8" and device.type != "cuda" and not _multiplies_float8(device):
        raise UnavailableError(
            f'precision="float8" does not run on {device.type} in torch {torch.__version__}; use precision="bfloat16"'
        )
    return _DTYPES[precision]


def choose_attention(device: torch.device, dtype: torch.dtype) -> str:
    """The kernel's name: FlashAttention on CUDA in 16 bits, otherwise padded buckets."""
    flash = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    if flash and torch.cuda.get_device_capability(device) < (8, 0):
        _log.info("attention sdpa: FlashAttention needs compute capability 8.0")
        return "sdpa"
    return "flash" if flash else "sdpa"


def memory_of(device: torch.device) -> tuple[int, int] | None:
    """Free and all bytes of a device's own memory; None where it shares the machine's."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    # What torch holds in reserve is free for us.
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device), total


def _multiplies_float8(device: torch.device) -> bool:
    """Whether this torch multiplies float8 matrices there; one is multiplied, as no table says so."""
    if device.type == "mps":
        return False
    rows = torch.zeros(16, 16, device=device).to(torch.float8_e4m3fn)
    scales = torch.ones(16, 1, device=device)
    try:
        torch._scaled_mm(rows, rows.t(), scale_a=scales, scale_b=scales.t(), out_dtype=torch.bfloat16)
    except RuntimeError:
        return False
    return True


def _present(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available()
    return kind == "cpu" or torch.backends.mps.is_available()


def _device(name: str) -> torch.device:
    if name.partition(":")[0] not in _KINDS:
        raise _unknown(name)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise _unknown(name) from None
    if not _present(device.type):
        there = ", ".join(kind for kind in _KINDS if _present(kind))
        raise UnavailableError(f"device {name!r} is not there: this torch ({torch.__version__}) finds {there}")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise UnavailableError(f"device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA GPUs")
    return device


def _unknown(name: str) -> InputError:
    return InputError(f"unknown device {name!r}: expected {', '.join(_KINDS)} or one of several, as cuda:1")
