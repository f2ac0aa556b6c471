//===- Loop.cpp - recurrences token by token -----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
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
/// Consecutive members that are computed element by element together.
SmallVector<SmallVector<Equation>> fuse(ArrayRef<Equation> members) {
  SmallVector<SmallVector<Equation>> groups;
  for (auto &member : members) {
    if (!groups.empty()) {
      groups.back().push_back(member);
      if (canFuse(groups.back(), /*inLoop=*/true))
        continue;
      groups.back().pop_back();
    }
    groups.push_back({member});
  }
  return groups;
}

/// The dim along which vectors run: the contiguous one of a buffer that the group writes.
int64_t laneDimOf(const Kernel &kernel, ArrayRef<Equation> group) {
  for (auto &equation : group)
    for (auto &buffer : kernel.layout.buffers())
      if (buffer.of == equation.name)
        return buffer.contiguous;
  return static_cast<int64_t>(group.front().info->sizes.size()) - 1;
}

/// Vectors that one tile of a matrix-vector product holds, to hide the latency of its sums.
constexpr int64_t kVectors = 8;
} // namespace

LogicalResult seqmix::emitLoop(Kernel &kernel, LoopOp op) {
  kernel.loc = op.getLoc();
  auto &builder = kernel.builder;
  auto loc = kernel.loc;
  if (op.getLanes()) {
    bool handled = false;
    if (failed(emitLaneLoop(kernel, op, handled)))
      return failure();
    if (handled)
      return success();
  }

  SmallVector<Equation> members;
  for (auto name : op.getMembers().getAsRange<FlatSymbolRefAttr>()) {
    auto equation = findEquation(kernel, name.getAttr());
    if (!equation)
      return op.emitOpError("runs '") << name.getValue() << "', which has no equation";
    if (!equation->info->perToken)
      return op.emitOpError("runs '") << name.getValue() << "', which has no token dim";
    members.push_back(*equation);
  }
  // States whose old value is needed after the new one is written live twice; which of the two is
  // the old one alternates from token to token.
  SmallVector<const BufferLayout *> doubled;
  Scope scope;
  for (auto &member : members) {
    if (!member.isState())
      continue;
    auto *buffer = kernel.layout.buffer(member.name, Space::State);
    if (!buffer || buffer->panels)
      return op.emitOpError("runs '") << member.name.getValue() << "', which has no state buffer";
    if (buffer->copy)
      doubled.push_back(buffer);
    scope.states[member.name] = {buffer, {}, {}};
  }
  Value zero = kernel.constant(0);
  auto loop = scf::ForOp::create(builder, loc, zero, kernel.chunkRows, kernel.constant(1),
                                 SmallVector<Value>(doubled.size(), zero));
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value row = loop.getInductionVar();
    if (kernel.direction == Direction::Backward) {
      Value last = arith::SubIOp::create(builder, loc, kernel.chunkRows, kernel.constant(1));
      row = arith::SubIOp::create(builder, loc, last, row);
    }
    scope.row = Emitted::integer(IndexValue::of(row));
    SmallVector<Value> next;
    for (auto [buffer, previous] : llvm::zip_equal(doubled, loop.getRegionIterArgs())) {
      auto &slots = scope.states[buffer->of];
      slots.previous = previous;
      slots.current = arith::SubIOp::create(builder, loc, kernel.constant(buffer->copy), previous);
      next.push_back(slots.current);
    }
    for (auto &group : fuse(members)) {
      int64_t lane = laneDimOf(kernel, group);
      int64_t vectors = 1;
      if (lane >= 0)
        vectors = llvm::divideCeil(kernel.isSplit(group.front().info->dims[lane])
                                       ? kernel.layout.splitSize
                                       : group.front().info->sizes[lane],
                                   kernel.lanes);
      TileShape shape = tileShape(kernel, group, vectors);
      // A single batch element has registers for longer pieces of the weights' rows, which are
      // cheaper to stream.
      int64_t single = shape.vectors;
      if (shape.rows > 1)
        single = std::min(vectors, kernel.target.registers >= 32 ? kVectors : kVectors / 2);
      if (failed(forBatchTiles(kernel, scope, shape.rows, [&]() -> LogicalResult {
            scope.vectors = scope.batch.rows > 1 ? shape.vectors : single;
            return emitElements(kernel, scope, group, lane, {});
          })))
        return failure();
    }
    if (!next.empty()) // a loop without values has its terminator already
      scf::YieldOp::create(builder, loc, next);
  }
  // Between chunks the value stands in the first copy.
  for (auto [buffer, last] : llvm::zip_equal(doubled, loop.getResults())) {
    Value moved = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, last, zero);
    auto branch = scf::IfOp::create(builder, loc, moved, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    ExprEmitter emitter(kernel, scope);
    kernel.forEach(kernel.constant(buffer->copy), kernel.lanes, [&](Value element) {
      IndexValue to = IndexValue::of(element), from = to;
      to.step = from.step = 1;
      from.offset = buffer->copy;
      Value memref = kernel.memref(*buffer);
      Value value = emitter.load(memref, buffer->kind, from, {});
      emitter.storeVector(memref, value, to);
    });
  }
  return success();
}
