//===- ExecuteMemory.cpp - loads, stores, atomics ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "compiler/gpu/emulator/DialectEnums.h"
#include "compiler/gpu/emulator/Numbers.h"

#include <fmt/format.h>

namespace seqmix::gpu {
namespace {

uint64_t combineAtomically(mlir::LLVM::AtomicBinOp kind, Scalar scalar, uint64_t old,
                           uint64_t value) {
  using A = mlir::LLVM::AtomicBinOp;
  const int64_t x = signExtend(old, scalar.bits), y = signExtend(value, scalar.bits);
  switch (kind) {
  case A::add:
    return (old + value) & scalar.mask();
  case A::sub:
    return (old - value) & scalar.mask();
  case A::_and:
    return old & value;
  case A::_or:
    return old | value;
  case A::_xor:
    return old ^ value;
  case A::max:
    return x > y ? old : value;
  case A::min:
    return x < y ? old : value;
  case A::umax:
    return std::max(old, value);
  case A::umin:
    return std::min(old, value);
  case A::fadd:
    return fromDouble(scalar, toDouble(scalar, old) + toDouble(scalar, value));
  case A::fsub:
    return fromDouble(scalar, toDouble(scalar, old) - toDouble(scalar, value));
  case A::fmax:
    return toDouble(scalar, old) > toDouble(scalar, value) ? old : value;
  case A::fmin:
    return toDouble(scalar, old) < toDouble(scalar, value) ? old : value;
  case A::uinc_wrap:
    return old >= value ? 0 : old + 1;
  case A::udec_wrap:
    return old == 0 || old > value ? value : old - 1;
  default: // xchg
    return value;
  }
}

} // namespace

Warp::Place Warp::locate(uint32_t pc, unsigned lane, uint8_t space, uint64_t address,
                         uint32_t bytes, uint32_t alignment) {
  using Memory = Place::Memory;
  if (address % alignment != 0)
    report(ReportKind::Misaligned, pc, lane,
           fmt::format("an access of {} bytes at {:#x}, which is not a multiple of {}", bytes,
                       address, alignment));
  if (space == Generic && address >= sharedWindow) {
    space = Shared;
    address -= sharedWindow;
  } else if (space == Generic && address >= localWindow) {
    space = Local;
    address -= localWindow;
  }
  if (space == Shared) {
    if (address >= sharedBegin && address + bytes <= block.shared.size())
      return {Memory::Shared, block.shared.at(address), address, nullptr};
    report(ReportKind::OutOfBounds, pc, lane,
           fmt::format("bytes {} to {} of shared memory, which has {} to {}",
                       int64_t(address - sharedBegin), int64_t(address - sharedBegin + bytes - 1),
                       0, block.shared.size() - sharedBegin - 1));
    return {};
  }
  if (space == Local) {
    if (address >= localBegin && address + bytes <= local[lane].size())
      return {Memory::Local, &local[lane][address], address, nullptr};
    report(ReportKind::OutOfBounds, pc, lane,
           fmt::format("an access of {} bytes outside of what the thread has allocated", bytes));
    return {};
  }
  std::vector<uint8_t> &constants = launch.constantData;
  if (address >= constantBase && address + bytes <= constantBase + constants.size())
    return {Memory::Constant, &constants[address - constantBase], 0, nullptr};
  Buffer *buffer = launch.memory.find(address);
  if (buffer && address >= buffer->begin && address + bytes <= buffer->end())
    return {Memory::Global, &buffer->data[address - buffer->begin], address - buffer->begin,
            buffer};
  std::string where = fmt::format("{} bytes at {:#x}, where there is no buffer", bytes, address);
  if (buffer)
    where = fmt::format("bytes {} to {} of '{}', which has {}", int64_t(address - buffer->begin),
                        int64_t(address - buffer->begin + bytes - 1), buffer->name,
                        buffer->data.size());
  report(ReportKind::OutOfBounds, pc, lane, where);
  return {};
}

void Warp::checkRead(uint32_t pc, unsigned lane, const Place &place, uint32_t bytes,
                     bool isAtomic) {
  bool isInitialised = true;
  switch (place.memory) {
  case Place::Memory::Shared: {
    Accessor by = accessor(pc, lane);
    by.isAtomic = isAtomic;
    isInitialised = block.shared.isInitialised(place.offset, bytes);
    if (auto conflict = block.shared.read(place.offset, bytes, by, block.clocks))
      reportConflict(pc, lane, *conflict, /*isWrite=*/false);
    break;
  }
  case Place::Memory::Local:
    for (uint32_t i = 0; i < bytes; ++i)
      isInitialised &= localWritten[lane][place.offset + i];
    break;
  case Place::Memory::Global:
    for (uint32_t i = 0; i < bytes; ++i)
      isInitialised &= place.buffer->written[place.offset + i];
    checkGlobal(pc, lane, place, bytes, /*isWrite=*/false, isAtomic);
    break;
  default:
    break;
  }
  if (!isInitialised)
    report(ReportKind::Uninitialised, pc, lane,
           place.memory == Place::Memory::Shared  ? "a read of shared memory that nobody wrote"
           : place.memory == Place::Memory::Local ? "a read of local memory that was not written"
                                                  : "a read of an output before it is written");
}

void Warp::checkWrite(uint32_t pc, unsigned lane, const Place &place, uint32_t bytes,
                      bool isAtomic) {
  switch (place.memory) {
  case Place::Memory::Shared: {
    Accessor by = accessor(pc, lane);
    by.isAtomic = isAtomic;
    if (auto conflict = block.shared.write(place.offset, bytes, by, block.clocks))
      reportConflict(pc, lane, *conflict, /*isWrite=*/true);
    break;
  }
  case Place::Memory::Local:
    for (uint32_t i = 0; i < bytes; ++i)
      localWritten[lane][place.offset + i] = true;
    break;
  case Place::Memory::Global:
    for (uint32_t i = 0; i < bytes; ++i)
      place.buffer->written[place.offset + i] = true;
    checkGlobal(pc, lane, place, bytes, /*isWrite=*/true, isAtomic);
    break;
  default:
    break;
  }
}

void Warp::checkGlobal(uint32_t pc, unsigned lane, const Place &place, uint32_t bytes, bool isWrite,
                       bool isAtomic) {
  if (place.buffer->use == BufferUse::Input)
    return;
  Accessor by = accessor(pc, lane);
  by.isAtomic = isAtomic;
  const uint32_t own = block.number + 1;
  bool hasReported = false;
  auto conflicts = [&](const Accessor &with, bool withWrite, bool isElsewhere) {
    if (hasReported)
      return;
    hasReported = true;
    std::string message = isElsewhere ? "another block of the same launch "
                                      : "another thread, without a barrier between them, ";
    message = (isWrite ? "this write of '" : "this read of '") + place.buffer->name +
              "': " + message + (withWrite ? "writes" : "reads") + " the same byte";
    report(ReportKind::Race, pc, lane, message, siteOf(with));
  };
  for (uint64_t i = place.offset; i < place.offset + bytes; ++i) {
    Buffer::Byte &byte = place.buffer->bytes[i];
    const bool bothAtomic = byte.write.by.isAtomic && isAtomic;
    if (byte.writer && !bothAtomic) {
      if (byte.writer != own)
        conflicts(byte.write.by, true, true);
      else if (!block.clocks.isOrdered(byte.write, by))
        conflicts(byte.write.by, true, false);
    }
    if (isWrite && byte.reader && byte.reader != own)
      conflicts(
          {byte.readPc, uint16_t(byte.readThread / warpSize), uint8_t(byte.readThread % warpSize)},
          false, true);
    if (isWrite) {
      byte.write = {by, block.clocks.clock(number), true};
      byte.writer = own;
    } else if (!isAtomic) {
      byte.reader = own;
      byte.readPc = pc;
      byte.readThread = number * warpSize + lane;
    }
  }
}

void Warp::countBanksOf(uint32_t pc, LaneMask active, uint8_t space, const uint64_t *addresses,
                        uint32_t bytes, uint32_t alignment) {
  uint32_t offsets[warpSize];
  LaneMask lanes = 0;
  forEachLane(active, [&](unsigned lane) {
    const bool isShared = space == Shared || (space == Generic && addresses[lane] >= sharedWindow);
    if (isShared)
      lanes |= LaneMask(1) << lane;
    offsets[lane] = addresses[lane]; // the window's low bits are zero
  });
  if (lanes == 0)
    return;
  // The widest instructions that the alignment allows, at most 16 bytes each.
  const uint32_t width = std::min({llvm::bit_floor(bytes), llvm::bit_floor(alignment), 16U});
  for (uint32_t done = 0; done < bytes; done += width) {
    countBanks(launch.banks[pc], offsets, lanes, std::min(width, bytes - done));
    for (uint32_t &offset : offsets)
      offset += width;
  }
}

void Warp::executeMemory(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  switch (op.opcode) {
  case Opcode::Load:
    return load(pc, active);
  case Opcode::Store:
    return store(pc, active);
  case Opcode::AtomicReadModifyWrite:
  case Opcode::CompareExchange:
    return atomic(pc, active);
  case Opcode::CopyAsync:
    return copyAsync(pc, active);
  case Opcode::CommitGroup:
    forEachLane(active, [&](unsigned lane) {
      groups[lane].push_back(std::move(openCopies[lane]));
      openCopies[lane].clear();
    });
    return;
  default:
    return waitGroup(op, active);
  }
}

void Warp::load(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  const Access &access = launch.program.accesses[op.immediate];
  // A result may take the place of the address only after all lanes are read.
  const uint64_t *addresses = lanesOf(op.a);
  countBanksOf(pc, active, access.space, addresses, access.extent, access.alignment);
  forEachLane(active, [&](unsigned lane) {
    Place place = locate(pc, lane, access.space, addresses[lane], access.extent, access.alignment);
    if (place.data)
      checkRead(pc, lane, place, access.extent, access.isAtomic);
    for (auto [piece, index] : llvm::zip_equal(access.pieces, access.registers)) {
      uint64_t bits = 0;
      if (place.data)
        std::memcpy(&bits, place.data + piece.offset, piece.scalar.bytes());
      lanesOf(index)[lane] = bits & piece.scalar.mask();
    }
  });
}

void Warp::store(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  const Access &access = launch.program.accesses[op.immediate];
  const uint64_t *addresses = lanesOf(op.a);
  countBanksOf(pc, active, access.space, addresses, access.extent, access.alignment);
  forEachLane(active, [&](unsigned lane) {
    Place place = locate(pc, lane, access.space, addresses[lane], access.extent, access.alignment);
    if (!place.data)
      return;
    if (place.memory == Place::Memory::Constant ||
        (place.buffer && place.buffer->use == BufferUse::Input)) {
      report(ReportKind::ReadOnly, pc, lane,
             place.buffer ? "a write to the input '" + place.buffer->name + "'"
                          : "a write to a constant");
      return;
    }
    checkWrite(pc, lane, place, access.extent, access.isAtomic);
    for (auto [piece, index] : llvm::zip_equal(access.pieces, access.registers)) {
      const uint64_t bits = lanesOf(index)[lane];
      std::memcpy(place.data + piece.offset, &bits, piece.scalar.bytes());
    }
  });
}

void Warp::atomic(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  const Access &access = launch.program.accesses[op.immediate];
  forEachLane(active, [&](unsigned lane) {
    Place place = locate(pc, lane, access.space, lanesOf(op.a)[lane], access.extent, access.extent);
    uint64_t old = 0;
    if (place.buffer && place.buffer->use == BufferUse::Input)
      report(ReportKind::ReadOnly, pc, lane, "a write to the input '" + place.buffer->name + "'");
    else if (place.data) {
      checkRead(pc, lane, place, access.extent, /*isAtomic=*/true);
      std::memcpy(&old, place.data, access.extent);
      uint64_t made = lanesOf(op.b)[lane];
      if (op.opcode == Opcode::AtomicReadModifyWrite)
        made = combineAtomically(mlir::LLVM::AtomicBinOp(op.detail), op.scalar, old, made);
      else
        made = old == made ? lanesOf(op.c)[lane] : old;
      checkWrite(pc, lane, place, access.extent, /*isAtomic=*/true);
      std::memcpy(place.data, &made, access.extent);
    }
    lanesOf(op.result)[lane] = old;
  });
}

} // namespace seqmix::gpu
