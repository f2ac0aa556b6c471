//===- Block.cpp - warps in turns, barriers ----------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "compiler/gpu/emulator/DialectEnums.h"

#include "llvm/ADT/bit.h"

#include <fmt/format.h>

namespace seqmix::gpu {

Block::Block(Launch &launch, Dim3 index, uint32_t number)
    : launch(launch), index(index), number(number), clocks(launch.warpsPerBlock()),
      shared(launch.program.staticShared + launch.shape.sharedBytes, launch.warpsPerBlock()) {
  for (unsigned i = 0; i < launch.warpsPerBlock(); ++i)
    warps.push_back(std::make_unique<Warp>(*this, i));
}

void Block::run() {
  while (!launch.hasFailed) {
    bool hasProgress = false, hasEnded = true;
    for (const std::unique_ptr<Warp> &warp : warps) {
      if (warp->state == Warp::State::Runnable && !launch.hasFailed) {
        warp->run();
        hasProgress = true;
      }
      hasEnded &= warp->state == Warp::State::Ended;
    }
    if (hasEnded || launch.hasFailed)
      return;
    if (!hasProgress)
      return reportDeadlock();
  }
}

void Block::arriveAtBarrier(Warp &warp, uint32_t pc, LaneMask lanes, bool waits) {
  const Instruction &op = launch.program.code[pc];
  const unsigned lane = llvm::countr_zero(lanes);
  const uint64_t id = warp.lanesOf(op.a)[lane], count = warp.lanesOf(op.b)[lane];
  bool isUniform = true;
  forEachLane(lanes, [&](unsigned other) {
    isUniform &= warp.lanesOf(op.a)[other] == id && warp.lanesOf(op.b)[other] == count;
  });
  std::string wrong;
  if (!isUniform)
    wrong = "threads of a warp name different barriers or numbers of threads";
  else if (id > 15)
    wrong = fmt::format("there is no barrier {}", id);
  else if (count % warpSize != 0 || count > launch.shape.block.count())
    wrong = fmt::format("{} threads cannot meet at a barrier", count);
  Barrier &barrier = barriers[id > 15 ? 0 : id];
  const uint64_t padded = uint64_t(launch.warpsPerBlock()) * warpSize;
  const uint32_t expected = count ? count : padded;
  if (wrong.empty() && barrier.arrived && barrier.expected != expected)
    wrong = fmt::format("{} threads are to meet, but {} at another op that names barrier {}",
                        expected, barrier.expected, id);
  if (!wrong.empty()) {
    warp.report(ReportKind::Divergence, pc, lane, wrong);
    launch.hasFailed = true;
    return;
  }
  // The threads that the last warp lacks count as there.
  barrier.arrived += warpSize;
  barrier.expected = expected;
  clocks.release(warp.number, barrier.knowledge);
  if (op.c != noRegister)
    forEachLane(lanes, [&](unsigned other) {
      barrier.trueCount += warp.lanesOf(op.c)[other] != 0;
      barrier.threads += 1;
    });
  if (waits) {
    warp.state = Warp::State::AtBarrier;
    warp.barrierPc = pc;
    barrier.waiting.push_back(&warp);
  }
  if (barrier.arrived == barrier.expected)
    completeBarrier(barrier);
}

void Block::completeBarrier(Barrier &barrier) {
  for (Warp *warp : barrier.waiting) {
    clocks.acquire(warp->number, barrier.knowledge);
    const Instruction &op = launch.program.code[warp->barrierPc];
    if (op.result != noRegister) {
      uint32_t value = barrier.trueCount;
      if (mlir::NVVM::BarrierReduction(op.detail) == mlir::NVVM::BarrierReduction::AND)
        value = barrier.trueCount == barrier.threads;
      else if (mlir::NVVM::BarrierReduction(op.detail) == mlir::NVVM::BarrierReduction::OR)
        value = barrier.trueCount != 0;
      forEachLane(warp->existing, [&](unsigned lane) { warp->lanesOf(op.result)[lane] = value; });
    }
    warp->resume();
  }
  barrier = {};
}

void Block::reportDeadlock() {
  launch.hasFailed = true;
  for (const std::unique_ptr<Warp> &warp : warps) {
    if (warp->state != Warp::State::AtBarrier)
      continue;
    // Of those that are not here, whoever waits elsewhere says more than one that has ended.
    const Warp *absent = nullptr;
    for (const std::unique_ptr<Warp> &other : warps)
      if (other->state == Warp::State::Ended || other->barrierPc != warp->barrierPc)
        if (!absent || absent->state == Warp::State::Ended)
          absent = other.get();
    const unsigned lane = llvm::countr_zero(warp->existing);
    if (!absent) {
      warp->report(ReportKind::Deadlock, warp->barrierPc, lane,
                   "fewer threads come to this barrier than it waits for");
      continue;
    }
    const bool hasEnded = absent->state == Warp::State::Ended;
    const uint32_t where = hasEnded ? absent->programCounter(0) : absent->barrierPc;
    warp->report(ReportKind::Deadlock, warp->barrierPc, lane,
                 hasEnded ? "this barrier waits for threads that have ended"
                          : "this barrier waits for threads that wait at another",
                 absent->site(where, 0));
  }
}

} // namespace seqmix::gpu
