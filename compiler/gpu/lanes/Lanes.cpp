//===- Lanes.cpp - recurrences with a thread for each place of a dim --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Lanes.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/lanes/CarryBehind.h"
#include "compiler/gpu/lanes/LaneExpr.h"
#include "compiler/gpu/lanes/Segments.h"
#include "dialect/Carry.h"
#include "dialect/tile/Tile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

/// Lanes of a block at most: four warps, so that a multiprocessor has several blocks.
constexpr int64_t kMostLanes = 128;
/// Threads of a block that has all of the dim, as lanes exchange values or share a carry.
constexpr int64_t kMostThreads = 256;
/// What a thread can carry in registers beside what it computes.
constexpr int64_t kMostCarried = 160;
/// Operations of a token from which on a loop has one token an iteration. Below, loads of several
/// tokens are under way at once.
constexpr int64_t kUnrolled = 256, kMostUnrolled = 4;

class LaneLowering {
public:
  LaneLowering(MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp module, StringRef name,
               const Borders *borders)
      : mixer(mixer), plan(plan), module(module), name(name), borders(borders),
        regions(borders ? Borders::kRegions : 0) {}

  FailureOr<std::vector<LaunchPlan>> run() {
    const int32_t number = countKernels(module);
    if (failed(check()) || failed(chooseShape()))
      return failure();
    kernel = makeKernel(module, mixer.getLoc(), name, plan,
                        static_cast<int32_t>(shape.threads / 32), regions);
    LaneBlock own(plan, shape, kernel, mixer.getCompute(), regions);
    LaneExpr values(mixer, own, direction);
    block = &own;
    expr = &values;
    if (borders)
      segment.emplace(*borders, own, &values, isSummary(), direction);
    collectCarried();
    LogicalResult result = success();
    const auto numbers = static_cast<int64_t>(carried.size()) * (shape.lanes / shape.threads);
    if (numbers > kMostCarried)
      result = mixer.emitError() << "not lowered for CUDA yet: a thread would carry " << numbers
                                 << " values from token to token in registers; " << kMostCarried
                                 << " are possible";
    if (succeeded(result) && succeeded(emit())) {
      kernel->setAttr(formName, StringAttr::get(mixer.getContext(), words()));
      std::vector<LaunchPlan> launches = {
          launchOf(plan, shape, static_cast<int32_t>(shape.threads), regions)};
      if ((own.readsPosition() || sharesWindow()) && !isSummary()) {
        auto behind = emitCarryBehind(mixer, plan, shape, module, (name + "_carry").str());
        if (failed(behind))
          return failure();
        launches.push_back(std::move(*behind));
      }
      for (auto [more, launch] : llvm::enumerate(launches))
        launch.kernel = number + static_cast<int32_t>(more);
      return launches;
    }
    kernel.erase();
    return failure();
  }

private:
  MixerOp mixer;
  const MixerPlan &plan;
  mlir::gpu::GPUModuleOp module;
  StringRef name;
  const Borders *borders;
  int32_t regions;
  std::optional<LaneSegment> segment;
  Direction direction = Direction::Forward;
  LaneShape shape;
  bool exchanges = false; // lanes have values of others
  LLVM::LLVMFuncOp kernel;
  LaneBlock *block = nullptr;
  LaneExpr *expr = nullptr;
  std::vector<Carried> carried;

  LogicalResult refuse(Operation *op, const Twine &what) {
    return emitError(op->getLoc()) << "not lowered for CUDA yet: " << what;
  }

  //===--- what the form takes ----------------------------------------------===//

