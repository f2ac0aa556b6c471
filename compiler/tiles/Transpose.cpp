//===- Transpose.cpp - square blocks of lanes in registers ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Transpose.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

SmallVector<Value> seqmix::transposed(OpBuilder &builder, Location loc,
                                      SmallVector<Value> vectors) {
  int64_t lanes = vectors.size();
  // Stage by stage, bit d of the vector's number and of the lane change places.
  for (int64_t d = 1; d < lanes; d *= 2) {
    SmallVector<int64_t> low(lanes), high(lanes);
    for (int64_t l = 0; l < lanes; ++l) {
      low[l] = (l & d) ? lanes + (l ^ d) : l;
      high[l] = (l & d) ? lanes + l : l | d;
    }
    for (int64_t k = 0; k < lanes; ++k)
      if (!(k & d)) {
        Value a = vectors[k], b = vectors[k | d];
        vectors[k] = vector::ShuffleOp::create(builder, loc, a, b, low);
        vectors[k | d] = vector::ShuffleOp::create(builder, loc, a, b, high);
      }
  }
  return vectors;
}
