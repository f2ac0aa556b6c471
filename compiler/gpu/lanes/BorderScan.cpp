//===- BorderScan.cpp - from border to border of a sequence ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Borders.h"

#include "dialect/tile/Tile.h"
#include "runtime/Frame.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace seqmix::gpu {
namespace {

constexpr int64_t kThreads = 128;
/// Borders whose loads are under way at once.
constexpr int64_t kUnrolled = 8;
/// The largest product of transitions that is used, as on the CPU.
constexpr double kMostProduct = 16;

/// States at one element that depend on each other.
struct Group {
  std::vector<int32_t> states; ///< of the summary
  std::vector<TransitionPlan> transitions;
};

class BorderScan {
public:
  BorderScan(const Borders &borders, mlir::gpu::GPUModuleOp module, Location loc, StringRef name)
      : borders(borders), builder(module.getContext()), loc(loc) {
    findGroups();
    makeFunction(module, name);
  }

  LaunchPlan run() {
    findTask();
    for (const Group &group : groups)
      emitGroup(group);
    LLVM::ReturnOp::create(builder, loc, ValueRange());
    LaunchPlan launch;
    launch.arguments = {{SEQ_ARGUMENT_WORKSPACE, Borders::kBorders},
                        {SEQ_ARGUMENT_WORKSPACE, Borders::kHeads},
                        {SEQ_ARGUMENT_FRAME, 0}};
    launch.threads = {kThreads, 1, 1};
    launch.grid[0].number = blocks;
    for (auto [number, dim] : llvm::enumerate(borders.plan.dims))
      if (dim.kind == SEQ_DIM_BATCH)
        launch.grid[number ? 1 : 0].factors.push_back(
            {SEQ_FACTOR_DIM, static_cast<int32_t>(number), 1});
    return launch;
  }

private:
  const Borders &borders;
  OpBuilder builder;
  Location loc;
  LLVM::LLVMFuncOp kernel;
  std::vector<Group> groups;
  int64_t blocks = 1; ///< for the elements of the largest state
  Value count, last;  ///< segments, and the number of the last one
  Value place;        ///< the thread's element of every state
  Value record;       ///< in front of the batch element's segment 0
  Value head;         ///< where the last segment that runs is noted

  //===--- the parts --------------------------------------------------------===//

  void findGroups() {
    llvm::EquivalenceClasses<int32_t> classes;
    for (const TransitionPlan &transition : borders.summary.transitions)
      classes.unionSets(transition.to, transition.from);
    std::map<int32_t, size_t> numbers; // of groups, by their leader
    for (const TransitionPlan &transition : borders.summary.transitions) {
      auto [found, isNew] =
          numbers.try_emplace(classes.getLeaderValue(transition.to), groups.size());
      if (isNew)
        groups.emplace_back();
      Group &group = groups[found->second];
      group.transitions.push_back(transition);
      for (int32_t state : {transition.to, transition.from})
        if (!llvm::is_contained(group.states, state))
          group.states.push_back(state);
    }
    for (const Group &group : groups)
      blocks = std::max<int64_t>(blocks, llvm::divideCeil(elementsOf(group), kThreads));
  }

  int64_t elementsOf(const Group &group) const {
    return borders.states[group.states.front()].elements();
  }

  //===--- the function -----------------------------------------------------===//

