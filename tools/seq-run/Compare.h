//===- Compare.h - compiled results against the oracle's ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_COMPARE_H
#define SEQMIX_TOOLS_SEQRUN_COMPARE_H

#include "compiler/reference/Array.h"
#include "runtime/Descriptor.h"

#include <string>
#include <vector>

namespace seqmix::run {

/// What may differ: `relative` of the largest magnitude of the array; the least normal number of
/// the arithmetic, which flushes what is smaller; and half a unit in the last place of each value
/// where it is stored in fewer bits than it is computed in.
struct Tolerance {
  double relative = 0;
  SeqDType storage = SEQ_F32;
  SeqDType compute = SEQ_F32;

  /// 1e-12 for arithmetic in f64, 2e-5 in f32.
  static Tolerance of(SeqDType storage, SeqDType compute);
};

/// The result of comparing one array.
struct Difference {
  double error = 0; ///< largest, relative to the largest magnitude; infinite where a NaN or an
                    ///< infinity is on one side only
  bool isWithin = true;
  std::string detail; ///< where and by how much, when it is not
};

/// Compares element by element. A NaN or an infinity agrees only with the same.
Difference compare(const std::string &name, const reference::Array &got,
                   const reference::Array &want, const Tolerance &tolerance);

/// Whether both hold the same bits (a NaN for a NaN); says where not.
Difference compareBits(const std::string &name, const reference::Array &got,
                       const reference::Array &want);

/// "o[0, 3, 1]".
std::string elementName(const std::string &name, const std::vector<int64_t> &shape, int64_t offset);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_COMPARE_H
