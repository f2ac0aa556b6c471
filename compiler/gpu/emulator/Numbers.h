//===- Numbers.h - the number formats of a GPU --------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_EMULATOR_NUMBERS_H
#define SEQMIX_COMPILER_GPU_EMULATOR_NUMBERS_H

#include "compiler/gpu/emulator/Types.h"

#include <bit>

namespace seqmix::gpu {

inline float singleOf(uint64_t bits) { return std::bit_cast<float>(uint32_t(bits)); }
inline uint64_t bitsOf(float value) { return std::bit_cast<uint32_t>(value); }
inline float brainToSingle(uint64_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }

/// Round to nearest, ties to even.
uint16_t singleToBrain(float value);
uint16_t singleToHalf(float value);
float halfToSingle(uint16_t bits);

/// The number in a register of that type, exactly.
double toDouble(Scalar scalar, uint64_t bits);
/// The register for a number: rounded to nearest, ties to even, once.
uint64_t fromDouble(Scalar scalar, double value);

/// `cvt.rna.tf32.f32`: nearest, ties away from zero; the 13 low bits are zero.
uint32_t roundToTf32(float value);
/// What the tensor cores read of a tf32 operand: they ignore the low bits.
inline float readTf32(uint64_t bits) { return singleOf(bits & 0xffffe000U); }

inline int64_t signExtend(uint64_t value, unsigned bits) {
  return bits >= 64 ? int64_t(value) : int64_t(value << (64 - bits)) >> (64 - bits);
}

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_EMULATOR_NUMBERS_H
