//===- RuntimeSample.h - calling the sample mixer in tests of the runtime ---===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

// The mixer `scan` of test/library/SampleKernels.c with a descriptor written by hand, tensors that
// own their memory, and a loop that computes the same.

#ifndef SEQMIX_TEST_UNIT_RUNTIMESAMPLE_H
#define SEQMIX_TEST_UNIT_RUNTIMESAMPLE_H

#include "runtime/Descriptor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace seqmix::test {

/// A DLTensor of f32, i32 or i64 with its memory. `gap` elements stand between its rows (of the
/// last dim).
template <typename T> struct HostTensor {
  std::vector<int64_t> shape, strides;
  std::vector<T> data;
  DLTensor dl{};

  explicit HostTensor(std::vector<int64_t> extents, int64_t gap = 0) : shape(std::move(extents)) {
    strides.resize(shape.size());
    int64_t stride = 1;
    for (size_t i = shape.size(); i-- > 0;) {
      strides[i] = stride;
      stride = stride * shape[i] + (i + 1 == shape.size() ? gap : 0);
    }
    data.assign(static_cast<size_t>(stride), T(-77));
  }
  HostTensor(const HostTensor &) = default;
  HostTensor &operator=(const HostTensor &) = default;

  template <typename... Index> T &at(Index... index) {
    int64_t offset = 0, axis = 0;
    ((offset += index * strides[static_cast<size_t>(axis++)]), ...);
    return data[static_cast<size_t>(offset)];
  }

  DLTensor *get() {
    dl.data = data.data();
    dl.device = {kDLCPU, 0};
    dl.ndim = static_cast<int32_t>(shape.size());
    dl.dtype = {static_cast<uint8_t>(T(0.5) != T(0) ? kDLFloat : kDLInt), 8 * sizeof(T), 1};
    dl.shape = shape.data();
    dl.strides = strides.data();
    dl.byte_offset = 0;
    return &dl;
  }
};

/// The descriptor of `scan` at K = 8 and at K = 5.
const SeqMixerSet &scanSet();
/// The same with one size, K = 8.
const SeqMixerSet &scanSet8();

/// The carry of `scan`.
struct ScanCarry {
  HostTensor<float> state, xWindow, gWindow;
  HostTensor<int64_t> position;
  ScanCarry(int64_t batch, int64_t heads, int64_t size);
  /// What a sequence starts from.
  void initialise();
  std::vector<DLTensor *> get() {
    return {state.get(), xWindow.get(), gWindow.get(), position.get()};
  }
};

/// All arguments of a call of `scan`, with values that depend on `seed`.
struct ScanCall {
  int64_t batch, tokens, heads, size;
  HostTensor<float> x, g, w, y;
  seq_options options = SEQ_OPTIONS_INIT;

  ScanCall(int64_t batch, int64_t tokens, int64_t heads, int64_t size, unsigned seed = 1,
           int64_t gap = 0);
  std::vector<const DLTensor *> tensors() { return {x.get(), g.get(), w.get(), y.get()}; }
  int forward(const SeqMixerSet &set = scanSet());
  /// With a carry in and out.
  int forward(ScanCarry *in, ScanCarry *out);
  /// One token, `t`, of these tensors; the output goes to the row of y.
  int step(int64_t t, ScanCarry &carry);

  /// Computes y (and the carry, in place) with a loop. `lengths` are those of packed sequences.
  std::vector<float> expected(ScanCarry *carry, std::vector<int64_t> lengths = {});
};

/// Expects numbers within 1e-5 of them, relative to those above 1.
void expectNear(const std::vector<float> &got, const std::vector<float> &want);
void expectNear(const ScanCarry &got, const ScanCarry &want);

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_RUNTIMESAMPLE_H
