"""Reads the declarations and the `# case` lines of .seq files, draws inputs for a case and runs a reference on it.

This is a reader of declarations only, written for the tests; it is no second parser of the language. Arrays have the
library's layout: [first batch dim, run-time dims, other batch dims, features].
"""

import dataclasses
import functools
import inspect
import pathlib
import re
import zlib

import ml_dtypes
import numpy as np

STORAGE = {
    "f64": np.dtype(np.float64),
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "i32": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
}
# Params over the tokens reach beyond a sequence that starts at token 0: carries start at 0..8.
SPARE_ROWS = 16
EXTREMES = (0.0, -20.0, -1000.0)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# These run backwards, read later tokens or use the sequence's length.
WITHOUT_STEP = {"hydra", "reversed_gla", "both_sides_reversed", "bidirectional_delta", "bidirectional_elementwise", "look_ahead", "relative_position",
                "full_attention", "distance_filter", "local_global_attention", "t5_encoder_attention", "prefix_attention",
                "block_causal_attention", "jrt", "low_rank_matrix", "toeplitz_two_sided", "circulant_matrix", "cauchy_matrix",
                "vandermonde_matrix", "dft_matrix", "fnet", "monarch_convolution", "both_directions_gated", "ema_two_ways",
                "prefix_bidirectional", "few_features_around", "s4_convolution", "forward_delta_backward_gated", "taps_both_sides"}

# Examples over whole sequences, and weights that are made for one.
WITHOUT_STEP |= {"performer", "linformer", "lama", "dense_matrix", "block_diagonal_matrix", "dss_convolution", "monarch_matrix",
                 "butterfly_matrix", "ltsf_linear", "ltsf_dlinear", "ltsf_nlinear", "mlp_mixer", "routing_attention",
                 "informer", "infllm", "paged_attention"}

# Mixers over pairs of positions whose sums the compiler makes states of.
OVER_PAIRS = {"feature_attention", "retention_pairs", "gated_pairs", "distance_filter", "polynomial_attention",
              "hybrid_attention", "based_attention", "jrt", "low_rank_matrix", "performer_relu", "semiseparable_matrix",
              "performer"}

# These read at any position, or reduce over all of them.
WITHOUT_STEP |= {"two_lengths", "pooled_gates", "block_keys", "pair_maps", "gathered_rows",
                 "lengths_aligned", "rounds", "clusters", "sparse_queries",
                 "block_lookup"}


@dataclasses.dataclass
class Tensor:
    name: str
    indices: list  # names of indices, or of dims for a param's batch and run-time dims
    kind: str  # "input" or "param"
    dtype: str | None = None
    low: float = -np.inf
    high: float = np.inf
    ranged: bool = False
    per: list | None = None  # [(batch dim, divisor)]


@dataclasses.dataclass
class Case:
    line: str
    sizes: dict
    dtype: str = "f32"
    lengths: list | None = None
    carry: str | None = None
    extreme: tuple = ()