  LogicalResult check() {
    std::optional<Direction> only;
    for (Operation &op : mixer.getBody().front()) {
      if (isa<AffineOp, PairsOp, ConvolutionOp>(op))
        return refuse(&op, isa<PairsOp>(op)         ? "reductions over pairs of positions"
                           : isa<ConvolutionOp>(op) ? "convolutions"
                                                    : "the block form of matrix states");
      auto state = dyn_cast<StateOp>(op);
      if (!state)
        continue;
      if (only && *only != state.getDirection())
        return refuse(&op, "states in both directions");
      only = state.getDirection();
    }
    direction = only.value_or(Direction::Forward);
    for (const CarryComponent &component : carryComponents(mixer)) {
      Operation *of = chunk::lookup(mixer, component.of);
      if (component.kind == CarryComponent::Rows)
        return refuse(of, "rows of earlier tokens without pairs");
      if (isShared(mixer, component) && !isa<TensorOp>(of))
        return refuse(of, "earlier tokens of a definition that batch elements share");
    }
    return success();
  }

  /// Indices that reductions and maps bind would need values of other lanes.
  llvm::DenseSet<StringAttr> boundDims() {
    llvm::DenseSet<StringAttr> bound;
    mixer.walk([&](Operation *op) {
      if (auto reduce = dyn_cast<ReduceOp>(op))
        for (auto dim : reduce.getDims().getAsRange<FlatSymbolRefAttr>())
          bound.insert(dim.getAttr());
      if (auto map = dyn_cast<MapOp>(op))
        bound.insert(map.getDimAttr().getAttr());
    });
    return bound;
  }

  /// Of the dims that nothing reduces over, the one that leaves the fewest elements to a thread; of
  /// the others if there is none, as lanes then exchange values.
  LogicalResult chooseShape() {
    const llvm::DenseSet<StringAttr> bound = boundDims();
    // Whether lanes exchange, elements of a thread, -size.
    std::optional<std::tuple<bool, int64_t, int64_t>> best;
    for (auto [number, dim] : llvm::enumerate(plan.dims)) {
      if (dim.kind != SEQ_DIM_FIXED)
        continue;
      const bool isBound = bound.contains(StringAttr::get(mixer.getContext(), dim.name));
      int64_t elements = 0;
      bool occurs = false;
      auto count = [&](ArrayAttr dims) {
        int64_t own = 1;
        bool hasLanes = false;
        for (auto symbol : dims.getAsRange<FlatSymbolRefAttr>()) {
          auto op = cast<DimOp>(chunk::lookup(mixer, symbol));
          bool isLanes = symbol.getValue() == dim.name && !std::exchange(hasLanes, true);
          occurs |= isLanes;
          if (op.getSize() && !isLanes)
            own *= static_cast<int64_t>(*op.getSize());
        }
        elements += own;
      };
      for (auto state : mixer.getOps<StateOp>())
        count(state.getDims());
      for (auto output : mixer.getOps<OutputOp>())
        count(chunk::dimsOf(chunk::lookup(mixer, output.getSourceAttr())));
      std::tuple cost(isBound, elements, -dim.size);
      if (occurs && (!best || cost < *best)) {
        best = cost;
        shape.dims = {static_cast<int32_t>(number)};
      }
    }
    if (!best) {
      // Everything is a number a token: one lane has it, in a warp of its own.
      shape = {{}, 1, 32, 1, 32};
      return success();
    }
    exchanges = std::get<0>(*best);
    if (exchanges)
      addDims();
    for (int32_t number : shape.dims)
      shape.size = std::max(shape.size, plan.dims[number].size);
    shape.lanes = std::max<int64_t>(llvm::PowerOf2Ceil(shape.size), 32);
    if (!exchanges && !sharesCarry())
      shape.lanes = std::min(shape.lanes, kMostLanes);
    shape.threads = std::min(shape.lanes, kMostThreads);
    shape.blocks = llvm::divideCeil(shape.size, shape.lanes);
    return success();
  }

  /// Whether all lanes carry the same of something. Then they are in one block: a carry may be
  /// written where it is read, and another block might not have read it yet.
  bool sharesCarry() {
    return llvm::any_of(carryComponents(mixer), [&](const CarryComponent &component) {
      return llvm::none_of(
          chunk::dimsOf(chunk::lookup(mixer, component.of)).getAsRange<FlatSymbolRefAttr>(),
          [&](auto symbol) { return symbol.getValue() == plan.dims[shape.dims.front()].name; });
    });
  }

