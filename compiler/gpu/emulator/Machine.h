//===- Machine.h - a launch while it runs -------------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_MACHINE_H
#define SEQMIX_COMPILER_GPU_EMULATOR_MACHINE_H

#include "compiler/gpu/emulator/Emulator.h"

namespace seqmix::gpu {

/// What the blocks of a launch have in common.
struct Launch {
  const Program &program;
  const LaunchShape &shape;
  GlobalMemory &memory;
  std::vector<std::pair<uint32_t, uint64_t>> arguments; // registers and what they hold
  std::vector<uint8_t> constantData;                    // and arguments by value
  ReportLog log;
  std::vector<BankUse> banks; // one an instruction
  uint64_t instructions = 0;
  bool hasFailed = false; // nothing sensible can follow

  uint32_t warpsPerBlock() const { return (shape.block.count() + warpSize - 1) / warpSize; }
};

/// Calls `f` for each lane of the mask.
template <typename F> inline void forEachLane(LaneMask lanes, F f) {
  if (lanes == allLanes) {
    for (unsigned lane = 0; lane < warpSize; ++lane)
      f(lane);
    return;
  }
  for (unsigned lane = 0; lane < warpSize; ++lane)
    if (lanes >> lane & 1)
      f(lane);
}

class Block;

/// Thirty-two threads. Each has its own program counter; lanes at the same one run together.
class Warp {
public:
  enum class State : uint8_t { Runnable, AtBarrier, Ended };

  Warp(Block &block, unsigned number);
  /// Runs until all lanes have ended or wait at a barrier of the block.
  void run();

  Block &block;
  Launch &launch;
  unsigned number;
  State state = State::Runnable;
  LaneMask existing = allLanes;
  uint32_t barrierPc = 0;

  uint64_t *lanesOf(uint32_t index) { return &registers[size_t(index) * warpSize]; }
  /// Leaves the barrier.
  void resume();
  Dim3 threadIndex(unsigned lane) const;
  Site site(uint32_t pc, unsigned lane) const {
    return {launch.program.locations[pc], threadIndex(lane), pc};
  }
  uint32_t programCounter(unsigned lane) const { return counters[lane]; }
  LaneMask liveLanes() const { return live; }

private:
  struct Copy {
    uint32_t offset = 0, pc = 0;
    uint32_t bytes = 0;
    uint8_t data[16] = {};
  };
  /// Where an address leads.
  struct Place {
    enum class Memory : uint8_t { None, Shared, Local, Global, Constant } memory = Memory::None;
    uint8_t *data = nullptr;
    uint64_t offset = 0;
    Buffer *buffer = nullptr;
  };

  void runLanes(uint32_t pc, LaneMask active);
  void setCounters(LaneMask lanes, uint32_t pc);
  bool isConverged(LaneMask active) const { return active == (live & ~waiting); }
  void reportStuck();
  // ExecuteArithmetic.cpp, ExecuteFloat.cpp
  void executeArithmetic(uint32_t pc, LaneMask active);
  void executeInteger(const Instruction &op, uint32_t pc, LaneMask active);
  void executeFloat(const Instruction &op, LaneMask active);
  void compareFloat(const Instruction &op, LaneMask active);
  void executeConversion(const Instruction &op, LaneMask active);
  void executeSpecial(const Instruction &op, LaneMask active);
  void castSpace(const Instruction &op, uint32_t pc, LaneMask active);
  // ExecuteMemory.cpp
  void executeMemory(uint32_t pc, LaneMask active);
  void load(uint32_t pc, LaneMask active);
  void store(uint32_t pc, LaneMask active);
  void atomic(uint32_t pc, LaneMask active);
  void copyAsync(uint32_t pc, LaneMask active);
  void waitGroup(const Instruction &op, LaneMask active);
  Place locate(uint32_t pc, unsigned lane, uint8_t space, uint64_t address, uint32_t bytes,
               uint32_t alignment);
  void checkRead(uint32_t pc, unsigned lane, const Place &place, uint32_t bytes, bool isAtomic);
  void checkWrite(uint32_t pc, unsigned lane, const Place &place, uint32_t bytes, bool isAtomic);
  void checkGlobal(uint32_t pc, unsigned lane, const Place &place, uint32_t bytes, bool isWrite,
                   bool isAtomic);
  void countBanksOf(uint32_t pc, LaneMask active, uint8_t space, const uint64_t *addresses,
                    uint32_t bytes, uint32_t alignment);
  Accessor accessor(uint32_t pc, unsigned lane) const {
    return {pc, uint16_t(number), uint8_t(lane), false, false};
  }
  // ExecuteWarp.cpp
  bool arrive(uint32_t pc, LaneMask active);
  LaneMask namedLanes(const Instruction &op, unsigned lane);
  void completeWaiting(uint32_t pc);
  void executeTogether(uint32_t pc, LaneMask lanes);
  void shuffle(uint32_t pc, LaneMask lanes);
  void vote(const Instruction &op, LaneMask lanes);
  void reduce(const Instruction &op, LaneMask lanes);
  // ExecuteMatrices.cpp
  void multiplyMatrices(const Instruction &op);
  void transposeMatrix(const Instruction &op);
  void loadMatrix(uint32_t pc);
  void storeMatrix(uint32_t pc);
  uint8_t *matrixRow(uint32_t pc, unsigned lane, bool isStore);

  void report(ReportKind kind, uint32_t pc, unsigned lane, std::string message,
              std::optional<Site> other = std::nullopt);
  void reportConflict(uint32_t pc, unsigned lane, const Conflict &conflict, bool isWrite);
  Site siteOf(const Accessor &accessor) const;

  LaneMask live = 0, waiting = 0;
  uint32_t counters[warpSize] = {};
  std::vector<uint64_t> registers; // [register, lane]
  std::vector<uint8_t> local[warpSize];
  std::vector<bool> localWritten[warpSize];
  std::vector<Copy> openCopies[warpSize];
  std::vector<std::vector<Copy>> groups[warpSize];

  friend class Block;
};

class Block {
public:
  Block(Launch &launch, Dim3 index, uint32_t number);
  void run();

  Launch &launch;
  Dim3 index;
  uint32_t number; // in the grid
  Clocks clocks;
  SharedMemory shared;
  std::vector<std::unique_ptr<Warp>> warps;

  /// A warp has come to a barrier; with `waits` it stays there.
  void arriveAtBarrier(Warp &warp, uint32_t pc, LaneMask lanes, bool waits);

private:
  struct Barrier {
    uint32_t arrived = 0, expected = 0;
    uint32_t threads = 0, trueCount = 0; // of those that bring a predicate
    std::vector<uint32_t> knowledge;
    std::vector<Warp *> waiting;
  };
  void completeBarrier(Barrier &barrier);
  void reportDeadlock();
  Barrier barriers[16];
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_MACHINE_H
