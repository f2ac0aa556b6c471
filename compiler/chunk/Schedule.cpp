//===- Schedule.cpp - from canonical recurrences to the steps of a task -------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Schedule.h"

#include "compiler/chunk/Dependencies.h"
#include "compiler/chunk/Layout.h"
#include "compiler/chunk/Reads.h"
#include "compiler/structure/ConvolutionCost.h"
#include "compiler/tiles/Solve.h"
#include "dialect/Carry.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallSet.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix::chunk;

namespace seqmix {
namespace {

/// A split task covers this many elements: enough for contiguous pieces of rows that are worth a
/// visit, few enough that the rows of a chunk stay in the first-level cache and that a single
/// sequence fills several cores.
int64_t splitSize(int64_t size, int64_t lanes) {
  constexpr int64_t target = 128;
  return size >= 2 * target ? target : size > 4 * lanes ? llvm::alignTo((size + 1) / 2, lanes) : 0;
}

/// Columns of a tile of a pairwise reduction.
constexpr int64_t kSweepTile = 64;

/// Rows of the register tile of products over a batch block.
constexpr int64_t kBatchBlock = 8;

class Scheduler {
public:
  Scheduler(MixerOp mixer, const ScheduleOptions &options, Dependencies found)
      : mixer(mixer), options(options), all(std::move(found)), layout(chooseLayout(mixer, all)),
        builder(mixer.getContext()) {}

  LogicalResult run() {
    chooseSpaces();
    chooseSplit();
    chooseBatchBlock();
    auto [chunk, why] = chooseChunk();
    builder.setInsertionPointToEnd(&mixer.getBody().front());
    auto kernel = KernelOp::create(builder, mixer.getLoc(), builder.getI64IntegerAttr(chunk), split,
                                   split ? builder.getI64IntegerAttr(splitElements) : IntegerAttr(),
                                   builder.getI64IntegerAttr(batchBlock));
    kernel->setAttr("seq.chunk_reason", builder.getStringAttr(why));
    builder.createBlock(&kernel.getBody());
    emitBuffers();
    emitPrologue(Space::Shared);
    emitPrologue(Space::Task);
    findUsedPasses();
    for (int number : usedPasses)
      emitPass(number, all.passes[number]);
    return success();
  }

private:
  struct Buffer {
    Space space;
    int64_t halo = 0;
    int64_t ahead = 0;
  };
  MixerOp mixer;
  const ScheduleOptions &options;
  Dependencies all;
  Layout layout;
  OpBuilder builder;
  llvm::MapVector<StringAttr, Buffer> buffers; // states: their rows, if any; see stateBuffers
  llvm::SetVector<StringAttr> stateBuffers;
  llvm::SetVector<StringAttr> madeOnce; // made from inputs, yet kept for the whole sequence
  FlatSymbolRefAttr split;
  int64_t splitElements = 0;
  int64_t batchBlock = 1;
  SmallVector<int> usedPasses;
  int firstTokenPass = -1;

  bool isOutput(StringAttr name) {
    return llvm::any_of(mixer.getOps<OutputOp>(),
                        [&](OutputOp output) { return output.getSourceAttr().getAttr() == name; });
  }

  int64_t windowOf(StringAttr name) {
    for (auto &component : carryComponents(mixer))
      if (component.kind == CarryComponent::Window && component.of.getAttr() == name)
        return component.shape[0];
    return 0;
  }

  /// The passes in which a node's value is made.
  SmallVector<int> passesOf(const Node &node) {
    if (node.late)
      return {node.pass};
    if (node.tokenFree)
      return {};
    bool once = llvm::any_of(node.makes, [&](StringAttr name) { return madeOnce.contains(name); });
    if (!node.fromInputs || once)
      return {node.pass};
    llvm::SmallSetVector<int, 2> passes;
    if (llvm::any_of(node.makes, [&](StringAttr name) { return isOutput(name) || windowOf(name); }))
      passes.insert(node.pass);
    for (const Node &reader : all.nodes)
      if (!reader.tokenFree && &reader != &node &&
          llvm::any_of(node.makes, [&](StringAttr name) { return reader.reads.count(name); }))
        for (int pass : passesOf(reader))
          passes.insert(pass);
    return passes.takeVector();
  }

  bool inTimeEverywhere(const Node &reader, const ReadSpan &span) {
    return llvm::all_of(passesOf(reader), [&](int pass) {
      return span.local &&
             (all.passes[pass].direction == Direction::Forward ? span.max <= 0 : span.min >= 0);
    });
  }