@dataclasses.dataclass
class Mixer:
    name: str
    path: str
    batch: list
    defaults: dict  # dim -> expression of its default size, or None
    consts: dict
    index_dim: dict  # index -> dim
    tensors: list
    states: dict  # name -> indices
    outputs: list
    cases: list
    timeless: set = dataclasses.field(default_factory=set)  # outputs without the time

    def sizes(self, case):
        """Sizes of all dims of a case and the constants; a packed batch has first batch dim 1 and T the total."""
        sizes = dict(self.consts)
        for name, value in case.sizes.items():
            sizes[name] = value
        if case.lengths is not None:
            sizes[self.batch[0]] = 1
            sizes["T"] = sum(case.lengths)
        for dim, default in self.defaults.items():
            if dim not in sizes:
                assert default is not None, f"{self.path}: the case gives no size for {dim}: {case.line}"
                sizes[dim] = int(eval(default.replace("^", "**"), {}, dict(sizes)))
        return sizes

    @property
    def has_step(self):
        return self.name not in WITHOUT_STEP

    def is_run_time(self, dim):
        """Whether the dim has no size, or one made from such a dim."""
        default = self.defaults.get(dim, "")
        return default is None or any(self.is_run_time(name) for name in re.findall(r"[A-Za-z_]\w*", default) if name != dim)

    def fixed(self, case):
        """Compile-time sizes and constants that the case overrides."""
        return {n: v for n, v in case.sizes.items() if n in self.consts or n in self.defaults and not self.is_run_time(n)}

    def shape(self, tensor, sizes):
        def extent(index):
            return sizes[self.index_dim.get(index, index)]

        if tensor.kind == "param":
            return tuple(extent(i) + (SPARE_ROWS if i == "T" else 0) for i in tensor.indices)
        per = dict(tensor.per) if tensor.per is not None else {b: 1 for b in self.batch}
        lead = [sizes[b] // per[b] for b in self.batch if b in per]
        run_time = [extent(i) for i in tensor.indices if self.is_run_time(self.index_dim[i])]
        features = [extent(i) for i in tensor.indices if not self.is_run_time(self.index_dim[i])]
        return tuple(lead[:1] + run_time + lead[1:] + features)


def of_files(references, new_mixers):
    """Each case of each example and new mixer: the mixer, the case's number, the case, and its reference."""
    files = [(p, references) for p in sorted((ROOT / "examples").rglob("*.seq"))]
    files += [(p, new_mixers) for p in sorted((HERE / "new_mixers").glob("*.seq"))]
    for path, module in files:
        mixer = read(path)
        assert mixer.cases, f"{path} has no case"
        for number, case in enumerate(mixer.cases):
            yield mixer, number, case, bind(mixer, case, getattr(module, mixer.name))


def read(path):
    """The mixer of a file (each file of the tests has one)."""
    text = open(path, encoding="utf-8").read()
    mixer = Mixer("", str(path), [], {}, {}, {}, [], {}, [], [])
    for line in text.splitlines():
        if found := re.match(r"#\s*case\b(.*)", line):
            mixer.cases.append(_case(found[1].strip()))
        words = line.split("#")[0].strip()
        keyword, _, rest = words.partition(" ")
        rest = rest.strip()
        if keyword == "mixer":
            assert not mixer.name, f"{path}: one mixer a file is expected"
            mixer.name = rest
        elif keyword == "dims":
            _dims(mixer, rest)
        elif keyword == "const":
            for part in rest.split(","):
                name, value = part.split("=")
                mixer.consts[name.strip()] = float(value) if "." in value else int(value)
        elif keyword in ("input", "param"):
            mixer.tensors += _tensors(keyword, rest)
        elif keyword == "state":
            name, indices = re.match(r"(\w+)\[([^\]]*)\]", rest).groups()
            mixer.states[name] = _names(indices)
        elif keyword == "output":
            for name, indices in re.findall(r"(\w+)\[([^\]]*)\]", rest):
                mixer.outputs.append(name)
                if not any(mixer.index_dim.get(i) == "T" for i in _names(indices)):
                    mixer.timeless.add(name)
    return mixer


def _names(text):
    return [n.strip() for n in text.split(",") if n.strip()]


def _dims(mixer, text):
    for part in text.split(";"):
        part = part.strip()
        if part.endswith(" batch"):
            mixer.batch = _names(part.removesuffix("batch"))
            continue
        indices, dim = re.split(r"\s+in\s+", part)
        dim, _, default = dim.partition("=")
        mixer.defaults[dim.strip()] = default.strip() or None
        for index in _names(indices):
            mixer.index_dim[index] = dim.strip()


def _tensors(kind, text):
    names, _, per = text.partition(" per ")
    dtype = low = high = None
    if found := re.search(r"\bin\s*\[([^\]]*)\]\s*$", names):
        low, high = (float(x) for x in found[1].split(","))
        names = names[: found.start()]
    if found := re.search(r":\s*(\w+)\s*$", names):
        dtype = found[1]
        names = names[: found.start()]
    groups = None
    if per:
        groups = [(b.split("/")[0].strip(), int((b + "/1").split("/")[1])) for b in per.split(",")]
    for name, indices in re.findall(r"(\w+)\[([^\]]*)\]", names):
        yield Tensor(name, _names(indices), kind, dtype, -np.inf if low is None else low,
                     np.inf if high is None else high, low is not None, groups)


def _case(text):
    case = Case(text, {})
    for word in text.split():
        name, value = word.split("=")
        if name == "dtype":
            case.dtype = value
        elif name == "lengths":
            case.lengths = [int(x) for x in value.split(",")]
        elif name == "carry":
            assert value == "random", text
            case.carry = value
        elif name == "extreme":
            case.extreme = tuple(value.split(","))
        else:
            case.sizes[name] = float(value) if "." in value else int(value)
    return case


def draw(mixer, case):
    """Inputs and params of a case in their storage types, the same ones every time.

    N(0, 1); uniform in a declared range (an infinite end is cut 4 away from the finite one); true with p = 0.3; integers
    0..3 or from a declared range. Entries of a param with two features or more are divided by the root of its last extent, so that products with
    it keep their size. Inputs named by `extreme` have half of their entries replaced by 0, -20 or -1000.
    """
    sizes = mixer.sizes(case)
    rng = np.random.default_rng(zlib.crc32(f"{mixer.name} {case.line}".encode()))
    arrays = {}
    for tensor in mixer.tensors:
        shape = mixer.shape(tensor, sizes)
        dtype = tensor.dtype or case.dtype
        if dtype == "bool":
            value = rng.random(shape) < 0.3
        elif dtype == "i32":
            value = rng.integers(int(tensor.low), int(tensor.high) + 1, shape) if tensor.ranged else rng.integers(0, 4, shape)
        elif tensor.ranged:
            low = tensor.low if np.isfinite(tensor.low) else tensor.high - 4
            high = tensor.high if np.isfinite(tensor.high) else tensor.low + 4
            value = rng.uniform(low, high, shape)
        else:
            value = rng.standard_normal(shape)
            features = [i for i in tensor.indices if i not in mixer.batch]
            if tensor.kind == "param" and len(features) > 1:
                value /= np.sqrt(shape[-1])
        if tensor.name in case.extreme:
            picked = rng.choice(EXTREMES, shape)
            value = np.where(rng.random(shape) < 0.5, np.clip(picked, tensor.low, tensor.high), value)
        arrays[tensor.name] = np.asarray(value).astype(STORAGE[dtype])
    return arrays


def random_carry(mixer, case, reference):
    """A carry with random states and windows, as the library takes it; its layout is that of the reference's own.

    The reference runs over no token at all, which gives the names and shapes; positions are drawn from 0..8.
    """
    empty = run_reference(mixer, _shortened(mixer, draw(mixer, case)), None, reference, case.lengths, empty=True)[1]
    rng = np.random.default_rng(zlib.crc32(f"{mixer.name} carry {case.line}".encode()))
    carry = {}
    for name, value in empty.items():
        if name == "position":
            carry[name] = rng.integers(0, 9, value.shape).astype(np.int64)
        else:
            of = next((t for t in mixer.tensors if name == f"{t.name}_rows"), None)
            compute = "f64" if case.dtype == "f64" else "f32"
            storage = STORAGE[compute if of is None else of.dtype or case.dtype]
            if value.dtype == np.bool_ or np.issubdtype(value.dtype, np.integer):
                drawn = rng.integers(0, 4, value.shape)
                carry[name] = drawn > 2 if of is not None and storage == np.bool_ else drawn.astype(np.int32)
            else:
                carry[name] = rng.standard_normal(value.shape).astype(storage)
    return carry


def bind(mixer, case, reference):
    """A reference with the mixer's constants and sizes given to those of its parameters that have their names."""
    named = inspect.signature(reference).parameters
    return functools.partial(reference, **{name: size for name, size in mixer.sizes(case).items() if name in named})


def _shortened(mixer, arrays):
    return {t.name: arrays[t.name][:, :0] if varies_over_time(mixer, t) else arrays[t.name] for t in mixer.tensors}


def varies_over_time(mixer, tensor):
    """Whether the tensor is an input over the run-time dim T (which is then axis 1)."""
    return tensor.kind == "input" and any(mixer.index_dim.get(i) == "T" for i in tensor.indices)


def compared_carry(mixer, got, want):
    """What of two final carries is compared: without a step, neither states that the compiler makes of sums nor rows that a
    reference keeps serve anybody, and the other one need not have them."""
    if mixer.has_step:
        return got, want
    return ({name: value for name, value in got.items() if name in want or ".state" not in name},
            {name: value for name, value in want.items() if name in got or not name.endswith("_rows")})


def wide(array):
    """An array of storage type in the type that references compute with."""
    if array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer):
        return array
    return array.astype(np.float64)


