"""Compiled libraries and the mixers in them."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import ctypes
import inspect
import keyword
import operator
import os

import numpy as np

from . import _dlpack, _makers, _manifest
from ._device import DeviceCalls
from ._dlpack import DLTensorPointer
from ._errors import SeqmixError, SeqmixTypeError, SeqmixValueError, from_status


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cu_seqlens", DLTensorPointer),
        ("carry_in", ctypes.POINTER(DLTensorPointer)),
        ("carry_out", ctypes.POINTER(DLTensorPointer)),
        ("carry_count", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_size_t),
        ("stream", ctypes.c_void_p),
        ("pages", DLTensorPointer),
    ]


_CHECKED = 1
_UNSPLIT = 2
_MAX_THREADS = 1024
# Of a sequence: kernels count positions in i32.
_LAST_POSITION = 2**31 - 1


class _Call:
    """The arguments of one call in C, and what they keep alive."""

    def __init__(self, stream=None):
        self.kept, self.stream = [], stream

    def pointer(self, array, name, written=False):
        if array is None:
            return None
        tensor, owner = _dlpack.as_dltensor(array, name, written, self.stream)
        self.kept.append((tensor, owner))
        return ctypes.pointer(tensor)

    def pointers(self, arrays, names, written=False):
        filled = [self.pointer(a, n, written) for a, n in zip(arrays, names)]
        return (DLTensorPointer * len(filled))(*(p if p is not None else DLTensorPointer() for p in filled))


class _Function(DeviceCalls):
    """What forward and step have in common."""

    def __init__(self, info, handle, step):
        self._info = info
        self._step = step
        self._on_cuda = info.device == "cuda"
        self._name = info.name + (".step" if step else "")
        first = info.sizes[0]
        # For each size, what binding extents goes through: name, axes, whether it is an output.
        self._axes = {
            id(size): [(t, t.axes_of_call(info.token_dim, step)) for t in size.tensors] for size in info.sizes
        }
        self._given = [t.name for t in first.tensors if t.role != "output"]
        self._outputs = [t.name for t in first.tensors if t.role == "output"]
        self._last_error = getattr(handle, f"{info.name}_last_error")
        self._last_error.restype = ctypes.c_char_p
        self._workspace_size = getattr(handle, f"{info.name}_workspace_size")
        self._workspace_size.argtypes = [ctypes.c_int64] * len(info.workspace_dims) + [
            ctypes.c_int32,
            ctypes.POINTER(ctypes.c_size_t),
        ]
        self._workspace_size.restype = ctypes.c_int
        self._function = None
        if not (step and info.no_step):
            self._function = getattr(handle, f"{info.name}_{'step' if step else 'forward'}")
            arguments = [DLTensorPointer] * len(first.tensors)
            if step:
                arguments.append(ctypes.POINTER(DLTensorPointer))
            self._function.argtypes = arguments + [ctypes.POINTER(_Options)]
            self._function.restype = ctypes.c_int

    def _check_names(self, positional, arrays):
        if positional:
            raise SeqmixTypeError(f"{self._name}() takes its arguments by name: {', '.join(self._given)}")
        unknown = [name for name in arrays if name not in self._given]
        missing = [name for name in self._given if name not in arrays]
        if unknown or missing:
            problem = f"has no argument {unknown[0]!r}" if unknown else f"lacks the argument {missing[0]!r}"
            raise SeqmixTypeError(f"{self._name}() {problem}; expected {', '.join(self._given)}")

    def _extents(self, size, arrays, sequences, outputs=None, carry=None):
        """Extents of all dims as the arguments show them, else the given outputs, else the carry; 1 where none does.

        The runtime checks them.
        """
        info, extents = self._info, dict(size.fixed)
        if self._step:
            extents[info.token_dim] = 1
        if sequences is not None and info.batch_dims:
            extents[info.batch_dims[0]] = sequences
        for grouped in (False, True):
            for tensor, axes in self._axes[id(size)]:
                if tensor.role == "output" or len(arrays[tensor.name].shape) != len(axes):
                    continue
                for axis, extent in zip(axes, arrays[tensor.name].shape):
                    param_rows = tensor.role == "param" and axis.dim == info.token_dim
                    known = axis.dim is None or axis.dim in info.derived or param_rows
                    if not known and (axis.div > 1) == grouped:
                        extents.setdefault(axis.dim, extent * axis.div)
        if len(extents) < len(info.dims):
            given = [a for (t, a) in self._axes[id(size)] if t.role == "output"] if outputs else []
            parts = {part.name: part.axes for part in size.carry}
            shown = list(zip(given, outputs or [])) + [(parts[n], a) for n, a in (carry or {}).items() if n in parts]
            for axes, array in shown:
                if len(np.shape(array)) == len(axes):
                    for axis, extent in zip(axes, np.shape(array)):
                        if axis.dim is not None:
                            extents.setdefault(axis.dim, extent * axis.div)
        return info.derive({dim: extents.get(dim, 1) for dim in info.dims})

    def _choose_size(self, arrays):
        """The size whose fixed dims the arrays have; the first when none does (the runtime will say so)."""
        sizes = self._info.sizes
        for size in sizes if len(sizes) > 1 else ():
            if all(
                a.dim not in size.fixed or extent == size.fixed[a.dim]
                for t, axes in self._axes[id(size)]
                if t.role != "output"
                for a, extent in zip(axes, arrays[t.name].shape)
            ):
                return size
        return sizes[0]

    def _output_shape(self, tensor, axes, extents, packed):
        shape = [axis.extent(extents) for axis in axes]
        if packed and tensor.has_tokens(self._info.token_dim):
            for i, axis in enumerate(axes):
                if axis.dim == self._info.batch_dims[0]:
                    shape[i] = 1
        return tuple(shape)

    def _make_outputs(self, size, extents, packed, maker):
        return [
            maker.empty(self._output_shape(t, axes, extents, packed), t.dtype)
            for t, axes in self._axes[id(size)]
            if t.role == "output"
        ]

    def _given_outputs(self, out):
        """The caller's arrays in order; nothing where there are none."""
        if out is None:
            return None
        if isinstance(out, dict):
            if set(out) != set(self._outputs):
                raise SeqmixTypeError(f"{self._name}() out has {sorted(out)}; expected {', '.join(self._outputs)}")
            return [out[name] for name in self._outputs]
        given = list(out) if isinstance(out, (tuple, list)) else [out]
        if len(given) != len(self._outputs):
            raise SeqmixTypeError(f"{self._name}() out has {len(given)} arrays; expected {', '.join(self._outputs)}")
        return given

    def _check_carry_names(self, size, carry):
        if not isinstance(carry, dict):
            raise SeqmixTypeError(f"{self._name}() carry must be a dict of arrays, not {type(carry).__name__}")
        names = [c.name for c in size.carry]
        unknown = [name for name in carry if name not in names]
        if unknown:
            raise SeqmixTypeError(f"{self._name}() carry has no part {unknown[0]!r}; expected {', '.join(names)}")
        return names

    def _new_part(self, part, extents, maker, initial, rows):
        shape = [axis.extent(extents) for axis in part.axes]
        if part.rows_axis is not None:
            shape[part.rows_axis] = rows
        array = maker.empty(tuple(shape), part.dtype)
        if initial:
            array[...] = int(part.init) if part.dtype in ("i32", "i64") else part.init
        return array

    def _new_carry(self, size, extents, maker, initial, rows=lambda part: 0):
        return {part.name: self._new_part(part, extents, maker, initial, rows(part)) for part in size.carry}

    def _reached(self, size, carry, tokens):
        """The rows that sequences have after so many more tokens (a number, or one a sequence); 0 if none are carried."""
        position = (carry or {}).get("position")
        if all(part.rows_axis is None for part in size.carry):
            return 0
        if position is None:
            position = np.int64(0)
        elif not isinstance(position, np.ndarray):
            _require_arrays({"position": position})
            position = np.from_dlpack(position)
        # What is wrong with a position or with cu_seqlens is for the runtime to say; no rows are made for it.
        if position.dtype.kind != "i" or position.ndim and np.ndim(tokens) and position.shape != np.shape(tokens):
            return 0
        last = int(np.max(position, initial=0))
        for part in size.carry:
            given = carry.get(part.name) if carry and part.rows_axis is not None else None
            if given is None or len(np.shape(given)) != len(part.axes) or given.shape[part.rows_axis] >= last:
                continue
            raise SeqmixValueError(
                f"{self._name}() {part.name} has {given.shape[part.rows_axis]} rows, but a position is {last}"
            )
        reached = np.max(position.astype(np.int64) + tokens, initial=0)
        return int(reached) if 0 <= reached <= _LAST_POSITION else 0

    def _grown(self, part, array, rows):
        """The part with room for more rows, when it has too little: at least twice as many, so that steps rarely copy."""
        axis = part.rows_axis
        if axis is None or len(array.shape) != len(part.axes) or array.shape[axis] >= rows:
            return array
        shape = list(array.shape)
        shape[axis] = max(rows, 2 * array.shape[axis], 16)
        larger = _makers.on_cpu([array]).empty(tuple(shape), part.dtype)
        larger[tuple(slice(0, extent) for extent in array.shape)] = array
        return larger

    def _workspace_bytes(self, extents, threads):
        needed = ctypes.c_size_t()
        threads = _integer("threads", threads, most=_MAX_THREADS)
        counts = [extents[d] for d in self._info.workspace_dims]
        status = self._workspace_size(*counts, threads, ctypes.byref(needed))
        if status != 0:
            raise from_status(status, self._last_error().decode())
        return needed.value

    def _options(self, call, threads, checked, workspace, unsplit=False):
        threads = _integer("threads", threads, most=_MAX_THREADS)
        flags = (_CHECKED if checked else 0) | (_UNSPLIT if unsplit else 0)
        options = _Options(size=ctypes.sizeof(_Options), flags=flags, threads=threads, stream=call.stream or None)
        if workspace is not None and not self._on_cuda:
            if not isinstance(workspace, np.ndarray) or not workspace.flags.c_contiguous or not workspace.flags.writeable:
                raise SeqmixTypeError("workspace must be a contiguous, writable NumPy array (see Mixer.workspace)")
            options.workspace = workspace.ctypes.data
            options.workspace_bytes = workspace.nbytes
            call.kept.append(workspace)
        return options

    def _run(self, *arguments):
        status = self._function(*arguments)
        if status != 0:
            raise from_status(status, self._last_error().decode())

    def _results(self, outputs):
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    @property
    def signature(self):
        """One line: the arguments with their types and shapes, and the outputs."""
        tensors = self._info.sizes[0].tensors
        token = self._info.token_dim

        def text(tensor):
            inside = f" in [{tensor.range[0]:g}, {tensor.range[1]:g}]" if tensor.range else ""
            return f"{tensor.name}: {tensor.dtype}{_manifest.shape_text(tensor.axes_of_call(token, self._step))}{inside}"

        given = ", ".join(text(t) for t in tensors if t.role != "output")
        results = ", ".join(text(t) for t in tensors if t.role == "output")
        return f"{self._name}({given}) -> {results}"

    def __repr__(self):
        return f"<seqmix {self.signature}>"


