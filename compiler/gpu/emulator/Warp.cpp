//===- Warp.cpp - lanes that diverge and meet again --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "llvm/ADT/bit.h"

namespace seqmix::gpu {

Warp::Warp(Block &block, unsigned number)
    : block(block), launch(block.launch), number(number),
      registers(size_t(launch.program.registers) * warpSize) {
  const uint32_t threads = launch.shape.block.count();
  if ((number + 1) * warpSize > threads)
    existing = allLanes >> ((number + 1) * warpSize - threads);
  live = existing;
  for (auto [index, bits] : launch.program.constants)
    std::fill_n(lanesOf(index), warpSize, bits);
  for (auto [index, bits] : launch.arguments)
    std::fill_n(lanesOf(index), warpSize, bits);
  for (unsigned lane = 0; lane < warpSize; ++lane) {
    local[lane].resize(launch.program.localBytes);
    localWritten[lane].resize(launch.program.localBytes);
  }
}

void Warp::resume() {
  state = State::Runnable;
  setCounters(live, barrierPc + 1);
}

Dim3 Warp::threadIndex(unsigned lane) const {
  const uint32_t thread = number * warpSize + lane;
  const Dim3 &extents = launch.shape.block;
  return {thread % extents.x, thread / extents.x % extents.y, thread / extents.x / extents.y};
}

void Warp::setCounters(LaneMask lanes, uint32_t pc) {
  forEachLane(lanes, [&](unsigned lane) { counters[lane] = pc; });
}

void Warp::run() {
  while (state == State::Runnable && !launch.hasFailed) {
    const LaneMask runnable = live & ~waiting;
    if (live == 0) {
      state = State::Ended;
      return;
    }
    if (runnable == 0)
      return reportStuck();
    uint32_t lowest = ~0U;
    forEachLane(runnable, [&](unsigned lane) { lowest = std::min(lowest, counters[lane]); });
    LaneMask active = 0;
    forEachLane(runnable, [&](unsigned lane) {
      if (counters[lane] == lowest)
        active |= LaneMask(1) << lane;
    });
    runLanes(lowest, active);
  }
}

void Warp::runLanes(uint32_t pc, LaneMask active) {
  const Program &program = launch.program;
  while (true) {
    const Instruction &op = program.code[pc];
    if (++launch.instructions > launch.shape.limit) {
      report(ReportKind::Limit, pc, llvm::countr_zero(active),
             "the launch takes more instructions than its limit");
      launch.hasFailed = true;
      return;
    }
    if (op.opcode < Opcode::Load) {
      executeArithmetic(pc++, active);
      continue;
    }
    if (op.opcode < Opcode::Shuffle) {
      executeMemory(pc++, active);
      continue;
    }
    if (op.opcode < Opcode::Jump) {
      if (!arrive(pc, active) || state != State::Runnable || launch.hasFailed)
        return;
      ++pc;
      continue;
    }
    // Only control moves lanes to where others may be.
    switch (op.opcode) {
    case Opcode::Jump:
      pc = op.target;
      break;
    case Opcode::Branch: {
      LaneMask taken = 0;
      const uint64_t *condition = lanesOf(op.a);
      forEachLane(active, [&](unsigned lane) { taken |= LaneMask(condition[lane] & 1) << lane; });
      if (taken != 0 && taken != active) {
        setCounters(taken, op.target);
        setCounters(active & ~taken, op.immediate);
        return;
      }
      pc = taken ? op.target : op.immediate;
      break;
    }
    case Opcode::Switch:
      forEachLane(active, [&](unsigned lane) {
        const uint32_t *list = &program.operands[op.b];
        size_t i = 0;
        while (i < op.count && lanesOf(list[2 * i])[lane] != lanesOf(op.a)[lane])
          ++i;
        counters[lane] = i < op.count ? list[2 * i + 1] : list[2 * size_t(op.count)];
      });
      return;
    case Opcode::Unreachable:
      report(ReportKind::Undefined, pc, llvm::countr_zero(active),
             "the kernel comes to an op that it declares unreachable");
      launch.hasFailed = true;
      return;
    default: // Exit
      setCounters(active, pc);
      live &= ~active;
      return;
    }
    if (!isConverged(active)) {
      setCounters(active, pc);
      return;
    }
  }
}

Site Warp::siteOf(const Accessor &accessor) const {
  return block.warps[accessor.warp]->site(accessor.pc, accessor.lane);
}

void Warp::report(ReportKind kind, uint32_t pc, unsigned lane, std::string message,
                  std::optional<Site> other) {
  launch.log.add({kind, std::move(message), block.index, site(pc, lane), other});
}

void Warp::reportConflict(uint32_t pc, unsigned lane, const Conflict &conflict, bool isWrite) {
  const char *message = "this read is not ordered with a write";
  if (conflict.isUnfinishedCopy)
    message = isWrite ? "this write may come before or after an asynchronous copy to the same place"
                      : "this read may come before an asynchronous copy has delivered";
  else if (isWrite)
    message = conflict.withWrite ? "this write is not ordered with another"
                                 : "this write is not ordered with a read";
  report(conflict.isUnfinishedCopy ? ReportKind::UnfinishedCopy : ReportKind::Race, pc, lane,
         message, siteOf(conflict.with));
}

/// All lanes wait, and none of the sets of lanes that ops name is complete.
void Warp::reportStuck() {
  launch.hasFailed = true;
  forEachLane(waiting, [&](unsigned lane) {
    const uint32_t pc = counters[lane];
    const LaneMask named = namedLanes(launch.program.code[pc], lane);
    LaneMask missing = named;
    forEachLane(waiting, [&](unsigned other) {
      if (counters[other] == pc)
        missing &= ~(LaneMask(1) << other);
    });
    if (missing == 0) {
      report(ReportKind::Divergence, pc, lane, "threads name different masks here");
      return;
    }
    const unsigned absent = llvm::countr_zero(missing);
    if (!(existing >> absent & 1)) {
      report(ReportKind::Divergence, pc, lane,
             "this op names a lane without a thread: the block ends within the warp");
      return;
    }
    report(ReportKind::Divergence, pc, lane,
           live >> absent & 1 ? "this op names a thread that waits elsewhere"
                              : "this op names a thread that has ended",
           site(counters[absent], absent));
  });
}

} // namespace seqmix::gpu
