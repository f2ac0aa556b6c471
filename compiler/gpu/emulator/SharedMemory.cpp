//===- SharedMemory.cpp - shared memory that remembers its accesses ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/SharedMemory.h"

#include "llvm/ADT/bit.h"

#include <cstring>

namespace seqmix::gpu {

std::optional<Conflict> SharedMemory::read(uint32_t offset, uint32_t count, const Accessor &by,
                                           const Clocks &clocks) {
  std::optional<Conflict> conflict;
  const uint32_t clock = clocks.clock(by.warp);
  const LaneMask lanes = by.isCollective ? allLanes : LaneMask(1) << by.lane;
  for (uint32_t i = offset; i < offset + count; ++i) {
    Byte &byte = bytes[i];
    if (byte.isBeingCopied && !conflict)
      conflict = Conflict{{byte.copyPc, byte.copyWarp, byte.copyLane}, true, true};
    if (byte.write.exists && !conflict && !(byte.write.by.isAtomic && by.isAtomic) &&
        !clocks.isOrdered(byte.write, by))
      conflict = Conflict{byte.write.by, false, true};
    // An atomic operation is as good as the write that follows.
    if (by.isAtomic)
      continue;
    ReadMark &mark = reads[size_t(i) * warps + by.warp];
    // An older clock is dropped: what is ordered behind this read is ordered behind those, too
    // (but for reads between which lanes met in part only).
    if (byte.readers >> by.warp & 1 && mark.clock == clock)
      mark = {clock, by.pc, mark.lanes | lanes, mark.isCollective || by.isCollective};
    else
      mark = {clock, by.pc, lanes, by.isCollective};
    byte.readers |= 1U << by.warp;
  }
  return conflict;
}

std::optional<Conflict> SharedMemory::checkWrite(uint32_t offset, const Accessor &by,
                                                 const Clocks &clocks) {
  const Byte &byte = bytes[offset];
  if (byte.isBeingCopied)
    return Conflict{{byte.copyPc, byte.copyWarp, byte.copyLane}, true, true};
  if (byte.write.exists && !(byte.write.by.isAtomic && by.isAtomic) &&
      !clocks.isOrdered(byte.write, by))
    return Conflict{byte.write.by, false, true};
  for (uint32_t readers = byte.readers; readers; readers &= readers - 1) {
    const unsigned warp = llvm::countr_zero(readers);
    const ReadMark &mark = reads[size_t(offset) * warps + warp];
    // The thread's own reads are in order; those of the whole warp have other lanes as well.
    LaneMask others = mark.lanes;
    if (warp == by.warp && !by.isCollective)
      others &= ~(LaneMask(1) << by.lane);
    for (; others; others &= others - 1) {
      Mark earlier{{mark.pc, uint16_t(warp), uint8_t(llvm::countr_zero(others)), mark.isCollective},
                   mark.clock,
                   true};
      if (!clocks.isOrdered(earlier, by))
        return Conflict{earlier.by, false, false};
      if (warp != by.warp || mark.isCollective)
        break; // the same for all its lanes
    }
  }
  return std::nullopt;
}

std::optional<Conflict> SharedMemory::write(uint32_t offset, uint32_t count, const Accessor &by,
                                            const Clocks &clocks) {
  std::optional<Conflict> conflict;
  for (uint32_t i = offset; i < offset + count; ++i) {
    if (!conflict)
      conflict = checkWrite(i, by, clocks);
    Byte &byte = bytes[i];
    byte.write = {by, clocks.clock(by.warp), true};
    byte.isInitialised = true;
    byte.readers = 0; // they are in front of this write, or were just reported
  }
  return conflict;
}

std::optional<Conflict> SharedMemory::beginCopy(uint32_t offset, uint32_t count, const Accessor &by,
                                                const Clocks &clocks) {
  std::optional<Conflict> conflict;
  for (uint32_t i = offset; i < offset + count; ++i) {
    if (!conflict)
      conflict = checkWrite(i, by, clocks);
    Byte &byte = bytes[i];
    byte.isBeingCopied = true;
    byte.copyPc = by.pc;
    byte.copyWarp = by.warp;
    byte.copyLane = by.lane;
    byte.readers = 0;
  }
  return conflict;
}

void SharedMemory::endCopy(uint32_t offset, const uint8_t *from, uint32_t count, const Accessor &by,
                           const Clocks &clocks) {
  std::memcpy(&data[offset], from, count);
  for (uint32_t i = offset; i < offset + count; ++i) {
    bytes[i].isBeingCopied = false;
    bytes[i].write = {by, clocks.clock(by.warp), true};
    bytes[i].isInitialised = true;
  }
}

bool SharedMemory::isInitialised(uint32_t offset, uint32_t count) const {
  return std::all_of(bytes.begin() + offset, bytes.begin() + offset + count,
                     [](const Byte &byte) { return byte.isInitialised || byte.isBeingCopied; });
}

void countBanks(BankUse &use, const uint32_t *addresses, LaneMask lanes, uint32_t bytes) {
  const unsigned step = bytes > 8 ? 8 : bytes > 4 ? 16 : 32;
  for (unsigned first = 0; first < warpSize; first += step) {
    uint32_t words[warpSize];
    unsigned count = 0;
    for (unsigned lane = first; lane < first + step; ++lane)
      if (lanes >> lane & 1)
        for (uint32_t word = addresses[lane] / 4; word <= (addresses[lane] + bytes - 1) / 4; ++word)
          if (count < warpSize)
            words[count++] = word;
    if (count == 0)
      continue;
    std::sort(words, words + count);
    unsigned banks[32] = {}, most = 0;
    for (unsigned i = 0; i < count; ++i)
      if (i == 0 || words[i] != words[i - 1])
        most = std::max(most, ++banks[words[i] % 32]);
    use.phases += 1;
    use.cycles += most;
  }
}

} // namespace seqmix::gpu