def run_reference(mixer, arrays, carry, reference, lengths=None, empty=False):
    """Outputs and final carry, in the library's layout, of a reference run on every sequence by itself."""
    params = {t.name: wide(arrays[t.name]) for t in mixer.tensors if t.kind == "param"}
    inputs = [t for t in mixer.tensors if t.kind == "input"]
    over_time = next(t for t in inputs if varies_over_time(mixer, t))
    if lengths is None:
        spans = [(b, 0, arrays[over_time.name].shape[1]) for b in range(arrays[over_time.name].shape[0])]
    else:
        ends = np.cumsum([0] + list(lengths))
        spans = [(0, 0, 0) if empty else (0, ends[n], ends[n + 1]) for n in range(len(lengths))]
    outputs, carries = [], []
    for n, (b, first, last) in enumerate(spans):
        one = dict(params)
        for t in inputs:
            value = wide(arrays[t.name])
            if t.per is None or mixer.batch[0] in (dim for dim, _ in t.per):
                value = value[b]
            one[t.name] = value[first:last] if varies_over_time(mixer, t) else value
        own = None if carry is None else {name: wide(value)[n] for name, value in carry.items()}
        out, end = reference(one, own)
        end["position"] = np.int64((0 if own is None else int(own["position"])) + (last - first))
        outputs.append(out)
        carries.append(end)
    join = np.stack if lengths is None else np.concatenate
    joined = {}
    for name in outputs[0]:
        value = join([np.asarray(out[name]) for out in outputs])
        joined[name] = value if lengths is None else value[None]
    return joined, {name: np.stack([np.asarray(c[name]) for c in carries]) for name in carries[0]}
