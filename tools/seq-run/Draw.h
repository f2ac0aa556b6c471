//===- Draw.h - reproducible random numbers, and the inputs of a case ---*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_DRAW_H
#define SEQMIX_TOOLS_SEQRUN_DRAW_H

#include "compiler/reference/Array.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <limits>

namespace seqmix::run {

/// Random numbers by counter: the n-th number of a stream depends on the stream and n alone, so
/// that a tensor's values do not change when another tensor is added or made larger.
class Stream {
public:
  explicit Stream(uint64_t key, uint64_t counter = 0) : key(key), counter(counter) {}
  /// The stream of a text, say "gla/B=2 T=67/q".
  explicit Stream(llvm::StringRef name);

  uint64_t bits();
  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// N(0, 1).
  double normal();
  /// Uniform in 0 .. count - 1.
  int64_t below(int64_t count) { return static_cast<int64_t>(uniform() * count); }
  bool chance(double probability) { return uniform() < probability; }
  /// One of the items.
  template <typename T> const T &pick(llvm::ArrayRef<T> items) {
    return items[below(items.size())];
  }

private:
  uint64_t key;
  uint64_t counter;
};

/// How the values of a tensor are drawn.
struct Distribution {
  enum Kind { Real, Integer, Boolean } kind = Real;
  /// Uniform in [low, high] where either is finite (an infinite end is cut 4 away from the other);
  /// else N(0, 1).
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  /// Every value is multiplied by it (normal ones only).
  double scale = 1;
  /// Half of the entries are 0, -20 or -1000, moved into the range.
  bool extreme = false;
};

/// Integers are 0 to 3 or from a range with two ends, truth values true with probability 0.3.
/// Reproducible by name.
reference::Array draw(llvm::StringRef name, std::vector<int64_t> shape, const Distribution &how);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_DRAW_H
