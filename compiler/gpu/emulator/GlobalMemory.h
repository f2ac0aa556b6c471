//===- GlobalMemory.h - the buffers that a launch may use ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_GLOBALMEMORY_H
#define SEQMIX_COMPILER_GPU_EMULATOR_GLOBALMEMORY_H

#include "compiler/gpu/emulator/Clocks.h"

#include "llvm/ADT/ArrayRef.h"

#include <optional>
#include <string>

namespace seqmix::gpu {

/// What kernels may do with a buffer: an input is only read, of an output no byte is read before it
/// is written.
enum class BufferUse : uint8_t { Input, Output, InOut };

struct Buffer {
  /// Accesses of a byte since the launch began. Blocks of a grid are not ordered at all.
  struct Byte {
    Mark write;
    uint32_t writer = 0; // block + 1
    uint32_t reader = 0; // block + 1, the last one
    uint32_t readPc = 0;
    uint16_t readThread = 0;
  };

  std::string name;
  uint64_t begin = 0;
  llvm::MutableArrayRef<uint8_t> data;
  BufferUse use = BufferUse::InOut;
  std::vector<bool> written;
  std::vector<Byte> bytes; // of buffers that are written

  uint64_t end() const { return begin + data.size(); }
};

/// Memory of the caller under addresses of the device. Between any two buffers lies memory that is
/// nobody's.
class GlobalMemory {
public:
  /// The device address of a buffer; the memory stays the caller's and must outlive the launches.
  /// It is aligned to 256 bytes, as the driver's allocations are, plus `misalignment`.
  uint64_t add(std::string name, llvm::MutableArrayRef<uint8_t> data, BufferUse use,
               uint64_t misalignment = 0);
  template <typename T> uint64_t add(std::string name, std::vector<T> &data, BufferUse use) {
    return add(std::move(name), {reinterpret_cast<uint8_t *>(data.data()), data.size() * sizeof(T)},
               use);
  }

  /// The buffer that holds the address or, for messages, lies next to it.
  Buffer *find(uint64_t address);
  /// How many bytes of an output no kernel wrote.
  uint64_t unwrittenBytes(llvm::StringRef name) const;
  /// Forgets who accessed what: kernels are ordered.
  void beginLaunch();

private:
  std::vector<Buffer> buffers; // by address
  uint64_t next = 0x700000000000;
};

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_GLOBALMEMORY_H
