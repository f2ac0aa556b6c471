//===- ConvolutionVerify.cpp - constraints of convolutions -------------------------===//
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
#include "llvm/ADT/SmallSet.h"

using namespace mlir;
using namespace mlir::seq;
using namespace mlir::seq::verify;

namespace {

/// Whether an operand varies over the position and over features of the result only.
bool fits(ConvolutionOp op, LagOperandAttr operand, ArrayRef<Attribute> dims) {
  Operation *source = find(op, operand.getSymbol());
  if (!isa_and_nonnull<TensorOp, DefineOp, ProducedOp>(source))
    return false;
  ArrayRef<Attribute> own = dimsOf(source).getValue();
  if (own.empty() || own[0] != dims[0] || own.size() - 1 != operand.getFeatures().size())
    return false;
  llvm::SmallSet<int64_t, 4> seen;
  return llvm::all_of(llvm::zip(own.drop_front(), operand.getFeatures()), [&](auto entry) {
    auto [dim, feature] = entry;
    return feature >= 0 && feature + 1 < static_cast<int64_t>(dims.size()) &&
           dims[feature + 1] == dim && seen.insert(feature).second;
  });
}

} // namespace

LogicalResult ConvolutionOp::verify() {
  // c66
  auto produced = findAs<ProducedOp>(*this, getProducedAttr());
  if (!produced || produced.getDims().empty() ||
      !isDim(*this, produced.getDims()[0], DimKind::Runtime))
    return emitOpError() << getProducedAttr() << " is not a produced tensor over a run-time dim";
  // c65
  if (!getPast() && !getAhead())
    return emitOpError("has no filter");
  for (LagOperandAttr operand : getLagOperands())
    if (!fits(*this, operand, produced.getDims().getValue()))
      return emitOpError() << "operand " << operand.getSymbol()
                           << " does not vary over the position and features of the result";
  return success();
}

LogicalResult ConvolveOp::verify() {
  // c67
  auto mixer = (*this)->getParentOfType<MixerOp>();
  bool isMade = llvm::any_of(mixer.getOps<ConvolutionOp>(),
                             [&](ConvolutionOp op) { return op.getProducedAttr() == getOfAttr(); });
  auto produced = findAs<ProducedOp>(*this, getOfAttr());
  int64_t lanes = getLanes(), rows = getRows();
  if (!isMade || !produced || lanes < -1 ||
      lanes + 1 >= static_cast<int64_t>(produced.getDims().size()) || rows < 1)
    return emitOpError() << "names " << getOfAttr()
                         << "; expected the result of a seq.convolution, one of its features as "
                            "lanes, and at least one row";
  return success();
}
