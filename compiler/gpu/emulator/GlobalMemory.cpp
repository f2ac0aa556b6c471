//===- GlobalMemory.cpp - the buffers that a launch may use ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/GlobalMemory.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/MathExtras.h"

namespace seqmix::gpu {

uint64_t GlobalMemory::add(std::string name, llvm::MutableArrayRef<uint8_t> data, BufferUse use,
                           uint64_t misalignment) {
  Buffer buffer;
  buffer.name = std::move(name);
  buffer.begin = next + misalignment;
  buffer.data = data;
  buffer.use = use;
  buffer.written.assign(data.size(), use != BufferUse::Output);
  next = llvm::alignTo(buffer.end() + 65536, 256);
  buffers.push_back(std::move(buffer));
  return buffers.back().begin;
}

Buffer *GlobalMemory::find(uint64_t address) {
  auto after = llvm::upper_bound(
      buffers, address, [](uint64_t value, const Buffer &buffer) { return value < buffer.begin; });
  if (after != buffers.begin() &&
      (after == buffers.end() || address - std::prev(after)->end() < after->begin - address ||
       address < std::prev(after)->end()))
    --after;
  return after == buffers.end() ? nullptr : &*after;
}

uint64_t GlobalMemory::unwrittenBytes(llvm::StringRef name) const {
  uint64_t count = 0;
  for (const Buffer &buffer : buffers)
    if (buffer.name == name)
      count += llvm::count(buffer.written, false);
  return count;
}

void GlobalMemory::beginLaunch() {
  for (Buffer &buffer : buffers)
    if (buffer.use != BufferUse::Input)
      buffer.bytes.assign(buffer.data.size(), {});
}

} // namespace seqmix::gpu
