//===- Array.h - what the oracle is given and gives back ------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REFERENCE_ARRAY_H
#define SEQMIX_COMPILER_REFERENCE_ARRAY_H

#include "mlir/IR/Types.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace seqmix::reference {

/// A dense array, last dim contiguous. Integers and truth values (0 or 1) are held as doubles too.
struct Array {
  std::vector<int64_t> shape;
  std::vector<double> values;

  Array() = default;
  /// All elements `fill`.
  explicit Array(std::vector<int64_t> shape, double fill = 0);
  int64_t size() const { return static_cast<int64_t>(values.size()); }
};

using Arrays = std::map<std::string, Array>;

/// The nearest value that a storage type holds (ties to even), so that oracle and compiled code can
/// be given the same inputs. Integers are truncated; i1 gives 0 or 1.
double roundTo(mlir::Type storage, double value);
void roundTo(mlir::Type storage, Array &array);

} // namespace seqmix::reference

#endif // SEQMIX_COMPILER_REFERENCE_ARRAY_H
