//===- Tiles.cpp - from a kernel's schedule to loops ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Tiles.h"

#include "compiler/tiles/EarlierRows.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Emits what tasks leave out that only reduce a part of the positions s.
LogicalResult unlessPart(Kernel &kernel, function_ref<LogicalResult()> body) {
  if (!kernel.isPart)
    return body();
  LogicalResult result = success();
  emitIf(kernel, kernel.isPart, [] {}, [&] { result = body(); });
  return result;
}

LogicalResult emitSteps(Kernel &kernel, Block::iterator it, Block::iterator end) {
  while (it != end) {
    Operation &op = *it++;
    if (auto eval = dyn_cast<EvalOp>(op)) { // with those behind it that can be computed together
      SmallVector<EvalOp> group = {eval};
      SmallVector<Equation> equations;
      if (auto equation = findEquation(kernel, eval.getOfAttr().getAttr()))
        equations.push_back(*equation);
      for (; it != end && !equations.empty(); ++it) {
        auto next = dyn_cast<EvalOp>(*it);
        if (!next || next.getLanes() != eval.getLanes())
          break;
        auto equation = findEquation(kernel, next.getOfAttr().getAttr());
        if (!equation)
          break;
        equations.push_back(*equation);
        if (!canFuse(equations, /*inLoop=*/false))
          break;
        group.push_back(next);
      }
      if (failed(emitEvals(kernel, group)))
        return failure();
      continue;
    }
    auto result =
        llvm::TypeSwitch<Operation *, LogicalResult>(&op)
            .Case([&](GatherOp gather) { return emitGather(kernel, gather); })
            .Case([&](LoopOp loop) { return emitLoop(kernel, loop); })
            .Case([&](SolveOp solve) { return emitSolve(kernel, solve); })
            .Case([&](SweepOp sweep) { return emitSweep(kernel, sweep); })
            .Case([&](ScatterOp scatter) {
              return unlessPart(kernel, [&] { return emitScatter(kernel, scatter); });
            })
            .Default([](Operation *other) { return other->emitOpError("is no step of a pass"); });
    if (failed(result))
      return failure();
  }
  return success();
}

/// A part of the positions s needs no step behind the last sweep.
LogicalResult emitSteps(Kernel &kernel, Block &steps) {
  auto rest = steps.begin();
  auto sweep = steps.begin();
  for (auto it = steps.begin(); it != steps.end(); ++it)
    if (isa<SweepOp>(*it)) {
      sweep = it;
      rest = std::next(it);
    }
  if (kernel.sweepsRows) { // there is one sweep, whose rows are made
    LogicalResult result = success();
    emitIf(
        kernel, kernel.sweepsRows, [] {},
        [&] { result = emitSteps(kernel, steps.begin(), sweep); });
    if (failed(result) || failed(emitSteps(kernel, sweep, rest)))
      return failure();
  } else if (failed(emitSteps(kernel, steps.begin(), rest))) {
    return failure();
  }
  if (rest == steps.begin())
    return emitSteps(kernel, rest, steps.end());
  return unlessPart(kernel, [&] { return emitSteps(kernel, rest, steps.end()); });
}

bool isTokenFree(Kernel &kernel, ScatterOp op) {
  auto name = op.getOfAttr().getAttr();
  return kernel.layout.isSymbol(name) && !kernel.layout.symbol(name).perToken;
}

