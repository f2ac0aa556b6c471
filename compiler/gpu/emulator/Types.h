//===- Types.h - how the emulator keeps values -------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_TYPES_H
#define SEQMIX_COMPILER_GPU_EMULATOR_TYPES_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>

namespace seqmix::gpu {

constexpr unsigned warpSize = 32;
using LaneMask = uint32_t;
constexpr LaneMask allLanes = 0xffffffff;

/// Extents of a grid or block, or an index in one.
struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint32_t count() const { return x * y * z; }
};

/// What one register holds: the bits of a number in the low end of 64, the others zero.
struct Scalar {
  enum class Class : uint8_t { Integer, Pointer, Half, Brain, Single, Double };
  Class kind = Class::Integer;
  uint8_t bits = 64;

  bool isFloat() const { return kind > Class::Pointer; }
  unsigned bytes() const { return (bits + 7) / 8; }
  uint64_t mask() const { return bits >= 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1; }
};

/// A scalar of a vector, array or struct: such values are kept as one register for each.
struct Piece {
  Scalar scalar;
  uint32_t offset = 0; // bytes
};

/// The registers and the memory of a type, by the rules of the NVPTX data layout.
struct TypeLayout {
  llvm::SmallVector<Piece, 4> pieces;
  uint32_t size = 0;      // from one to the next in an array
  uint32_t extent = 0;    // bytes that a load or store touches
  uint32_t alignment = 1; // natural
  bool inMemory = true;   // vectors of i1 and odd integers live in registers only
};

/// Fails for types that no kernel of ours has (scalable vectors, opaque structs, f80).
llvm::FailureOr<TypeLayout> layoutOf(mlir::Type type);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_TYPES_H
