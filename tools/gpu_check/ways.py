"""A recorded case run in every way of calling, and compared with the oracle's results.

The ways are those of `seq-run check`: whole sequences, token by token, in two and in three calls, batch elements packed and packed
sequences apart, with gaps between rows, again, in the caller's workspace, the last batch element alone; and cut over time and positions,
as calls of few long sequences are.
"""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import dataclasses
import os

import numpy as np

from .arrays import Buffer
from .compare import compare, compare_bits

_GUARD = 4096  # bytes behind a workspace


@dataclasses.dataclass
class Case:
    """What `seq-run record` wrote."""

    mixer: str
    text: str
    compute: str
    extents: dict
    lengths: list
    rows: int
    inputs: dict
    carry: dict  # empty: the initial one
    outputs: dict
    end: dict  # the final carry

    @classmethod
    def of(cls, description, arrays):
        """From case.json and arrays named "inputs/q", "inputs/carry.S", "outputs/o", ..."""
        parts = {"inputs": {}, "inputs/carry": {}, "outputs": {}, "outputs/carry": {}}
        for key, value in arrays.items():
            folder, _, name = key.partition("/")
            is_carry = name.startswith("carry.")
            parts[f"{folder}/carry" if is_carry else folder][name[6:] if is_carry else name] = value
        return cls(description["mixer"], description["case"], description["compute"], description["extents"], description["lengths"],
                   description["rows"], parts["inputs"], parts["inputs/carry"], parts["outputs"], parts["outputs/carry"])


@dataclasses.dataclass
class Call:
    """One call of the mixer."""

    inputs: dict
    carry: dict
    lengths: list
    extents: dict
    gaps: bool = False
    has_workspace: bool = False


