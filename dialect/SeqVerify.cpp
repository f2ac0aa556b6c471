//===- SeqVerify.cpp - constraints of declarations and equations -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The numbers are those of SPEC.md; each has a test of its number.
//
//===----------------------------------------------------------------------===//

#include "dialect/VerifySupport.h"

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/TypeUtilities.h"

#include <optional>

using namespace mlir;
using namespace mlir::seq;
using namespace mlir::seq::verify;

namespace {

bool isStorage(Type type) {
  return type.isF64() || type.isF32() || type.isBF16() || type.isF16() || type.isInteger(32) ||
         type.isInteger(1);
}

/// The value that a region yields; null when it does not end in a yield.
Value yielded(Region &region) {
  if (region.empty() || region.front().empty())
    return {};
  auto yield = dyn_cast<YieldOp>(region.front().back());
  return yield ? yield.getValue() : Value();
}

bool hasIndexArguments(Region &region, size_t count) {
  return region.getNumArguments() == count &&
         llvm::all_of(region.getArgumentTypes(), [](Type type) { return type.isIndex(); });
}

/// The body and the domain of an equation, reduction or map over `count` dims.
LogicalResult checkRegions(Operation *op, size_t count) {
  Region &body = op->getRegion(0), &domain = op->getRegion(1);
  // c13
  if (!hasIndexArguments(body, count))
    return op->emitOpError() << "the body must have one index argument for each of " << count
                             << " dims";
  // c14
  if (!yielded(body))
    return op->emitOpError("the body must end in seq.yield");
  // c15
  if (!domain.empty() && (!hasIndexArguments(domain, count) || !yielded(domain) ||
                          !yielded(domain).getType().isInteger(1)))
    return op->emitOpError("the domain must have the body's arguments and yield an i1");
  return success();
}

/// The dims and names of an equation or reduction.
LogicalResult checkIndices(Operation *op, ArrayAttr dims, ArrayAttr names) {
  // c11
  if (failed(checkDims(op, dims)))
    return failure();
  // c12
  if (dims.size() != names.size())
    return op->emitOpError() << "has " << dims.size() << " dims but " << names.size() << " names";
  return success();
}

/// Run-time dims in front, so that what varies over tokens has its token first.
LogicalResult checkRunTimeDimsFirst(Operation *op, ArrayAttr dims) {
  // c16
  bool sawFixed = false;
  for (Attribute dim : dims) {
    sawFixed |= isDim(op, dim, DimKind::Fixed);
    if (sawFixed && isDim(op, dim, DimKind::Runtime))
      return op->emitOpError() << "run-time dim " << dim << " must stand before the fixed dims";
  }
  return success();
}

Type elementOf(Type type) { return getElementTypeOrSelf(type); }

} // namespace

//===----------------------------------------------------------------------===//
// Declarations
//===----------------------------------------------------------------------===//

LogicalResult DimOp::verify() {
  // c1
  if ((getKind() == DimKind::Fixed) != getSize().has_value())
    return emitOpError("has a size exactly when it is fixed");
  if (getSize() && static_cast<int64_t>(*getSize()) < 1)
    return emitOpError("has a size below 1");
  // c2
  if (getOf().has_value() != getBy().has_value() || (getOf() && getKind() != DimKind::Runtime))
    return emitOpError("has 'of' and 'by' together, on a run-time dim");
  if (!getOf())
    return success();
  if (getBy()->getNumDims() != getOf()->size() || getBy()->getNumSymbols() != 0 ||
      getBy()->getNumResults() != 1)
    return emitOpError("'by' must give one extent from one dim for each of 'of'");
  for (Attribute dim : getOfAttr())
    if (!isDim(*this, dim, DimKind::Runtime) || find(*this, cast<FlatSymbolRefAttr>(dim)) == *this)
      return emitOpError() << dim << " is not another run-time dim";
  return success();
}

LogicalResult TensorOp::verify() {
  // c4
  if (failed(checkDims(*this, getDims())))
    return failure();
  if (getRole() == Role::Input && failed(checkRunTimeDimsFirst(*this, getDims())))
    return failure();
  // c5
  Operation *previous = nullptr;
  for (auto batch : getBatch().getAsRange<BatchAttr>()) {
    auto dim = findAs<DimOp>(*this, batch.getDim());
    if (!dim || dim.getKind() != DimKind::Batch)
      return emitOpError() << batch.getDim() << " is not a batch dim";
    if (batch.getDiv() < 1)
      return emitOpError() << "divides " << batch.getDim() << " by a number below 1";
    if (previous && !previous->isBeforeInBlock(dim))
      return emitOpError("names batch dims twice or in another order than they are declared");
    previous = dim;
  }
  // c6
  if (!isStorage(getDtype()))
    return emitOpError() << getDtype() << " is not a storage type";
  // c7
  if (auto range = getRange()) {
    auto ends = llvm::to_vector(range->getAsValueRange<FloatAttr>());
    if (ends.size() != 2 || !(ends[0] <= ends[1]))
      return emitOpError("has a range that is not a lower and an upper end");
  }
  return success();
}

