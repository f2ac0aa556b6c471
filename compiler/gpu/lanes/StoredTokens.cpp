//===- StoredTokens.cpp - what launches leave for later ones -----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/StoredTokens.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {

/// The type in which values of a symbol are stored.
static SeqDType typeOf(MixerOp mixer, StringAttr name) {
  Operation *symbol = chunk::lookup(mixer, name);
  if (auto define = dyn_cast<DefineOp>(symbol)) {
    Type type = define->getRegion(0).front().getTerminator()->getOperand(0).getType();
    if (type.isInteger(1))
      return SEQ_BOOL;
    if (type.isIndex())
      return SEQ_I32;
  }
  return mixer.getCompute().isF64() ? SEQ_F64 : SEQ_F32;
}

static int64_t bytesOf(SeqDType dtype) { return dtype == SEQ_F64 ? 8 : dtype == SEQ_BOOL ? 1 : 4; }

StoredTokens::StoredTokens(MixerOp mixer, ArrayRef<LanePhase> phases) {
  for (const LanePhase &phase : phases)
    for (StringAttr name : phase.stored) {
      StoredSymbol &symbol = symbols[name];
      Operation *declaration = chunk::lookup(mixer, name);
      symbol.dtype = typeOf(mixer, name);
      symbol.isBackward = phase.direction == Direction::Backward;
      SmallVector<Attribute> dims(chunk::dimsOf(declaration).getValue());
      const bool isState = isa<StateOp>(declaration);
      if (!isState)
        dims.erase(dims.begin()); // the tokens
      symbol.strides.resize(dims.size());
      int64_t elements = 1;
      for (size_t dim = dims.size(); dim-- > 0;) {
        symbol.strides[dim] = elements;
        elements *= fixedSize(mixer, cast<FlatSymbolRefAttr>(dims[dim]));
      }
      symbol.bytes = llvm::alignTo(elements * bytesOf(symbol.dtype), 8);
      symbol.edges = isState ? 1 : 0;
      for (const CarryComponent &component : carryComponents(mixer))
        if (component.kind == CarryComponent::Window && component.of.getAttr() == name)
          symbol.edges = component.shape[0];
      symbol.offset = rowBytes;
      rowBytes += symbol.bytes;
      symbol.edgeOffset = edgeBytes;
      edgeBytes += symbol.edges * symbol.bytes;
    }
}

std::vector<AmountPlan> StoredTokens::regions(const MixerPlan &plan) const {
  std::vector<AmountPlan> result(kRegions);
  result[kRows] = LaneBlock::keptBytes(plan, rowBytes, /*isOfTokens=*/true);
  result[kEdges] = LaneBlock::keptBytes(plan, edgeBytes, /*isOfTokens=*/false);
  return result;
}

StoredBlock::StoredBlock(const StoredTokens &tokens, LaneBlock &block)
    : tokens(tokens), block(block) {
  OpBuilder &builder = block.builder;
  Location loc = block.loc;
  auto advance = [&](Value base, Value number, int64_t bytes) -> Value {
    Value offset = arith::MulIOp::create(builder, loc, number, block.i64(bytes));
    return LLVM::GEPOp::create(builder, loc, base.getType(), builder.getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{offset});
  };
  rows = advance(block.workspace(StoredTokens::kRows), block.keptRow(), tokens.rowBytes);
  edges = advance(block.workspace(StoredTokens::kEdges), block.batchElement(), tokens.edgeBytes);
}

LaneArray StoredBlock::at(Value base, const StoredSymbol &symbol, Value number, int64_t bytes,
                          int64_t offset) {
  OpBuilder &builder = block.builder;
  Value more = arith::MulIOp::create(builder, block.loc, number, block.i64(bytes));
  more = arith::AddIOp::create(builder, block.loc, more, block.i64(offset));
  LaneArray array;
  array.base = LLVM::GEPOp::create(builder, block.loc, base.getType(), builder.getI8Type(), base,
                                   ArrayRef<LLVM::GEPArg>{more});
  array.dtype = symbol.dtype;
  for (int64_t stride : symbol.strides)
    array.strides.push_back(block.i64(stride));
  return array;
}

Value StoredBlock::load(StringAttr name, ArrayRef<Place> features, Value row) {
  OpBuilder &builder = block.builder;
  Location loc = block.loc;
  const StoredSymbol &symbol = tokens.symbols.find(name)->second;
  auto isBelow = [&](Value number, Value end) -> Value {
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, number, end);
  };
  Value exists = isBelow(row, block.tokens);
  LaneArray array = at(rows, symbol, row, tokens.rowBytes, symbol.offset);
  if (symbol.edges > 0) {
    Value number =
        symbol.isBackward
            ? arith::SubIOp::create(builder, loc, row, block.tokens).getResult()
            : arith::AddIOp::create(builder, loc, row, block.i64(symbol.edges)).getResult();
    const LaneArray edge = at(edges, symbol, number, symbol.bytes, symbol.edgeOffset);
    array.base = arith::SelectOp::create(builder, loc, exists, array.base, edge.base);
    exists = arith::OrIOp::create(builder, loc, exists, isBelow(number, block.i64(symbol.edges)));
  }
  return block.load(array, features, Value(), exists);
}

void StoredBlock::store(StringAttr name, ArrayRef<Place> features, Value row, Value value) {
  const StoredSymbol &symbol = tokens.symbols.find(name)->second;
  block.store(at(rows, symbol, row, tokens.rowBytes, symbol.offset), features, Value(), value);
}

void StoredBlock::storeEdge(StringAttr name, ArrayRef<Place> features, int64_t number,
                            Value value) {
  const StoredSymbol &symbol = tokens.symbols.find(name)->second;
  block.store(at(edges, symbol, block.i64(number), symbol.bytes, symbol.edgeOffset), features,
              Value(), value);
}

} // namespace seqmix::gpu
