//===- Peaks.cpp - what this machine can do at most ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Peaks.h"

#include "tools/seq-run/PeakKernels.h"
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace seqmix::run {
namespace {

using Clock = std::chrono::steady_clock;

const PeakKernels &bestKernels() {
  if (__builtin_cpu_supports("avx512f"))
    return peakKernelsAvx512();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return peakKernelsAvx2();
  return peakKernelsBaseline();
}

/// CPUs that this process may run on.
std::vector<int> usableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set))
        cpus.push_back(cpu);
  if (cpus.empty())
    cpus.push_back(-1); // stay where the system puts us
  return cpus;
}

size_t cacheSize(int name, size_t otherwise) {
  long size = sysconf(name);
  return size > 0 ? static_cast<size_t>(size) : otherwise;
}

struct Free {
  void operator()(float *data) const { std::free(data); }
};
using Array = std::unique_ptr<float[], Free>;

/// `count` floats on a page boundary, touched by the caller's thread.
Array makeArray(size_t count, float value) {
  size_t bytes = (count * sizeof(float) + 4095) / 4096 * 4096;
  auto *data = static_cast<float *>(std::aligned_alloc(4096, bytes));
  if (!data)
    std::abort();
  std::fill_n(data, bytes / sizeof(float), value);
  return Array(data);
}

/// The results of the loops go here, so that the compiler must make them.
std::atomic<double> sink;

/// The best rate of `work` (which returns its amount) over windows of `window` seconds, for
/// `seconds` in all.
template <typename Work> double bestRate(double seconds, double window, Work work) {
  double best = 0, total = 0;
  while (total < seconds) {
    double amount = 0, elapsed = 0;
    auto start = Clock::now();
    do {
      amount += work();
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    } while (elapsed < window);
    best = std::max(best, amount / elapsed);
    total += elapsed;
  }
  return best;
}

/// What one thread measures. Threads that measure together begin each figure together.
class Measurement {
public:
  Measurement(const PeakKernels &kernels, const Peaks &sizes, double seconds,
              std::barrier<> &together)
      : kernels(kernels), sizes(sizes), share(seconds / figures), together(together) {}

  CorePeaks run() {
    CorePeaks peaks;
    peaks.f32 = multiplyAdds(kernels.multiplyAddF32, kernels.flopsF32);
    peaks.f64 = multiplyAdds(kernels.multiplyAddF64, kernels.flopsF64);
    peaks.l1 = bandwidth(sizes.l1Bytes, false);
    peaks.l2 = bandwidth(sizes.l2Bytes, false);
    peaks.memory = bandwidth(sizes.memoryBytes, true);
    return peaks;
  }

private:
  static constexpr int figures = 8;
  // Shorter than a time slice, so that some windows are undisturbed on a busy machine. Those on
  // memory are longer: the threads must be at it at the same time.
  static constexpr double shortWindow = 3e-4, longWindow = 5e-3;

  double multiplyAdds(double (*kernel)(int64_t), int64_t flops) {
    together.arrive_and_wait();
    return bestRate(share, shortWindow, [&] {
      constexpr int64_t rounds = 5000;
      sink = kernel(rounds);
      return static_cast<double>(rounds * flops);
    });
  }

  Bandwidth bandwidth(size_t bytes, bool streaming) {
    // What the reading loop takes at once, and a gap that keeps the arrays from the same sets of
    // the cache.
    constexpr size_t step = 128, gap = 272;
    size_t count = bytes / sizeof(float) / 3 / step * step;
    Array data = makeArray(3 * (count + gap), 1);
    float *a = data.get(), *b = a + count + gap, *c = b + count + gap;
    // Small arrays many times, large ones piece by piece: the clock is read about every 50 us.
    size_t piece = std::min<size_t>(count, size_t(1) << 18);
    size_t repeats = std::max<size_t>(1, (size_t(1) << 18) / count);
    double amount = 3.0 * sizeof(float) * static_cast<double>(piece * repeats);
    size_t at = 0;
    auto next = [&] {
      size_t now = at;
      at = at + 2 * piece <= count ? at + piece : 0;
      return now;
    };
    double window = streaming ? longWindow : shortWindow;
    Bandwidth result;
    together.arrive_and_wait();
    // All three arrays, so that the read covers as many bytes as the triad.
    result.read = bestRate(share, window, [&] {
      size_t from = next();
      sink = kernels.read(a + from, piece, repeats) + kernels.read(b + from, piece, repeats) +
             kernels.read(c + from, piece, repeats);
      return amount;
    });
    at = 0;
    together.arrive_and_wait();
    result.triad = bestRate(share, window, [&] {
      size_t from = next();
      for (size_t i = 0; i < repeats; ++i)
        sink = kernels.triad(a + from, b + from, c + from, piece, streaming);
      return amount;
    });
    return result;
  }

  const PeakKernels &kernels;
  const Peaks &sizes;
  double share;
  std::barrier<> &together;
};

void add(CorePeaks &sum, const CorePeaks &one) {
  sum.f32 += one.f32;
  sum.f64 += one.f64;
  for (auto level : {&CorePeaks::l1, &CorePeaks::l2, &CorePeaks::memory}) {
    (sum.*level).read += (one.*level).read;
    (sum.*level).triad += (one.*level).triad;
  }
}

CorePeaks measureOn(const std::vector<int> &cpus, const PeakKernels &kernels, const Peaks &sizes,
                    double seconds) {
  std::barrier<> together(static_cast<std::ptrdiff_t>(cpus.size()));
  std::vector<CorePeaks> each(cpus.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < cpus.size(); ++i)
    threads.emplace_back([&, i] {
      if (cpus[i] >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpus[i], &set);
        // Where the system refuses, the figure is that of wherever the thread runs.
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
      }
      each[i] = Measurement(kernels, sizes, seconds, together).run();
    });
  for (auto &thread : threads)
    thread.join();
  CorePeaks sum;
  for (auto &peaks : each)
    add(sum, peaks);
  return sum;
}

} // namespace

Peaks measurePeaks(const PeakOptions &options) {
  auto &kernels = bestKernels();
  std::vector<int> cpus = usableCpus();
  Peaks peaks;
  peaks.isa = kernels.isa;
  // Three quarters of a cache leave room for what else lives there; memory is well beyond the last
  // level.
  peaks.l1Bytes = cacheSize(_SC_LEVEL1_DCACHE_SIZE, 32 << 10) / 4 * 3;
  peaks.l2Bytes = cacheSize(_SC_LEVEL2_CACHE_SIZE, 1 << 20) / 4 * 3;
  peaks.memoryBytes =
      std::min<size_t>(cacheSize(_SC_LEVEL3_CACHE_SIZE, 32 << 20) * 6, size_t(512) << 20);
  peaks.one = measureOn({cpus.front()}, kernels, peaks, options.seconds / 2);
  if (options.threads)
    cpus.resize(std::min<size_t>(options.threads, cpus.size()));
  peaks.threads = static_cast<unsigned>(cpus.size());
  peaks.all = cpus.size() == 1 ? peaks.one : measureOn(cpus, kernels, peaks, options.seconds / 2);
  return peaks;
}

} // namespace seqmix::run
