"""Calls of a library for CUDA: a fake driver, and arrays that nobody may touch."""

import ctypes
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import seqmix
from seqmix import _dlpack

SAMPLES = os.environ["SEQMIX_SAMPLE"]
CUDA, CPU = 2, 1


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _dlpack.DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Array:
    """Memory of a device, as a framework would show it. It remembers the streams that it was asked for."""

    def __init__(self, *shape, address=0x10000000, device=0, kind=CUDA, code=2, bits=32):
        self.shape, self.ndim, self.kind, self.device_id = shape, len(shape), kind, device
        self.asked = []
        extents = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self._tensor = _Managed()
        tensor = self._tensor.tensor
        tensor.data, tensor.ndim, tensor.shape = address, len(shape), extents
        tensor.device = _dlpack._Device(kind, device)
        tensor.dtype = _dlpack._DType(code, bits, 1)
        self._extents = extents

    def __dlpack_device__(self):
        return self.kind, self.device_id

    def __dlpack__(self, stream=None):
        self.asked.append(stream)
        return _new_capsule(ctypes.addressof(self._tensor), b"dltensor", None)


@pytest.fixture(scope="module")
def driver():
    # Under the driver's name, so that the runtime finds it in its place.
    return ctypes.CDLL(os.environ["SEQMIX_FAKE_CUDA"], mode=ctypes.RTLD_GLOBAL)


@pytest.fixture(params=["shared", "static"])
def decay(request, driver):
    driver.fakeLaunchStream.restype = ctypes.c_void_p
    return seqmix.load(os.path.join(SAMPLES, request.param, "libdevice.so")).decay


def x(**options):
    return Array(2, 20, 3, 4, **options)


def y(**options):
    return Array(2, 20, 3, 4, address=0x20000000, **options)


def test_launches_in_the_default_stream(decay, driver):
    before = driver.fakeLaunchCount()
    given, out = x(), y()
    assert decay(x=given, out=out) is out
    assert driver.fakeLaunchCount() == before + 1
    assert driver.fakeLaunchStream(before) is None
    assert given.asked == [1] and out.asked == [1]  # the protocol's name of the default stream


def test_passes_streams_on(decay, driver):
    per_thread = types.SimpleNamespace(__cuda_stream__=lambda: (0, 2))
    for stream in (2, types.SimpleNamespace(cuda_stream=2), types.SimpleNamespace(ptr=2), per_thread):
        given, out = x(), y()
        before = driver.fakeLaunchCount()
        decay(x=given, out=out, stream=stream)
        assert driver.fakeLaunchStream(before) == 2
        assert given.asked == [2] and out.asked == [2]
    with pytest.raises(TypeError, match="stream must be a stream or its handle, not str"):
        decay(x=x(), out=y(), stream="fast")


def test_updates_a_carry_in_steps(decay, driver):
    carry = {"S": Array(2, 3, 4, address=0x30000000), "position": Array(2, address=0x40000000, code=0, bits=64)}
    given, out = Array(2, 3, 4), Array(2, 3, 4, address=0x20000000)
    before = driver.fakeLaunchCount()
    result, after = decay.step(x=given, carry=carry, out=out)
    assert result is out and after["S"] is carry["S"] and after["position"] is carry["position"]
    assert driver.fakeLaunchCount() == before + 1


def test_memory_of_a_device_is_the_callers(decay):
    with pytest.raises(TypeError, match="results beside arrays of Array cannot be made.*Pass out="):
        decay(x=x())
    long, out = Array(2, 4096, 3, 4), Array(2, 4096, 3, 4, address=0x20000000)
    with pytest.raises(ValueError, match="the workspace has 0 bytes; this call needs"):
        decay(x=long, out=out)
    with pytest.raises(ValueError, match="the workspace has 16 bytes; this call needs"):
        decay(x=long, out=out, workspace=Array(4, address=0x50000000))
    with pytest.raises(TypeError, match="workspace must be memory of the device"):
        decay(x=long, out=out, workspace=np.zeros(1 << 20, np.uint8))
    assert decay(x=long, out=out, workspace=Array(1 << 20, address=0x50000000)) is out