LogicalResult emitPass(Kernel &kernel, PassOp pass) {
  auto &builder = kernel.builder;
  kernel.loc = pass.getLoc();
  auto loc = kernel.loc;
  kernel.direction = pass.getDirection();
  if (pass.getOnce()) {
    kernel.enter(kernel.layout.tokenDim);
    return emitSteps(kernel, pass.getBody().front());
  }
  kernel.enter(pass.getOverAttr() ? pass.getOverAttr().getAttr() : kernel.layout.tokenDim);
  bool forward = kernel.direction == Direction::Forward;
  // What has no token dim goes out once, even when there are no tokens.
  for (auto scatter : pass.getBody().getOps<ScatterOp>())
    if (isTokenFree(kernel, scatter) &&
        failed(unlessPart(kernel, [&] { return emitScatter(kernel, scatter); })))
      return failure();
  emitInitialRows(kernel, pass, Space::Sequence);
  for (auto convolve : llvm::make_early_inc_range(pass.getBody().getOps<ConvolveOp>())) {
    emitConvolve(kernel, convolve);
    convolve.erase();
  }
  kernel.loc = loc;
  if (forward)
    emitInitialRows(kernel, pass, Space::Rows);
  Value chunk = kernel.constant(kernel.layout.chunk);
  Value count = arith::CeilDivSIOp::create(builder, loc, kernel.tokens, chunk);
  auto loop = scf::ForOp::create(builder, loc, kernel.constant(0), count, kernel.constant(1));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  Value number = loop.getInductionVar();
  if (!forward) {
    Value last = arith::SubIOp::create(builder, loc, count, kernel.constant(1));
    number = arith::SubIOp::create(builder, loc, last, number);
  }
  Value start = arith::MulIOp::create(builder, loc, number, chunk);
  Value rest = arith::SubIOp::create(builder, loc, kernel.tokens, start);
  kernel.enterChunk(start, arith::MinSIOp::create(builder, loc, rest, chunk));
  if (!forward) {
    Value first = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq,
                                        loop.getInductionVar(), kernel.constant(0));
    auto branch = scf::IfOp::create(builder, loc, first, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard inner(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    emitInitialRows(kernel, pass, Space::Rows);
  }
  LogicalResult result = success();
  // Steps of token-free symbols are done; the others follow in order.
  SmallVector<ScatterOp> done;
  for (auto scatter : llvm::make_early_inc_range(pass.getBody().getOps<ScatterOp>()))
    if (isTokenFree(kernel, scatter))
      done.push_back(scatter);
  for (auto scatter : done)
    scatter.erase();
  result = emitSteps(kernel, pass.getBody().front());
  if (failed(result))
    return failure();
  kernel.loc = loc;
  if (!forward)
    emitWindowRows(kernel, pass);
  emitShiftRows(kernel, pass);
  kernel.chunkStart = kernel.chunkRows = {};
  return success();
}

func::FuncOp makeFunction(MixerOp mixer, const Layout &layout, ModuleOp into, const Twine &name) {
  auto builder = OpBuilder::atBlockEnd(into.getBody());
  auto type = builder.getFunctionType({framePointerType(builder.getContext())}, {});
  auto function =
      func::FuncOp::create(builder, mixer.getLoc(), builder.getStringAttr(name).getValue(), type);
  function->setAttr(kScratchBytes, builder.getI64IntegerAttr(layout.scratchBytes));
  function->setAttr(kSharedBytes, builder.getI64IntegerAttr(layout.sharedBytes));
  function->setAttr(kSequenceBytes, builder.getI64IntegerAttr(layout.sequenceBytes));
  function->setAttr(kPartialBytes, builder.getI64IntegerAttr(layout.partialBytes));
  if (layout.group > 1) {
    function->setAttr(kGroup, builder.getI64IntegerAttr(layout.group));
    function->setAttr(kGroupRows, builder.getI64IntegerAttr(layout.groupRows));
  }
  SmallVector<NamedAttribute> storage;
  for (auto &[dim, bytes] : layout.storageBytes)
    if (bytes > 0)
      storage.push_back(builder.getNamedAttr(dim, builder.getI64IntegerAttr(bytes)));
  if (!storage.empty())
    function->setAttr(kStorageBytes, builder.getDictionaryAttr(storage));
  return function;
}

LogicalResult emitPrologue(Kernel &kernel, KernelOp op, Space space) {
  for (auto prologue : op.getBody().getOps<PrologueOp>())
    if (prologue.getSpace() == space && failed(emitSteps(kernel, prologue.getBody().front())))
      return failure();
  return success();
}
} // namespace

LogicalResult seqmix::emitTiles(MixerOp original, const TargetInfo &target, ModuleOp into,
                                StringRef suffix) {
  original.getContext()
      ->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                    memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
  // Steps are consumed on the way, so a copy is used up.
  OwningOpRef<MixerOp> copy(original.clone());
  MixerOp mixer = *copy;
  auto kernels = mixer.getBody().getOps<KernelOp>();
  if (kernels.empty())
    return original.emitOpError("has no kernel; the chunk stage makes it");
  KernelOp op = *kernels.begin();
  auto layout = Layout::compute(mixer, op, target);
  if (failed(layout))
    return failure();
  auto finish = [&](Kernel &kernel) { func::ReturnOp::create(kernel.builder, mixer.getLoc()); };
  if (layout->sharedBytes > 0) {
    auto function = makeFunction(mixer, *layout, into, mixer.getSymName() + ".shared" + suffix);
    Kernel kernel(mixer, op, target, *layout, function);
    if (failed(emitPrologue(kernel, op, Space::Shared)))
      return failure();
    kernel.builder.setInsertionPointToEnd(&function.getBody().back());
    finish(kernel);
  }
  auto function = makeFunction(mixer, *layout, into, mixer.getSymName() + ".forward" + suffix);
  Kernel kernel(mixer, op, target, *layout, function);
  // Sweeps look rows up in the table; convolutions read them all at once.
  bool convolves = op.walk([](ConvolveOp) { return WalkResult::interrupt(); }).wasInterrupted();
  if (kernel.pages && !convolves)
    function->setAttr(kTakesPages, kernel.builder.getUnitAttr());
  if (failed(emitPrologue(kernel, op, Space::Task)) || failed(emitInitialStates(kernel)))
    return failure();
  if (kernel.earlier)
    function->setAttr(kMakesEarlier, kernel.builder.getUnitAttr());
  if (failed(emitEarlierRows(kernel)))
    return failure();
  emitOldWindows(kernel);
  bool reduced = false;
  for (auto pass : op.getBody().getOps<PassOp>()) {
    auto emit = [&] { return emitPass(kernel, pass); };
    bool hasSweep = !pass.getBody().getOps<SweepOp>().empty();
    if (failed(reduced ? unlessPart(kernel, emit) : emit()))
      return failure();
    reduced |= hasSweep;
  }
  kernel.direction = Direction::Forward;
  kernel.enter(layout->tokenDim);
  if (failed(emitFinalStates(kernel)))
    return failure();
  finish(kernel);
  return success();
}
