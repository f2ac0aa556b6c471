//===- Reads.cpp - which tokens and dims an equation reads --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Reads.h"

#include "dialect/Carry.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::chunk {

ArrayAttr dimsOf(Operation *symbol) {
  return llvm::TypeSwitch<Operation *, ArrayAttr>(symbol)
      .Case<TensorOp, DefineOp, ProducedOp, StateOp>([](auto op) { return op.getDims(); })
      .Default([](Operation *) { return ArrayAttr(); });
}

Operation *lookup(MixerOp mixer, StringAttr name) {
  Operation *found = SymbolTable::lookupSymbolIn(mixer, name);
  assert(found && "verified IR names what it has");
  return found;
}

Operation *lookup(MixerOp mixer, FlatSymbolRefAttr name) { return lookup(mixer, name.getAttr()); }

bool readsToken(MixerOp mixer, ReadOp read) {
  Operation *source = lookup(mixer, read.getSourceAttr());
  return isa<StateOp>(source) || isTokenIndexed(mixer, dimsOf(source));
}

bool hasPairs(MixerOp mixer, StringAttr symbol) {
  ArrayAttr dims = dimsOf(lookup(mixer, symbol));
  return dims.size() > 1 && llvm::any_of(dims.getValue().drop_front(), [&](Attribute dim) {
           auto op = cast<DimOp>(lookup(mixer, cast<FlatSymbolRefAttr>(dim)));
           return op.getKind() == DimKind::Runtime;
         });
}

FlatSymbolRefAttr positionDim(MixerOp mixer, ReadOp read) {
  Operation *source = lookup(mixer, read.getSourceAttr());
  if (isa<StateOp>(source))
    return tokenDimOf(mixer);
  ArrayAttr dims = dimsOf(source);
  return isTokenIndexed(mixer, dims) ? cast<FlatSymbolRefAttr>(dims[0]) : FlatSymbolRefAttr();
}

std::optional<unsigned> placeOf(ReadOp read, Value index) {
  std::optional<unsigned> place;
  AffineMap map = read.getMap();
  for (auto [operandNumber, operand] : llvm::enumerate(read.getOperands())) {
    if (operand != index)
      continue;
    for (auto [number, expr] : llvm::enumerate(map.getResults())) {
      if (!expr.isFunctionOfDim(operandNumber))
        continue;
      if (place)
        return std::nullopt;
      // Coefficient one: replacing the index by index + 1 adds one.
      AffineExpr dim = getAffineDimExpr(operandNumber, map.getContext());
      AffineExpr step = simplifyAffineExpr(expr.replace(dim, dim + 1) - expr, map.getNumDims(), 0);
      auto constant = dyn_cast<AffineConstantExpr>(step);
      if (!constant || constant.getValue() != 1)
        return std::nullopt;
      place = number;
    }
  }
  return place;
}

} // namespace seqmix::chunk
