//===- Clocks.h - which accesses are ordered ----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Vector clocks. A warp's clock counts its synchronisations; an access bears the clock of its warp.
// Threads of different warps are ordered by barriers only, which warps execute as a whole, so what
// they know of each other is kept for warps. Inside a warp only bar.warp.sync and barriers order
// memory: shuffles, votes and matrix ops do not (PTX ISA, memory consistency model).
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_CLOCKS_H
#define SEQMIX_COMPILER_GPU_EMULATOR_CLOCKS_H

#include "compiler/gpu/emulator/Types.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

namespace seqmix::gpu {

/// Who accesses memory, and at which op.
struct Accessor {
  uint32_t pc = 0;
  uint16_t warp = 0;
  uint8_t lane = 0;
  /// Lanes exchange what they access here (ldmatrix): it is ordered with another access only where
  /// that is ordered with the whole warp.
  bool isCollective = false;
  bool isAtomic = false;
};

/// An access in the past.
struct Mark {
  Accessor by;
  uint32_t clock = 0;
  bool exists = false;
};

class Clocks {
public:
  explicit Clocks(unsigned warps)
      : warps(warps), now(warps, 0), whole(warps, 0), known(size_t(warps) * warps, 0),
        pairs(warps) {}

  uint32_t clock(unsigned warp) const { return now[warp]; }

  bool isOrdered(const Mark &earlier, const Accessor &later) const {
    if (earlier.by.warp != later.warp)
      return earlier.clock < known[later.warp * warps + earlier.by.warp];
    if (earlier.clock < whole[later.warp])
      return true;
    if (earlier.by.isCollective || later.isCollective)
      return false;
    return earlier.by.lane == later.lane ||
           (pairs[later.warp] &&
            earlier.clock < (*pairs[later.warp])[later.lane * warpSize + earlier.by.lane]);
  }

  /// What a warp that comes to a barrier makes known to those that leave it.
  void release(unsigned warp, std::vector<uint32_t> &knowledge) {
    knowledge.resize(warps, 0);
    known[warp * warps + warp] = ++now[warp];
    for (unsigned other = 0; other < warps; ++other)
      knowledge[other] = std::max(knowledge[other], known[warp * warps + other]);
  }

  void acquire(unsigned warp, const std::vector<uint32_t> &knowledge) {
    for (unsigned other = 0; other < warps; ++other)
      known[warp * warps + other] = std::max(known[warp * warps + other], knowledge[other]);
    whole[warp] = now[warp];
  }

  void syncWarp(unsigned warp, LaneMask lanes, LaneMask existing) {
    uint32_t clock = ++now[warp];
    if (lanes == existing) {
      whole[warp] = clock;
      return;
    }
    if (!pairs[warp])
      pairs[warp] = std::make_unique<Pairs>();
    Pairs &pair = *pairs[warp];
    std::array<uint32_t, warpSize> joined{};
    for (unsigned lane = 0; lane < warpSize; ++lane)
      if (lanes >> lane & 1)
        for (unsigned other = 0; other < warpSize; ++other)
          joined[other] =
              std::max(joined[other], lanes >> other & 1 ? clock : pair[lane * warpSize + other]);
    for (unsigned lane = 0; lane < warpSize; ++lane)
      if (lanes >> lane & 1)
        std::copy(joined.begin(), joined.end(), pair.begin() + size_t(lane) * warpSize);
  }

private:
  using Pairs = std::array<uint32_t, size_t(warpSize) * warpSize>;
  unsigned warps;
  std::vector<uint32_t> now;   // synchronisations of each warp so far
  std::vector<uint32_t> whole; // accesses below that clock are ordered for all lanes of the warp
  std::vector<uint32_t> known; // [warp, other]: accesses of other below that clock are ordered
  std::vector<std::unique_ptr<Pairs>> pairs; // [lane, other] after partial syncs
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_CLOCKS_H
