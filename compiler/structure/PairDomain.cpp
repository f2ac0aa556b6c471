//===- PairDomain.cpp - domains of pairs as integer sets ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/PairDomain.h"

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"

using namespace mlir;
using namespace mlir::seq;
using presburger::IntegerPolyhedron;

namespace {
/// Unions of more sets than this are taken as one that restricts nothing.
constexpr size_t kMostSets = 8;

using Condition = std::pair<Value, bool>; // and whether it is negated
using Conditions = SmallVector<Condition>;

/// A truth value as an or of ands; nothing when there are too many.
std::optional<SmallVector<Conditions>> unionOf(Value truth, bool isNegated) {
  if (auto unary = truth.getDefiningOp<UnaryOp>(); unary && unary.getFn() == UnaryFn::Not)
    return unionOf(unary.getOperand(), !isNegated);
  auto binary = truth.getDefiningOp<BinaryOp>();
  if (!binary || (binary.getFn() != BinaryFn::And && binary.getFn() != BinaryFn::Or))
    return SmallVector<Conditions>{{{truth, isNegated}}};
  auto lhs = unionOf(binary.getLhs(), isNegated), rhs = unionOf(binary.getRhs(), isNegated);
  if (!lhs || !rhs)
    return std::nullopt;
  if ((binary.getFn() == BinaryFn::Or) != isNegated) {
    llvm::append_range(*lhs, *rhs);
    return lhs->size() > kMostSets ? std::nullopt : lhs;
  }
  SmallVector<Conditions> both;
  for (const Conditions &left : *lhs)
    for (const Conditions &right : *rhs) {
      both.push_back(left);
      both.back().append(right.begin(), right.end());
    }
  return both.size() > kMostSets ? std::nullopt : std::optional(both);
}

std::optional<int64_t> constantOf(Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  auto integer = constant ? dyn_cast<IntegerAttr>(constant.getValue()) : IntegerAttr();
  return integer ? std::optional(integer.getInt()) : std::nullopt;
}

/// Adds conditions to one set.
class SetBuilder {
public:
  SetBuilder(PairsOp pairs, const PairDomain &domain)
      : pairs(pairs), domain(domain), firstRead(1 + pairs.getRows().size()),
        poly(presburger::PresburgerSpace::getSetSpace(firstRead + domain.rowReads.size(),
                                                      domain.symbols.size())) {}

  IntegerPolyhedron build(const Conditions &conditions) {
    for (auto [truth, isNegated] : conditions)
      add(truth, isNegated);
    return poly;
  }

private:
  using Row = SmallVector<int64_t>;
  PairsOp pairs;
  const PairDomain &domain;
  unsigned firstRead; // the dims of what is read at rows stand behind s and the rows
  IntegerPolyhedron poly;

  Row zero() const { return Row(poly.getNumCols(), 0); }
  /// Local variables that were added since stand in front of the constant.
  void lengthen(Row &row) const { row.insert(row.end() - 1, poly.getNumCols() - row.size(), 0); }

  void add(Value truth, bool isNegated) {
    auto compare = truth.getDefiningOp<CompareOp>();
    if (!compare || !compare.getLhs().getType().isIndex())
      return;
    auto lhs = linear(compare.getLhs());
    auto rhs = lhs ? linear(compare.getRhs()) : std::nullopt;
    if (!rhs)
      return;
    lengthen(*lhs);
    auto atLeast = [&](const Row &greater, const Row &less, int64_t distance) {
      Row row = greater;
      for (auto [a, b] : llvm::zip_equal(row, less))
        a -= b;
      row.back() -= distance;
      poly.addInequality(row);
    };
    Predicate predicate = compare.getPredicate();
    if (isNegated) {
      static constexpr Predicate opposite[] = {Predicate::Ne, Predicate::Eq, Predicate::Ge,
                                               Predicate::Gt, Predicate::Le, Predicate::Lt};
      predicate = opposite[static_cast<unsigned>(predicate)];
    }
    switch (predicate) {
    case Predicate::Eq:
      atLeast(*lhs, *rhs, 0);
      return atLeast(*rhs, *lhs, 0);
    case Predicate::Ne:
      return; // no convex set
    case Predicate::Lt:
      return atLeast(*rhs, *lhs, 1);
    case Predicate::Le:
      return atLeast(*rhs, *lhs, 0);
    case Predicate::Gt:
      return atLeast(*lhs, *rhs, 1);
    case Predicate::Ge:
      return atLeast(*lhs, *rhs, 0);
    }
  }