  void noteRead(const Node &reader, StringAttr name, const ReadSpan &span) {
    Operation *source = lookup(mixer, name);
    auto found = all.producer.find(name);
    const Node *made = found == all.producer.end() ? nullptr : &all.nodes[found->second];
    if (isa<TensorOp>(source) || !made) {
      // What is read at any position is read in the caller's memory.
      if (isa<TensorOp>(source) && isTokenIndexed(mixer, dimsOf(source)) && span.near)
        widen(buffers.insert({name, {Space::Rows}}).first->second, span);
      return;
    }
    if (made->tokenFree)
      return;
    bool inside = made == &reader;
    if (isa<StateOp>(source) && inside)
      return;
    if (inside && span.local && span.min == 0 && span.max == 0)
      return; // a member of the same token
    auto &buffer = buffers.insert({name, {Space::Rows}}).first->second;
    widen(buffer, span);
    if (inside)
      return;
    if (isa<ConvolutionOp>(made->op))
      buffer.space = Space::Sequence;
    if (made->fromInputs
            ? !inTimeEverywhere(reader, span)
            : llvm::any_of(passesOf(reader), [&](int pass) { return pass != made->pass; })) {
      buffer.space = Space::Sequence;
      if (made->fromInputs)
        madeOnce.insert(name);
    }
  }

  static void widen(Buffer &buffer, const ReadSpan &span) {
    buffer.halo = std::max(buffer.halo, -span.min);
    buffer.ahead = std::max(buffer.ahead, span.max);
  }

  void chooseSpaces() {
    // A pass that runs backwards ends with the first tokens: the last ones, which the carry wants,
    // must still be there.
    if (llvm::any_of(all.passes,
                     [](const PassPlan &pass) { return pass.direction == Direction::Backward; }))
      for (const Node &node : all.nodes)
        for (StringAttr name : node.makes)
          if (!node.tokenFree && windowOf(name))
            madeOnce.insert(name);
    // Rows that are carried go out at the end, even if they are read where they are made only.
    for (const CarryComponent &component : carryComponents(mixer))
      if (auto name = component.of.getAttr();
          component.kind == CarryComponent::Rows && isa<DefineOp>(lookup(mixer, name))) {
        buffers[name].space = Space::Sequence;
        madeOnce.insert(name);
      }
    // Readers come after what they read, so the last first: whether a node is made once decides
    // where its own reads happen.
    for (const Node &node : llvm::reverse(all.nodes))
      for (auto &[name, span] : node.reads)
        noteRead(node, name, span);
    // What has no token dim is placed with the equation that makes it.
    for (auto output : mixer.getOps<OutputOp>()) {
      Operation *source = lookup(mixer, output.getSourceAttr());
      bool perToken = isa<StateOp>(source) || isTokenIndexed(mixer, dimsOf(source));
      if (perToken && !hasPairs(mixer, output.getSourceAttr().getAttr()))
        buffers.insert({output.getSourceAttr().getAttr(), {Space::Rows}});
    }
    for (Node &node : all.nodes) {
      for (StringAttr name : node.makes) {
        // The sweep gives the caller what it has for every pair.
        if (isa<StateOp>(lookup(mixer, name)) || hasPairs(mixer, name))
          continue;
        Space space = node.late                     ? Space::Task
                      : node.tokenFree              ? spaceWithoutTokens(node)
                      : isa<RecurrenceOp>(node.op)  ? Space::Token
                      : isa<ConvolutionOp>(node.op) ? Space::Sequence
                                                    : Space::Rows;
        auto &buffer = buffers.insert({name, {space}}).first->second;
        buffer.halo = std::max(buffer.halo, windowOf(name));
        if (madeOnce.contains(name))
          buffer.space = Space::Sequence;
      }
    }
    for (auto tensor : mixer.getOps<TensorOp>()) {
      if (!isTokenIndexed(mixer, tensor.getDims()))
        buffers.insert({tensor.getSymNameAttr(), {spaceWithoutTokens(tensor)}});
      else if (int64_t window = windowOf(tensor.getSymNameAttr())) {
        auto &buffer = buffers.insert({tensor.getSymNameAttr(), {Space::Rows}}).first->second;
        buffer.halo = std::max(buffer.halo, window);
      }
    }
    for (auto state : mixer.getOps<StateOp>())
      stateBuffers.insert(state.getSymNameAttr());
    // Tensors that nothing reads any more need no buffer.
    buffers.remove_if([&](auto &entry) {
      return isa<TensorOp>(lookup(mixer, entry.first)) && !isOutput(entry.first) &&
             !windowOf(entry.first) && llvm::none_of(all.nodes, [&](const Node &node) {
               return node.reads.count(entry.first);
             });
    });
  }

