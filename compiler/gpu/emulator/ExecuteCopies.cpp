//===- ExecuteCopies.cpp - asynchronous copies to shared memory --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include <fmt/format.h>

namespace seqmix::gpu {

/// The bytes are taken now and put in place at the wait: until then reading them is an error, so
/// nobody can tell when they really move.
void Warp::copyAsync(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  const uint32_t bytes = op.immediate;
  const uint64_t *to = lanesOf(op.a), *from = lanesOf(op.b);
  countBanksOf(pc, active, Shared, to, bytes, bytes);
  forEachLane(active, [&](unsigned lane) {
    uint64_t readBytes = op.c == noRegister ? bytes : lanesOf(op.c)[lane];
    if (readBytes > bytes) {
      report(ReportKind::Undefined, pc, lane,
             fmt::format("a copy of {} bytes that reads {}", bytes, readBytes));
      readBytes = bytes;
    }
    Copy copy;
    copy.pc = pc;
    copy.bytes = bytes;
    if (readBytes) {
      Place source = locate(pc, lane, Global, from[lane], readBytes, 1);
      if (from[lane] % bytes != 0)
        report(ReportKind::Misaligned, pc, lane,
               fmt::format("a copy of {} bytes from {:#x}", bytes, from[lane]));
      if (source.data) {
        checkRead(pc, lane, source, readBytes, /*isAtomic=*/false);
        std::memcpy(copy.data, source.data, readBytes);
      }
    }
    Place target = locate(pc, lane, Shared, to[lane], bytes, bytes);
    if (!target.data)
      return;
    copy.offset = target.offset;
    if (auto conflict =
            block.shared.beginCopy(copy.offset, bytes, accessor(pc, lane), block.clocks))
      reportConflict(pc, lane, *conflict, /*isWrite=*/true);
    openCopies[lane].push_back(copy);
  });
}

void Warp::waitGroup(const Instruction &op, LaneMask active) {
  forEachLane(active, [&](unsigned lane) {
    std::vector<std::vector<Copy>> &list = groups[lane];
    const size_t keep = std::min<size_t>(op.immediate, list.size());
    for (size_t i = 0; i + keep < list.size(); ++i)
      for (const Copy &copy : list[i])
        block.shared.endCopy(copy.offset, copy.data, copy.bytes, accessor(copy.pc, lane),
                             block.clocks);
    list.erase(list.begin(), list.end() - keep);
  });
}

} // namespace seqmix::gpu
