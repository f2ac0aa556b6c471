//===- CumulativeSums.cpp - running sums over tokens as states -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/seq/CumulativeSums.h"

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace seqmix {
namespace {

/// The dims and names of an equation or reduction.
std::pair<ArrayAttr, ArrayAttr> indicesOf(Operation *op) {
  if (auto define = dyn_cast<seq::DefineOp>(op))
    return {define.getDims(), define.getNames()};
  if (auto next = dyn_cast<seq::NextOp>(op))
    return {next.getDims(), next.getNames()};
  if (auto reduce = dyn_cast<seq::ReduceOp>(op))
    return {reduce.getDims(), reduce.getNames()};
  return {};
}

class Expander {
public:
  Expander(seq::MixerOp mixer, Operation *equation)
      : mixer(mixer), equation(equation), builder(equation) {}

  void run() {
    SmallVector<seq::MapOp> maps;
    equation->walk([&](seq::MapOp map) {
      if (runsUpToOwnToken(map))
        maps.push_back(map);
    });
    for (seq::MapOp map : maps)
      expand(map);
  }

private:
  bool runsUpToOwnToken(seq::MapOp map) {
    Region &body = equation->getRegion(0);
    return map.getKind() == seq::MapKind::CumSum && body.getNumArguments() != 0 &&
           map.getAt() == body.getArgument(0) && indicesOf(equation).first[0] == map.getDimAttr();
  }

  void expand(seq::MapOp map) {
    // What the sum uses from outside: constants are made again, indices become dims of the state.
    llvm::SetVector<Value> used;
    getUsedValuesDefinedAbove(map->getRegions(), used);
    SmallVector<BlockArgument> indices;
    for (Value value : used) {
      if (value.getDefiningOp<seq::ConstantOp>())
        continue;
      auto index = dyn_cast<BlockArgument>(value);
      if (!index || !indicesOf(index.getOwner()->getParentOp()).first)
        return;
      indices.push_back(index);
    }
    SmallVector<Attribute> dims, names = {map.getNameAttr()};
    for (BlockArgument index : indices) {
      auto [ownDims, ownNames] = indicesOf(index.getOwner()->getParentOp());
      dims.push_back(ownDims[index.getArgNumber()]);
      names.push_back(ownNames[index.getArgNumber()]);
      auto dim = mixer.lookupSymbol<seq::DimOp>(cast<FlatSymbolRefAttr>(dims.back()).getAttr());
      if (dim.getKind() != seq::DimKind::Fixed)
        return;
    }
    if (auto define = dyn_cast<seq::DefineOp>(equation); define && isWholeOf(define, map)) {
      SmallVector<BlockArgument> own(define.getBody().getArguments().drop_front());
      std::string name = define.getSymName().str();
      FlatSymbolRefAttr state =
          makeState(map, name, SmallVector<Attribute>(define.getDims().getValue().drop_front()));
      makeEquation(map, state, used.getArrayRef(), own, define.getDims().getValue(),
                   define.getNames());
      define.erase();
      return;
    }
    dims.insert(dims.begin(), map.getDimAttr());
    FlatSymbolRefAttr state = makeState(map, freshName(), ArrayRef(dims).drop_front());
    makeEquation(map, state, used.getArrayRef(), indices, dims, builder.getArrayAttr(names));
    OpBuilder atMap(map);
    SmallVector<Value> operands = {map.getAt()};
    llvm::append_range(operands, indices);
    Value sum =
        seq::ReadOp::create(atMap, map.getLoc(), map.getType(), state, operands,
                            AffineMapAttr::get(atMap.getMultiDimIdentityMap(operands.size())));
    map.replaceAllUsesWith(sum);
    map.erase();
  }

  /// Whether a definition is nothing but the sum and is read as a state may be, so that it can be
  /// one.
  bool isWholeOf(seq::DefineOp define, seq::MapOp map) {
    Value result = cast<seq::YieldOp>(define.getBody().front().back()).getValue();
    if (result != map.getResult() || !define.getDomain().empty())
      return false;
    for (Attribute dim : define.getDims().getValue().drop_front())
      if (mixer.lookupSymbol<seq::DimOp>(cast<FlatSymbolRefAttr>(dim).getAttr()).getKind() !=
          seq::DimKind::Fixed)
        return false;
    WalkResult reads = mixer.walk([&](seq::ReadOp read) {
      return read.getSource() != define.getSymName() || isAtTokenOrBefore(read)
                 ? WalkResult::advance()
                 : WalkResult::interrupt();
    });
    return !reads.wasInterrupted();
  }

  static bool isAtTokenOrBefore(seq::ReadOp read) {
    Operation *reader = read;
    while (!isa<seq::DefineOp, seq::NextOp>(reader))
      reader = reader->getParentOp();
    auto own = [&](AffineExpr expr) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      return dim && reader->getRegion(0).getNumArguments() != 0 &&
             read.getOperands()[dim.getPosition()] == reader->getRegion(0).getArgument(0);
    };
    AffineExpr token = read.getMap().getResult(0);
    return own(token) || own(token + 1);
  }

  std::string freshName() {
    auto define = dyn_cast<seq::DefineOp>(equation);
    StringRef owner = define ? define.getSymName() : cast<seq::NextOp>(equation).getState();
    std::string name = (owner + ".cumsum").str();
    for (unsigned suffix = 1; mixer.lookupSymbol(name); ++suffix)
      name = (owner + ".cumsum" + Twine(suffix)).str();
    return name;
  }

  FlatSymbolRefAttr makeState(seq::MapOp map, StringRef name, ArrayRef<Attribute> dims) {
    // Behind the other states, so that the carry has the declared ones first.
    Operation *last = nullptr;
    for (Operation &op : mixer.getBody().front())
      if (isa<seq::DimOp, seq::TensorOp, seq::StateOp>(op))
        last = &op;
    OpBuilder declarations(mixer.getContext());
    declarations.setInsertionPointAfter(last);
    seq::StateOp::create(declarations, map.getLoc(), name, builder.getArrayAttr(dims),
                         llvm::APFloat(0.0), seq::Direction::Forward);
    return FlatSymbolRefAttr::get(mixer.getContext(), name);
  }

  /// state[t, indices] = state[t-1, indices] + the body, where its domain holds.
  void makeEquation(seq::MapOp map, FlatSymbolRefAttr state, ArrayRef<Value> used,
                    ArrayRef<BlockArgument> indices, ArrayRef<Attribute> dims, ArrayAttr names) {
    Location loc = map.getLoc();
    auto next = seq::NextOp::create(builder, loc, state, builder.getArrayAttr(dims), names);
    OpBuilder::InsertionGuard guard(builder);
    Block *block = builder.createBlock(&next.getBody(), {},
                                       SmallVector<Type>(dims.size(), builder.getIndexType()),
                                       SmallVector<Location>(dims.size(), loc));
    IRMapping mapping;
    for (Value value : used)
      if (auto constant = value.getDefiningOp<seq::ConstantOp>())
        builder.clone(*constant, mapping);
    for (auto [number, index] : llvm::enumerate(indices))
      mapping.map(index, block->getArgument(number + 1));
    auto inlined = [&](Region &region) {
      mapping.map(region.getArgument(0), block->getArgument(0));
      for (Operation &op : region.front().without_terminator())
        builder.clone(op, mapping);
      return mapping.lookupOrDefault(cast<seq::YieldOp>(region.front().back()).getValue());
    };
    Value term = inlined(map.getBody());
    if (!map.getDomain().empty()) {
      Value inside = inlined(map.getDomain());
      Value zero = seq::ConstantOp::create(builder, loc, builder.getF64FloatAttr(0));
      term = seq::SelectOp::create(builder, loc, inside, term, zero);
    }
    SmallVector<AffineExpr> before;
    for (unsigned dim = 0; dim < dims.size(); ++dim)
      before.push_back(getAffineDimExpr(dim, builder.getContext()) - (dim == 0 ? 1 : 0));
    SmallVector<Value> arguments(block->getArguments());
    Value sum = seq::ReadOp::create(
        builder, loc, map.getType(), state, arguments,
        AffineMapAttr::get(AffineMap::get(dims.size(), 0, before, builder.getContext())));
    sum = seq::BinaryOp::create(builder, loc, sum.getType(), seq::BinaryFn::Add, sum, term);
    seq::YieldOp::create(builder, loc, sum);
  }

  seq::MixerOp mixer;
  Operation *equation;
  OpBuilder builder; // in front of the equation
};

} // namespace

void expandCumulativeSums(seq::MixerOp mixer) {
  SmallVector<Operation *> equations;
  for (Operation &op : mixer.getBody().front())
    if (isa<seq::DefineOp, seq::NextOp>(op))
      equations.push_back(&op);
  for (Operation *equation : equations)
    Expander(mixer, equation).run();
}

} // namespace seqmix