class Ways:
    def __init__(self, mixer, info, case, place):
        self.mixer, self.info, self.case, self.place = mixer, info, case, place
        self.size = info.sizes[0]
        self.token = info.token_dim
        self.first = next(iter(info.batch_dims), None)
        self.outcomes = []

    # Shapes

    def _tokens_axis(self, tensor):
        return next((n for n, axis in enumerate(tensor.axes) if axis.dim == self.token), None) if tensor.role != "param" else None

    def _dense(self, axes):
        last = axes[-1] if axes else None
        return int(last is not None and (last.dim is None or self.info.dims[last.dim] == "fixed"))

    def _output_shape(self, tensor, extents, sequences):
        if self._tokens_axis(tensor) is None and self.first:
            extents = {**extents, self.first: sequences}
        return [axis.extent(extents) for axis in tensor.axes]

    def _carry_shape(self, part, extents, sequences):
        if self.first:
            extents = {**extents, self.first: sequences}
        return [self.case.rows if axis.dim is None and axis.size < 0 else axis.extent(extents) for axis in part.axes]

    def _sequences(self, call):
        return len(call.lengths) if call.lengths else call.extents[self.first] if self.first else 1

    def _initial(self, sequences):
        return {part.name: np.full(self._carry_shape(part, self.case.extents, sequences), part.init) for part in self.size.carry}

    def _clear_unused_rows(self, carry):
        """Rows behind a sequence's last token are anyone's."""
        for part in self.size.carry:
            if part.kind != "rows":
                continue
            axis = sum(a.batch for a in part.axes)
            rows = np.moveaxis(carry[part.name], axis, 1) if axis else carry[part.name][None]
            for number, position in enumerate(np.atleast_1d(carry["position"]).ravel()):
                rows[number, min(int(position), rows.shape[1]) :] = 0
        return carry

    # Calls

    def forward(self, call):
        place, sequences = self.place, self._sequences(call)
        given = {t.name: Buffer.of(place, call.inputs[t.name], t.dtype, call.gaps, self._dense(t.axes)) for t in self.size.tensors if t.role != "output"}
        out = {t.name: Buffer(place, self._output_shape(t, call.extents, sequences), t.dtype, call.gaps, self._dense(t.axes))
               for t in self.size.tensors if t.role == "output"}
        carry = {part.name: Buffer.of(place, call.carry[part.name], part.dtype, call.gaps, sum(not a.batch for a in part.axes))
                 for part in self.size.carry} if call.carry else None
        options = {}
        if call.lengths:
            starts = np.cumsum([0] + call.lengths)
            options["cu_seqlens"] = Buffer.of(place, starts.astype(np.float64), "i32").array
        count, guarded = None, None
        if call.has_workspace:
            like = {} if self.info.device == "cpu" else {"like": next(iter(given.values())).array}
            count = int(self.mixer.workspace(**self._workspace_extents(call, sequences), **like).shape[0])
            guarded = place.bytes(count + _GUARD)
            options["workspace"] = guarded[:count]
        _, end = self.mixer(**{name: buffer.array for name, buffer in given.items()}, out={name: buffer.array for name, buffer in out.items()},
                            carry=None if carry is None else {name: buffer.array for name, buffer in carry.items()},
                            return_carry=True, rows=self.case.rows, **options)
        place.finish()
        if guarded is not None and not (place.load(guarded[count:]) == 0xFF).all():
            raise AssertionError("memory behind the workspace was written")
        for name, buffer in {**given, **out, **(carry or {})}.items():
            if not buffer.has_intact_gaps():
                raise AssertionError(f"memory between the elements of {name} was written")
        for name, buffer in given.items():
            if not compare_bits(name, buffer.load(), call.inputs[name]).within:
                raise AssertionError(f"the input {name} was written")
        ended = {part.name: place.load(end[part.name]) for part in self.size.carry}
        return {name: buffer.load() for name, buffer in out.items()}, self._clear_unused_rows(ended)

    def _workspace_extents(self, call, sequences):
        extents = {dim: call.extents[dim] for dim in self.info.workspace_dims}
        if call.lengths and self.first:
            extents[self.first] = sequences
            extents[self.token] = sum(call.lengths) if self.info.device == "cuda" else max(call.lengths)
        if self.info.derived and call.carry:  # lengths that follow from the tokens count those of earlier calls
            extents[self.token] += int(call.carry["position"].max(initial=0))
        return extents

    def whole(self):
        return Call(self.case.inputs, self.case.carry, list(self.case.lengths), dict(self.case.extents))

    def _on_tokens(self, tokens, lengths, each):
        call = self.whole()
        call.lengths = lengths
        call.extents[self.token] = len(tokens) if lengths else each
        call.inputs = dict(call.inputs)
        for tensor in self.size.tensors:
            axis = self._tokens_axis(tensor)
            if tensor.role == "input" and axis is not None:
                call.inputs[tensor.name] = np.take(self.case.inputs[tensor.name], tokens, axis)
        return call

    def _empty(self):
        sequences = self._sequences(self.whole())
        outputs = {t.name: np.full(self._output_shape(t, self.case.extents, sequences), np.nan) for t in self.size.tensors if t.role == "output"}
        carry = {name: value.copy() for name, value in (self.case.carry or self._initial(sequences)).items()}
        return outputs, self._clear_unused_rows(carry)

    def _put(self, whole, part, tokens, sequence=None):
        for tensor in self.size.tensors:
            if tensor.role != "output":
                continue
            axis = self._tokens_axis(tensor)
            if axis is not None:
                np.moveaxis(whole[tensor.name], axis, 0)[tokens] = np.moveaxis(part[tensor.name], axis, 0)
            elif sequence is not None and self.first and tensor.axes and tensor.axes[0].dim == self.first:
                whole[tensor.name][sequence] = part[tensor.name][0]
            else:
                whole[tensor.name] = part[tensor.name]

    def parts(self, lengths_of_parts):
        """Several calls, the carry going from one to the next. A part has a number of tokens for each sequence."""
        outputs, _ = self._empty()
        at = np.cumsum([0] + self.case.lengths[:-1]) if self.case.lengths else np.array([0])
        carry = self.case.carry
        for lengths in lengths_of_parts:
            tokens = np.concatenate([np.arange(begin, begin + length) for begin, length in zip(at, lengths)])
            at = at + np.array(lengths)
            call = self._on_tokens(tokens, list(lengths) if self.case.lengths else [], lengths[0])
            call.carry = carry
            part, carry = self.forward(call)
            self._put(outputs, part, tokens)
        return outputs, carry

    def steps(self):
        """One token at a time, the carry in place and with gaps."""
        place = self.place
        outputs, start = self._empty()
        carry = {part.name: Buffer.of(place, start[part.name], part.dtype, True, sum(not a.batch for a in part.axes)) for part in self.size.carry}
        arrays = {name: buffer.array for name, buffer in carry.items()}
        one = {**self.case.extents, self.token: 1}
        for token in range(self.case.extents[self.token]):
            given, out = {}, {}
            for tensor in self.size.tensors:
                axis = self._tokens_axis(tensor)
                if tensor.role == "output":
                    shape = self._output_shape(tensor, one, self._sequences(self.whole()))
                    if axis is not None:
                        del shape[axis]
                    out[tensor.name] = Buffer(place, shape, tensor.dtype)
                else:
                    values = self.case.inputs[tensor.name]
                    given[tensor.name] = Buffer.of(place, values if axis is None else np.take(values, token, axis), tensor.dtype)
            _, after = self.mixer.step(**{name: buffer.array for name, buffer in given.items()}, out={name: buffer.array for name, buffer in out.items()},
                                       carry=arrays)
            place.finish()
            if any(after[name] is not array for name, array in arrays.items()):
                raise AssertionError("the step did not update the carry in place")
            part = {}
            for tensor in self.size.tensors:
                if tensor.role == "output":
                    axis, value = self._tokens_axis(tensor), out[tensor.name].load()
                    part[tensor.name] = value if axis is None else np.expand_dims(value, axis)
            self._put(outputs, part, [token])
        for name, buffer in carry.items():
            if not buffer.has_intact_gaps():
                raise AssertionError(f"memory between the elements of the carry's {name} was written")
        return outputs, self._clear_unused_rows({name: buffer.load() for name, buffer in carry.items()})

    def separate(self):
        """Packed sequences one by one."""
        outputs, carry = self._empty()
        starts = np.cumsum([0] + self.case.lengths)
        for sequence, length in enumerate(self.case.lengths):
            tokens = np.arange(starts[sequence], starts[sequence] + length)
            call = self._on_tokens(tokens, [], length)
            call.carry = {name: value[[sequence]] for name, value in call.carry.items()}
            for tensor in self.size.tensors:
                if tensor.role != "input" or self._tokens_axis(tensor) is not None or not tensor.axes or tensor.axes[0].dim != self.first:
                    continue
                if call.inputs[tensor.name].shape[0] == len(self.case.lengths):
                    call.inputs[tensor.name] = call.inputs[tensor.name][[sequence]]
            part, end = self.forward(call)
            self._put(outputs, part, tokens, sequence)
            for name in carry:
                carry[name][sequence] = end[name][0]
        return outputs, carry

    def can_be_packed(self):
        """Whether the batch elements may be packed as sequences: [B, T, ...] is [1, B*T, ...]."""
        if not self.first or self.case.extents[self.first] == 0:
            return False
        is_first = [axis for t in self.size.tensors if self._tokens_axis(t) is not None for axis in t.axes[:1]] + [p.axes[0] for p in self.size.carry]
        twice = any(sum(a.dim == self.token for a in t.axes) > 1 for t in self.size.tensors)
        return not twice and all(axis.dim == self.first and axis.div == 1 for axis in is_first)

    def packed(self):
        call, batch, tokens = self.whole(), self.case.extents[self.first], self.case.extents[self.token]
        call.lengths = [tokens] * batch
        call.extents.update({self.first: 1, self.token: batch * tokens})
        over = {t.name for t in self.size.tensors if self._tokens_axis(t) is not None}
        call.inputs = {name: value.reshape(1, batch * tokens, *value.shape[2:]) if name in over else value for name, value in call.inputs.items()}
        outputs, carry = self.forward(call)
        return {name: value.reshape(batch, tokens, *value.shape[2:]) if name in over else value for name, value in outputs.items()}, carry

    def strided(self):
        call = self.whole()
        call.gaps = True
        call.carry = call.carry or self._initial(self._sequences(call))
        return self.forward(call)

    def cut(self):
        """Sequences in three segments, the positions of reductions in three parts, where the mixer allows it."""
        names = ("SEQMIX_SEGMENTS", "SEQMIX_PARTS")
        before = {name: os.environ.get(name) for name in names}
        try:
            os.environ.update(dict.fromkeys(names, "3"))
            return self.forward(self.whole())
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def alone(self):
        """The last batch element by itself, and what is expected of it."""
        call, last = self.whole(), [self.case.extents[self.first] - 1]
        call.inputs, outputs, end = dict(call.inputs), dict(self.case.outputs), dict(self.case.end)
        for tensor in self.size.tensors:
            axis = next((n for n, a in enumerate(tensor.axes) if a.dim == self.first), None)
            if axis is not None:
                values = outputs if tensor.role == "output" else call.inputs
                values[tensor.name] = np.take(values[tensor.name], last, axis)
        for part in self.size.carry:
            if part.axes and part.axes[0].dim == self.first:
                end[part.name] = end[part.name][last]
                if call.carry:
                    call.carry = {**call.carry, part.name: call.carry[part.name][last]}
        call.extents[self.first] = 1
        return self.forward(call), (outputs, end)

    # Outcomes

    def _record(self, way, run, want=None, bits=False):
        outcome = {"way": way, "error": 0.0, "carry_error": 0.0, "passed": True, "detail": ""}
        self.outcomes.append(outcome)
        try:
            got = run()
        except Exception as error:  # whatever it is, this way does not work
            outcome.update(passed=False, error=float("inf"), detail=f"{type(error).__name__}: {error}")
            if _is_sticky(error):
                raise
            return None
        outputs, end = want or (self.case.outputs, self.case.end)
        compute = self.case.compute
        pairs = [("error", t.name, got[0], outputs, t.name, t.dtype) for t in self.size.tensors if t.role == "output"]
        pairs += [("carry_error", f"carry {p.name}", got[1], end, p.name, p.dtype) for p in self.size.carry]
        for kind, label, have, expected, name, dtype in pairs:
            found = compare_bits(label, have[name], expected[name]) if bits else compare(label, have[name], expected[name], dtype, compute)
            outcome[kind] = max(outcome[kind], found.error)
            outcome["passed"] &= found.within
            outcome["detail"] = outcome["detail"] or found.detail
        return got

    def run(self):
        """A list of outcomes, one a way."""
        base = self._record("forward", lambda: self.forward(self.whole()))
        if base is None:
            return self.outcomes
        lengths = self.case.lengths or [self.case.extents[self.token]]
        if not self.info.no_step:
            if not self.case.lengths:
                self._record("step", self.steps)
            first = [min(n, 1) for n in lengths]
            second = [min(n - a, 16) for n, a in zip(lengths, first)]
            self._record("split", lambda: self.parts([[n // 3 for n in lengths], [n - n // 3 for n in lengths]]))
            self._record("split", lambda: self.parts([first, second, [n - a - b for n, a, b in zip(lengths, first, second)]]))
        if self.case.lengths:
            self._record("separate", self.separate)
        elif self.can_be_packed():
            self._record("packed", self.packed)
        self._record("strides", self.strided)
        self._record("cut", self.cut)
        self._record("again", lambda: self.forward(self.whole()), base, bits=True)
        given = self.whole()
        given.has_workspace = True
        self._record("workspace", lambda: self.forward(given), base, bits=True)
        divided = any(axis.dim == self.first and axis.div > 1 for t in self.size.tensors for axis in t.axes)
        if not self.case.lengths and self.first and self.case.extents[self.first] > 1 and not divided:
            want = []

            def last():
                got, expected = self.alone()
                want.extend(expected)
                return got

            self._record("alone", last, want)
        return self.outcomes


def _is_sticky(error):
    """Whether the driver will refuse everything from here on, so that the process is of no more use."""
    text = str(error)
    return any(word in text for word in ("illegal memory access", "unspecified launch failure", "misaligned address", "device-side assert",
                                         "illegal instruction", "ILLEGAL_ADDRESS", "LAUNCH_FAILED", "MISALIGNED_ADDRESS", "ILLEGAL_INSTRUCTION"))
