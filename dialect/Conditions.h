//===- Conditions.h - what is known of integers in a body -----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_DIALECT_CONDITIONS_H
#define SEQMIX_DIALECT_CONDITIONS_H

#include "dialect/Seq.h"

#include "mlir/IR/AffineExpr.h"
#include "llvm/ADT/DenseMap.h"

#include <map>
#include <optional>
#include <string>

namespace mlir::seq {

/// `constant + sum coefficient * unknown`.
struct LinearValue {
  std::map<unsigned, int64_t> terms;
  int64_t constant = 0;

  LinearValue &add(const LinearValue &other, int64_t factor = 1);
  bool isConstant() const { return terms.empty(); }
};

/// Conditions of domains and selects as affine sets over indices, lengths and integers that are
/// read, and the range of an affine value under them. What is no affine condition is left out, so
/// that ranges are never too narrow.
class Conditions {
public:
  explicit Conditions(MixerOp mixer) : mixer(mixer) {}

  /// An integer of which nothing is known.
  LinearValue unknown();
  /// An index value. Reads of one element are one unknown.
  LinearValue value(Value integer);
  LinearValue value(AffineExpr expr, ArrayRef<LinearValue> operands);

  /// From now on a block argument stands for a value.
  void bind(Value argument, LinearValue value) { bound[argument] = std::move(value); }
  /// `0 <= value < extent`.
  void assumeInside(const LinearValue &value, FlatSymbolRefAttr dim);
  void assumeAtLeast(const LinearValue &value, int64_t least);
  /// A truth value holds, or does not.
  void assume(Value condition, bool holds = true);

  /// Values that are all at least 0, in one of several cases.
  using Cases = std::vector<std::vector<LinearValue>>;
  void assumeOneOf(const Cases &cases);
  /// The cases in which a condition holds (or does not); nothing where nothing can be told of it.
  std::optional<Cases> casesOf(Value condition, bool holds = true);
  /// Both of two at once.
  static Cases both(const Cases &a, const Cases &b);

  /// Forgets what was assumed after `mark`.
  using Mark = Cases;
  Mark mark() const { return alternatives; }
  void restore(Mark mark) { alternatives = std::move(mark); }

  /// The largest number that a value can be; nothing where there is none. A case that cannot occur
  /// gives the least integer.
  std::optional<int64_t> most(const LinearValue &value) const;

private:
  void add(const LinearValue &atLeastZero);
  LinearValue named(const std::string &key);
  LinearValue quotient(const LinearValue &dividend, int64_t divisor);
  LinearValue ofBinary(BinaryOp op);

  MixerOp mixer;
  unsigned unknowns = 0;
  llvm::DenseMap<Value, LinearValue> bound;
  std::map<std::string, unsigned> names;
  std::vector<LinearValue> ranges; // always at least 0: bounds of quotients
  std::vector<std::vector<LinearValue>> alternatives = {{}}; // one of them holds
};

} // namespace mlir::seq

#endif // SEQMIX_DIALECT_CONDITIONS_H