  /// What the first batch dim does not touch is made once for all its elements.
  Space spaceWithoutTokens(TensorOp tensor) {
    auto dims = mixer.getOps<DimOp>();
    auto first = llvm::find_if(dims, [](DimOp dim) { return dim.getKind() == DimKind::Batch; });
    bool perElement = first != dims.end() &&
                      llvm::any_of(tensor.getBatch().getAsRange<BatchAttr>(), [&](BatchAttr batch) {
                        return batch.getDim().getAttr() == (*first).getSymNameAttr();
                      });
    return tensor.getRole() == Role::Param && !perElement ? Space::Shared : Space::Task;
  }

  Space spaceWithoutTokens(const Node &node) {
    for (auto &[name, span] : node.reads) {
      Operation *source = lookup(mixer, name);
      if (auto tensor = dyn_cast<TensorOp>(source))
        if (spaceWithoutTokens(tensor) == Space::Task)
          return Space::Task;
      if (auto found = all.producer.find(name);
          found != all.producer.end() &&
          spaceWithoutTokens(all.nodes[found->second]) == Space::Task)
        return Space::Task;
    }
    // The length of the sequence as a number is the task's.
    for (Operation *body : node.bodies)
      if (body->walk([](ExtentOp) { return WalkResult::interrupt(); }).wasInterrupted())
        return Space::Task;
    return Space::Shared;
  }

  void chooseSplit() {
    FlatSymbolRefAttr dim = findSplitDim(mixer, all);
    if (!dim)
      return;
    splitElements = splitSize(fixedSize(mixer, dim), options.lanes);
    if (splitElements)
      split = dim;
  }

  /// Products with weights inside a token loop read every weight once a token: batch elements that
  /// go through together share that.
  void chooseBatchBlock() {
    bool hasBatch = llvm::any_of(mixer.getOps<DimOp>(),
                                 [](DimOp dim) { return dim.getKind() == DimKind::Batch; });
    bool multiplies = false;
    for (const Node &node : all.nodes) {
      bool readsFar = llvm::any_of(node.reads, [](auto &entry) { return !entry.second.local; });
      if (readsFar || isa<AffineOp, PairsOp>(node.op))
        return;
      auto recurrence = dyn_cast<RecurrenceOp>(node.op);
      if (!recurrence || recurrence.getLanesAttr())
        continue;
      for (Operation *equation : node.bodies)
        equation->walk([&](ReduceOp reduce) {
          reduce->walk([&](ReadOp read) {
            auto tensor = dyn_cast<TensorOp>(lookup(mixer, read.getSourceAttr()));
            multiplies |= tensor && tensor.getRole() == Role::Param && tensor.getDims().size() >= 2;
          });
        });
    }
    // What is kept for the whole sequence has room for one batch element.
    bool keepsSequence =
        llvm::any_of(buffers, [](auto &entry) { return entry.second.space == Space::Sequence; });
    if (hasBatch && multiplies && !split && !keepsSequence)
      batchBlock = kBatchBlock;
  }

  int64_t rowElements(StringAttr name) {
    Operation *symbol = lookup(mixer, name);
    int64_t elements = elementsPerToken(mixer, dimsOf(symbol));
    if (split && llvm::is_contained(dimsOf(symbol), split))
      elements = elements / fixedSize(mixer, split) * splitElements;
    return elements;
  }

  /// And why that many tokens, for `seqc explain`.
  std::pair<int64_t, std::string> chooseChunk() {
    if (all.tokenByToken)
      return {1, "reductions over positions read what they made for the token before"};
    if (options.chunk)
      return {options.chunk, "asked for"};
    if (llvm::any_of(all.nodes, [](const Node &node) { return isa<PairsOp>(node.op); }))
      return {2 * sweepVectors() * options.lanes,
              "two panels of rows share the packing of a tile of columns"};
    int64_t bytes = 1;
    bool solves = llvm::any_of(all.nodes, [](const Node &node) { return isa<AffineOp>(node.op); });
    for (auto &[name, buffer] : buffers)
      if (buffer.space == Space::Rows)
        bytes += rowElements(name) * batchBlock * mixer.getCompute().getIntOrFloatBitWidth() / 8;
    int64_t fits = options.cacheBytes / bytes;
    // The state of a block form shares the cache with the rows, and 16 tokens amortise a segment's
    // fixed work.
    int64_t least = 16, most = solves ? 32 : 128;
    int64_t chunk = std::clamp<int64_t>(llvm::PowerOf2Ceil(fits + 1) / 2, least, most);
    std::string why = fmt::format("buffers of {} bytes a token, {} bytes of cache for them",
                                  bytes - 1, options.cacheBytes);
    if (chunk > fits)
      why += "; fewer tokens would not pay for a chunk's fixed work";
    else if (chunk == most)
      why += solves ? "; more would push the state out of the cache"
                    : "; more have nothing left to amortise";
    return {chunk, why};
  }