class _Torch(types.ModuleType):
    """What the package uses of PyTorch."""

    class Tensor(Array):
        is_cuda = True

        @property
        def device(self):
            return f"cuda:{self.device_id}"

    def __init__(self):
        super().__init__("torch")
        self.float64, self.float32, self.bfloat16, self.float16 = "64", "32", "b", "16"
        self.int32, self.int64, self.bool = "i32", "i", "?"
        self.uint8 = "u8"
        self.made, self.entered, self.address = [], [], 0x60000000
        self.cuda = types.SimpleNamespace(
            current_stream=lambda device: types.SimpleNamespace(cuda_stream=2), ExternalStream=self._external, stream=self._stream
        )

    def _external(self, handle, device):
        return ("external", handle, device)

    def _stream(self, stream):
        self.entered.append(stream)
        import contextlib

        return contextlib.nullcontext()

    def empty(self, shape, dtype, device):
        self.made.append((tuple(shape), dtype, device))
        self.address += 0x10000000
        code, bits = (0, 64) if dtype == "i" else (1, 8) if dtype == "u8" else (2, 32)
        return self.Tensor(*shape, address=self.address, code=code, bits=bits)


def test_results_and_workspaces_are_the_frameworks(decay, driver, monkeypatch):
    torch = _Torch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    before = driver.fakeLaunchCount()
    result, carry = decay(x=torch.Tensor(2, 4096, 3, 4), return_carry=True)
    assert isinstance(result, torch.Tensor) and result.shape == (2, 4096, 3, 4)
    assert carry["S"].shape == (2, 3, 4) and carry["position"].shape == (2,)
    assert [made[1:] for made in torch.made if made[1] == "u8"] == [("u8", "cuda:0")]
    assert all(device == "cuda:0" for _, _, device in torch.made)
    assert driver.fakeLaunchCount() == before + 2
    assert driver.fakeLaunchStream(before) == 2  # PyTorch's current one
    assert torch.entered == []
    decay(x=torch.Tensor(2, 20, 3, 4), stream=1)
    assert torch.entered == [("external", 1, "cuda:0")]  # memory of the stream that uses it


def test_carries_and_workspaces_stand_beside_an_array(decay, monkeypatch):
    with pytest.raises(TypeError, match="decay is for CUDA: pass like="):
        decay.workspace(B=2, H=3, T=100)
    torch = _Torch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert decay.workspace(B=2, H=3, T=4096, like=torch.Tensor(1)).shape[0] > 0
    carry = decay.initial_carry
    with pytest.raises(TypeError, match="pass like="):
        carry(B=2, H=3)
    with pytest.raises(TypeError, match="a workspace of [0-9]+ bytes beside arrays of Array cannot be made"):
        decay.workspace(B=2, H=3, T=4096, like=Array(1))


def test_wrong_places_are_refused(decay, driver):
    before = driver.fakeLaunchCount()
    with pytest.raises(TypeError, match="x is in the CPU's memory; expected a CUDA device: the library was compiled for CUDA"):
        decay(x=np.zeros((2, 20, 3, 4), np.float32), out=y())
    with pytest.raises(TypeError, match="y is on CUDA device 1, but x is on CUDA device 0"):
        decay(x=x(), out=y(device=1))
    with pytest.raises(TypeError, match="there is no CUDA device 7"):
        decay(x=x(device=7), out=y(device=7))
    with pytest.raises(seqmix.SeqmixError, match="options.stream is no stream"):
        decay(x=x(), out=y(), stream=12345)
    with pytest.raises(seqmix.SeqmixError, match="a checked call would have to wait"):
        decay(x=x(), out=y(), checked=True)
    assert driver.fakeLaunchCount() == before


def test_libraries_for_the_cpu_say_so():
    copy = seqmix.load(os.path.join(SAMPLES, "shared", "libsample.so")).scan
    arrays = {"x": Array(1, 2, 2, 8), "g": Array(1, 2, 1), "w": Array(2, 8)}
    with pytest.raises(TypeError, match="x is on CUDA device 0; expected the CPU's memory: the library was compiled for the CPU"):
        copy(**arrays)
    cpu = {name: np.zeros(array.shape, np.float32) for name, array in arrays.items()}
    with pytest.raises(ValueError, match="options.stream must be null on the CPU"):
        copy(**cpu, stream=2)


def test_imports_no_framework():
    script = "import seqmix, sys; seqmix.load(sys.argv[1]); print([m for m in ('torch', 'cupy', 'jax') if m in sys.modules])"
    library = os.path.join(SAMPLES, "shared", "libsample.so")
    done = subprocess.run([sys.executable, "-c", script, library], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
