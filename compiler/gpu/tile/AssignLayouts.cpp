//===- AssignLayouts.cpp - a layout for every tile ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Tiles that meet in elementwise ops, loops and scans have one layout: they form a class. Classes
// get theirs from what wants a certain one most: sums of dots, factors of dots, dims that are
// scanned, global memory; from each, it goes on through reductions, broadcasts and transposes.
// Where an op needs another layout than its operand's class has, a conversion is inserted.
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILEASSIGNLAYOUTS
#include "compiler/gpu/Passes.h.inc"

namespace {

bool isTile(Value value) { return isa<RankedTensorType>(value.getType()); }

ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

unsigned elementBits(Value value) {
  return cast<RankedTensorType>(value.getType()).getElementTypeBitWidth();
}

/// Of a reduce, scan or pick.
unsigned dimOf(Operation *op) { return unsigned(op->getAttrOfType<IntegerAttr>("dim").getInt()); }

class Assignment {
public:
  explicit Assignment(LLVM::LLVMFuncOp kernel)
      : kernel(kernel), warps(kernel->getAttrOfType<IntegerAttr>(warpsName).getInt()) {}

  LogicalResult run() {
    if (failed(checkOps()))
      return failure();
    copyConstants();
    unite();
    choose();
    setTypes();
    kernel.walk([&](Operation *op) { convertOperands(op); });
    return success();
  }

private:
  /// Ops that this pass knows nothing of could need any layout.
  LogicalResult checkOps() {
    WalkResult walk = kernel.walk([&](Operation *op) {
      const bool hasTile =
          llvm::any_of(op->getOperands(), isTile) || llvm::any_of(op->getResults(), isTile);
      const bool isKnown =
          isa<TileDialect>(op->getDialect()) || OpTrait::hasElementwiseMappableTraits(op) ||
          isa<arith::ConstantOp, tensor::SplatOp, scf::ForOp, scf::IfOp, scf::YieldOp>(op);
      if (hasTile && !isKnown) {
        op->emitError("is not an op on tiles");
        return WalkResult::interrupt();
      }
      for (Value result : op->getResults())
        if (isTile(result) && (shapeOf(result).empty() || shapeOf(result).size() > 2 ||
                               !llvm::all_of(shapeOf(result), llvm::isPowerOf2_64))) {
          op->emitError("has a tile that does not have one or two dims that are powers of two");
          return WalkResult::interrupt();
        }
      return WalkResult::advance();
    });
    return failure(walk.wasInterrupted());
  }

  /// One for each use, so that constants tie no classes.
  void copyConstants() {
    SmallVector<Operation *> constants;
    kernel.walk([&](Operation *op) {
      if (isa<arith::ConstantOp, tensor::SplatOp, IotaOp>(op) && isTile(op->getResult(0)))
        constants.push_back(op);
    });
    for (Operation *op : constants) {
      OpBuilder builder(op);
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : op->getUses())
        uses.push_back(&use);
      for (OpOperand *use : uses)
        use->set(builder.clone(*op)->getResult(0));
      op->erase();
    }
  }

  void tie(ValueRange values) {
    Value first;
    for (Value value : values) {
      if (!isTile(value))
        continue;
      classes.insert(value);
      if (first)
        classes.unionSets(first, value);
      else
        first = value;
    }
  }
  void tie(Value a, Value b) { tie(ValueRange{a, b}); }

