//===- KeptValue.cpp - what a launch leaves for later ones -------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/KeptValue.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "mlir/IR/AttrTypeSubElements.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

ArrayAttr placesOf(MixerOp mixer, Operation *symbol) {
  ArrayAttr dims = chunk::dimsOf(symbol);
  if (!isa<StateOp>(symbol))
    return dims;
  SmallVector<Attribute> all = {tokenDimOf(mixer)};
  llvm::append_range(all, dims);
  return ArrayAttr::get(mixer.getContext(), all);
}

KeptValue keptValueOf(MixerOp mixer, StringAttr name, size_t maker) {
  KeptValue value;
  value.name = name;
  value.maker = maker;
  Operation *source = chunk::lookup(mixer, name);
  value.dims = placesOf(mixer, source);
  value.isOfTokens = !value.dims.empty() && value.dims[0] == tokenDimOf(mixer);
  value.dtype = mixer.getCompute().isF64() ? SEQ_F64 : SEQ_F32;
  if (auto define = dyn_cast<DefineOp>(source)) {
    Type type = define.getBody().front().getTerminator()->getOperand(0).getType();
    value.dtype = type.isInteger(1) ? SEQ_BOOL : type.isIndex() ? SEQ_I32 : value.dtype;
  }
  // Reals have 24 bits only for places.
  for (auto pairs : mixer.getOps<PairsOp>())
    for (auto own : pairs.getOuts().getAsRange<PairResultAttr>())
      if (own.getKind() == PairKind::Places && own.getProduced().getAttr() == name)
        value.dtype = SEQ_I32;
  for (auto dim : value.dims.getAsRange<FlatSymbolRefAttr>())
    if (auto size = cast<DimOp>(chunk::lookup(mixer, dim)).getSize())
      value.extents.push_back(static_cast<int64_t>(*size));
  return value;
}

llvm::SetVector<StringAttr> namesIn(Operation *op) {
  llvm::SetVector<StringAttr> names;
  if (auto output = dyn_cast<OutputOp>(op))
    names.insert(output.getSourceAttr().getAttr());
  op->walk([&](ReadOp read) { names.insert(read.getSourceAttr().getAttr()); });
  if (isa<AffineOp>(op)) {
    AttrTypeWalker walker;
    walker.addWalk([&](FlatSymbolRefAttr symbol) {
      names.insert(symbol.getAttr());
      return WalkResult::skip(); // its name is no attribute to visit
    });
    walker.walk(op->getPropertiesAsAttribute());
  }
  return names;
}

void eraseUnneeded(MixerOp mixer) {
  llvm::SetVector<StringAttr> needed;
  for (Operation &op : mixer.getBody().front())
    if (isa<NextOp, AffineOp, OutputOp, PairsOp>(op))
      needed.insert_range(namesIn(&op));
  for (size_t number = 0; number < needed.size(); ++number)
    if (Operation *source = chunk::lookup(mixer, needed[number]); isa<DefineOp>(source))
      needed.insert_range(namesIn(source));
  for (auto define : llvm::make_early_inc_range(mixer.getOps<DefineOp>()))
    if (!needed.contains(define.getSymNameAttr()))
      define.erase();
}

OwningOpRef<ModuleOp> recurrencesOf(MixerOp mixer, ArrayRef<StringAttr> kept) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(mixer.getLoc());
  auto own = cast<MixerOp>(mixer->clone());
  module->push_back(own);
  SmallVector<OutputOp> outputs(own.getOps<OutputOp>());
  OpBuilder builder(outputs.front());
  for (StringAttr name : kept) {
    auto copy = cast<OutputOp>(builder.clone(*outputs.front()));
    copy.setSourceAttr(FlatSymbolRefAttr::get(name));
  }
  for (OutputOp output : outputs)
    output.erase();
  llvm::DenseSet<StringAttr> matrices;
  for (auto affine : own.getOps<AffineOp>())
    for (FlatSymbolRefAttr state : affine.states())
      matrices.insert(state.getAttr());
  for (Operation &op : llvm::make_early_inc_range(own.getBody().front())) {
    auto state = dyn_cast<StateOp>(op);
    if (isa<PairsOp, AffineOp>(op) || (state && matrices.contains(state.getSymNameAttr())))
      op.erase();
  }
  eraseUnneeded(own);
  for (auto produced : llvm::make_early_inc_range(own.getOps<ProducedOp>()))
    produced.erase();
  own->removeAttr("carry_rows");
  return module;
}

} // namespace seqmix::gpu
