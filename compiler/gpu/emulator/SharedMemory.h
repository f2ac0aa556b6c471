//===- SharedMemory.h - shared memory that remembers its accesses -------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_SHAREDMEMORY_H
#define SEQMIX_COMPILER_GPU_EMULATOR_SHAREDMEMORY_H

#include "compiler/gpu/emulator/Clocks.h"

#include <optional>

namespace seqmix::gpu {

/// What is wrong with an access: another access, or a copy that has not arrived.
struct Conflict {
  Accessor with;
  bool isUnfinishedCopy = false;
  bool withWrite = false;
};

/// The shared memory of one block. For each byte it knows the last write, the last reads of each
/// warp, and whether an asynchronous copy into it is under way. Addresses were checked before.
class SharedMemory {
public:
  SharedMemory(uint32_t bytes, unsigned warps)
      : warps(warps), data(bytes, 0), bytes(bytes), reads(new ReadMark[size_t(bytes) * warps]) {}

  uint32_t size() const { return data.size(); }
  uint8_t *at(uint32_t offset) { return &data[offset]; }

  /// The access in the past that this one races with, if any.
  std::optional<Conflict> read(uint32_t offset, uint32_t count, const Accessor &by,
                               const Clocks &clocks);
  std::optional<Conflict> write(uint32_t offset, uint32_t count, const Accessor &by,
                                const Clocks &clocks);
  /// From here to its end any access of these bytes is an error.
  std::optional<Conflict> beginCopy(uint32_t offset, uint32_t count, const Accessor &by,
                                    const Clocks &clocks);
  /// The bytes are there: for the thread that waited at once, for others behind a barrier.
  void endCopy(uint32_t offset, const uint8_t *from, uint32_t count, const Accessor &by,
               const Clocks &clocks);
  bool isInitialised(uint32_t offset, uint32_t count) const;

private:
  struct ReadMark {
    uint32_t clock, pc;
    LaneMask lanes;
    bool isCollective;
  };
  struct Byte {
    Mark write;
    uint32_t copyPc = 0;
    uint16_t copyWarp = 0;
    uint8_t copyLane = 0;
    bool isBeingCopied = false;
    bool isInitialised = false;
    uint32_t readers = 0; // warps
  };
  std::optional<Conflict> checkWrite(uint32_t offset, const Accessor &by, const Clocks &clocks);

  unsigned warps;
  std::vector<uint8_t> data;
  std::vector<Byte> bytes;
  std::unique_ptr<ReadMark[]> reads; // [byte, warp]; set for the warps in `readers` only
};

/// Cycles that the 32 banks of 4 bytes take for what lanes access at once: wide accesses go in
/// phases of 128 bytes, in each phase every bank delivers one word.
struct BankUse {
  uint64_t phases = 0; // without conflicts each takes a cycle
  uint64_t cycles = 0;
  uint64_t conflicts() const { return cycles - phases; }
};
void countBanks(BankUse &use, const uint32_t *addresses, LaneMask lanes, uint32_t bytes);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_SHAREDMEMORY_H
