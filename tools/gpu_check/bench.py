"""The worker's measurements: mixers, PyTorch's attention, and the card's peaks. All times are medians of replayed CUDA graphs."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

import math
import os
import statistics

_SECONDS = 0.4  # of measuring one thing
_WINDOW, _CAP = 1024, 50.0


def median_ms(torch, call):
    """The median time of a call, captured as a graph and replayed."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()

    def replay(times):
        events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(times)]
        for begin, end in events:
            begin.record()
            graph.replay()
            end.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) for begin, end in events]

    first = max(statistics.median(replay(3)), 1e-3)
    return statistics.median(replay(repetitions(first)))


def repetitions(milliseconds):
    return int(min(500, max(7, _SECONDS * 1e3 / milliseconds)))


def peaks(torch):
    """What the card copies, reading and writing counted, and multiplies in bf16."""
    given = torch.empty(1 << 29, dtype=torch.uint8, device="cuda")
    out = torch.empty_like(given)
    copy = median_ms(torch, lambda: out.copy_(given))
    a, b = (torch.randn(8192, 8192, device="cuda").bfloat16() for _ in range(2))
    c = torch.empty_like(a)
    product = median_ms(torch, lambda: torch.mm(a, b, out=c))
    return {"status": "ok", "copy_gbs": 2 * given.numel() / copy / 1e6, "bf16_tflops": 2 * 8192**3 / product / 1e9}


def draw(torch, info, extents, device):
    """Inputs and params: in their ranges, else normal with features divided by the root of their number, so that rows have length 1."""
    generator = torch.Generator(device).manual_seed(1)
    dtypes = {"f64": torch.float64, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
    arrays = {}
    for tensor in info.sizes[0].tensors:
        if tensor.role == "output":
            continue
        shape = [axis.extent(extents) for axis in tensor.axes]
        if tensor.dtype in ("i32", "bool"):
            value = torch.randint(0, 2, shape, generator=generator, device=device, dtype=torch.int32)
            arrays[tensor.name] = value if tensor.dtype == "i32" else value.bool()
            continue
        if tensor.range is not None and any(map(math.isfinite, tensor.range)):
            low, high = tensor.range
            low = low if math.isfinite(low) else high - 1
            high = high if math.isfinite(high) else low + 1
            value = low + (high - low) * torch.rand(shape, generator=generator, device=device)
        else:
            is_feature = tensor.axes and (tensor.axes[-1].dim is None or info.dims[tensor.axes[-1].dim] == "fixed")
            value = torch.randn(shape, generator=generator, device=device) / math.sqrt(shape[-1] if is_feature and len(shape) > 1 else 1)
        arrays[tensor.name] = value.to(dtypes[tensor.dtype])
    return arrays


def measure(folder, item, torch, device="cuda"):
    """One row of a table: ours and, for attention, PyTorch's."""
    result = {"status": "ok", "peers": {}}
    if "library" in item:
        import seqmix

        mixer = seqmix.load(os.path.join(folder, item["library"]))[item["mixer"]]
        info = mixer._info
        extents = info.derive({**info.sizes[0].fixed, **item["extents"]})
        arrays = draw(torch, info, extents, device)
        out = mixer(**arrays)
        outputs = out if isinstance(out, tuple) else (out,)
        like = {"like": next(iter(arrays.values()))} if info.device == "cuda" else {}
        workspace = mixer.workspace(**{dim: extents[dim] for dim in info.workspace_dims}, **like)
        result["ms"] = median_ms(torch, lambda: mixer(**arrays, out=outputs, workspace=workspace))
        result["bytes"] = sum(array.numel() * array.element_size() for array in (*arrays.values(), *outputs))
        result["finite"] = all(bool(torch.isfinite(array).all()) for array in outputs)
        if not result["finite"]:
            result.update(status="wrong", detail="there are NaNs or infinities among the results")
    else:
        result.update(status="not lowered", detail=item["not_lowered"])
    if "score" in item:
        result["flops"], calls = attention_peers(torch, item, device)
        for name, call in calls.items():
            try:
                result["peers"][name] = median_ms(torch, call)
            except Exception as error:  # a peer that does not run is said to
                result["peers"][name] = f"{type(error).__name__}: {error}"[:300]
    return result


def attention_peers(torch, item, device="cuda"):
    """FLOPs that count, and PyTorch's attention on tensors of the same extents, in the layout that it likes best."""
    from torch.nn import functional

    extents, score, width = item["extents"], item["score"], item["definitions"]["K"]
    batch, tokens, heads = extents["B"], extents["T"], extents["H"]
    key_heads = heads // item["group"]
    q = torch.randn(batch, heads, tokens, width, device=device).bfloat16()
    k, v = (torch.randn(batch, key_heads, tokens, width, device=device).bfloat16() for _ in range(2))
    shared = {"enable_gqa": True} if key_heads != heads else {}
    pairs = sum(min(t + 1, _WINDOW if score == "window" else tokens) for t in range(tokens))
    calls = {}
    if score == "causal":
        calls["SDPA"] = lambda: functional.scaled_dot_product_attention(q, k, v, is_causal=True, **shared)
    calls["FlexAttention"] = _flex(torch, score, q, k, v, shared)
    return 4 * batch * heads * pairs * width, calls


def _flex(torch, score, q, k, v, shared):
    heads, tokens = q.shape[1], q.shape[2]
    slopes = torch.rand(heads, device=q.device)
    modify = {
        "alibi": lambda s, b, h, t, at: s - slopes[h] * (t - at),
        "softcap": lambda s, b, h, t, at: _CAP * torch.tanh(s / _CAP),
    }.get(score)
    mask = (lambda b, h, t, s: (s <= t) & (t - s < _WINDOW)) if score == "window" else (lambda b, h, t, s: s <= t)
    prepared = []

    def call():
        from torch.nn.attention import flex_attention as flex

        if not prepared:
            block = flex.create_block_mask(mask, None, None, tokens, tokens, device=q.device)
            prepared.extend((torch.compile(flex.flex_attention, dynamic=False), block))
        return prepared[0](q, k, v, score_mod=modify, block_mask=prepared[1], **shared)

    return call
