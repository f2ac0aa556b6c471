"""Exceptions, and the run-time statuses that they stand for."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

class SeqmixError(RuntimeError):
    """Something that a compiled mixer or the compiler could not do."""


class SeqmixValueError(SeqmixError, ValueError):
    """Arguments whose shapes, layouts or values do not fit."""


class SeqmixTypeError(SeqmixError, TypeError):
    """Arguments of the wrong type, or unknown and missing names."""


class SeqmixMemoryError(SeqmixError, MemoryError):
    """A workspace that there is no memory for."""


class CompileError(SeqmixError):
    """The compiler refused a source; the text is what it said."""


# Status codes of runtime/seqmix.h.
_VALUE = {1, 2, 5, 6, 7, 10}
_TYPE = {3, 4}


def from_status(status, text):
    """The exception for a status of the C interface."""
    if status in _VALUE:
        return SeqmixValueError(text)
    if status in _TYPE:
        return SeqmixTypeError(text)
    if status == 8:
        return SeqmixMemoryError(text)
    return SeqmixError(text)
