"""A checkpoint and options -> the backend that runs them: one device, several, or a share of one network."""

from __future__ import annotations

import torch

from qwen3_reranker.backends.base import Backend
from qwen3_reranker.backends.torch.backend import TorchBackend
from qwen3_reranker.backends.torch.devices import choose_devices, number_type
from qwen3_reranker.backends.torch.forked import OwnThread, refuse_forked_gpu
from qwen3_reranker.backends.torch.replicas import ReplicaBackend
from qwen3_reranker.backends.torch.weights import load
from qwen3_reranker.config import EngineOptions
from qwen3_reranker.errors import InputError
from qwen3_reranker.forking import is_forked_child
from qwen3_reranker.weights import Checkpoint


def open_backend(checkpoint: Checkpoint, options: EngineOptions) -> Backend:
    """The checkpoint's network, loaded as the options say.

    Raises InputError for what names no device, UnavailableError for a device or a precision that is not to be had.
    """
    devices = choose_devices(options.device)
    if is_forked_child():
        refuse_forked_gpu(devices)
        return OwnThread(lambda: _open(checkpoint, options, devices))
    return _open(checkpoint, options, devices)


def _open(checkpoint: Checkpoint, options: EngineOptions, devices: list[torch.device]) -> Backend:
    if options.tensor_parallel:
        return _spread(checkpoint, options, devices)
    backends = [_whole(checkpoint, options, device) for device in devices]
    return ReplicaBackend(backends) if len(backends) > 1 else backends[0]


def _whole(checkpoint: Checkpoint, options: EngineOptions, device: torch.device) -> TorchBackend:
    dtype = number_type(options.precision, device)
    network = load(checkpoint, device, dtype, merged=True, float8=options.precision == "float8")
    compiled = options.kernels == "compiled"
    if compiled:
        network.fuse()
    return TorchBackend(
        network,
        max_batch_tokens=options.batch_tokens,
        prefix_cache_tokens=options.prefix_cache_tokens,
        graphs=compiled,
        num_threads=options.num_threads,
    )


def _spread(checkpoint: Checkpoint, options: EngineOptions, devices: list[torch.device]) -> TorchBackend:
    # Imported here: it takes a while, and not every build of torch has it.
    from qwen3_reranker.backends.torch.tensor_parallel import mesh_of_processes, own_device, spread

    if len(devices) > 1 or options.precision == "float8" or options.kernels != "native":
        raise InputError(
            "tensor_parallel takes one kind of device, kernels native and no float8; got "
            f"device={options.device!r}, kernels={options.kernels!r}, precision={options.precision!r}"
        )
    mesh, device = mesh_of_processes(devices[0].type), own_device(devices[0].type)
    # Through the machine's memory: the point is that the device cannot hold all of it.
    network = load(checkpoint, torch.device("cpu"), number_type(options.precision, device))
    network.requires_grad_(False)
    spread(network, mesh)
    return TorchBackend(
        network.to(device),
        max_batch_tokens=options.batch_tokens,
        prefix_cache_tokens=options.prefix_cache_tokens,
        num_threads=options.num_threads,
    )
