//===- VerifySupport.cpp - what the verifiers ask of a mixer --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/VerifySupport.h"

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::seq;

Operation *seq::verify::find(Operation *from, FlatSymbolRefAttr symbol) {
  auto mixer = from->getParentOfType<MixerOp>();
  return mixer && symbol ? SymbolTable::lookupSymbolIn(mixer, symbol.getAttr()) : nullptr;
}

NextOp seq::verify::findNext(Operation *from, FlatSymbolRefAttr state) {
  if (auto mixer = from->getParentOfType<MixerOp>())
    for (auto next : mixer.getOps<NextOp>())
      if (next.getStateAttr() == state)
        return next;
  return {};
}

AffineOp seq::verify::findAffine(Operation *from, FlatSymbolRefAttr state) {
  if (auto mixer = from->getParentOfType<MixerOp>())
    for (auto affine : mixer.getOps<AffineOp>())
      if (affine.makes(state.getAttr()))
        return affine;
  return {};
}

ArrayAttr seq::verify::dimsOf(Operation *op) {
  if (!op)
    return {};
  return llvm::TypeSwitch<Operation *, ArrayAttr>(op)
      .Case<TensorOp, StateOp, DefineOp, ProducedOp>([](auto op) { return op.getDims(); })
      .Default([](Operation *) { return ArrayAttr(); });
}

bool seq::verify::isDim(Operation *from, Attribute symbol, DimKind kind) {
  auto dim = findAs<DimOp>(from, dyn_cast<FlatSymbolRefAttr>(symbol));
  return dim && dim.getKind() == kind;
}

LogicalResult seq::verify::checkDims(Operation *op, ArrayAttr dims) {
  for (Attribute dim : dims)
    if (!isDim(op, dim, DimKind::Fixed) && !isDim(op, dim, DimKind::Runtime))
      return op->emitOpError() << dim << " is not a fixed or run-time dim";
  return success();
}

bool seq::verify::allDifferent(ArrayAttr symbols) {
  llvm::SmallPtrSet<Attribute, 8> seen;
  return llvm::all_of(symbols, [&](Attribute symbol) { return seen.insert(symbol).second; });
}
