//===- PairDomain.h - domains of pairs as integer sets --------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_PAIRDOMAIN_H
#define SEQMIX_COMPILER_STRUCTURE_PAIRDOMAIN_H

#include "dialect/Seq.h"

#include "mlir/Analysis/Presburger/IntegerRelation.h"

#include <optional>
#include <vector>

namespace mlir::seq {

/// The domain of a seq.pairs as a union of integer sets. Their dims are s, the rows and what
/// `rowReads` names, their symbols those of `symbols`. Conditions that are not linear restrict
/// nothing, so the union may hold more than the domain does.
struct PairDomain {
  /// Integers that no position enters: extents, and reads without indices.
  SmallVector<Value> symbols;
  /// Tensors of integers that are read at t, without further indices.
  SmallVector<StringAttr> rowReads;
  std::vector<presburger::IntegerPolyhedron> sets;

  explicit PairDomain(PairsOp pairs);
};

/// Where a read of an integer without further indices stands.
enum class PairPlace { None, Row, Column };
PairPlace placeOfInteger(PairsOp pairs, ReadOp read);

/// Whether no pair of the domain has s > t.
bool isCausal(PairsOp pairs);

/// The greatest t - s of the domain, when it is a constant.
std::optional<int64_t> farthestBack(PairsOp pairs);

} // namespace mlir::seq

#endif // SEQMIX_COMPILER_STRUCTURE_PAIRDOMAIN_H