  /// Whether several blocks read a window of the carry.
  bool sharesWindow() {
    return llvm::any_of(carryComponents(mixer), [&](const CarryComponent &component) {
      return isShared(mixer, component);
    });
  }

  /// Other dims that lanes of the block can be along: of symbols that have none yet.
  void addDims() {
    for (auto [number, dim] : llvm::enumerate(plan.dims)) {
      if (dim.kind != SEQ_DIM_FIXED)
        continue;
      auto has = [&](Operation &op, const DimPlan &wanted) {
        return llvm::any_of(chunk::dimsOf(&op).getAsRange<FlatSymbolRefAttr>(),
                            [&](auto symbol) { return symbol.getValue() == wanted.name; });
      };
      auto hasLanes = [&](Operation &op) {
        return llvm::any_of(shape.dims, [&](int32_t own) { return has(op, plan.dims[own]); });
      };
      bool isWanted = false, meets = false;
      for (Operation &op : mixer.getBody().front())
        if (isa<StateOp>(op) || (isa<DefineOp>(op) && isTokenIndexed(mixer, chunk::dimsOf(&op))))
          if (has(op, dim))
            (hasLanes(op) ? meets : isWanted) = true;
      if (isWanted && !meets)
        shape.dims.push_back(static_cast<int32_t>(number));
    }
  }

  //===--- what is carried --------------------------------------------------===//

