"""Arrays for results, beside those that a call is given: NumPy's, PyTorch's or CuPy's."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import contextlib
import sys

import numpy as np

from . import _dlpack
from ._errors import SeqmixTypeError


class _Numpy:
    device_stream = 0

    def use_stream(self, stream):
        pass

    def empty(self, shape, dtype):
        return np.empty(shape, dtype=_dlpack.numpy_dtype(dtype))


class _Torch:
    """Tensors on one device; on a GPU their memory is that of a stream."""

    makes_arrays = True

    def __init__(self, device=None):
        self._torch, self._device, self._stream = sys.modules["torch"], device, None

    @property
    def device_stream(self):
        return self._torch.cuda.current_stream(self._device).cuda_stream

    def use_stream(self, stream):
        self._stream = stream

    def _allocate(self, shape, dtype):
        context = contextlib.nullcontext()
        if self._stream is not None:
            context = self._torch.cuda.stream(self._torch.cuda.ExternalStream(self._stream, self._device))
        where = {} if self._device is None else {"device": self._device}
        with context:
            return self._torch.empty(shape, dtype=dtype, **where)

    def empty(self, shape, dtype):
        return self._allocate(shape, _dlpack.torch_dtype(dtype))

    def bytes(self, count):
        return self._allocate((count,), self._torch.uint8)


class _Cupy:
    """Arrays on one device, in memory of a stream."""

    makes_arrays = True

    def __init__(self, device):
        self._cupy, self._device, self._stream = sys.modules["cupy"], device, None

    @property
    def device_stream(self):
        with self._cupy.cuda.Device(self._device):
            return self._cupy.cuda.get_current_stream().ptr

    def use_stream(self, stream):
        self._stream = stream

    def _allocate(self, shape, dtype):
        context = contextlib.nullcontext() if self._stream is None else self._cupy.cuda.ExternalStream(self._stream)
        with self._cupy.cuda.Device(self._device), context:
            return self._cupy.empty(shape, dtype=dtype)

    def empty(self, shape, dtype):
        return self._allocate(shape, _dlpack.numpy_dtype(dtype))

    def bytes(self, count):
        return self._allocate((count,), np.uint8)


class _Unknown:
    """Arrays of a framework that this package cannot make arrays of."""

    device_stream = 0
    makes_arrays = False

    def __init__(self, name):
        self._name = name

    def use_stream(self, stream):
        pass

    def empty(self, shape, dtype):
        raise SeqmixTypeError(
            f"results beside arrays of {self._name} cannot be made; PyTorch's and CuPy's can. Pass out= and all parts of the carry"
        )

    def bytes(self, count):
        raise SeqmixTypeError(
            f"a workspace of {count} bytes beside arrays of {self._name} cannot be made; pass workspace= (memory of the device)"
        )


NUMPY = _Numpy()


def on_cpu(arrays):
    """PyTorch's where all are PyTorch's, else NumPy's."""
    arrays = list(arrays)
    return _Torch() if arrays and all(map(_dlpack.is_torch, arrays)) else NUMPY


def on_cuda(arrays):
    """Of the framework of the first array that is one's. None is imported for it."""
    arrays = list(arrays)
    cupy = sys.modules.get("cupy")
    for array in arrays:
        if _dlpack.is_torch(array) and array.is_cuda:
            return _Torch(array.device)
        if cupy is not None and isinstance(array, cupy.ndarray):
            return _Cupy(array.device.id)
    return _Unknown(type(arrays[0]).__name__ if arrays else "no framework")


def stream_handle(stream, maker):
    """The stream of a call as a number, 0 for the default one: the framework's current one where none is given."""
    if stream is None:
        return maker.device_stream
    if hasattr(stream, "__cuda_stream__"):
        stream = stream.__cuda_stream__()[1]
    elif hasattr(stream, "cuda_stream"):  # PyTorch's
        stream = stream.cuda_stream
    elif hasattr(stream, "ptr"):  # CuPy's
        stream = stream.ptr
    if isinstance(stream, bool) or not isinstance(stream, int):
        raise SeqmixTypeError(f"stream must be a stream or its handle, not {type(stream).__name__}")
    return stream
