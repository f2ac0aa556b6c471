//===- PairsVerify.cpp - constraints of pairwise reductions ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The numbers are those of SPEC.md; each has a test of its number.
//
//===----------------------------------------------------------------------===//

#include "dialect/VerifySupport.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace mlir::seq::verify;

namespace {

/// What the parts of one op are for.
class PartChecker {
public:
  explicit PartChecker(PairsOp op) : op(op), roles(op.getParts().size(), None) {}

  LogicalResult check() {
    if ((op.getScore() && failed(claim(*op.getScore(), Score))) ||
        (op.getDomain() && failed(claim(*op.getDomain(), Domain))))
      return failure();
    for (auto result : op.getOuts().getAsRange<PairResultAttr>())
      if (failed(checkResult(result)))
        return failure();
    // c58
    for (auto [number, role] : llvm::enumerate(roles))
      if (role == None)
        return op.emitOpError() << "has a part " << number << " that nothing names";
    return success();
  }

private:
  enum Part { None, Score, Domain, Weight, Value };
  PairsOp op;
  SmallVector<Part> roles;

  LogicalResult claim(int64_t number, Part role, size_t features = 0) {
    // c58
    if (number < 0 || number >= static_cast<int64_t>(roles.size()) ||
        (roles[number] != None && roles[number] != role))
      return op.emitOpError() << "names part " << number
                              << ", which is not there or has another role";
    roles[number] = role;
    // c59
    Block &block = op.getParts()[number].front();
    size_t indices = op.getRows().size() + 1;
    bool hasWeight = role == Weight && op.getScore();
    SmallVector<Type> expected(indices + (role == Value ? features : 0),
                               IndexType::get(op.getContext()));
    if (hasWeight)
      expected.push_back(Float64Type::get(op.getContext()));
    if (!llvm::equal(block.getArgumentTypes(), expected))
      return op.emitOpError() << "part " << number << " has other arguments than its role";
    auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back());
    if (!yield || (role == Domain ? !yield.getValue().getType().isInteger(1)
                                  : !yield.getValue().getType().isF64()))
      return op.emitOpError() << "part " << number << " yields "
                              << (role == Domain ? "no truth value" : "no real");
    return success();
  }

  LogicalResult checkResult(PairResultAttr result) {
    // c60
    auto produced = findAs<ProducedOp>(op, result.getProduced());
    if (!produced)
      return op.emitOpError() << "result " << result.getProduced() << " is not a produced tensor";
    ArrayRef<Attribute> dims = produced.getDims().getValue();
    if (dims.size() < op.getRows().size() ||
        dims.take_front(op.getRows().size()) != op.getRows().getValue())
      return op.emitOpError() << "result " << result.getProduced()
                              << " does not vary over the rows first";
    size_t features = dims.size() - op.getRows().size();
    bool isMax = result.getKind() == PairKind::ScoreMax;
    if ((result.getWeight() >= 0 && result.getKind() != PairKind::Sum) ||
        (isMax && (result.getValue() >= 0 || !op.getScore())) ||
        (!isMax && result.getValue() < 0 && features > 0))
      return op.emitOpError() << "result " << result.getProduced()
                              << " has a weight, value or features that its kind does not take";
    if (result.getWeight() >= 0 && failed(claim(result.getWeight(), Weight)))
      return failure();
    return result.getValue() < 0 ? success() : claim(result.getValue(), Value, features);
  }
};

} // namespace

LogicalResult PairsOp::verify() {
  // c57
  bool rowsFit =
      getRows().size() <= 1 && (getRows().empty() || isDim(*this, getRows()[0], DimKind::Runtime) ||
                                isDim(*this, getRows()[0], DimKind::Fixed));
  if (!isDim(*this, getOverAttr(), DimKind::Runtime) || !rowsFit ||
      getNames().size() != getRows().size() + 1)
    return emitOpError("runs over a run-time dim for the rows of at most one dim, and names both");
  return PartChecker(*this).check();
}

LogicalResult SweepOp::verify() {
  // c61
  auto mixer = (*this)->getParentOfType<MixerOp>();
  bool isFirst = llvm::any_of(mixer.getOps<PairsOp>(), [&](PairsOp pairs) {
    return !pairs.getOuts().empty() &&
           cast<PairResultAttr>(pairs.getOuts()[0]).getProduced() == getOfAttr();
  });
  if (!isFirst || static_cast<int64_t>(getTile()) < 1 || static_cast<int64_t>(getVectors()) < 1)
    return emitOpError()
           << "names " << getOfAttr()
           << "; expected the first result of a seq.pairs, and a tile and vectors of at least 1";
  return success();
}