LogicalResult StateOp::verify() {
  // c8
  for (Attribute dim : getDims())
    if (!isDim(*this, dim, DimKind::Fixed))
      return emitOpError() << dim << " is not a fixed dim";
  return success();
}

LogicalResult OutputOp::verify() {
  // c6
  if (!isStorage(getDtype()))
    return emitOpError() << getDtype() << " is not a storage type";
  // c10
  Operation *source = find(*this, getSourceAttr());
  if (!isa_and_nonnull<DefineOp, StateOp, ProducedOp>(source))
    return emitOpError() << getSourceAttr() << " is not a definition, state or produced tensor";
  auto define = dyn_cast<DefineOp>(source);
  Value value = define ? yielded(define.getBody()) : Value();
  bool isReal = !value || isa<FloatType>(value.getType());
  if (isReal && !isa<FloatType>(getDtype()))
    return emitOpError() << "stores real numbers as " << getDtype();
  return success();
}

LogicalResult MixerOp::verify() {
  // c3
  if (!getCompute().isF32() && !getCompute().isF64())
    return emitOpError() << "computes in " << getCompute() << "; expected f32 or f64";
  return success();
}

namespace {

/// Whether a read takes the element of the equation's own token, or of something without tokens.
bool isAtSameToken(ReadOp read, Region &equation) {
  AffineMap map = read.getMap();
  ArrayAttr dims = dimsOf(find(read, read.getSourceAttr()));
  bool isState = findAs<StateOp>(read, read.getSourceAttr()) != nullptr;
  if (!isState && (!dims || dims.empty() || !isDim(read, dims[0], DimKind::Runtime)))
    return true;
  auto token = dyn_cast<AffineDimExpr>(map.getResult(0));
  return token && equation.getNumArguments() != 0 &&
         read.getOperands()[token.getPosition()] == equation.getArgument(0);
}

LogicalResult checkOrder(MixerOp mixer) {
  // c21
  if (!mixer.getOps<AffineOp>().empty() || !mixer.getOps<RecurrenceOp>().empty())
    return success();
  for (Operation &op : mixer.getBody().front()) {
    if (!isa<DefineOp, NextOp>(op))
      continue;
    WalkResult result = op.walk([&](ReadOp read) {
      Operation *equation = find(read, read.getSourceAttr());
      if (isa_and_nonnull<StateOp>(equation))
        equation = findNext(read, read.getSourceAttr());
      if (!isa_and_nonnull<DefineOp, NextOp>(equation) || !isAtSameToken(read, op.getRegion(0)) ||
          equation->isBeforeInBlock(&op))
        return WalkResult::advance();
      read.emitOpError() << "stands before the equation of " << read.getSourceAttr()
                         << " at the same token";
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      return failure();
  }
  return success();
}

} // namespace

LogicalResult MixerOp::verifyRegions() {
  // c9
  for (auto state : getOps<StateOp>()) {
    auto symbol = FlatSymbolRefAttr::get(state.getSymNameAttr());
    size_t equations = llvm::count_if(getOps<NextOp>(),
                                      [&](NextOp next) { return next.getStateAttr() == symbol; });
    equations += llvm::count_if(getOps<AffineOp>(),
                                [&](AffineOp op) { return op.makes(state.getSymNameAttr()); });
    if (equations != 1)
      return state.emitOpError() << "has " << equations << " equations; expected one";
  }
  return failed(checkSummary(*this)) || failed(checkForm(*this)) ? failure() : checkOrder(*this);
}

//===----------------------------------------------------------------------===//
// Equations and expressions
//===----------------------------------------------------------------------===//

LogicalResult DefineOp::verify() {
  if (failed(checkIndices(*this, getDims(), getNames())) ||
      failed(checkRegions(*this, getDims().size())) ||
      failed(checkRunTimeDimsFirst(*this, getDims())))
    return failure();
  // c17
  Type type = yielded(getBody()).getType();
  if (!type.isF64() && !type.isIndex() && !type.isInteger(1))
    return emitOpError() << "yields " << type << "; expected f64, index or i1";
  return success();
}

LogicalResult NextOp::verify() {
  if (failed(checkIndices(*this, getDims(), getNames())) ||
      failed(checkRegions(*this, getDims().size())))
    return failure();
  // c18
  auto state = findAs<StateOp>(*this, getStateAttr());
  if (!state)
    return emitOpError() << getStateAttr() << " is not a state";
  if (getDims().empty() || !isDim(*this, getDims()[0], DimKind::Runtime) ||
      getDims().getValue().drop_front() != state.getDims().getValue())
    return emitOpError("must run over a run-time dim and the dims of its state");
  if (!getDomain().empty() || !yielded(getBody()).getType().isF64())
    return emitOpError("yields an f64 everywhere, without a domain");
  return success();
}

LogicalResult ReadOp::verify() {
  // c19
  Operation *source = find(*this, getSourceAttr());
  ArrayAttr dims = dimsOf(source);
  if (!dims)
    return emitOpError() << getSourceAttr()
                         << " is not a tensor, state, definition or produced tensor";
  bool isState = isa<StateOp>(source);
  AffineMap map = getMap();
  if (map.getNumDims() != getOperands().size() || map.getNumSymbols() != 0 ||
      map.getNumResults() != dims.size() + isState)
    return emitOpError() << "must give " << dims.size() + isState << " indices of "
                         << getSourceAttr() << " as expressions of its operands";
  // c20
  Type expected = Float64Type::get(getContext());
  if (auto tensor = dyn_cast<TensorOp>(source)) {
    if (tensor.getDtype().isInteger(32))
      expected = IndexType::get(getContext());
    else if (tensor.getDtype().isInteger(1))
      expected = tensor.getDtype();
  } else if (auto define = dyn_cast<DefineOp>(source)) {
    if (Value value = yielded(define.getBody()))
      expected = value.getType();
  }
  if (getType() != expected)
    return emitOpError() << "gives " << getType() << ", but " << getSourceAttr() << " holds "
                         << expected;
  // c22
  if (auto state = dyn_cast<StateOp>(source)) {
    AffineExpr token = map.getResult(0);
    int64_t shift = 0;
    if (auto sum = dyn_cast<AffineBinaryOpExpr>(token);
        sum && sum.getKind() == AffineExprKind::Add && isa<AffineConstantExpr>(sum.getRHS())) {
      token = sum.getLHS();
      shift = cast<AffineConstantExpr>(sum.getRHS()).getValue();
    }
    int64_t before = state.getDirection() == Direction::Forward ? -1 : 1;
    if (!isa<AffineDimExpr>(token) || (shift != 0 && shift != before))
      return emitOpError() << "reads a state at another token than t or t"
                           << (before < 0 ? " - 1" : " + 1");
  }
  return success();
}

LogicalResult ExtentOp::verify() {
  // c23
  if (!isDim(*this, getDimAttr(), DimKind::Runtime))
    return emitOpError() << getDimAttr() << " is not a run-time dim";
  return success();
}

LogicalResult UnaryOp::verify() {
  Type operand = getOperand().getType(), result = getResult().getType();
  // c24
  bool toIndex = getFn() == UnaryFn::Floor && operand.isF64() && result.isIndex();
  if (operand != result && !toIndex)
    return emitOpError() << "gives " << result << " from " << operand;
  // c25
  bool isTruth = elementOf(operand).isInteger(1);
  bool isReal = isa<FloatType>(elementOf(operand));
  bool isArithmetic =
      llvm::is_contained({UnaryFn::Neg, UnaryFn::Abs, UnaryFn::Sign, UnaryFn::Relu}, getFn());
  if (isTruth != (getFn() == UnaryFn::Not) || (!isTruth && !isReal && !isArithmetic))
    return emitOpError() << "'" << stringifyUnaryFn(getFn()) << "' does not take " << operand;
  return success();
}

LogicalResult BinaryOp::verify() {
  // c26
  Type element = elementOf(getType());
  bool isTruth = element.isInteger(1);
  bool isLogical = getFn() == BinaryFn::And || getFn() == BinaryFn::Or;
  bool onlyReal = getFn() == BinaryFn::Div || getFn() == BinaryFn::LogAddExp;
  if (isTruth != isLogical || (onlyReal && !isa<FloatType>(element)))
    return emitOpError() << "'" << stringifyBinaryFn(getFn()) << "' does not take " << getType();
  return success();
}

LogicalResult ReduceOp::verify() {
  if (failed(checkIndices(*this, getDims(), getNames())) ||
      failed(checkRegions(*this, getDims().size())))
    return failure();
  // c27
  if (getDims().empty() || !yielded(getBody()).getType().isF64())
    return emitOpError("reduces f64 values over at least one dim");
  return success();
}

LogicalResult MapOp::verify() {
  // c28
  if (!isDim(*this, getDimAttr(), DimKind::Fixed) && !isDim(*this, getDimAttr(), DimKind::Runtime))
    return emitOpError() << getDimAttr() << " is not a fixed or run-time dim";
  if (failed(checkRegions(*this, 1)))
    return failure();
  if (!yielded(getBody()).getType().isF64())
    return emitOpError("maps f64 values");
  // c29
  bool isTopK = getKind() == MapKind::TopK;
  if (isTopK != getCount().has_value() || (getCount() && static_cast<int64_t>(*getCount()) < 1))
    return emitOpError("has a count, of at least 1, exactly when it is top-k");
  if (getType() !=
      (isTopK ? Type(IntegerType::get(getContext(), 1)) : Type(Float64Type::get(getContext()))))
    return emitOpError("gives an i1 for top-k and an f64 otherwise");
  return success();
}
