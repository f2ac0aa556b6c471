//===- FrontPositions.cpp - the run-time dim of params in front -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "dialect/Carry.h"

#include "mlir/IR/AffineMap.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_FRONTPOSITIONS
#include "compiler/Passes.h.inc"

namespace {

/// Moves an element to the front.
template <typename T> void rotateToFront(SmallVectorImpl<T> &list, size_t place) {
  std::rotate(list.begin(), list.begin() + place, list.begin() + place + 1);
}

void moveToFront(MixerOp mixer, TensorOp tensor, size_t place) {
  SmallVector<Attribute> dims(tensor.getDims().begin(), tensor.getDims().end());
  auto order = llvm::to_vector(llvm::seq<int64_t>(0, dims.size()));
  rotateToFront(dims, place);
  rotateToFront(order, place);
  Builder builder(tensor.getContext());
  tensor.setDimsAttr(builder.getArrayAttr(dims));
  tensor->setAttr(kTensorOrder, builder.getDenseI64ArrayAttr(order));
  mixer.walk([&](ReadOp read) {
    if (read.getSourceAttr().getAttr() != tensor.getSymNameAttr())
      return;
    AffineMap map = read.getMap();
    SmallVector<AffineExpr> results(map.getResults());
    rotateToFront(results, place);
    read.setMapAttr(
        AffineMapAttr::get(AffineMap::get(map.getNumDims(), 0, results, tensor.getContext())));
  });
}

class FrontPositions : public impl::FrontPositionsBase<FrontPositions> {
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      for (auto tensor : mixer.getOps<TensorOp>()) {
        if (tensor.getRole() != Role::Param || isTokenIndexed(mixer, tensor.getDims()))
          continue;
        auto dims = tensor.getDims().getAsRange<FlatSymbolRefAttr>();
        auto found = llvm::find_if(dims, [&](FlatSymbolRefAttr dim) {
          return mixer.lookupSymbol<DimOp>(dim.getAttr()).getKind() == DimKind::Runtime;
        });
        if (found != dims.end())
          moveToFront(mixer, tensor, std::distance(dims.begin(), found));
      }
  }
};

} // namespace
} // namespace seqmix