class Step(_Function):
    """Runs a mixer for one token of every batch element."""

    def __init__(self, info, handle):
        super().__init__(info, handle, step=True)

    def __call__(
        self,
        *positional,
        carry=None,
        out=None,
        threads=0,
        checked=False,
        workspace=None,
        pages=None,
        stream=None,
        **arrays,
    ):
        """Arrays are without the token dim ([B, H, features]); returns the output (a tuple of several) and the carry.

        The carry's arrays are updated in place and returned; those that cannot be written (or are missing: they start
        from the initial value), and rows without room for another token, are replaced by new ones. `carry=None` starts
        new sequences. With `pages` the rows in the carry are the pools that the pages are in, see Mixer. On CUDA rows must
        have room: no positions are read. `stream` as in Mixer.
        """
        if self._info.no_step:
            raise SeqmixError(f"{self._info.name} has no step: {self._info.no_step}")
        self._check_names(positional, arrays)
        _require_arrays(arrays)
        size, maker = self._choose_size(arrays), self._maker(arrays)
        call = _Call(self._stream(maker, stream))
        carry = {} if carry is None else carry
        self._check_carry_names(size, carry)
        outputs = self._given_outputs(out)
        extents = self._extents(size, arrays, None, outputs, carry)
        outputs = outputs or self._make_outputs(size, extents, False, maker)
        parts, rows = {}, 0 if pages is not None or self._on_cuda else self._reached(size, carry, 1)
        for part in size.carry:
            array = carry.get(part.name)
            if array is None and pages is not None and part.kind == "rows":
                raise SeqmixTypeError(f"pages needs carry['{part.name}'], the pool that they are in")
            if array is None:
                array = self._new_part(part, extents, maker, initial=True, rows=0)
            elif pages is not None and part.kind == "rows":
                parts[part.name] = array
                continue
            elif not self._on_cuda and not _writable(array):
                _require_arrays({part.name: array})
                array = np.array(array if isinstance(array, np.ndarray) else np.from_dlpack(array))
            parts[part.name] = self._grown(part, array, rows)
        options = self._options(call, threads, checked, workspace)
        if self._on_cuda:
            self._bind_device_workspace(call, options, workspace, maker, extents)
        options.pages = call.pointer(pages, "pages")
        given = [arrays[n] for n in self._given]
        self._run(
            *(call.pointer(a, n) for a, n in zip(given, self._given)),
            *(call.pointer(a, n, written=True) for a, n in zip(outputs, self._outputs)),
            call.pointers(parts.values(), parts, written=True),
            options,
        )
        return self._results(outputs), parts