  /// Vectors of rows in a panel: with four columns they fill the registers with accumulators.
  int64_t sweepVectors() const { return options.registers >= 32 ? 4 : 2; }

  void emitBuffers() {
    auto emit = [&](StringAttr name, Space space, int64_t halo, int64_t ahead) {
      BufferOp::create(builder, mixer.getLoc(), FlatSymbolRefAttr::get(name),
                       SpaceAttr::get(builder.getContext(), space),
                       builder.getDenseI64ArrayAttr(layout.order.lookup(name)),
                       builder.getI64IntegerAttr(halo), builder.getI64IntegerAttr(ahead));
    };
    for (auto &[name, buffer] : buffers)
      emit(name, buffer.space, buffer.halo, buffer.ahead);
    for (StringAttr name : stateBuffers)
      emit(name, Space::State, 0, 0);
  }

  void emitPrologue(Space space) {
    auto prologue =
        PrologueOp::create(builder, mixer.getLoc(), SpaceAttr::get(builder.getContext(), space));
    OpBuilder::InsertionGuard guard(builder);
    builder.createBlock(&prologue.getBody());
    for (auto &[name, buffer] : buffers)
      if (buffer.space == space && isa<TensorOp>(lookup(mixer, name)))
        GatherOp::create(builder, mixer.getLoc(), FlatSymbolRefAttr::get(name));
    for (const Node &node : all.nodes)
      if (node.tokenFree && !node.late && buffers.lookup(node.makes[0]).space == space)
        emitEval(node);
    if (prologue.getBody().front().empty())
      prologue.erase();
  }

  void emitEval(const Node &node) {
    EvalOp::create(builder, node.op->getLoc(), FlatSymbolRefAttr::get(node.makes[0]),
                   builder.getI64IntegerAttr(layout.lanes.lookup(node.op)));
  }

  /// Windows and outputs that no step needs are still the caller's.
  bool isWantedTensor(StringAttr name, const Buffer &buffer) {
    return isa<TensorOp>(lookup(mixer, name)) && buffer.space == Space::Rows &&
           (windowOf(name) || isOutput(name));
  }

  /// Passes without steps are left out: what comes from inputs may be made in later ones only.
  void findUsedPasses() {
    llvm::SmallSet<int, 4> used;
    for (const Node &node : all.nodes)
      for (int pass : passesOf(node))
        used.insert(pass);
    FlatSymbolRefAttr tokenDim = tokenDimOf(mixer);
    bool isWanted = llvm::any_of(
        buffers, [&](auto &entry) { return isWantedTensor(entry.first, entry.second); });
    for (int number = 0; number < static_cast<int>(all.passes.size()); ++number) {
      bool walksTokens = all.passes[number].dim && all.passes[number].dim == tokenDim;
      if (walksTokens && firstTokenPass < 0 && (isWanted || used.contains(number)))
        firstTokenPass = number;
      if (used.contains(number) || number == firstTokenPass)
        usedPasses.push_back(number);
    }
    if (!usedPasses.empty())
      return;
    // Everything is made before the first token; a pass gives it out.
    if (all.passes.empty())
      all.passes.push_back({tokenDim, Direction::Forward});
    firstTokenPass = 0;
    usedPasses.push_back(0);
  }

