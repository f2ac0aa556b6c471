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
    if (auto forms = op.getFactored())
      for (auto form : forms->getAsRange<FactoredPartAttr>())
        if (failed(checkForm(form)))
          return failure();
    // c58
    for (auto [number, role] : llvm::enumerate(roles))
      if (role == None)
        return op.emitOpError() << "has a part " << number << " that nothing names";
    return success();
  }

private:
  enum Part { None, Score, Domain, Weight, Value, Factored };
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

  LogicalResult checkForm(FactoredPartAttr form) {
    // c73
    auto isPart = [&](int64_t number) {
      return number >= 0 && number < static_cast<int64_t>(roles.size());
    };
    bool isKnown = isPart(form.getOf()) && isPart(form.getPart());
    Part role = isKnown ? roles[form.getOf()] : None;
    if ((role != Score && role != Weight && role != Value) || roles[form.getPart()] != None ||
        op.getFactoredForm(form.getOf()) != form)
      return op.emitOpError() << "names part " << form.getPart() << " as a form of part "
                              << form.getOf()
                              << "; expected a part of its own, one for a score, weight or value";
    roles[form.getPart()] = Factored;
    Block &own = op.getParts()[form.getPart()].front();
    auto yield = own.empty() ? YieldOp() : dyn_cast<YieldOp>(own.back());
    if (!llvm::equal(own.getArgumentTypes(),
                     op.getParts()[form.getOf()].front().getArgumentTypes()) ||
        !yield || !yield.getValue().getType().isF64())
      return op.emitOpError() << "part " << form.getPart() << " has other types than part "
                              << form.getOf() << ", of which it is a form";
    return success();
  }

  LogicalResult checkEach(PairResultAttr result, ArrayRef<Attribute> dims) {
    // c60
    SmallVector<Attribute> expected(op.getRows().begin(), op.getRows().end());
    expected.insert(expected.begin() + (op.getRowDim() ? 1 : 0), op.getOverAttr());
    if (dims != ArrayRef<Attribute>(expected) || result.getValue() < 0 || result.getWeight() >= 0)
      return op.emitOpError() << "result " << result.getProduced()
                              << " keeps a value of each pair, over the rows and s";
    return claim(result.getValue(), Value);
  }

  LogicalResult checkResult(PairResultAttr result) {
    // c60
    auto produced = findAs<ProducedOp>(op, result.getProduced());
    if (!produced)
      return op.emitOpError() << "result " << result.getProduced() << " is not a produced tensor";
    ArrayRef<Attribute> dims = produced.getDims().getValue();
    if (result.getKind() == PairKind::Each)
      return checkEach(result, dims);
    if (dims.size() < op.getRows().size() ||
        dims.take_front(op.getRows().size()) != op.getRows().getValue())
      return op.emitOpError() << "result " << result.getProduced()
                              << " does not vary over the rows first";
    size_t features = dims.size() - op.getRows().size();
    if (result.getKind() == PairKind::Places) {
      if (features != 1 || result.getValue() < 0 || result.getWeight() >= 0)
        return op.emitOpError() << "result " << result.getProduced()
                                << " has the places of a value, over the rows and one dim";
      return claim(result.getValue(), Value);
    }
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

FlatSymbolRefAttr PairsOp::getRowDim() {
  if (getRows().empty() || !isDim(*this, getRows()[0], DimKind::Runtime))
    return {};
  return cast<FlatSymbolRefAttr>(getRows()[0]);
}

FactoredPartAttr PairsOp::getFactoredForm(int64_t part) {
  if (auto forms = getFactored())
    for (auto form : forms->getAsRange<FactoredPartAttr>())
      if (form.getOf() == part)
        return form;
  return {};
}

bool PairsOp::isFactoredForm(int64_t part) {
  auto forms = getFactored();
  return forms && llvm::any_of(forms->getAsRange<FactoredPartAttr>(),
                               [&](FactoredPartAttr form) { return form.getPart() == part; });
}

LogicalResult PairsOp::verify() {
  // c57
  bool rowsFit = true;
  for (auto [number, dim] : llvm::enumerate(getRows()))
    rowsFit &=
        isDim(*this, dim, DimKind::Fixed) || (number == 0 && isDim(*this, dim, DimKind::Runtime));
  if (!isDim(*this, getOverAttr(), DimKind::Runtime) || !rowsFit ||
      getNames().size() != getRows().size() + 1)
    return emitOpError("runs over a run-time dim for rows of at most one run-time dim and fixed "
                       "ones behind it, and names all");
  return PartChecker(*this).check();
}

LogicalResult SweepOp::verify() {
  // c61
  auto mixer = (*this)->getParentOfType<MixerOp>();
  int64_t lanes = getLanes();
  bool isFirst = llvm::any_of(mixer.getOps<PairsOp>(), [&](PairsOp pairs) {
    return !pairs.getOuts().empty() &&
           cast<PairResultAttr>(pairs.getOuts()[0]).getProduced() == getOfAttr() && lanes >= 0 &&
           lanes < std::max<int64_t>(1, pairs.getRows().size());
  });
  if (!isFirst || static_cast<int64_t>(getTile()) < 1 || static_cast<int64_t>(getVectors()) < 1)
    return emitOpError()
           << "names " << getOfAttr()
           << "; expected the first result of a seq.pairs, lanes among its rows, and a "
              "tile and vectors of at least 1";
  return success();
}