class Mixer(_Function):
    """Runs a mixer over whole sequences; `step` is the same for one token."""

    def __init__(self, info, handle):
        super().__init__(info, handle, step=False)
        self.step = Step(info, handle)
        only = inspect.Parameter.KEYWORD_ONLY
        rest = {"carry": None, "return_carry": False, "cu_seqlens": None, "out": None, "threads": 0}
        rest.update({"stream": None} if self._on_cuda else {})
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(n, only) for n in self._given if n.isidentifier() and not keyword.iskeyword(n)]
            + [inspect.Parameter(n, only, default=d) for n, d in rest.items()]
        )
        self.__name__ = info.name
        self.__doc__ = self.help()

    @property
    def name(self):
        return self._info.name

    @property
    def sizes(self):
        """The fixed sizes that it was compiled for: a list of dicts."""
        return [dict(size.fixed) for size in self._info.sizes]

    @property
    def targets(self):
        """The instruction sets that it holds code for, the best first."""
        return list(self._info.sizes[0].targets)

    def help(self):
        """A text that describes arguments, outputs, carry and sizes."""
        info, first = self._info, self._info.sizes[0]
        lines = [self.signature, ""]
        if info.source:
            lines += ["    " + line for line in info.source.strip("\n").splitlines()] + [""]
        sizes = [", ".join(f"{n} = {v}" for n, v in s.fixed.items()) for s in info.sizes]
        lines.append(f"compiled for {'; '.join(sizes) or 'any size'} ({', '.join(first.targets)})")
        lines.append("carry (a dict):" if first.carry else "no carry")
        for part in first.carry:
            shape = f"{part.dtype}{_manifest.shape_text(part.axes)}"
            lines.append(f"    {part.name}: {shape}, starts from {part.init:g}")
        lines.append(f"no step: {info.no_step}" if info.no_step else self.step.signature)
        return "\n".join(lines)

    def workspace(self, *, threads=0, like=None, **extents):
        """A workspace for calls up to these extents: `workspace(B=2, H=8, T=4096)`. Calls that get it allocate nothing.

        For packed sequences the first batch dim is their number and the token dim the longest (on CUDA: all of their tokens).

        like          of a library for CUDA: an array on the device that it is to be on
        """
        dims = self._info.workspace_dims
        if set(extents) != set(dims):
            raise SeqmixTypeError(f"workspace() needs {', '.join(dims)}")
        count = self._workspace_bytes({d: _integer(d, extents[d]) for d in dims}, threads)
        if self._on_cuda:
            return self._beside(like).bytes(count)
        memory = np.empty(count + 64, dtype=np.uint8)
        start = -memory.ctypes.data % 64
        return memory[start : start + count]

    def initial_carry(self, *, rows=0, like=None, **extents):
        """What sequences start from: `initial_carry(B=2, H=8)`, and fixed dims where several sizes were compiled.

        like          of a library for CUDA: an array on the device, of the framework that the carry's are to be of
        rows          how many tokens there is room for in parts that hold a row a token (steps make more as needed)
        """
        info = self._info
        for size in info.sizes:
            if all(extents.get(d, v) == v for d, v in size.fixed.items()):
                break
        else:
            raise SeqmixValueError(f"{info.name} was not compiled for {extents}; it has {self.sizes}")
        unknown = [d for d in extents if d not in info.batch_dims and d not in size.fixed]
        if unknown or any(d not in extents for d in info.batch_dims):
            raise SeqmixTypeError(f"initial_carry() needs {', '.join(info.batch_dims)}")
        rows = _integer("rows", rows, most=_LAST_POSITION)
        extents = {d: _integer(d, extents[d]) for d in info.batch_dims}
        return self._new_carry(size, {**size.fixed, **extents}, self._beside(like), initial=True, rows=lambda part: rows)

    def __call__(
        self,
        *positional,
        carry=None,
        return_carry=False,
        cu_seqlens=None,
        out=None,
        threads=0,
        checked=False,
        workspace=None,
        rows=0,
        unsplit=False,
        pages=None,
        stream=None,
        **arrays,
    ):
        """Runs whole sequences; returns the output (a tuple of several), with `return_carry` and the final carry.

        carry         what the sequences start from: a dict of arrays by name; None, or a missing part: initial values
        cu_seqlens    packed sequences: the rows where each starts and the last ends; the first batch dim is then 1
        out           arrays for the outputs: one, a tuple in order, or a dict by name
        threads       at most so many (0: SEQMIX_NUM_THREADS, else all CPUs)
        checked       verify declared ranges and look for NaN in the inputs first
        workspace     memory for the call, from `workspace()`
        rows          tokens that the returned carry has room for at least, in parts that hold a row a token
        unsplit       never run parts of one sequence at the same time: the same bits for every number of threads
        pages         [sequences, pages of a sequence], int32: rows in the carry stand in pages. The carry holds the pools
                      that they are in, [pages, other batch dims, rows of a page, features], which are updated in place
        stream        of a library for CUDA: PyTorch's, CuPy's or a handle; None: the framework's current one. The call puts
                      its work there and returns
        """
        self._check_names(positional, arrays)
        _require_arrays(arrays)
        size, maker = self._choose_size(arrays), self._maker(arrays)
        call = _Call(self._stream(maker, stream))
        rows = _integer("rows", rows, most=_LAST_POSITION)
        if isinstance(cu_seqlens, (list, tuple)):
            ends = [_integer(f"cu_seqlens[{i}]", end) for i, end in enumerate(cu_seqlens)]
            cu_seqlens = np.array(ends, dtype=np.int64)
        packed = cu_seqlens is not None and bool(self._info.batch_dims)
        sequences = max(int(np.shape(cu_seqlens)[0]) - 1, 0) if packed and np.ndim(cu_seqlens) == 1 else None
        names = self._check_carry_names(size, carry) if carry is not None else []
        outputs = self._given_outputs(out)
        extents = self._extents(size, arrays, sequences, outputs, carry)
        if sequences and self._info.derived and not self._on_cuda:
            self._info.derive(extents, int(_lengths(cu_seqlens).max(initial=0)))
        outputs = outputs or self._make_outputs(size, extents, packed, maker)
        options = self._options(call, threads, checked, workspace, unsplit)
        if self._on_cuda:
            self._bind_device_workspace(call, options, workspace, maker, extents)
        options.cu_seqlens = call.pointer(cu_seqlens, "cu_seqlens")
        options.pages = call.pointer(pages, "pages")
        options.carry_count = len(size.carry)
        if carry is not None:
            options.carry_in = call.pointers([carry.get(n) for n in names], names)
        end = None
        if return_carry:
            tokens = _lengths(cu_seqlens) if packed and not self._on_cuda else extents[self._info.token_dim]
            needed = rows if pages is not None else max(rows, self._rows_reached(size, carry, tokens, rows))

            def room(part):
                given = (carry or {}).get(part.name)
                axis = part.rows_axis
                return needed if axis is None or given is None else max(needed, given.shape[axis])

            paged = [part for part in size.carry if pages is not None and part.kind == "rows"]
            missing = [part.name for part in paged if part.name not in (carry or {})]
            if missing:
                raise SeqmixTypeError(f"pages needs carry['{missing[0]}'], the pool that they are in")
            end = self._new_carry(size, extents, maker, initial=False, rows=lambda p: 0 if p in paged else room(p))
            end.update({part.name: carry[part.name] for part in paged})
        if return_carry:
            options.carry_out = call.pointers(end.values(), end, written=True)
        self._run(
            *(call.pointer(arrays[n], n) for n in self._given),
            *(call.pointer(a, n, written=True) for a, n in zip(outputs, self._outputs)),
            options,
        )
        results = self._results(outputs)
        return (results, end) if return_carry else results