  void makeFunction(mlir::gpu::GPUModuleOp module, StringRef name) {
    builder.setInsertionPointToEnd(module.getBody());
    MLIRContext *context = builder.getContext();
    auto global = LLVM::LLVMPointerType::get(context, 1);
    auto local = LLVM::LLVMPointerType::get(context);
    auto type =
        LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), {global, global, local});
    kernel = LLVM::LLVMFuncOp::create(builder, loc, name, type);
    kernel->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(), builder.getUnitAttr());
    kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), builder.getUnitAttr());
    kernel->setAttr(tile::warpsName, builder.getI32IntegerAttr(kThreads / 32));
    LaneBlock::markFrame(kernel, 2, borders.plan);
    builder.setInsertionPointToEnd(kernel.addEntryBlock(builder));
  }

  Value i64(int64_t value) {
    return arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(value));
  }
  Value add(Value a, Value b) { return arith::AddIOp::create(builder, loc, a, b); }
  Value subtract(Value a, Value b) { return arith::SubIOp::create(builder, loc, a, b); }
  Value multiply(Value a, Value b) { return arith::MulIOp::create(builder, loc, a, b); }
  Value isLess(Value a, Value b) {
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ult, a, b);
  }
  template <typename Op> Value special() {
    Value number = Op::create(builder, loc, builder.getI32Type());
    return arith::ExtUIOp::create(builder, loc, builder.getI64Type(), number);
  }
  Value at(Value base, Value bytes) {
    return LLVM::GEPOp::create(builder, loc, base.getType(), builder.getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{bytes});
  }
  Value frameSlot(int64_t slot) {
    Value frame = kernel.getArgument(2);
    Value address = LLVM::GEPOp::create(builder, loc, frame.getType(), builder.getI64Type(), frame,
                                        ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(slot)});
    return LLVM::LoadOp::create(builder, loc, builder.getI64Type(), address);
  }

  /// Blocks along x: places of the first batch dim's elements; along y: the other batch dims.
  void findTask() {
    count = frameSlot(SEQ_DEVICE_SEGMENTS);
    last = subtract(count, i64(1));
    Value x = special<NVVM::BlockIdXOp>(), y = special<NVVM::BlockIdYOp>();
    Value chunk = arith::RemUIOp::create(builder, loc, x, i64(blocks));
    place = add(multiply(chunk, i64(kThreads)), special<NVVM::ThreadIdXOp>());
    Value element = i64(0), others = i64(1);
    bool hasFirst = false;
    for (auto [number, dim] : llvm::enumerate(borders.plan.dims)) {
      if (dim.kind != SEQ_DIM_BATCH)
        continue;
      if (number == 0)
        hasFirst = true;
      else
        others = multiply(others, frameSlot(SEQ_DEVICE_FIRST + static_cast<int64_t>(number)));
    }
    if (hasFirst)
      element = arith::DivUIOp::create(builder, loc, x, i64(blocks));
    element = add(multiply(element, others), y);
    record = at(kernel.getArgument(Borders::kBorders),
                multiply(multiply(element, count), i64(borders.recordBytes)));
    head = at(kernel.getArgument(Borders::kHeads), multiply(element, i64(borders.headBytes)));
  }

  //===--- a group ----------------------------------------------------------===//

  Type typeOf(int32_t state) {
    return borders.states[state].dtype == SEQ_F64 ? Type(builder.getF64Type())
                                                  : Type(builder.getF32Type());
  }

  /// Where in a record the thread's element of a component stands.
  Value offsetOf(int32_t component, Value index) {
    const BorderPart &part = borders.states[component];
    return add(i64(part.offset), multiply(index, i64(part.dtype == SEQ_F64 ? 8 : 4)));
  }

  /// The element of a factor for the thread's element of a state.
  Value factorIndex(int32_t factor, uint32_t places, const BorderPart &state) {
    Value index = i64(0);
    size_t next = 0; // own dim of the factor
    for (size_t dim = 0; dim < state.extents.size(); ++dim) {
      if (!(places >> dim & 1))
        continue;
      Value digit = arith::DivUIOp::create(builder, loc, place, i64(state.strides[dim]));
      digit = arith::RemUIOp::create(builder, loc, digit, i64(state.extents[dim]));
      index = add(index, multiply(digit, i64(borders.states[factor].strides[next++])));
    }
    return index;
  }

  /// What a thread loads of a record.
  struct Loaded {
    SmallVector<Value> states;                 ///< from zero
    SmallVector<std::array<Value, 2>> factors; ///< null for none
  };

  void emitGroup(const Group &group) {
    auto inside = scf::IfOp::create(builder, loc, isLess(place, i64(elementsOf(group))), false);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(inside.thenBlock());
    SmallVector<Value> offsets;
    for (int32_t state : group.states)
      offsets.push_back(offsetOf(state, place));
    SmallVector<std::array<Value, 2>> factors;
    for (const TransitionPlan &transition : group.transitions) {
      std::array<Value, 2> own;
      for (int i = 0; i < 2; ++i)
        if (int32_t factor = transition.factors[i]; factor >= 0)
          own[i] = offsetOf(
              factor, factorIndex(factor, transition.places[i], borders.states[transition.to]));
      factors.push_back(own);
    }
    Value one = i64(1);
    Value second = at(record, i64(borders.recordBytes));
    SmallVector<Value> before;
    for (auto [state, offset] : llvm::zip_equal(group.states, offsets))
      before.push_back(LLVM::LoadOp::create(builder, loc, typeOf(state), at(second, offset)));
    auto loop = scf::ForOp::create(builder, loc, one, last, i64(kUnrolled), before);
    builder.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> segments, records;
    SmallVector<Loaded> loaded;
    for (int64_t number = 0; number < kUnrolled; ++number) {
      Value segment = add(loop.getInductionVar(), i64(number));
      // Behind the last border the last one is loaded again.
      Value behind = add(segment, one);
      behind = arith::SelectOp::create(builder, loc, isLess(behind, last), behind, last);
      Value own = at(record, multiply(behind, i64(borders.recordBytes)));
      segments.push_back(segment);
      records.push_back(own);
      loaded.push_back(load(group, own, offsets, factors));
    }
    SmallVector<Value> current(loop.getRegionIterArgs());
    for (int64_t number = 0; number < kUnrolled; ++number)
      current = cross(group, segments[number], records[number], offsets, loaded[number], current);
    scf::YieldOp::create(builder, loc, current);
  }

  Loaded load(const Group &group, Value own, ArrayRef<Value> offsets,
              ArrayRef<std::array<Value, 2>> factors) {
    Loaded result;
    for (auto [state, offset] : llvm::zip_equal(group.states, offsets))
      result.states.push_back(LLVM::LoadOp::create(builder, loc, typeOf(state), at(own, offset)));
    for (auto [transition, places] : llvm::zip_equal(group.transitions, factors)) {
      std::array<Value, 2> values;
      for (int i = 0; i < 2; ++i)
        if (places[i])
          values[i] = LLVM::LoadOp::create(builder, loc, typeOf(transition.to), at(own, places[i]));
      result.factors.push_back(values);
    }
    return result;
  }

  /// The states behind a segment from those in front of it.
  SmallVector<Value> cross(const Group &group, Value segment, Value own, ArrayRef<Value> offsets,
                           const Loaded &loaded, ArrayRef<Value> before) {
    SmallVector<Value> after(loaded.states);
    Value isBounded = arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true));
    auto numberOf = [&](int32_t state) {
      return llvm::find(group.states, state) - group.states.begin();
    };
    for (auto [transition, factors] : llvm::zip_equal(group.transitions, loaded.factors)) {
      Value term = before[numberOf(transition.from)];
      for (Value factor : factors) {
        if (!factor)
          continue;
        isBounded = arith::AndIOp::create(builder, loc, isBounded, isSmall(factor));
        term = arith::MulFOp::create(builder, loc, factor, term);
      }
      Value &sum = after[numberOf(transition.to)];
      sum = arith::AddFOp::create(builder, loc, sum, term);
    }
    auto isThere = scf::IfOp::create(builder, loc, isLess(segment, last), false);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(isThere.thenBlock());
    for (auto [value, offset] : llvm::zip_equal(after, offsets))
      LLVM::StoreOp::create(builder, loc, value, at(own, offset));
    Value isLarge =
        arith::XOrIOp::create(builder, loc, isBounded,
                              arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true)));
    auto noting = scf::IfOp::create(builder, loc, isLarge, false);
    builder.setInsertionPointToStart(noting.thenBlock());
    Value number = arith::TruncIOp::create(builder, loc, builder.getI32Type(), segment);
    LLVM::AtomicRMWOp::create(builder, loc, LLVM::AtomicBinOp::umin, head, number,
                              LLVM::AtomicOrdering::monotonic);
    return after;
  }

  Value isSmall(Value product) {
    Type type = product.getType();
    auto compare = [&](arith::CmpFPredicate predicate, double bound) -> Value {
      Value limit = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, bound));
      return arith::CmpFOp::create(builder, loc, predicate, product, limit);
    };
    return arith::AndIOp::create(builder, loc, compare(arith::CmpFPredicate::OLE, kMostProduct),
                                 compare(arith::CmpFPredicate::OGE, -kMostProduct));
  }
};

} // namespace

LaunchPlan emitBorderScan(const Borders &borders, mlir::gpu::GPUModuleOp module, Location loc,
                          StringRef name) {
  return BorderScan(borders, module, loc, name).run();
}

} // namespace seqmix::gpu
