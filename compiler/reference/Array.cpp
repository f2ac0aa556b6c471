//===- Array.cpp - what the oracle is given and gives back ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/reference/Array.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/APFloat.h"

#include <cmath>
#include <functional>
#include <numeric>

namespace seqmix::reference {

Array::Array(std::vector<int64_t> extents, double fill) : shape(std::move(extents)) {
  values.assign(std::accumulate(shape.begin(), shape.end(), int64_t(1), std::multiplies<>()), fill);
}

double roundTo(mlir::Type storage, double value) {
  auto real = mlir::dyn_cast<mlir::FloatType>(storage);
  if (!real)
    return storage.isInteger(1) ? value != 0 : std::trunc(value);
  if (real.isF64())
    return value;
  llvm::APFloat rounded(value);
  bool losesInfo = false;
  rounded.convert(real.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven, &losesInfo);
  return rounded.convertToDouble();
}

void roundTo(mlir::Type storage, Array &array) {
  for (double &value : array.values)
    value = roundTo(storage, value);
}

} // namespace seqmix::reference