def _integer(name, value, most=2**63 - 1):
    """The value as a Python integer, which ctypes would cut to the bits of its type without a word."""
    try:
        number = operator.index(value)
    except TypeError:
        raise SeqmixTypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if isinstance(value, (bool, np.bool_)):
        raise SeqmixTypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not 0 <= number <= most:
        raise SeqmixValueError(f"{name} is {number}; expected 0 {'or more' if most == 2**63 - 1 else f'to {most}'}")
    return number


def _lengths(cu_seqlens):
    """The lengths of packed sequences; none where the runtime will refuse what says where they end."""
    if not isinstance(cu_seqlens, np.ndarray):
        _require_arrays({"cu_seqlens": cu_seqlens})
        cu_seqlens = np.from_dlpack(cu_seqlens)
    if cu_seqlens.ndim != 1 or cu_seqlens.dtype.kind != "i":
        return np.zeros(0, dtype=np.int64)
    return np.diff(cu_seqlens.astype(np.int64))


def _require_arrays(arrays):
    for name, array in arrays.items():
        if isinstance(array, np.generic):  # an element of an array: what has no dims left
            arrays[name] = array = np.asarray(array)
        if not hasattr(array, "shape") or not (isinstance(array, np.ndarray) or hasattr(array, "__dlpack__")):
            raise SeqmixTypeError(
                f"{name} must be an array (NumPy's, or one with __dlpack__), not {type(array).__name__}"
            )


