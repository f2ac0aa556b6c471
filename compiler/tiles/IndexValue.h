//===- IndexValue.h - integers across the lanes of a vector ---------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_INDEXVALUE_H
#define SEQMIX_COMPILER_TILES_INDEXVALUE_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

#include <limits>

namespace seqmix {

/// An integer for each lane: base + offset + lane * step, or a vector that holds them. What is
/// uniform or steps by one is known as such, so that reads become broadcasts and vector loads.
struct IndexValue {
  static constexpr int64_t kNoLow = std::numeric_limits<int64_t>::min();
  static constexpr int64_t kNoHigh = std::numeric_limits<int64_t>::max();

  /// Scalar of type index; null for zero.
  mlir::Value base;
  int64_t offset = 0, step = 0;
  /// vector<lanes x index>; replaces the rest when not null.
  mlir::Value vector;
  /// Bounds over all lanes and iterations, as far as they are known.
  int64_t low = kNoLow, high = kNoHigh;
  /// How far the lanes of a vector's last, partly used part go beyond `high`; what is computed in
  /// them does not count, but they must not touch foreign memory.
  int64_t slack = 0;

  static IndexValue constant(int64_t value) { return {{}, value, 0, {}, value, value, 0}; }
  static IndexValue of(mlir::Value base, int64_t low = kNoLow, int64_t high = kNoHigh) {
    return {base, 0, 0, {}, low, high, 0};
  }
  bool isConstant() const { return !base && !vector && step == 0; }
  bool isUniform() const { return !vector && step == 0; }
  bool isBounded() const { return low != kNoLow && high != kNoHigh; }
  /// The bound of all lanes, used or not.
  int64_t touchHigh() const { return high == kNoHigh ? kNoHigh : high + slack; }
  bool sameAs(const IndexValue &other) const {
    return base == other.base && offset == other.offset && step == other.step &&
           vector == other.vector;
  }
};

/// Arithmetic on IndexValues for vectors of `lanes` elements.
class IndexMath {
public:
  IndexMath(mlir::OpBuilder &builder, mlir::Location loc, int64_t lanes)
      : builder(builder), loc(loc), lanes(lanes) {}

  IndexValue add(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue sub(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue mul(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue scale(const IndexValue &value, int64_t factor);
  /// Rounds towards minus infinity; the remainder has the divisor's sign.
  IndexValue floorDiv(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue mod(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue min(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue max(const IndexValue &lhs, const IndexValue &rhs);
  IndexValue select(mlir::Value condition, const IndexValue &whenTrue, const IndexValue &whenFalse);

  /// i1, or a vector of it unless both are uniform.
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, const IndexValue &lhs,
                      const IndexValue &rhs);

  /// A uniform value as a scalar of type index.
  mlir::Value scalar(const IndexValue &value);
  /// Any value as vector<lanes x index>.
  mlir::Value vector(const IndexValue &value);
  /// Scalar if uniform, else vector.
  mlir::Value materialise(const IndexValue &value) {
    return value.isUniform() ? scalar(value) : vector(value);
  }
  mlir::Value constant(int64_t value);
  /// 0, 1, ..., lanes - 1
  mlir::Value iota();

private:
  template <typename Op> IndexValue apply(const IndexValue &lhs, const IndexValue &rhs);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  int64_t lanes;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_INDEXVALUE_H
