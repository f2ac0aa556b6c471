"""What calls of libraries for CUDA have of their own: streams, and memory beside that of the arguments."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

from . import _dlpack, _makers
from ._errors import SeqmixTypeError


class DeviceCalls:
    """A part of the functions of a mixer; of those on the CPU, too, which it makes no difference to."""

    def _maker(self, arrays):
        return _makers.on_cuda(arrays.values()) if self._on_cuda else _makers.on_cpu(arrays.values())

    def _beside(self, like):
        """What makes arrays beside one that the caller has chosen."""
        if not self._on_cuda:
            if like is not None:
                raise SeqmixTypeError(f"{self._name} is for the CPU: like= is for libraries for CUDA")
            return _makers.NUMPY
        if like is None:
            raise SeqmixTypeError(f"{self._name} is for CUDA: pass like=, an array on the device")
        return _makers.on_cuda([like])

    def _stream(self, maker, stream):
        """The handle of a call's stream; of libraries for the CPU it must be None, which the runtime says."""
        if not self._on_cuda and stream is None:
            return None
        handle = _makers.stream_handle(stream, maker)
        if self._on_cuda and stream is not None:
            maker.use_stream(handle)
        return handle

    def _bind_device_workspace(self, call, options, workspace, maker, extents):
        """The caller's memory, or new memory of the framework: a call on a device allocates none itself."""
        if workspace is None and maker.makes_arrays:
            count = self._workspace_bytes(extents, 0)
            workspace = maker.bytes(count) if count else None
        if workspace is None:
            return
        tensor, owner = _dlpack.as_dltensor(workspace, "workspace", True, call.stream)
        call.kept.append((tensor, owner))
        if tensor.device.type not in _dlpack.CUDA_TYPES:
            raise SeqmixTypeError("workspace must be memory of the device (see Mixer.workspace)")
        count = tensor.dtype.bits // 8
        for axis in range(tensor.ndim):
            count *= tensor.shape[axis]
        options.workspace = (tensor.data or 0) + tensor.byte_offset
        options.workspace_bytes = count

    def _rows_reached(self, size, carry, tokens, rows):
        """The same where positions may be on a device, which is not waited for: only the caller knows them then."""
        if not self._on_cuda:
            return self._reached(size, carry, tokens)
        if all(part.rows_axis is None for part in size.carry):
            return 0
        if rows == 0 and (carry or {}).get("position") is not None:
            raise SeqmixTypeError(f"{self._name}() needs rows=: the positions in the carry are on the device")
        return tokens if (carry or {}).get("position") is None else rows
