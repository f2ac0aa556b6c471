"""Arrays as DLTensors, without a copy."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import ctypes
import functools
import sys

import numpy as np

from ._errors import SeqmixTypeError


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _DType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DLTensorPointer = ctypes.POINTER(DLTensor)

_CPU = _Device(1, 0)
CUDA_TYPES = (2, 13)  # memory of a device, managed memory
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6, "c": 5}
_BFLOAT = 4

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def is_torch(array):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


@functools.lru_cache(maxsize=None)
def numpy_dtype(name):
    """The NumPy type of a storage type; bf16 is ml_dtypes'."""
    if name == "bf16":
        try:
            import ml_dtypes
        except ImportError:
            raise SeqmixTypeError("bf16 arrays need the package ml_dtypes (or PyTorch tensors)") from None
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype({"f64": np.float64, "f32": np.float32, "f16": np.float16, "i32": np.int32, "i64": np.int64, "bool": np.bool_}[name])


def torch_dtype(name):
    torch = sys.modules["torch"]
    return {
        "f64": torch.float64,
        "f32": torch.float32,
        "bf16": torch.bfloat16,
        "f16": torch.float16,
        "i32": torch.int32,
        "i64": torch.int64,
        "bool": torch.bool,
    }[name]


_EXTENTS = [ctypes.c_int64 * max(rank, 1) for rank in range(65)]
_types = {}


def _type_of(dtype, name):
    """DLPack's name of a NumPy type, and its bytes."""
    if dtype.kind in _CODES:
        code = _CODES[dtype.kind]
    elif dtype.name == "bfloat16":
        code = _BFLOAT
    else:
        raise SeqmixTypeError(f"{name} has the NumPy type {dtype}, which no tensor of a mixer has")
    if not dtype.isnative:
        raise SeqmixTypeError(f"{name} is not in this machine's byte order")
    return _types.setdefault(dtype, (_DType(code, dtype.itemsize * 8, 1), dtype.itemsize))


def _of_numpy(array, name):
    dtype, item = _types.get(array.dtype) or _type_of(array.dtype, name)
    rank = array.ndim
    strides = [s // item for s in array.strides]
    if item > 1 and any(s % item for s in array.strides):
        raise SeqmixTypeError(f"{name} has strides that are no multiples of its elements (a field of a record?)")
    extents = _EXTENTS[rank]
    return DLTensor(array.ctypes.data, _CPU, rank, dtype, extents(*array.shape), extents(*strides), 0)


def as_dltensor(array, name, written=False, stream=None):
    """A DLTensor of the array, and what must be kept alive while it is used.

    stream        of CUDA, that the array is used in: what its owner has to wait for is then in it. None: the CPU uses it
    """
    if isinstance(array, np.ndarray):
        if isinstance(array, np.ma.MaskedArray):
            raise SeqmixTypeError(f"{name} is a masked array, and the call would not see its mask; pass {name}.filled(...)")
        if written and not array.flags.writeable:
            raise SeqmixTypeError(f"{name} is read-only, but the call writes it")
        return _of_numpy(array, name), array
    if not hasattr(array, "__dlpack__"):
        raise SeqmixTypeError(
            f"{name} must be an array (NumPy's, or one with __dlpack__), not {type(array).__name__}"
        )
    try:
        on_device = stream is not None and array.__dlpack_device__()[0] in CUDA_TYPES
        # In the protocol 1 is the default stream; 0 could be either of two.
        capsule = array.__dlpack__(stream=stream or 1) if on_device else array.__dlpack__()
    except Exception as error:
        raise SeqmixTypeError(f"{name} cannot be shared: {error}") from error
    tensor = ctypes.cast(_capsule_pointer(capsule, b"dltensor"), DLTensorPointer).contents
    return tensor, (capsule, array)
