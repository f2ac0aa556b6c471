"""What a library says about itself: its manifest as objects."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

from __future__ import annotations  # Python 3.9

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of an array: a dim (divided by `div`), or a plain extent when `dim` is None."""

    dim: str | None
    size: int | None
    div: int
    batch: bool

    def __str__(self):
        if self.dim is None:
            return "rows" if self.size < 0 else str(self.size)
        return self.dim if self.div == 1 else f"{self.dim}/{self.div}"

    def extent(self, extents):
        return self.size if self.dim is None else extents[self.dim] // self.div


@dataclasses.dataclass(frozen=True)
class Tensor:
    name: str
    role: str  # "input", "param" or "output"
    dtype: str  # f64, f32, bf16, f16, i32, bool; i64 of positions
    axes: tuple
    range: tuple | None

    def axes_of_call(self, token_dim, step):
        """The axes that the caller's array has: in a step inputs and outputs are without the token dim."""
        if not step or self.role == "param":
            return self.axes
        return tuple(a for a in self.axes if a.dim != token_dim)

    def has_tokens(self, token_dim):
        return self.role != "param" and any(a.dim == token_dim for a in self.axes)


@dataclasses.dataclass(frozen=True)
class Component:
    """A part of the carry: a state, a window of earlier tokens, rows of earlier tokens, or the position."""

    name: str
    kind: str
    dtype: str
    axes: tuple
    init: float

    @property
    def rows_axis(self):
        """The axis whose extent, how many rows there is room for, is the caller's choice; None without one."""
        return next((i for i, axis in enumerate(self.axes) if axis.dim is None and axis.size < 0), None)


@dataclasses.dataclass(frozen=True)
class Size:
    """What one choice of fixed sizes was compiled to."""

    fixed: dict
    tensors: tuple
    carry: tuple
    targets: tuple


@dataclasses.dataclass(frozen=True)
class MixerInfo:
    name: str
    token_dim: str
    no_step: str | None
    dims: dict  # name -> "batch", "runtime" or "fixed"
    derived: dict  # run-time dims that follow from others: name -> expression
    sizes: tuple
    source: str
    device: str  # "cpu" or "cuda"

    @property
    def batch_dims(self):
        return [name for name, kind in self.dims.items() if kind == "batch"]

    @property
    def workspace_dims(self):
        """Dims whose extents say how large a workspace is."""
        own = [n for n, kind in self.dims.items() if kind == "runtime" and n not in self.derived and n != self.token_dim]
        return self.batch_dims + [self.token_dim] + own

    def derive(self, extents, tokens=None):
        """Adds the extents of derived dims, for sequences of at most so many tokens."""
        known = dict(extents) if tokens is None else {**extents, self.token_dim: tokens}
        for name, expression in self.derived.items():
            extents[name] = known[name] = max(0, eval(expression, {"__builtins__": {}}, known))
        return extents


def shape_text(axes):
    return "[" + ", ".join(map(str, axes)) + "]"


def _axis(data):
    return Axis(data.get("dim"), data.get("size"), data.get("div", 1), data.get("batch", False))


def _size(data):
    return Size(
        fixed=data["fixed"],
        tensors=tuple(
            Tensor(
                t["name"],
                t["role"],
                t["dtype"],
                tuple(map(_axis, t["axes"])),
                tuple(map(float, t["range"])) if "range" in t else None,
            )
            for t in data["tensors"]
        ),
        carry=tuple(
            Component(c["name"], c["kind"], c["dtype"], tuple(map(_axis, c["axes"])), float(c["init"]))
            for c in data["carry"]
        ),
        targets=tuple(data["targets"]),
    )


def parse(text):
    """The mixers of a manifest, by name."""
    manifest = json.loads(text)
    if manifest.get("manifest") != 1:
        raise ValueError(f"manifest version {manifest.get('manifest')}, this package reads version 1")
    return {
        m["name"]: MixerInfo(
            name=m["name"],
            token_dim=m["token_dim"],
            no_step=m["no_step"],
            dims={d["name"]: d["kind"] for d in m["dims"]},
            derived={d["name"]: d["by"] for d in m["dims"] if "by" in d},
            sizes=tuple(map(_size, m["sizes"])),
            source=m.get("source", ""),
            device=m.get("device", "cpu"),
        )
        for m in manifest["mixers"]
    }
