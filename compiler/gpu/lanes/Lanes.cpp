//===- Lanes.cpp - recurrences with a thread for each place of a dim --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/lanes/Lanes.h"

#include "compiler/chunk/Reads.h"
#include "compiler/gpu/lanes/CarryBehind.h"
#include "compiler/gpu/lanes/Directions.h"
#include "compiler/gpu/lanes/DivideRows.h"
#include "compiler/gpu/lanes/LaneExpr.h"
#include "compiler/gpu/lanes/LaneShapes.h"
#include "compiler/gpu/lanes/Segments.h"
#include "compiler/gpu/lanes/StoredTokens.h"
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

/// What a thread can carry in registers beside what it computes; in blocks of more than
/// `kMostThreads`, whose threads have half of the registers.
constexpr int64_t kMostCarried = 160, kMostCarriedOfMany = 96;
/// Operations of a token from which on a loop has one token an iteration. Below, loads of several
/// tokens are under way at once.
constexpr int64_t kUnrolled = 256, kMostUnrolled = 4;

class LaneLowering {
public:
  LaneLowering(MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp module, StringRef name,
               const Borders *borders, const LaneOutputs *outputs, const LanePhase &phase,
               const StoredTokens *stored)
      : mixer(mixer), plan(plan), module(module), name(name), borders(borders), outputs(outputs),
        phase(phase), storedTokens(stored), direction(phase.direction),
        regions(outputs   ? outputs->regions
                : borders ? static_cast<int32_t>(Borders::kRegions)
                : stored  ? static_cast<int32_t>(StoredTokens::kRegions)
                          : 0) {}

  /// Whether the form takes the mixer, and how its elements are divided.
  LogicalResult prepare(bool mayDivideRows) {
    if (failed(check()))
      return failure();
    exchanges = chooseLanes(mixer, plan, phase, shape);
    if (mayDivideRows && !exchanges && !shape.dims.empty())
      divideRows(mixer, plan, sharesCarry(mixer, plan, shape), shape);
    shape.blocks = llvm::divideCeil(shape.size, shape.lanes);
    return success();
  }

  bool dividesRows() const { return shape.group > 1; }

