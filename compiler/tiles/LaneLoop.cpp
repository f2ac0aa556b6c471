//===- LaneLoop.cpp - recurrences with their states in registers ---------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Where everything is independent along one dim, vectors run along it, and the tokens of the chunk
// run inside: a state is loaded once a chunk and lives in registers meanwhile. Its other dims are
// written out, so there must be few of them.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Vectors of states, and expressions written out in the body, beyond which memory is used.
constexpr int64_t kStateVectors = 32, kPoints = 256;

/// An equation with the number of its lane dim (-1 if it is the same for all lanes) and the points
/// of its other dims.
struct Member {
  Equation equation;
  int64_t lane = -1;
  SmallVector<SmallVector<int64_t>> points;
};

/// All points of the dims except the lane's, whose entry is left zero.
SmallVector<SmallVector<int64_t>> pointsOf(ArrayRef<int64_t> sizes, int64_t lane) {
  SmallVector<SmallVector<int64_t>> points = {SmallVector<int64_t>(sizes.size())};
  for (auto [dim, size] : llvm::enumerate(sizes)) {
    if (static_cast<int64_t>(dim) == lane)
      continue;
    SmallVector<SmallVector<int64_t>> longer;
    for (auto &point : points)
      for (int64_t number = 0; number < size; ++number) {
        longer.push_back(point);
        longer.back()[dim] = number;
      }
    points = std::move(longer);
  }
  return points;
}

class LaneLoop {
public:
  LaneLoop(Kernel &kernel, LoopOp op) : kernel(kernel), op(op) {}

  /// Finds the members; `fits` says whether their states and code are small enough.
  LogicalResult plan(bool &fits);
  LogicalResult emit();

private:
  LogicalResult emitLanes(const IndexValue &first, int64_t vectors);
  SmallVector<Emitted> indicesOf(const Member &member, ArrayRef<int64_t> point);

  Kernel &kernel;
  LoopOp op;
  SmallVector<Member> members;
  int64_t size = 0, stateVectors = 0;
  Scope scope;
  Emitted lanes;
};

LogicalResult LaneLoop::plan(bool &fits) {
  auto lanesName = op.getLanesAttr().getAttr();
  fits = true;
  int64_t points = 0;
  for (auto name : op.getMembers().getAsRange<FlatSymbolRefAttr>()) {
    auto equation = findEquation(kernel, name.getAttr());
    if (!equation)
      return op.emitOpError("runs '") << name.getValue() << "', which has no equation";
    Member member{*equation, -1, {}};
    int64_t others = 1;
    SmallVector<int64_t> sizes(equation->info->sizes);
    for (auto [number, dim] : llvm::enumerate(equation->info->dims)) {
      if (kernel.isSplit(dim))
        sizes[number] = kernel.layout.splitSize;
      if (dim == lanesName) {
        member.lane = number;
        size = sizes[number];
      } else {
        others *= sizes[number];
      }
    }
    if (equation->isState()) {
      auto *buffer = kernel.layout.buffer(equation->name, Space::State);
      if (member.lane < 0 || !buffer || buffer->contiguous != member.lane)
        fits = false;
      stateVectors += others;
    }
    points += others * largestReduction(kernel, {*equation});
    if (points > kPoints || stateVectors > kStateVectors) {
      fits = false;
      return success();
    }
    member.points = pointsOf(sizes, member.lane);
    members.push_back(std::move(member));
  }
  fits &= size > 0;
  return success();
}

SmallVector<Emitted> LaneLoop::indicesOf(const Member &member, ArrayRef<int64_t> point) {
  SmallVector<Emitted> indices;
  for (auto [dim, number] : llvm::enumerate(point))
    indices.push_back(static_cast<int64_t>(dim) == member.lane
                          ? lanes
                          : Emitted::integer(IndexValue::constant(number)));
  return indices;
}