  /// How many tokens back each symbol is needed: by equations, and by the next call.
  llvm::MapVector<StringAttr, int64_t> distances() {
    llvm::MapVector<StringAttr, int64_t> result;
    auto note = [&](StringAttr symbol, int64_t distance) {
      if (distance > 0)
        result[symbol] = std::max(result[symbol], distance);
    };
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind == CarryComponent::Window)
        note(component.of.getAttr(), component.shape[0]);
    mixer.walk([&](ReadOp read) {
      Operation *source = chunk::lookup(mixer, read.getSourceAttr());
      auto tensor = dyn_cast<TensorOp>(source);
      if (!chunk::readsToken(mixer, read) || isa<StateOp>(source) ||
          (tensor && tensor.getRole() == Role::Param))
        return;
      if (auto span = tokenSpan(mixer, read))
        note(read.getSourceAttr().getAttr(),
             direction == Direction::Forward ? -span->first : span->second);
    });
    return result;
  }

  void collectCarried() {
    for (auto state : mixer.getOps<StateOp>())
      for (const LaneElement &element : expr->elementsOf(state.getSymNameAttr()))
        carried.push_back({state.getSymNameAttr(), element, 0});
    for (auto &[symbol, most] : distances())
      for (const LaneElement &element : expr->elementsOf(symbol))
        for (int64_t distance = 1; distance <= most; ++distance)
          carried.push_back({symbol, element, distance});
  }

  bool isSummary() const { return MixerOp(mixer).getSummaryOf().has_value(); }

  /// By its name, as a summary has others than the call.
  int32_t componentOf(StringAttr symbol, bool isState) const {
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.of.getAttr() == symbol &&
          component.kind == (isState ? CarryComponent::State : CarryComponent::Window))
        for (auto [number, own] : llvm::enumerate(plan.components))
          if (own.name == component.name)
            return static_cast<int32_t>(number);
    return -1;
  }

  /// Where a carried value stands in its component; nothing if it is not in the carry.
  std::optional<std::pair<int32_t, SmallVector<Place>>> placeInCarry(const Carried &value) const {
    int32_t number = componentOf(value.name, value.distance == 0);
    if (number < 0)
      return std::nullopt;
    if (value.distance == 0)
      return std::pair(number, expr->places(value.name, value.element));
    int64_t row = plan.components[number].window - value.distance; // the oldest first
    if (row < 0)
      return std::nullopt;
    return std::pair(number, expr->places(value.name, value.element, Place::of(row)));
  }

  bool isLane(const Carried &value) const { return llvm::is_contained(value.element, -1); }

  /// A value in the form in which loops carry it.
  Value inForm(const Carried &value, Value current) {
    Type type = expr->typeOf(value.name);
    if (type.isInteger(1) && !getElementTypeOrSelf(current.getType()).isInteger(1)) {
      Value none = block->zero(current.getType());
      current = arith::CmpIOp::create(block->builder, block->loc, arith::CmpIPredicate::ne, current,
                                      none);
    }
    return isLane(value) ? block->splat(current) : current;
  }

  FailureOr<Value> inputInFront(const Carried &value) {
    int32_t number = componentOf(value.name, /*isState=*/false);
    int64_t window = number < 0 ? 0 : plan.components[number].window;
    auto made = segment->inputInFront(value, number, window - value.distance);
    if (failed(made))
      return failure();
    return inForm(value, *made);
  }

  FailureOr<Value> initial(const Carried &value) {
    OpBuilder &builder = block->builder;
    auto real = [&](double number) -> Value {
      return arith::ConstantOp::create(builder, block->loc,
                                       builder.getFloatAttr(block->real, number));
    };
    auto at = placeInCarry(value);
    if (!at && segment && value.distance == 0)
      return inForm(value, real(segment->initialProduct(value.name)));
    if (!at)
      return inForm(value, block->zero(expr->typeOf(value.name)));
    LaneArray array = segment ? segment->stateInFront(at->first) : block->carryIn(at->first);
    Value result = inForm(value, block->load(array, at->second, Value()));
    double init = plan.components[at->first].init;
    if (value.distance == 0 && init != 0) {
      Value other = segment ? segment->initial(real(init)) : real(init);
      Value isThere = array.isThere;
      if (isLane(value)) {
        other = block->splat(other);
        isThere = block->splat(isThere);
      }
      result = arith::SelectOp::create(builder, block->loc, isThere, result, other);
    }
    return result;
  }

  //===--- the kernel -------------------------------------------------------===//

  LogicalResult emit() {
    OpBuilder &builder = block->builder;
    SmallVector<Value> current;
    for (const Carried &value : carried) {
      auto before = segment && value.distance > 0 ? inputInFront(value) : initial(value);
      if (failed(before))
        return failure();
      current.push_back(*before);
    }
    const SmallVector<Value> front(current);
    // What all lanes read of the carry, one of them writes, perhaps to the same place.
    if (llvm::any_of(carried, [&](const Carried &value) { return !isLane(value); }))
      tile::BarrierOp::create(builder, block->loc);
    const int64_t unrolled = tokensOfIteration();
    Value one = block->i64(1), many = block->i64(unrolled), whole = block->end;
    if (unrolled > 1) {
      Value count = arith::SubIOp::create(builder, block->loc, block->end, block->first);
      Value rest = arith::RemUIOp::create(builder, block->loc, count, many);
      whole = arith::SubIOp::create(builder, block->loc, block->end, rest);
    }
    if (failed(emitLoop(block->first, whole, many, unrolled, current)) ||
        (unrolled > 1 && failed(emitLoop(whole, block->end, one, 1, current))))
      return failure();
    if (isSummary()) {
      segment->store(carried, front, current);
      LLVM::ReturnOp::create(builder, block->loc, ValueRange());
      return success();
    }
    if (failed(emitOutputs(Value())))
      return failure();
    for (auto [value, last] : llvm::zip_equal(carried, current))
      if (auto at = placeInCarry(value); at && !isShared(mixer, carryComponents(mixer)[at->first]))
        block->store(block->carryOut(at->first), at->second, Value(), last);
    if (!block->readsPosition() && !sharesWindow())
      block->storePosition();
    expr->closeFront();
    LLVM::ReturnOp::create(builder, block->loc, ValueRange());
    return success();
  }

  int64_t tokensOfIteration() {
    if (exchanges)
      return 2; // whose rows of shared memory have different places: a barrier less
    int64_t operations = 0;
    mixer.walk([&](Operation *op) { operations += isa<UnaryOp, BinaryOp, ReadOp>(op); });
    operations *= static_cast<int64_t>(std::max<size_t>(carried.size(), 1));
    return operations > kUnrolled ? 1 : kMostUnrolled;
  }

  /// Walks tokens from `first` to `end`, several in an iteration.
  LogicalResult emitLoop(Value first, Value end, Value step, int64_t tokens,
                         SmallVector<Value> &current) {
    OpBuilder &builder = block->builder;
    auto loop = scf::ForOp::create(builder, block->loc, first, end, step, current);
    if (!block->firstLoop)
      block->firstLoop = loop;
    if (current.empty()) // then it has its terminator
      loop.getBody()->getTerminator()->erase();
    builder.setInsertionPointToEnd(loop.getBody());
    SmallVector<Value> inside(loop.getRegionIterArgs());
    for (int64_t number = 0; number < tokens; ++number) {
      Value token = number ? arith::AddIOp::create(builder, block->loc, loop.getInductionVar(),
                                                   block->i64(number))
                                 .getResult()
                           : loop.getInductionVar();
      if (direction == Direction::Backward) {
        Value last = arith::SubIOp::create(builder, block->loc, block->tokens, block->i64(1));
        token = arith::SubIOp::create(builder, block->loc, last, token);
      }
      if (failed(emitToken(token, inside)))
        return failure();
    }
    scf::YieldOp::create(builder, block->loc, inside);
    current.assign(loop.result_begin(), loop.result_end());
    builder.setInsertionPointAfter(loop);
    return success();
  }

  LogicalResult emitToken(Value token, SmallVector<Value> &current) {
    std::map<Carried, Value> known;
    for (auto [value, before] : llvm::zip_equal(carried, current))
      known[value] = before;
    expr->enterToken(token, known);
    if (failed(emitOutputs(token)))
      return failure();
    SmallVector<Value> next;
    for (const Carried &value : carried) {
      if (value.distance > 1) {
        next.push_back(known.at({value.name, value.element, value.distance - 1}));
        continue;
      }
      auto made = expr->valueOf(value.name, value.element);
      if (failed(made))
        return failure();
      next.push_back(inForm(value, *made));
    }
    current = std::move(next);
    return success();
  }

  /// Stores the outputs of a token, or those without tokens.
  LogicalResult emitOutputs(Value token) {
    const auto inputs = static_cast<int32_t>(llvm::range_size(mixer.getOps<TensorOp>()));
    const std::map<Carried, Value> none;
    if (!token)
      expr->enterToken(token, none);
    for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>())) {
      StringAttr source = output.getSourceAttr().getAttr();
      if (expr->isOfTokens(source) != static_cast<bool>(token))
        continue;
      LaneArray array = block->tensor(inputs + static_cast<int32_t>(number));
      std::optional<Place> own;
      if (token)
        own = Place{0, 1, 0, {}};
      else
        array.isThere = block->isEnding;
      for (const LaneElement &element : expr->elementsOf(source)) {
        auto value = expr->valueOf(source, element);
        if (failed(value))
          return failure();
        block->store(array, expr->places(source, element, own), token, *value);
      }
    }
    return success();
  }

  //===--- in words -------------------------------------------------------===//

  std::string words() const {
    if (shape.dims.empty())
      return "one lane for each batch element";
    std::vector<std::string> names;
    for (int32_t dim : shape.dims)
      names.push_back(plan.dims[dim].name);
    std::string over = shape.blocks > 1 ? fmt::format(", in {} blocks", shape.blocks) : "";
    const char *plural = carried.size() == 1 ? "" : "s";
    return fmt::format(
        "a lane for each of the {} places of {}{}; it carries {} number{} in registers", shape.size,
        fmt::join(names, " or "), over, carried.size(), plural);
  }
};

} // namespace

FailureOr<std::vector<LaunchPlan>> emitLaneKernels(MixerOp mixer, const MixerPlan &plan,
                                                   mlir::gpu::GPUModuleOp module, StringRef name,
                                                   const Borders *borders) {
  return LaneLowering(mixer, plan, module, name, borders).run();
}

} // namespace seqmix::gpu