def _writable(array):
    return array.flags.writeable if isinstance(array, np.ndarray) else _dlpack.is_torch(array)


class Library:
    """A compiled library: its mixers are attributes."""

    def __init__(self, path):
        self.path = os.path.abspath(os.fspath(path))
        try:
            self._handle = ctypes.CDLL(self.path)
        except OSError as error:
            raise SeqmixError(f"cannot load {self.path}: {error}") from error
        try:
            manifest = self._handle.seqmix_manifest
        except AttributeError:
            raise SeqmixError(f"{self.path} is not a library of compiled mixers (it has no manifest)") from None
        manifest.restype = ctypes.c_char_p
        self.manifest = manifest().decode()
        try:
            mixers = _manifest.parse(self.manifest)
        except (ValueError, KeyError) as error:
            raise SeqmixError(f"{self.path} has a manifest that cannot be read: {error}") from error
        self.mixers = {name: Mixer(info, self._handle) for name, info in mixers.items()}

    def __getitem__(self, name):
        return self.mixers[name]

    def __getattr__(self, name):
        mixers = self.__dict__.get("mixers", {})
        if name in mixers:
            return mixers[name]
        raise AttributeError(f"{self.__dict__.get('path')} has no mixer {name!r}; it has {', '.join(mixers)}")

    def __dir__(self):
        return [*super().__dir__(), *self.mixers]

    def __repr__(self):
        return f"<seqmix library {self.path}: {', '.join(self.mixers)}>"

    @property
    def num_threads(self):
        """Threads that a call uses when it does not say."""
        return self._handle.seq_num_threads()

    @num_threads.setter
    def num_threads(self, threads):
        if self._handle.seq_set_num_threads(int(threads)) != 0:
            raise SeqmixValueError(f"num_threads is {threads}; expected 0 (the default) to 1024")


def load(path):
    """Loads a library that seqc wrote."""
    return Library(path)