  FailureOr<std::vector<LaunchPlan>> run() {
    const int32_t number = countKernels(module);
    kernel = makeKernel(module, mixer.getLoc(), name, plan,
                        static_cast<int32_t>(shape.threads / 32), regions);
    LaneBlock own(plan, shape, kernel, mixer.getCompute(), regions);
    LaneExpr values(mixer, own, direction);
    block = &own;
    expr = &values;
    if (borders)
      segment.emplace(*borders, own, &values, isSummary(), direction);
    if (storedTokens) {
      stored.emplace(*storedTokens, own);
      values.setStored(&*stored, &phase.loaded);
    }
    collectCarried();
    LogicalResult result = success();
    const int64_t numbers =
        static_cast<int64_t>(carried.size()) * (shape.lanes * shape.group / shape.threads);
    const int64_t most = shape.threads > kMostThreads ? kMostCarriedOfMany : kMostCarried;
    if (numbers > most)
      result = refuse(mixer, fmt::format("a thread would carry {} values from token to token in "
                                         "registers; {} are possible",
                                         numbers, most));
    if (succeeded(result) && succeeded(emit())) {
      kernel->setAttr(formName, StringAttr::get(mixer.getContext(), words()));
      std::vector<LaunchPlan> launches = {
          launchOf(plan, shape, static_cast<int32_t>(shape.threads), regions)};
      if (writesBehind() && !isSummary() && !outputs) {
        auto behind = emitCarryBehind(mixer, plan, shape, module, (name + "_carry").str());
        if (failed(behind)) {
          kernel.erase();
          return failure();
        }
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
  const LaneOutputs *outputs;
  const LanePhase &phase;
  const StoredTokens *storedTokens;
  const Direction direction;
  int32_t regions;
  std::optional<LaneSegment> segment;
  std::optional<StoredBlock> stored;
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
    for (Operation &op : mixer.getBody().front()) {
      if (isa<AffineOp, PairsOp, ConvolutionOp>(op))
        return refuse(&op, isa<PairsOp>(op)         ? "reductions over pairs of positions"
                           : isa<ConvolutionOp>(op) ? "convolutions"
                                                    : "the block form of matrix states");
    }
    for (const CarryComponent &component : carryComponents(mixer)) {
      Operation *of = chunk::lookup(mixer, component.of);
      if (component.kind == CarryComponent::Rows)
        return refuse(of, "rows of earlier tokens without pairs");
      if (isLeftBehind(mixer, component) && !isa<TensorOp>(of))
        return refuse(of, "earlier tokens of a definition that batch elements share");
    }
    return success();
  }

  /// Whether a later launch writes a window of the carry.
  bool leavesWindow() const {
    return llvm::any_of(carryComponents(mixer), [&](const CarryComponent &component) {
      return isLeftBehind(mixer, component);
    });
  }

  /// Whether what is behind the call in the carry takes a launch of its own.
  bool writesBehind() const { return phase.isLast && leavesWindow(); }

  //===--- what is carried --------------------------------------------------===//

  /// How many tokens back each symbol is needed: by equations, and by the next call.
  llvm::MapVector<StringAttr, int64_t> distances() {
    llvm::MapVector<StringAttr, int64_t> result;
    auto note = [&](StringAttr symbol, int64_t distance) {
      if (distance > 0)
        result[symbol] = std::max(result[symbol], distance);
    };
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind == CarryComponent::Window &&
          phase.windows.contains(component.of.getAttr()))
        note(component.of.getAttr(), component.shape[0]);
    auto noteRead = [&](ReadOp read) {
      Operation *source = chunk::lookup(mixer, read.getSourceAttr());
      auto tensor = dyn_cast<TensorOp>(source);
      if (!chunk::readsToken(mixer, read) || isa<StateOp>(source) ||
          (tensor && tensor.getRole() == Role::Param) ||
          phase.loaded.contains(read.getSourceAttr().getAttr()))
        return;
      if (auto span = tokenSpan(mixer, read))
        note(read.getSourceAttr().getAttr(),
             direction == Direction::Forward ? -span->first : span->second);
    };
    for (Operation &op : mixer.getBody().front()) {
      auto next = dyn_cast<NextOp>(op);
      auto define = dyn_cast<DefineOp>(op);
      if ((next && phase.evaluated.contains(next.getStateAttr().getAttr())) ||
          (define && phase.evaluated.contains(define.getSymNameAttr())))
        op.walk(noteRead);
    }
    return result;
  }

  void collectCarried() {
    for (auto state : mixer.getOps<StateOp>())
      if (phase.states.contains(state.getSymNameAttr()))
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
    if (!isState && direction == Direction::Backward)
      return -1; // the tokens in front are others
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

  bool isTile(const Carried &value) const {
    return llvm::any_of(value.element, [](int64_t place) { return place < 0; });
  }

  /// Whether several threads carry it.
  bool isOfSeveral(const Carried &value) const {
    return !llvm::is_contained(value.element, -1) ||
           (shape.group > 1 && llvm::none_of(value.element, [](int64_t at) { return at < -1; }));
  }

  /// A value in the form in which loops carry it.
  Value inForm(const Carried &value, Value current) {
    Type type = expr->typeOf(value.name);
    if (type.isInteger(1) && !getElementTypeOrSelf(current.getType()).isInteger(1)) {
      Value none = block->zero(current.getType());
      current = arith::CmpIOp::create(block->builder, block->loc, arith::CmpIPredicate::ne, current,
                                      none);
    }
    return isTile(value) ? block->splat(current) : current;
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
      if (isTile(value)) {
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
    storeEdges(front);
    // What several threads read of the carry, one of them writes, perhaps to the same place.
    if (llvm::any_of(carried, [&](const Carried &value) { return isOfSeveral(value); }))
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
      if (auto at = placeInCarry(value); at && isLeft(value, at->first))
        block->store(block->carryOut(at->first), at->second, Value(), last);
    if (!outputs && phase.isLast && !writesBehind())
      block->storePosition();
    expr->closeFront();
    LLVM::ReturnOp::create(builder, block->loc, ValueRange());
    return success();
  }

  /// Whether this kernel writes a value for the next call.
  bool isLeft(const Carried &value, int32_t component) const {
    if (value.distance == 0)
      return true;
    for (const CarryComponent &own : carryComponents(mixer))
      if (own.name == plan.components[component].name)
        return phase.windows.contains(value.name) && !isLeftBehind(mixer, own);
    return false;
  }

  /// What stands in front of the first token, or of the last one, for later launches.
  void storeEdges(ArrayRef<Value> front) {
    for (auto [value, before] : llvm::zip_equal(carried, front)) {
      if (!phase.stored.contains(value.name))
        continue;
      const int64_t edges = stored->edgesOf(value.name);
      if (value.distance <= edges)
        stored->storeEdge(value.name, expr->places(value.name, value.element),
                          value.distance == 0 ? 0 : edges - value.distance, before);
    }
  }

  LogicalResult storeToken(Value token) {
    for (StringAttr name : phase.stored)
      for (const LaneElement &element : expr->elementsOf(name)) {
        auto value = expr->valueOf(name, element);
        if (failed(value))
          return failure();
        stored->store(name, expr->places(name, element), token, *value);
      }
    return success();
  }

  int64_t tokensOfIteration() {
    if (exchanges)
      return 2; // whose rows of shared memory have different places: a barrier less
    if (shape.group > 1)
      return 1; // a token has as many loads as registers hold
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
    if (failed(emitOutputs(token)) || failed(storeToken(token)))
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
      if (!phase.outputs.contains(output) || expr->isOfTokens(source) != static_cast<bool>(token))
        continue;
      LaneArray array = outputs ? outputs->array(*block, number)
                                : block->tensor(inputs + static_cast<int32_t>(number));
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

  std::string whatWalks(const std::string &words) const {
    if (!stored)
      return words;
    return (direction == Direction::Forward ? "forward: " : "backward: ") + words;
  }

  std::string words() const {
    if (shape.dims.empty())
      return whatWalks("one lane for each batch element");
    std::vector<std::string> names;
    for (int32_t dim : shape.dims)
      names.push_back(plan.dims[dim].name);
    std::string over = shape.blocks > 1 ? fmt::format(", in {} blocks", shape.blocks) : "";
    const char *plural = carried.size() == 1 ? "" : "s";
    std::string of = "it carries";
    if (shape.group > 1) {
      std::vector<std::string> rows;
      for (int32_t dim : shape.rowDims)
        rows.push_back(plan.dims[dim].name);
      of = fmt::format("{} threads divide the rows along {}, each carries", shape.group,
                       fmt::join(rows, " or "));
    }
    return whatWalks(
        fmt::format("a lane for each of the {} places of {}{}; {} {} number{} in registers",
                    shape.size, fmt::join(names, " or "), over, of, carried.size(), plural));
  }
};

} // namespace

/// The kernels of one direction, with rows divided among threads where that is wanted and taken.
static FailureOr<std::vector<LaunchPlan>>
emitPhase(MixerOp mixer, const MixerPlan &plan, mlir::gpu::GPUModuleOp module, StringRef name,
          const Borders *borders, const LaneOutputs *outputs, const LanePhase &phase,
          const StoredTokens *stored) {
  LaneLowering lowering(mixer, plan, module, name, borders, outputs, phase, stored);
  if (failed(lowering.prepare(/*mayDivideRows=*/!stored)))
    return failure();
  if (!lowering.dividesRows())
    return lowering.run();
  std::string reason;
  {
    ScopedDiagnosticHandler handler(mixer.getContext(), [&](Diagnostic &diagnostic) {
      reason = diagnostic.str();
      return success();
    });
    if (auto launches = lowering.run(); succeeded(launches))
      return launches;
  }
  ScopedDiagnosticHandler handler(mixer.getContext(), [&](Diagnostic &diagnostic) {
    diagnostic.attachNote(mixer.getLoc()) << "with rows divided among threads: " << reason;
    return failure(); // it goes on to who prints it
  });
  LaneLowering whole(mixer, plan, module, name, borders, outputs, phase, stored);
  if (failed(whole.prepare(/*mayDivideRows=*/false)))
    return failure();
  return whole.run();
}

FailureOr<LaneLaunches> emitLaneKernels(MixerOp mixer, const MixerPlan &plan,
                                        mlir::gpu::GPUModuleOp module, StringRef name,
                                        const Borders *borders, const LaneOutputs *outputs) {
  auto phases = findPhases(mixer);
  if (failed(phases))
    return failure();
  const bool isOne = phases->size() == 1;
  if (!isOne && outputs)
    return mixer.emitError() << "not lowered for CUDA yet: states in both directions beside "
                                "reductions over pairs",
           failure();
  const StoredTokens stored(mixer, *phases);
  LaneLaunches result;
  if (!isOne)
    result.regions = stored.regions(plan);
  for (auto [number, phase] : llvm::enumerate(*phases)) {
    const std::string own = isOne ? name.str() : fmt::format("{}_{}", name.str(), number);
    auto launches =
        emitPhase(mixer, plan, module, own, borders, outputs, phase, isOne ? nullptr : &stored);
    if (failed(launches))
      return failure();
    llvm::append_range(result.launches, *launches);
  }
  return result;
}

} // namespace seqmix::gpu