  std::optional<Row> unit(unsigned column) const {
    Row row = zero();
    row[column] = 1;
    return row;
  }

  /// The coefficients of a value; quotients by constants become local variables.
  std::optional<Row> linear(Value value) {
    if (auto constant = constantOf(value)) {
      Row row = zero();
      row.back() = *constant;
      return row;
    }
    if (auto argument = dyn_cast<BlockArgument>(value))
      return unit(argument == pairs.columnOf(argument.getOwner()) ? 0
                                                                  : 1 + argument.getArgNumber());
    if (auto *found = llvm::find(domain.symbols, value); found != domain.symbols.end())
      return unit(firstRead + domain.rowReads.size() + (found - domain.symbols.begin()));
    if (auto read = value.getDefiningOp<ReadOp>()) {
      auto *found = llvm::find(domain.rowReads, read.getSourceAttr().getAttr());
      if (found == domain.rowReads.end() || placeOfInteger(pairs, read) != PairPlace::Row)
        return std::nullopt;
      return unit(firstRead + (found - domain.rowReads.begin()));
    }
    if (auto unary = value.getDefiningOp<UnaryOp>(); unary && unary.getFn() == UnaryFn::Neg) {
      auto row = linear(unary.getOperand());
      if (row)
        for (int64_t &coefficient : *row)
          coefficient = -coefficient;
      return row;
    }
    auto binary = value.getDefiningOp<BinaryOp>();
    return binary ? linearOf(binary) : std::nullopt;
  }

  std::optional<Row> linearOf(BinaryOp binary) {
    auto lhs = linear(binary.getLhs());
    auto rhs = lhs ? linear(binary.getRhs()) : std::nullopt;
    if (!rhs)
      return std::nullopt;
    lengthen(*lhs);
    auto left = constantOf(binary.getLhs()), right = constantOf(binary.getRhs());
    switch (binary.getFn()) {
    case BinaryFn::Add:
    case BinaryFn::Sub:
      for (auto [a, b] : llvm::zip_equal(*lhs, *rhs))
        a += binary.getFn() == BinaryFn::Add ? b : -b;
      return lhs;
    case BinaryFn::Mul: {
      if (!left && !right)
        return std::nullopt;
      Row &row = left ? *rhs : *lhs;
      for (int64_t &coefficient : row)
        coefficient *= left ? *left : *right;
      return row;
    }
    case BinaryFn::FloorDiv:
    case BinaryFn::Mod: {
      if (!right || *right <= 0)
        return std::nullopt;
      poly.addLocalFloorDiv(*lhs, *right);
      lengthen(*lhs);
      Row quotient = zero();
      quotient[quotient.size() - 2] = 1;
      if (binary.getFn() == BinaryFn::FloorDiv)
        return quotient;
      for (auto [a, q] : llvm::zip_equal(*lhs, quotient))
        a -= *right * q;
      return lhs;
    }
    default:
      return std::nullopt;
    }
  }
};

/// Calls `body` with a copy of each set and the row s - t of it; true when it always answers true.
bool forAllSets(PairsOp pairs, llvm::function_ref<bool(IntegerPolyhedron &)> body) {
  PairDomain domain(pairs);
  return llvm::all_of(domain.sets, [&](const IntegerPolyhedron &set) {
    IntegerPolyhedron copy = set;
    return body(copy);
  });
}

bool comparesOnePosition(PairsOp pairs) {
  return pairs.getRowDim() && pairs.getRowDim() == pairs.getOverAttr();
}
} // namespace