  void unite() {
    kernel.walk([&](Operation *op) {
      for (Value result : op->getResults())
        tie(ValueRange{result});
      if (auto loop = dyn_cast<scf::ForOp>(op)) {
        for (unsigned i = 0; i < loop.getNumResults(); ++i)
          tie({loop.getInitArgs()[i], loop.getRegionIterArg(i), loop.getYieldedValues()[i],
               loop.getResult(i)});
      } else if (auto choice = dyn_cast<scf::IfOp>(op)) {
        for (unsigned i = 0; i < choice.getNumResults(); ++i)
          tie({choice.thenYield().getOperand(i), choice.elseYield().getOperand(i),
               choice.getResult(i)});
      } else if (auto dot = dyn_cast<DotOp>(op)) {
        tie(dot.getSum(), dot.getResult());
      } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
        tie(reduce.getInputs());
        tie(reduce.getOutputs());
      } else if (auto scan = dyn_cast<ScanOp>(op)) {
        SmallVector<Value> all(scan.getInputs());
        llvm::append_range(all, scan.getOutputs());
        tie(all);
      } else if (auto scatter = dyn_cast<ScatterOp>(op)) {
        tie({scatter.getValue(), scatter.getOffsets(), scatter.getExists()});
      } else if (OpTrait::hasElementwiseMappableTraits(op)) {
        SmallVector<Value> all(op->getOperands());
        llvm::append_range(all, op->getResults());
        tie(all);
      }
    });
  }

  std::optional<Layout> get(Value value) const {
    auto found = layouts.find(classes.getLeaderValue(value));
    return found == layouts.end() ? std::nullopt : std::optional(found->second);
  }
  bool set(Value value, const Layout &layout) {
    return layouts.try_emplace(classes.getLeaderValue(value), layout).second;
  }

  /// Sums in rows of warps as far as there are tiles of 16 rows.
  Layout sums(Value value) const {
    const auto rows = unsigned(std::min<int64_t>(warps, shapeOf(value)[0] / 16));
    return Layout::accumulator(shapeOf(value), {rows, warps / rows});
  }

  Layout blocked(Value value, unsigned vectorBytes) const {
    int64_t vector = std::max(1U, vectorBytes * 8 / std::max(8U, elementBits(value)));
    // Lanes come first: a small tile is not left to few of them.
    int64_t elements = 1;
    for (int64_t size : shapeOf(value))
      elements *= size;
    vector = std::min({vector, shapeOf(value).back(), std::max<int64_t>(1, elements / 32 / warps)});
    return Layout::blocked(shapeOf(value), unsigned(vector), warps);
  }

  /// For what is combined along a dim: each thread has whole lines of a matrix, each warp a whole
  /// vector.
  Layout along(Value value, unsigned dim) const {
    ArrayRef<int64_t> shape = shapeOf(value);
    if (shape.size() == 2)
      return Layout::blocked(shape, 1, warps, {dim});
    Layout line = Layout::blocked(shape, unsigned(std::max<int64_t>(1, shape[0] / 32)), 1);
    SmallVector<Coordinates> copies(llvm::Log2_32(warps), Coordinates{0});
    return {shape, line.bases(0), line.bases(1), copies};
  }

  /// For reductions: warps have lines of their own, lanes share long ones where lines are few.
  Layout reduced(Value value, unsigned dim) const {
    ArrayRef<int64_t> shape = shapeOf(value);
    if (shape.size() == 1)
      return along(value, dim);
    const unsigned lines = llvm::Log2_64(shape[1 - dim]), length = llvm::Log2_64(shape[dim]);
    auto bit = [&](unsigned of, unsigned number) {
      Coordinates basis(2, 0);
      basis[of] = 1 << number;
      return basis;
    };
    SmallVector<Coordinates> registers, ofLanes, ofWarps;
    const unsigned forWarps = std::min(lines, llvm::Log2_32(warps));
    const unsigned forLanes = std::min<unsigned>(lines - forWarps, Layout::laneBits);
    for (unsigned i = 0; i < lines; ++i)
      (i < forLanes           ? ofLanes
       : i < lines - forWarps ? registers
                              : ofWarps)
          .push_back(bit(1 - dim, i));
    for (unsigned i = 0; i < length; ++i)
      (ofLanes.size() < Layout::laneBits ? ofLanes : registers).push_back(bit(dim, i));
    ofLanes.resize(Layout::laneBits, Coordinates(2, 0));
    ofWarps.resize(llvm::Log2_32(warps), Coordinates(2, 0));
    return {shape, registers, ofLanes, ofWarps};
  }

  void choose() {
    SmallVector<Operation *> ops;
    kernel.walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      if (auto dot = dyn_cast<DotOp>(op))
        set(dot.getResult(), sums(dot.getResult()));
    for (Operation *op : ops)
      if (auto scan = dyn_cast<ScanOp>(op))
        set(scan.getInputs()[0], along(scan.getInputs()[0], scan.getDim()));
    spread(ops);
    for (Operation *op : ops)
      if (auto dot = dyn_cast<DotOp>(op)) {
        auto factors =
            operandLayouts(*get(dot.getResult()), shapeOf(dot.getA())[1], elementBits(dot.getA()));
        // A class has the sums' layout of another dot, if any: its own sums take it with a
        // conversion.
        if (!factors)
          factors = operandLayouts(sums(dot.getResult()), shapeOf(dot.getA())[1],
                                   elementBits(dot.getA()));
        set(dot.getA(), factors->first);
        set(dot.getB(), factors->second);
      }
    spread(ops);
    for (Operation *op : ops) {
      if (auto load = dyn_cast<LoadGlobalOp>(op))
        set(load, blocked(load, unsigned(std::min<uint64_t>(load.getAlign(), 16))));
      else if (auto store = dyn_cast<StoreGlobalOp>(op))
        set(store.getValue(),
            blocked(store.getValue(), unsigned(std::min<uint64_t>(store.getAlign(), 16))));
    }
    spread(ops);
    for (Operation *op : ops)
      if (isa<ReduceOp>(op))
        set(op->getOperand(0), reduced(op->getOperand(0), dimOf(op)));
      else if (isa<PickOp>(op))
        set(op->getOperand(0), along(op->getOperand(0), dimOf(op)));
    spread(ops);
    for (Operation *op : ops)
      for (Value result : op->getResults())
        if (isTile(result) && set(result, blocked(result, 0)))
          spread(ops);
  }

  /// From classes that have a layout to those that follow from it.
  void spread(ArrayRef<Operation *> ops) {
    for (bool changed = true; std::exchange(changed, false);)
      for (Operation *op : ops) {
        if (auto reduce = dyn_cast<ReduceOp>(op)) {
          if (auto layout = get(reduce.getInputs()[0]); layout && isTile(reduce.getOutputs()[0]))
            changed |= set(reduce.getOutputs()[0], layout->slice(reduce.getDim()));
        } else if (auto pick = dyn_cast<PickOp>(op)) {
          if (auto layout = get(pick.getValue()))
            changed |= set(pick.getResult(), layout->slice(pick.getDim()));
        } else if (auto broadcast = dyn_cast<BroadcastOp>(op)) {
          if (auto layout = get(broadcast.getResult()))
            changed |= set(broadcast.getValue(), layout->slice(broadcast.getDim()));
        } else if (auto transpose = dyn_cast<TransposeOp>(op)) {
          if (auto layout = get(transpose.getValue()))
            changed |= set(transpose.getResult(), layout->transposed());
          if (auto layout = get(transpose.getResult()))
            changed |= set(transpose.getValue(), layout->transposed());
        }
      }
  }

  void setTypes() {
    auto change = [&](Value value) {
      if (isTile(value))
        value.setType(withLayout(value.getType(), *get(value)));
    };
    kernel.walk([&](Operation *op) {
      for (Region &region : op->getRegions())
        for (Block &block : region)
          llvm::for_each(block.getArguments(), change);
      llvm::for_each(op->getResults(), change);
      if (auto constant = dyn_cast<arith::ConstantOp>(op))
        if (auto elements = dyn_cast<DenseElementsAttr>(constant.getValue()))
          constant.setValueAttr(elements.reshape(cast<ShapedType>(constant.getType())));
    });
  }

  /// The operand in a layout, converted if its class has another.
  static void need(OpOperand &operand, const Layout &layout) {
    if (layoutOf(operand.get().getType()) == layout)
      return;
    OpBuilder builder(operand.getOwner());
    operand.set(ConvertOp::create(builder, operand.getOwner()->getLoc(),
                                  withLayout(operand.get().getType(), layout), operand.get()));
  }
  /// The result made in a layout, and converted to its class's.
  static void make(Value result, const Layout &layout) {
    Type wanted = result.getType();
    if (layoutOf(wanted) == layout)
      return;
    result.setType(withLayout(wanted, layout));
    OpBuilder builder(result.getContext());
    builder.setInsertionPointAfterValue(result);
    auto convert = ConvertOp::create(builder, result.getLoc(), wanted, result);
    result.replaceAllUsesExcept(convert, convert);
  }

  void convertOperands(Operation *op) {
    if (auto dot = dyn_cast<DotOp>(op)) {
      const unsigned bits = elementBits(dot.getA());
      const int64_t k = shapeOf(dot.getA())[1];
      Layout own = *layoutOf(dot.getType());
      if (!operandLayouts(own, k, bits))
        own = sums(dot.getResult());
      auto factors = *operandLayouts(own, k, bits);
      need(dot.getAMutable(), factors.first);
      need(dot.getBMutable(), factors.second);
      need(dot.getSumMutable(), own);
      make(dot.getResult(), own);
    } else if (isa<ReduceOp, ScanOp, PickOp>(op)) {
      const unsigned dim = dimOf(op);
      Layout layout = *layoutOf(op->getOperand(0).getType());
      if (layout.splitsOverWarps(dim)) {
        layout =
            isa<ReduceOp>(op) ? reduced(op->getOperand(0), dim) : along(op->getOperand(0), dim);
        for (OpOperand &operand : op->getOpOperands())
          need(operand, layout);
      }
      for (Value result : op->getResults())
        if (isTile(result))
          make(result, isa<ScanOp>(op) ? layout : layout.slice(dim));
    } else if (auto broadcast = dyn_cast<BroadcastOp>(op)) {
      need(broadcast.getValueMutable(), layoutOf(broadcast.getType())->slice(broadcast.getDim()));
    } else if (auto transpose = dyn_cast<TransposeOp>(op)) {
      make(transpose.getResult(), layoutOf(transpose.getValue().getType())->transposed());
    }
  }

  LLVM::LLVMFuncOp kernel;
  unsigned warps;
  llvm::EquivalenceClasses<Value> classes;
  llvm::DenseMap<Value, Layout> layouts; // by the leader of a class
};

struct TileAssignLayouts : impl::TileAssignLayoutsBase<TileAssignLayouts> {
  using TileAssignLayoutsBase::TileAssignLayoutsBase;

  void runOnOperation() override {
    getOperation()->walk([&](LLVM::LLVMFuncOp kernel) {
      if (kernel->hasAttr(warpsName) && !hasLayouts(kernel) && failed(Assignment(kernel).run()))
        signalPassFailure();
    });
  }

  static bool hasLayouts(LLVM::LLVMFuncOp kernel) {
    return kernel
        .walk([](Operation *op) {
          return WalkResult(failure(llvm::any_of(
              op->getResultTypes(), [](Type type) { return layoutOf(type).has_value(); })));
        })
        .wasInterrupted();
  }
};

} // namespace
} // namespace seqmix
