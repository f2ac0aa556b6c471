#!/usr/bin/env python3
"""Times attention against PyTorch's scaled_dot_product_attention, both sides in turn in one process.

Usage: PYTHONPATH=frontends/python python3 test/bench/attention-pytorch.py [--threads=1,2] [--repeat=9]

Needs torch and numpy. Both sides read the same float32 numbers; torch gets them as [B, H, T, K], contiguous, which it likes best.
Prints medians and lower quartiles in ms, and how far the results are apart.
"""

import argparse
import os
import statistics
import sys
import time

SOURCE = """mixer attend
  dims   B, H batch; t, s in T; i in K = 64; j in V = 64
  input  q[t,i], k[s,i], v[s,j]
  p[t,s] = softmax[s] (K^-0.5 * sum[i] q[t,i] * k[s,i]){domain}
  o[t,j] = sum[s] p[t,s] * v[s,j]
  output o[t,j]
"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default: 1,2)")
    parser.add_argument("--repeat", type=int, default=9, help="calls of each side (default: 9)")
    parser.add_argument("--length", type=int, default=4096, help="tokens (default: 4096)")
    parser.add_argument("--heads", type=int, default=8, help="heads (default: 8)")
    return parser.parse_args()


def timed(call):
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1e3, result


def compare(name, ours, theirs, repeat, flops):
    import numpy

    ours(), theirs()
    left, right = [], []
    for _ in range(repeat):
        spent, mine = timed(ours)
        left.append(spent)
        spent, peer = timed(theirs)
        right.append(spent)
    apart = float(numpy.abs(mine - peer.numpy().transpose(0, 2, 1, 3)).max())
    ms, peer_ms = statistics.median(left), statistics.median(right)
    low, peer_low = (statistics.quantiles(side, n=4)[0] for side in (left, right))
    print(f"{name:34} {ms:9.2f} {low:9.2f} {peer_ms:9.2f} {peer_low:9.2f} {peer_ms / ms:6.2f} {flops / ms / 1e6:9.0f} {apart:9.1e}", flush=True)


def main():
    options = parse()
    # The runtime reads it at its first call, so each number of threads has a process.
    counts = options.threads.split(",")
    if len(counts) > 1:
        for count in counts:
            forwarded = [f"--threads={count}", f"--repeat={options.repeat}", f"--length={options.length}", f"--heads={options.heads}"]
            os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, *forwarded])
        return
    threads = int(counts[0])
    os.environ["SEQMIX_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    import numpy
    import torch

    import seqmix

    torch.set_num_threads(threads)
    random = numpy.random.default_rng(1)
    length, heads = options.length, options.heads
    print(f"torch {torch.__version__}, {threads} thread{'s' if threads > 1 else ''}, T={length} H={heads}, ms")
    print(f"{'':34} {'seqmix':>9} {'quartile':>9} {'torch':>9} {'quartile':>9} {'ratio':>6} {'Gflop/s':>9} {'apart':>9}")
    for causal in (True, False):
        for width in (64, 128):
            text = SOURCE.format(domain="\n    where s <= t" if causal else "")
            library = seqmix.compile(text, dims={"K": width, "V": width}, dtype="f32")
            q, k, v = (random.standard_normal((1, length, heads, width), dtype=numpy.float32) for _ in range(3))
            tq, tk, tv = (torch.from_numpy(numpy.ascontiguousarray(x.transpose(0, 2, 1, 3))) for x in (q, k, v))
            attend = torch.nn.functional.scaled_dot_product_attention
            pairs = length * (length + 1) // 2 if causal else length * length
            with torch.inference_mode():
                compare(
                    f"{'causal' if causal else 'all pairs'}, K = V = {width}",
                    lambda: library.attend(q=q, k=k, v=v),
                    lambda: attend(tq, tk, tv, is_causal=causal),
                    options.repeat,
                    4 * pairs * heads * width,
                )


main()