LogicalResult LaneLoop::emitLanes(const IndexValue &first, int64_t vectors) {
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  ExprEmitter outside(kernel, scope);
  lanes = laneIndices(kernel, first, size, vectors);
  scope.unroll = true;
  scope.vectors = vectors;
  scope.registers.clear();
  // Vectors of all states, in the order of members, points and vectors.
  Value zero = kernel.constant(0);
  SmallVector<Value> initial;
  for (auto &member : members) {
    if (!member.equation.isState())
      continue;
    auto *buffer = kernel.layout.buffer(member.equation.name, Space::State);
    for (auto &point : member.points) {
      auto indices = indicesOf(member, point);
      Emitted value = outside.elementOf(*buffer, scope.row, indices, {});
      llvm::append_range(initial, value.values);
    }
  }
  bool backward = kernel.direction == Direction::Backward;
  auto loop = scf::ForOp::create(builder, loc, zero, kernel.chunkRows, kernel.constant(1), initial);
  auto unpack = [&](ValueRange values,
                    function_ref<void(const Member &, ArrayRef<Emitted>, const Emitted &)> take) {
    size_t next = 0;
    for (auto &member : members) {
      if (!member.equation.isState())
        continue;
      for (auto &point : member.points) {
        Emitted value;
        value.vectors = vectors;
        for (int64_t vector = 0; vector < vectors; ++vector)
          value.values.push_back(values[next++]);
        take(member, indicesOf(member, point), value);
      }
    }
  };
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value row = loop.getInductionVar();
    if (backward) {
      Value last = arith::SubIOp::create(builder, loc, kernel.chunkRows, kernel.constant(1));
      row = arith::SubIOp::create(builder, loc, last, row);
    }
    scope.row = Emitted::integer(IndexValue::of(row));
    IndexValue before = IndexValue::of(row);
    before.offset = backward ? 1 : -1;
    unpack(loop.getRegionIterArgs(),
           [&](const Member &member, ArrayRef<Emitted> indices, const Emitted &value) {
             SmallVector<Emitted> key = {Emitted::integer(before)};
             llvm::append_range(key, indices);
             scope.registers.set(member.equation.name, key, value);
           });
    SmallVector<Value> next;
    for (auto &member : members)
      for (auto &point : member.points) {
        auto indices = indicesOf(member, point);
        ExprEmitter emitter(kernel, scope);
        auto &equation = member.equation;
        auto value =
            emitter.equation(*equation.body, *equation.domain, equation.info->perToken, indices);
        if (failed(value))
          return failure();
        SmallVector<Emitted> key = {scope.row};
        llvm::append_range(key, indices);
        scope.registers.set(equation.name, key, *value);
        storeElement(kernel, scope, emitter, equation, *value, indices);
        if (equation.isState())
          for (int64_t vector = 0; vector < vectors; ++vector)
            next.push_back(emitter.broadcast(value->value(0, vector)));
      }
    if (!next.empty()) // a loop without values has its terminator already
      scf::YieldOp::create(builder, loc, next);
  }
  scope.registers.clear();
  scope.row = Emitted::integer(IndexValue::constant(0));
  unpack(loop.getResults(),
         [&](const Member &member, ArrayRef<Emitted> indices, const Emitted &value) {
           auto *buffer = kernel.layout.buffer(member.equation.name, Space::State);
           outside.store(*buffer, value, scope.row, indices);
         });
  return success();
}

LogicalResult LaneLoop::emit() {
  int64_t blocks = llvm::divideCeil(size, kernel.lanes);
  // Several vectors of lanes hide the latency of short chains of operations.
  int64_t together = std::clamp<int64_t>(4 / std::max<int64_t>(1, stateVectors), 1, blocks);
  int64_t whole = blocks / together * together;
  return forBatchTiles(kernel, scope, 1, [&]() -> LogicalResult {
    LogicalResult result = success();
    kernel.forEach(whole * kernel.lanes, together * kernel.lanes, [&](IndexValue first) {
      if (failed(emitLanes(first, together)))
        result = failure();
    });
    if (failed(result) || whole == blocks)
      return result;
    return emitLanes(IndexValue::constant(whole * kernel.lanes), blocks - whole);
  });
}
} // namespace

LogicalResult seqmix::emitLaneLoop(Kernel &kernel, LoopOp op, bool &handled) {
  LaneLoop loop(kernel, op);
  if (failed(loop.plan(handled)))
    return failure();
  return handled ? loop.emit() : success();
}
