"""Memory that calls get: tensors of PyTorch on a device, or NumPy's arrays, with and without gaps between rows."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import numpy as np

# What memory holds that nobody has written.
_UNWRITTEN = {"i32": -1234567, "i64": -1234567, "bool": True}


def unwritten(dtype):
    return _UNWRITTEN.get(dtype, float("nan"))


class TorchPlace:
    """Memory of PyTorch."""

    def __init__(self, torch, device):
        self.torch, self.device = torch, device
        names = {"f64": "float64", "f32": "float32", "bf16": "bfloat16", "f16": "float16", "i32": "int32", "i64": "int64", "bool": "bool"}
        self._dtypes = {name: getattr(torch, full) for name, full in names.items()}

    def full(self, shape, value, dtype):
        return self.torch.full(tuple(shape), value, dtype=self._dtypes[dtype], device=self.device)

    def bytes(self, count):
        if self.device == "cpu":  # calls there take workspaces of NumPy only
            return NumpyPlace().bytes(count)
        return self.torch.full((count,), 0xFF, dtype=self.torch.uint8, device=self.device)

    def permute(self, array, axes):
        return array.permute(tuple(axes)) if array.ndim else array

    def store(self, array, values):
        array.copy_(self.torch.from_numpy(np.array(values, order="C")))

    def load(self, array):
        """A copy as float64."""
        if isinstance(array, np.ndarray):
            return array.astype(np.float64)
        return array.to(self.torch.float64).cpu().numpy()

    def finish(self):
        """Waits for the device, which reports here what went wrong in kernels."""
        if self.device != "cpu":
            self.torch.cuda.synchronize()


class NumpyPlace:
    """Memory of NumPy, for libraries that run on the CPU."""

    device = "cpu"

    def full(self, shape, value, dtype):
        import seqmix._dlpack

        return np.full(tuple(shape), value, dtype=seqmix._dlpack.numpy_dtype(dtype))

    def bytes(self, count):
        memory = np.full(count + 256, 0xFF, np.uint8)
        start = -memory.ctypes.data % 256
        return memory[start : start + count]

    def permute(self, array, axes):
        return array.transpose(tuple(axes))

    def store(self, array, values):
        array[...] = values.astype(array.dtype)

    def load(self, array):
        with np.errstate(invalid="ignore"):  # a NaN in few bits
            return np.array(array, np.float64)

    def finish(self):
        pass


class Buffer:
    """An array of a call. With gaps, its leading axes stand in memory in reverse order and each has room for one more."""

    def __init__(self, place, shape, dtype, gaps=False, dense=0):
        self.place, self.dtype, self.shape = place, dtype, tuple(shape)
        lead = len(shape) - dense if gaps else 0
        order = list(reversed(range(lead))) + list(range(lead, len(shape)))
        stored = [shape[axis] + (axis < lead) for axis in order]
        self._storage = place.full(stored, unwritten(dtype), dtype)
        self._back = [order.index(axis) for axis in range(len(shape))]
        self._inside = (*(slice(0, extent) for extent in shape), ...)  # an array even without dims
        self.array = place.permute(self._storage, self._back)[self._inside]

    @classmethod
    def of(cls, place, values, dtype, gaps=False, dense=0):
        buffer = cls(place, values.shape, dtype, gaps, dense)
        place.store(buffer.array, values)
        return buffer

    def load(self):
        return self.place.load(self.array)

    def has_intact_gaps(self):
        storage = self.place.load(self._storage)
        outside = np.ones(storage.shape, bool)
        outside.transpose(self._back)[self._inside] = False
        left, value = storage[outside], unwritten(self.dtype)
        return bool((np.isnan(left) if value != value else left == value).all())