PairPlace mlir::seq::placeOfInteger(PairsOp pairs, ReadOp read) {
  if (read.getMap().getNumResults() != 1)
    return PairPlace::None;
  auto position = dyn_cast<AffineDimExpr>(read.getMap().getResult(0));
  auto argument =
      position ? dyn_cast<BlockArgument>(read.getOperands()[position.getPosition()]) : nullptr;
  if (!argument || argument.getOwner()->getParentOp() != pairs.getOperation())
    return PairPlace::None;
  Block *part = argument.getOwner();
  return argument == pairs.columnOf(part) ? PairPlace::Column
         : argument == pairs.rowOf(part)  ? PairPlace::Row
                                          : PairPlace::None;
}

PairDomain::PairDomain(PairsOp pairs) {
  Block *block = pairs.getDomainBlock();
  std::optional<SmallVector<Conditions>> parts;
  if (block) {
    for (Operation &op : *block) {
      auto read = dyn_cast<ReadOp>(op);
      bool isInteger = op.getNumResults() == 1 && op.getResult(0).getType().isIndex();
      if (!isInteger)
        continue;
      if (isa<ExtentOp>(op) || (read && read.getMap().getNumResults() == 0))
        symbols.push_back(op.getResult(0));
      else if (read && placeOfInteger(pairs, read) == PairPlace::Row &&
               !llvm::is_contained(rowReads, read.getSourceAttr().getAttr()))
        rowReads.push_back(read.getSourceAttr().getAttr());
    }
    parts = unionOf(block->getTerminator()->getOperand(0), /*isNegated=*/false);
  }
  if (!parts)
    parts.emplace(1);
  for (const Conditions &conditions : *parts) {
    IntegerPolyhedron set = SetBuilder(pairs, *this).build(conditions);
    if (!set.isEmpty())
      sets.push_back(std::move(set));
  }
}

bool mlir::seq::isCausal(PairsOp pairs) {
  return comparesOnePosition(pairs) && forAllSets(pairs, [](IntegerPolyhedron &set) {
           SmallVector<int64_t> later(set.getNumCols(), 0); // s - t - 1 >= 0
           later[0] = 1;
           later[1] = later.back() = -1;
           set.addInequality(later);
           return set.isEmpty();
         });
}

std::optional<int64_t> mlir::seq::farthestBack(PairsOp pairs) {
  if (!comparesOnePosition(pairs))
    return std::nullopt;
  int64_t farthest = 0;
  bool isBounded = forAllSets(pairs, [&](IntegerPolyhedron &set) {
    // A first dim d = t - s; what is left of it when all others are gone bounds it.
    set.insertVar(presburger::VarKind::SetDim, 0);
    SmallVector<int64_t> distance(set.getNumCols(), 0);
    distance[0] = distance[1] = 1;
    distance[2] = -1;
    set.addEquality(distance);
    set.projectOut(1, set.getNumVars() - 1);
    std::optional<int64_t> bound;
    for (unsigned row = 0; row < set.getNumInequalities(); ++row)
      if (int64_t own = set.atIneq64(row, 0); own < 0) {
        int64_t limit = llvm::divideFloorSigned(set.atIneq64(row, 1), -own);
        bound = bound ? std::min(*bound, limit) : limit;
      }
    for (unsigned row = 0; row < set.getNumEqualities(); ++row)
      if (int64_t own = set.atEq64(row, 0))
        bound = -set.atEq64(row, 1) / own;
    farthest = std::max(farthest, bound.value_or(0));
    return bound.has_value();
  });
  return isBounded ? std::optional(farthest) : std::nullopt;
}
