#!/usr/bin/env python3
"""Times causal long convolutions against the transforms that an FFT library needs for them, all sides in turn in one process.

Usage: PYTHONPATH=frontends/python python3 test/bench/convolution-fft.py [--lengths=1024,4096] [--features=16,64] [--repeat=15]

Needs numpy, scipy and pyfftw. A call of ours pads, transforms filter and signal, multiplies, transforms back and stores; it is timed
as Python makes it and, in the second column, as a C program would, with all arguments ready. Of the libraries the transforms alone are timed: those of filter and signal, padded before, and the inverse one of their product, all along
contiguous memory with plans that FFTW has measured (estimated for more than 2^20 numbers). Prints medians in ms, the ratio to the
faster library, and how far our results are from those in float64, of the largest one.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("SEQMIX_NUM_THREADS", "1")

SOURCE = """mixer convolve
  dims   B batch; t, s in T; d in D = 64
  input  x[s,d]
  param  f[T,d]
  y[t,d] = sum[s] f[t-s,d] * x[s,d]
    where s <= t
  output y[t,d]
"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="256,512,1024,2048,4096,8192,16384,32768,65536")
    parser.add_argument("--features", default="16,64,256")
    parser.add_argument("--repeat", type=int, default=15, help="calls of each side (default: 15)")
    parser.add_argument("--most", type=int, default=1 << 23, help="numbers in a signal, at most (default: 2^23)")
    return parser.parse_args()


def timed(call):
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def main():
    import numpy
    import pyfftw
    import scipy.fft

    import seqmix

    options = parse()
    random = numpy.random.default_rng(1)
    print(f"scipy {scipy.__version__}, FFTW {pyfftw.fftw_version if hasattr(pyfftw, 'fftw_version') else pyfftw.__version__}, one thread, ms")
    print(f"{'D':>5} {'T':>6} {'Python':>9} {'seqmix':>9} {'FFTW':>9} {'scipy':>9} {'ratio':>6} {'apart':>9}", flush=True)
    for features in map(int, options.features.split(",")):
        library = seqmix.compile(SOURCE, dims={"D": features}, dtype="f32")
        for length in map(int, options.lengths.split(",")):
            if length * features > options.most:
                continue
            x = random.standard_normal((1, length, features), dtype="f4")
            f = random.standard_normal((length, features), dtype="f4") / numpy.float32(length**0.5)
            y = numpy.empty_like(x)
            workspace = library.convolve.workspace(B=1, T=length, threads=1)

            real = pyfftw.zeros_aligned((features, 2 * length), "f4")
            spectrum = pyfftw.zeros_aligned((features, length + 1), "c8")
            flags = ("FFTW_MEASURE" if length * features <= 1 << 20 else "FFTW_ESTIMATE", "FFTW_DESTROY_INPUT")
            forward = pyfftw.FFTW(real, spectrum, axes=(1,), flags=flags)
            back = pyfftw.FFTW(spectrum, real, axes=(1,), direction="FFTW_BACKWARD", flags=flags)
            padded = numpy.zeros((features, 2 * length), "f4")
            padded[:, :length] = x[0].T
            other = scipy.fft.rfft(padded, axis=1)

            def ours():
                library.convolve(x=x, f=f, out={"y": y}, threads=1, workspace=workspace)

            def ready(*arguments):
                library.convolve._function(*arguments)

            def fftw():
                forward.execute()
                forward.execute()
                back.execute()

            def scipy_():
                scipy.fft.rfft(padded, axis=1)
                scipy.fft.rfft(padded, axis=1)
                scipy.fft.irfft(other, axis=1)

            sides = (ours, fftw, scipy_)
            times = [[] for _ in range(len(sides) + 1)]

            def run(*arguments):
                for number in range(options.repeat + 1):
                    for side, spent in zip((lambda: ready(*arguments), *sides), times):
                        library.convolve._run = ready
                        elapsed = timed(side)
                        if number:
                            spent.append(elapsed)

            library.convolve._run = run
            ours()
            wide = numpy.zeros((features, 2 * length))
            wide[:, :length] = f.T
            want = scipy.fft.irfft(scipy.fft.rfft(wide) * scipy.fft.rfft(padded.astype("f8")))[:, :length].T
            apart = abs(y[0] - want).max() / abs(want).max()
            ours_ready, mine, one, two = (statistics.median(spent) for spent in times)
            ratio = ours_ready / min(one, two)
            print(f"{features:5} {length:6} {mine:9.4f} {ours_ready:9.4f} {one:9.4f} {two:9.4f} {ratio:6.2f} {apart:9.1e}", flush=True)


main()
