"""What `gpu-check run` measures: mixers, shapes and what they are compared with."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

# Seconds of each part, eight minutes together.
PARTS = {"peaks": 25, "correctness": 165, "sanitizer": 50, "recurrences": 130, "scans": 40, "attention": 70}
TITLES = {
    "recurrences": "Matrix-state recurrences",
    "scans": "Elementwise and selective scans",
    "attention": "Attention",
}

# The shapes of flash-linear-attention's benchmark (B, T, H, D): benchmarks/ops of github.com/fla-org/flash-linear-attention.
SIX_SHAPES = [(1, 8192, 96, 128), (2, 16384, 16, 128), (4, 2048, 16, 128), (4, 4096, 64, 128), (8, 2048, 32, 256), (8, 1024, 8, 64)]

# Gated DeltaNet on an H200 (bf16, K = V = 128, CUDA graphs), as published by FlashQLA with fla 0.5.1 and FlashInfer 0.6.13:
# (sequences, length, heads of q and k, heads of v, ms).
PUBLISHED = [
    (1, 2048, 8, 32, {"FLA": 0.131, "FlashInfer": 0.106, "FlashQLA": 0.108}),
    (1, 8192, 8, 32, {"FLA": 0.466, "FlashInfer": 0.394, "FlashQLA": 0.280}),
    (1, 8192, 32, 32, {"FLA": 0.500, "FlashInfer": 0.395, "FlashQLA": 0.283}),
    (4, 8192, 32, 32, {"FLA": 1.952, "FlashInfer": 0.442, "FlashQLA": 0.629}),
    (1, 32768, 8, 32, {"FLA": 1.885, "FlashInfer": 1.555, "FlashQLA": 0.885}),
    (1, 32768, 2, 8, {"FLA": 0.902, "FlashInfer": 1.655, "FlashQLA": 0.320}),
]
PUBLISHED_BACKWARD = [
    (1, 8192, 16, 32, {"FLA": 1.444, "FlashQLA": 0.789}),
    (1, 32768, 4, 8, {"FLA": 2.743, "FlashQLA": 0.887}),
]

_KEYS = "  input  q[t,i], k[t,i], v[t,j]\n"


def _grouped(text, group):
    """The same mixer with `group` heads of v for each of q and k."""
    if group == 1:
        return text
    if text.count(_KEYS) != 1:
        raise ValueError("the declarations of the example are not as expected")
    return text.replace(_KEYS, f"  input  q[t,i], k[t,i] per B, H/{group}\n  input  v[t,j]\n")


def rows(read):
    """Rows of the tables: dicts with a part, an id, a source, definitions, extents and what else the table shows.

    read          gives the text of an example by its name
    """
    for example in ("linear/simple_gla", "gla", "delta/deltanet", "delta/gated_deltanet", "delta/kda", "linear/hgrn2"):
        mixer = example.split("/")[-1]
        for b, t, h, d in SIX_SHAPES:
            yield {"part": "recurrences", "id": f"{mixer} B={b} T={t} H={h} K=V={d}", "mixer": mixer, "source": read(example),
                   "definitions": {"K": d, "V": d}, "extents": {"B": b, "T": t, "H": h}, "dtype": "bf16", "case": "B=1 T=130 H=2"}
        yield {"part": "recurrences", "id": f"{mixer}, forward and backward, the six shapes", "not_lowered": "backward passes"}
    for b, t, key_heads, heads, published in PUBLISHED:
        group = heads // key_heads
        yield {"part": "recurrences", "id": f"gated_deltanet B={b} T={t}, {key_heads} heads of q and k, {heads} of v, K=V=128", "mixer": "gated_deltanet",
               "source": _grouped(read("delta/gated_deltanet"), group), "definitions": {"K": 128, "V": 128}, "extents": {"B": b, "T": t, "H": heads},
               "dtype": "bf16", "case": f"B=1 T=130 H={group}", "published": published}
    for b, t, key_heads, heads, published in PUBLISHED_BACKWARD:
        yield {"part": "recurrences", "id": f"gated_deltanet, backward, B={b} T={t}, {key_heads} heads of q and k, {heads} of v",
               "not_lowered": "backward passes", "published": published}
    for example, definitions, extents in (
        ("elementwise/hgrn", {"D": 2048}, {"B": 8, "T": 4096}),
        ("elementwise/mingru", {"D": 2048}, {"B": 8, "T": 4096}),
        ("elementwise/sru", {"D": 2048}, {"B": 8, "T": 4096}),
        ("elementwise/rglru", {"D": 128}, {"B": 8, "T": 4096, "H": 16}),
        ("selective/mamba", {"D": 2048, "N": 16}, {"B": 8, "T": 4096}),
        ("selective/longhorn", {"D": 2048, "N": 16}, {"B": 8, "T": 4096}),
        ("selective/mamba2", {"P": 64, "N": 128}, {"B": 8, "T": 4096, "H": 32}),
        ("nonlinear/lstm", {"D": 64}, {"B": 16, "T": 1024, "H": 12}),
        ("nonlinear/paralstm", {"D": 768}, {"B": 16, "T": 1024}),
    ):
        mixer = example.split("/")[-1]
        shape = " ".join(f"{name}={value}" for name, value in {**extents, **definitions}.items())
        case = " ".join(f"{name}={ {'B': 1, 'T': 19, 'H': 2}.get(name, value)}" for name, value in extents.items())
        yield {"part": "scans", "id": f"{mixer} {shape}", "mixer": mixer, "source": read(example), "definitions": definitions, "extents": extents,
               "dtype": "bf16", "case": case}
    for example, definitions, shapes, score, group in (
        ("attention/causal_attention", {}, SIX_SHAPES, "causal", 1),
        ("attention/grouped_query_attention", {}, [(4, 4096, 32, 128)], "causal", 4),
        ("attention/sliding_window_attention", {"W": 1024}, [(4, 8192, 32, 128)], "window", 4),
        ("attention/alibi", {}, [(4, 4096, 16, 128)], "alibi", 1),
        ("attention/softcap_attention", {}, [(4, 4096, 16, 128)], "softcap", 2),
    ):
        mixer = example.split("/")[-1]
        for b, t, h, d in shapes:
            name = "".join(f" {n}={v}" for n, v in definitions.items())
            yield {"part": "attention", "id": f"{mixer} B={b} T={t} H={h} K=V={d}{name}", "mixer": mixer, "source": read(example),
                   "definitions": {"K": d, "V": d, **definitions}, "extents": {"B": b, "T": t, "H": h}, "dtype": "bf16", "case": "B=1 T=70 H=4",
                   "score": score, "group": group}