  void emitPass(int number, const PassPlan &plan) {
    bool walksTokens = plan.dim && plan.dim == tokenDimOf(mixer);
    auto pass = PassOp::create(builder, mixer.getLoc(),
                               DirectionAttr::get(builder.getContext(), plan.direction),
                               walksTokens ? FlatSymbolRefAttr() : plan.dim,
                               plan.dim ? UnitAttr() : builder.getUnitAttr());
    OpBuilder::InsertionGuard guard(builder);
    builder.createBlock(&pass.getBody());
    SmallVector<const Node *> nodes;
    llvm::SetVector<StringAttr> tensors;
    for (const Node &node : all.nodes) {
      if (!llvm::is_contained(passesOf(node), number))
        continue;
      nodes.push_back(&node);
      for (auto &[name, span] : node.reads)
        if (auto tensor = dyn_cast<TensorOp>(lookup(mixer, name));
            tensor && isTokenIndexed(mixer, tensor.getDims()) && span.near)
          tensors.insert(name);
    }
    if (number == firstTokenPass)
      for (auto &[name, buffer] : buffers)
        if (isWantedTensor(name, buffer))
          tensors.insert(name);
    for (const Node *node : nodes)
      if (isa<ConvolutionOp>(node->op))
        emitConvolve(*node);
    for (StringAttr name : tensors)
      GatherOp::create(builder, mixer.getLoc(), FlatSymbolRefAttr::get(name));
    for (const Node *node : nodes)
      if (!isa<ConvolutionOp>(node->op))
        emitStep(*node);
    llvm::SetVector<StringAttr> scattered;
    for (auto output : mixer.getOps<OutputOp>()) {
      StringAttr name = output.getSourceAttr().getAttr();
      if (hasPairs(mixer, name))
        continue;
      auto found = all.producer.find(name);
      const Node *maker = found == all.producer.end() ? nullptr : &all.nodes[found->second];
      bool isEarly = !maker || (maker->tokenFree && !maker->late);
      if ((isEarly ? usedPasses.front() : maker->pass) == number && scattered.insert(name))
        ScatterOp::create(builder, output.getLoc(), output.getSourceAttr());
    }
  }

  void emitStep(const Node &node) {
    if (isa<DefineOp>(node.op))
      emitEval(node);
    else if (auto affine = dyn_cast<AffineOp>(node.op))
      emitSolve(affine);
    else if (auto pairs = dyn_cast<PairsOp>(node.op))
      SweepOp::create(builder, node.op->getLoc(), FlatSymbolRefAttr::get(node.makes[0]),
                      builder.getI64IntegerAttr(kSweepTile),
                      builder.getI64IntegerAttr(sweepVectors()),
                      builder.getI64IntegerAttr(laneRowOf(pairs)));
    else
      emitLoop(node);
  }

  void emitConvolve(const Node &node) {
    // A window of 2 * rows - 1 vectors, as many sums as rows, and a weight are in registers.
    int64_t rows = options.registers >= 32 ? 8 : 4;
    bool transforms = leastTransformed(cast<ConvolutionOp>(node.op)).has_value();
    ConvolveOp::create(builder, node.op->getLoc(), FlatSymbolRefAttr::get(node.makes[0]),
                       builder.getI64IntegerAttr(layout.lanes.lookup(node.op)),
                       builder.getI64IntegerAttr(rows),
                       transforms ? builder.getUnitAttr() : UnitAttr());
  }

  void emitSolve(AffineOp affine) {
    AffineBlockSpec spec = affineShape(mixer, affine);
    spec.lanes = options.lanes;
    spec.registers = options.registers;
    spec = chooseBlock(spec);
    SolveOp::create(builder, affine.getLoc(), affine.getStateAttr(),
                    builder.getI64IntegerAttr(spec.block), builder.getI64IntegerAttr(spec.panel));
  }

  /// States whose value before the token is read when they are, or may have been, written already.
  SmallVector<Attribute> keptStates(const Node &node) {
    SmallVector<Attribute> kept;
    for (auto [position, name] : llvm::enumerate(node.makes)) {
      auto state = dyn_cast<StateOp>(lookup(mixer, name));
      if (!state)
        continue;
      bool keep = false;
      for (auto [other, equation] : llvm::enumerate(node.bodies)) {
        if (other < position)
          continue;
        equation->walk([&](ReadOp read) {
          if (read.getSourceAttr().getAttr() != name ||
              tokenSpan(mixer, read) == std::pair<int64_t, int64_t>(0, 0))
            return;
          bool own = other == position;
          for (unsigned place = 1; own && place < read.getMap().getNumResults(); ++place)
            own = placeOf(read, bodyOf(equation).getArgument(place)) == place &&
                  isa<AffineDimExpr>(read.getMap().getResult(place));
          keep |= !own;
        });
      }
      if (keep)
        kept.push_back(FlatSymbolRefAttr::get(name));
    }
    return kept;
  }

  void emitLoop(const Node &node) {
    auto recurrence = cast<RecurrenceOp>(node.op);
    LoopOp::create(builder, recurrence.getLoc(), recurrence.getMembersAttr(),
                   recurrence.getLanesAttr(), builder.getArrayAttr(keptStates(node)));
  }
};

} // namespace

LogicalResult schedule(MixerOp mixer, const ScheduleOptions &options) {
  auto all = findDependencies(mixer);
  if (failed(all))
    return failure();
  return Scheduler(mixer, options, std::move(*all)).run();
}

} // namespace seqmix
