//===- ExecuteWarp.cpp - what the lanes of a warp do together ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "compiler/gpu/emulator/DialectEnums.h"
#include "compiler/gpu/emulator/Numbers.h"
#include "llvm/ADT/bit.h"

#include <fmt/format.h>

namespace seqmix::gpu {

/// The lanes that an op waits for. Barriers and matrix ops are the aligned forms: the whole warp.
LaneMask Warp::namedLanes(const Instruction &op, unsigned lane) {
  switch (op.opcode) {
  case Opcode::Shuffle:
  case Opcode::Vote:
  case Opcode::Reduce:
  case Opcode::Elect:
  case Opcode::SyncWarp:
    return lanesOf(op.a)[lane];
  case Opcode::Barrier:
  case Opcode::BarrierArrive:
    return existing;
  default:
    return allLanes;
  }
}

/// Lanes have come to an op that they do with others: true if all are here and it is done.
bool Warp::arrive(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  bool isComplete = true;
  forEachLane(active, [&](unsigned lane) {
    const LaneMask named = namedLanes(op, lane);
    isComplete &= named == active;
    if (!(named >> lane & 1) && !launch.hasFailed) {
      report(ReportKind::Divergence, pc, lane, "the mask of this op does not name the thread");
      launch.hasFailed = true;
    }
  });
  if (launch.hasFailed)
    return false;
  if (isComplete) {
    executeTogether(pc, active);
    return true;
  }
  waiting |= active;
  setCounters(active, pc);
  completeWaiting(pc);
  return false;
}

void Warp::completeWaiting(uint32_t pc) {
  const Instruction &op = launch.program.code[pc];
  LaneMask here = 0;
  forEachLane(waiting, [&](unsigned lane) {
    if (counters[lane] == pc)
      here |= LaneMask(1) << lane;
  });
  for (LaneMask rest = here; rest; rest &= rest - 1) {
    const LaneMask named = namedLanes(op, llvm::countr_zero(rest));
    bool isComplete = (named & ~here) == 0;
    forEachLane(named & here, [&](unsigned lane) { isComplete &= namedLanes(op, lane) == named; });
    if (!isComplete)
      continue;
    waiting &= ~named;
    here &= ~named;
    rest &= ~named;
    executeTogether(pc, named);
    if (state == State::Runnable)
      setCounters(named, pc + 1);
    if (rest == 0)
      return;
  }
}

void Warp::executeTogether(uint32_t pc, LaneMask lanes) {
  const Instruction &op = launch.program.code[pc];
  switch (op.opcode) {
  case Opcode::Shuffle:
    return shuffle(pc, lanes);
  case Opcode::Vote:
    return vote(op, lanes);
  case Opcode::Reduce:
    return reduce(op, lanes);
  case Opcode::Elect:
    forEachLane(lanes, [&](unsigned lane) {
      lanesOf(op.result)[lane] = lane == unsigned(llvm::countr_zero(lanes));
    });
    return;
  case Opcode::SyncWarp:
    return block.clocks.syncWarp(number, lanes, existing);
  case Opcode::Barrier:
    setCounters(lanes, pc);
    return block.arriveAtBarrier(*this, pc, lanes, /*waits=*/true);
  case Opcode::BarrierArrive:
    return block.arriveAtBarrier(*this, pc, lanes, /*waits=*/false);
  case Opcode::MultiplyMatrices:
    return multiplyMatrices(op);
  case Opcode::LoadMatrix:
    return loadMatrix(pc);
  case Opcode::StoreMatrix:
    return storeMatrix(pc);
  default:
    return transposeMatrix(op);
  }
}

/// PTX ISA, "shfl.sync": the clamp's bits 8 to 12 split the warp into segments, its low bits bound
/// the source lane; out of bounds a lane reads its own value.
void Warp::shuffle(uint32_t pc, LaneMask lanes) {
  const Instruction &op = launch.program.code[pc];
  uint64_t values[warpSize];
  std::copy_n(lanesOf(op.b), warpSize, values);
  uint64_t results[warpSize] = {};
  LaneMask valid = 0;
  forEachLane(lanes, [&](unsigned lane) {
    const int offset = lanesOf(op.c)[lane] & 31;
    const int clamp = lanesOf(op.count)[lane] & 31;
    const int segment = lanesOf(op.count)[lane] >> 8 & 31;
    const int last = (int(lane) & segment) | (clamp & ~segment);
    int source = 0;
    bool isValid = false;
    switch (mlir::NVVM::ShflKind(op.detail)) {
    case mlir::NVVM::ShflKind::up:
      source = int(lane) - offset;
      isValid = source >= last;
      break;
    case mlir::NVVM::ShflKind::down:
      source = int(lane) + offset;
      isValid = source <= last;
      break;
    case mlir::NVVM::ShflKind::bfly:
      source = int(lane) ^ offset;
      isValid = source <= last;
      break;
    case mlir::NVVM::ShflKind::idx:
      source = (int(lane) & segment) | (offset & ~segment);
      isValid = source <= last;
      break;
    }
    if (!isValid)
      source = int(lane);
    if (!(lanes >> source & 1))
      report(ReportKind::Divergence, pc, lane,
             fmt::format("the value of lane {}, which the mask does not name", source));
    valid |= LaneMask(isValid) << lane;
    results[lane] = values[source];
  });
  forEachLane(lanes, [&](unsigned lane) {
    lanesOf(op.result)[lane] = results[lane];
    if (op.target != noRegister)
      lanesOf(op.target)[lane] = valid >> lane & 1;
  });
}

void Warp::vote(const Instruction &op, LaneMask lanes) {
  using Kind = mlir::NVVM::VoteSyncKind;
  LaneMask ballot = 0;
  forEachLane(lanes, [&](unsigned lane) { ballot |= LaneMask(lanesOf(op.b)[lane] & 1) << lane; });
  uint64_t result = ballot;
  switch (Kind(op.detail)) {
  case Kind::any:
    result = ballot != 0;
    break;
  case Kind::all:
    result = ballot == lanes;
    break;
  case Kind::uni:
    result = ballot == lanes || ballot == 0;
    break;
  case Kind::ballot:
    break;
  }
  forEachLane(lanes, [&](unsigned lane) { lanesOf(op.result)[lane] = result; });
}

void Warp::reduce(const Instruction &op, LaneMask lanes) {
  using Kind = mlir::NVVM::ReduxKind;
  uint32_t result = lanesOf(op.b)[llvm::countr_zero(lanes)];
  forEachLane(lanes & (lanes - 1), [&](unsigned lane) {
    const uint32_t value = lanesOf(op.b)[lane];
    switch (Kind(op.detail)) {
    case Kind::ADD:
      result += value;
      break;
    case Kind::AND:
      result &= value;
      break;
    case Kind::OR:
      result |= value;
      break;
    case Kind::XOR:
      result ^= value;
      break;
    case Kind::MIN:
      result = std::min(int32_t(result), int32_t(value));
      break;
    case Kind::MAX:
      result = std::max(int32_t(result), int32_t(value));
      break;
    case Kind::UMIN:
      result = std::min(result, value);
      break;
    case Kind::UMAX:
      result = std::max(result, value);
      break;
    default: // those of floats are not translated
      break;
    }
  });
  forEachLane(lanes, [&](unsigned lane) { lanesOf(op.result)[lane] = result; });
}

} // namespace seqmix::gpu
