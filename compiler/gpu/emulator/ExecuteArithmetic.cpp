//===- ExecuteArithmetic.cpp - integers, conversions and moves ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "compiler/gpu/emulator/DialectEnums.h"
#include "compiler/gpu/emulator/Numbers.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

namespace seqmix::gpu {
namespace {

bool compareIntegers(mlir::LLVM::ICmpPredicate predicate, Scalar scalar, uint64_t a, uint64_t b) {
  using P = mlir::LLVM::ICmpPredicate;
  const int64_t x = signExtend(a, scalar.bits), y = signExtend(b, scalar.bits);
  switch (predicate) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
    return x < y;
  case P::sle:
    return x <= y;
  case P::sgt:
    return x > y;
  case P::sge:
    return x >= y;
  case P::ult:
    return a < b;
  case P::ule:
    return a <= b;
  case P::ugt:
    return a > b;
  case P::uge:
    return a >= b;
  }
  return false;
}

/// A float as an integer of that width. What does not fit is poison to LLVM; the hardware
/// saturates.
uint64_t toInteger(double value, Scalar to, bool isSigned) {
  if (std::isnan(value))
    return 0;
  const double low = isSigned ? -std::ldexp(1.0, to.bits - 1) : 0;
  const double high = std::ldexp(1.0, isSigned ? to.bits - 1 : to.bits);
  value = std::trunc(value);
  if (value <= low)
    return uint64_t(isSigned ? int64_t(low) : 0) & to.mask();
  if (value >= high)
    return isSigned ? to.mask() >> 1 : to.mask();
  return (isSigned ? uint64_t(int64_t(value)) : uint64_t(value)) & to.mask();
}

uint32_t permuteBytes(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t pool = uint64_t(high) << 32 | low;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned choice = selector >> (4 * i) & 15;
    uint8_t byte = pool >> (8 * (choice & 7));
    if (choice & 8) // replicates the sign
      byte = byte & 0x80 ? 0xff : 0;
    result |= uint32_t(byte) << (8 * i);
  }
  return result;
}

} // namespace

void Warp::executeArithmetic(uint32_t pc, LaneMask active) {
  const Instruction &op = launch.program.code[pc];
  if (op.opcode <= Opcode::SwapBytes)
    return executeInteger(op, pc, active);
  if (op.opcode <= Opcode::Function)
    return executeFloat(op, active);
  if (op.opcode >= Opcode::Truncate && op.opcode <= Opcode::InsertBits)
    return executeConversion(op, active);
  if (op.opcode == Opcode::FCompare)
    return compareFloat(op, active);
  if (op.opcode == Opcode::SpecialRegister)
    return executeSpecial(op, active);
  if (op.opcode == Opcode::CastSpace)
    return castSpace(op, pc, active);
  if (op.opcode == Opcode::PickByIndex) {
    uint64_t *result = lanesOf(op.result);
    forEachLane(active, [&](unsigned lane) {
      uint64_t index = std::min<uint64_t>(lanesOf(op.b)[lane], op.count - 1);
      result[lane] = lanesOf(launch.program.operands[op.a + index])[lane];
    });
    return;
  }
  uint64_t *result = lanesOf(op.result);
  const uint64_t *a = lanesOf(op.a);
  const uint64_t *b = op.b == noRegister ? a : lanesOf(op.b);
  const uint64_t *c = op.c == noRegister ? a : lanesOf(op.c);
  switch (op.opcode) {
  case Opcode::ICompare:
    forEachLane(active, [&](unsigned lane) {
      result[lane] =
          compareIntegers(mlir::LLVM::ICmpPredicate(op.detail), op.scalar, a[lane], b[lane]);
    });
    break;
  case Opcode::Select:
    forEachLane(active, [&](unsigned lane) { result[lane] = a[lane] ? b[lane] : c[lane]; });
    break;
  case Opcode::SelectByIndex:
    forEachLane(active, [&](unsigned lane) {
      result[lane] = a[lane] == uint64_t(op.immediate) ? b[lane] : c[lane];
    });
    break;
  case Opcode::Permute:
    forEachLane(active,
                [&](unsigned lane) { result[lane] = permuteBytes(a[lane], b[lane], c[lane]); });
    break;
  case Opcode::AddScaled:
    forEachLane(active, [&](unsigned lane) {
      result[lane] = a[lane] + uint64_t(signExtend(b[lane], op.scalar.bits)) * op.immediate;
    });
    break;
  case Opcode::AddImmediate:
    forEachLane(active, [&](unsigned lane) { result[lane] = a[lane] + op.immediate; });
    break;
  default: // Move
    forEachLane(active, [&](unsigned lane) { result[lane] = a[lane]; });
    break;
  }
}

void Warp::executeInteger(const Instruction &op, uint32_t pc, LaneMask active) {
  const unsigned bits = op.scalar.bits;
  const uint64_t mask = op.scalar.mask();
  uint64_t *result = lanesOf(op.result);
  const uint64_t *a = lanesOf(op.a);
  const uint64_t *b = op.b == noRegister ? a : lanesOf(op.b);
  auto compute = [&](auto f) {
    forEachLane(active, [&](unsigned lane) { result[lane] = f(a[lane], b[lane]) & mask; });
  };
  auto computeSigned = [&](auto f) {
    forEachLane(active, [&](unsigned lane) {
      result[lane] = uint64_t(f(signExtend(a[lane], bits), signExtend(b[lane], bits))) & mask;
    });
  };
  switch (op.opcode) {
  case Opcode::Add:
    return compute([](uint64_t x, uint64_t y) { return x + y; });
  case Opcode::Sub:
    return compute([](uint64_t x, uint64_t y) { return x - y; });
  case Opcode::Mul:
    return compute([](uint64_t x, uint64_t y) { return x * y; });
  case Opcode::And:
    return compute([](uint64_t x, uint64_t y) { return x & y; });
  case Opcode::Or:
    return compute([](uint64_t x, uint64_t y) { return x | y; });
  case Opcode::Xor:
    return compute([](uint64_t x, uint64_t y) { return x ^ y; });
  case Opcode::Shl:
    return compute([&](uint64_t x, uint64_t y) { return y < bits ? x << y : 0; });
  case Opcode::LShr:
    return compute([&](uint64_t x, uint64_t y) { return y < bits ? x >> y : 0; });
  case Opcode::AShr:
    return compute([&](uint64_t x, uint64_t y) {
      return uint64_t(signExtend(x, bits) >> std::min<uint64_t>(y, bits - 1));
    });
  case Opcode::SMin:
    return computeSigned([](int64_t x, int64_t y) { return std::min(x, y); });
  case Opcode::SMax:
    return computeSigned([](int64_t x, int64_t y) { return std::max(x, y); });
  case Opcode::UMin:
    return compute([](uint64_t x, uint64_t y) { return std::min(x, y); });
  case Opcode::UMax:
    return compute([](uint64_t x, uint64_t y) { return std::max(x, y); });
  case Opcode::Abs:
    return computeSigned([](int64_t x, int64_t) { return x < 0 ? 0 - uint64_t(x) : uint64_t(x); });
  case Opcode::PopCount:
    return compute([](uint64_t x, uint64_t) { return uint64_t(llvm::popcount(x)); });
  case Opcode::LeadingZeros:
    return compute(
        [&](uint64_t x, uint64_t) { return uint64_t(llvm::countl_zero(x)) - (64 - bits); });
  case Opcode::TrailingZeros:
    return compute(
        [&](uint64_t x, uint64_t) { return std::min<uint64_t>(llvm::countr_zero(x), bits); });
  case Opcode::ReverseBits:
    return compute([&](uint64_t x, uint64_t) { return llvm::reverseBits(x) >> (64 - bits); });
  case Opcode::SwapBytes:
    return compute([&](uint64_t x, uint64_t) { return llvm::byteswap(x) >> (64 - bits); });
  default:
    break;
  }
  // Divisions; by zero there is no result.
  const bool isSigned = op.opcode == Opcode::SDiv || op.opcode == Opcode::SRem;
  const bool isQuotient = op.opcode == Opcode::SDiv || op.opcode == Opcode::UDiv;
  forEachLane(active, [&](unsigned lane) {
    if (b[lane] == 0) {
      report(ReportKind::Undefined, pc, lane, "a division by zero");
      result[lane] = 0;
    } else if (!isSigned) {
      result[lane] = isQuotient ? a[lane] / b[lane] : a[lane] % b[lane];
    } else if (b[lane] == mask) { // minus one: the quotient of the least number overflows
      result[lane] = isQuotient ? (0 - a[lane]) & mask : 0;
    } else {
      const int64_t x = signExtend(a[lane], bits), y = signExtend(b[lane], bits);
      result[lane] = uint64_t(isQuotient ? x / y : x % y) & mask;
    }
  });
}

void Warp::executeConversion(const Instruction &op, LaneMask active) {
  uint64_t *result = lanesOf(op.result);
  const uint64_t *a = lanesOf(op.a);
  const uint64_t mask = op.to.mask();
  auto compute = [&](auto f) {
    forEachLane(active, [&](unsigned lane) { result[lane] = f(a[lane]); });
  };
  switch (op.opcode) {
  case Opcode::Truncate:
    return compute([&](uint64_t x) { return x & mask; });
  case Opcode::SignExtend:
    return compute([&](uint64_t x) { return uint64_t(signExtend(x, op.scalar.bits)) & mask; });
  case Opcode::ExtractBits:
    return compute([&](uint64_t x) { return x >> op.immediate & mask; });
  case Opcode::InsertBits: {
    const uint64_t *low = lanesOf(op.b);
    forEachLane(active, [&](unsigned lane) { result[lane] = low[lane] | a[lane] << op.immediate; });
    return;
  }
  case Opcode::ToTf32:
    return compute([&](uint64_t x) { return roundToTf32(singleOf(x)); });
  case Opcode::FloatToFloat:
    if (op.scalar.kind == Scalar::Class::Single && op.to.kind == Scalar::Class::Brain)
      return compute([&](uint64_t x) { return uint64_t(singleToBrain(singleOf(x))); });
    if (op.scalar.kind == Scalar::Class::Brain && op.to.kind == Scalar::Class::Single)
      return compute([&](uint64_t x) { return x << 16; });
    return compute([&](uint64_t x) { return fromDouble(op.to, toDouble(op.scalar, x)); });
  case Opcode::FloatToSigned:
    return compute([&](uint64_t x) { return toInteger(toDouble(op.scalar, x), op.to, true); });
  case Opcode::FloatToUnsigned:
    return compute([&](uint64_t x) { return toInteger(toDouble(op.scalar, x), op.to, false); });
  default:
    break;
  }
  // Integers to floats; those of 64 bits go to f32 without a stop at f64, which would round twice.
  const bool isSigned = op.opcode == Opcode::SignedToFloat;
  compute([&](uint64_t x) {
    const int64_t number = signExtend(x, op.scalar.bits);
    if (op.to.kind == Scalar::Class::Single)
      return bitsOf(isSigned ? float(number) : float(x));
    return fromDouble(op.to, isSigned ? double(number) : double(x));
  });
}

void Warp::executeSpecial(const Instruction &op, LaneMask active) {
  const Dim3 &block = launch.shape.block, &grid = launch.shape.grid;
  forEachLane(active, [&](unsigned lane) {
    const Dim3 thread = threadIndex(lane);
    const LaneMask own = LaneMask(1) << lane;
    uint64_t value = 0;
    switch (Special(op.detail)) {
    case Special::ThreadX:
      value = thread.x;
      break;
    case Special::ThreadY:
      value = thread.y;
      break;
    case Special::ThreadZ:
      value = thread.z;
      break;
    case Special::BlockX:
      value = this->block.index.x;
      break;
    case Special::BlockY:
      value = this->block.index.y;
      break;
    case Special::BlockZ:
      value = this->block.index.z;
      break;
    case Special::ThreadsX:
      value = block.x;
      break;
    case Special::ThreadsY:
      value = block.y;
      break;
    case Special::ThreadsZ:
      value = block.z;
      break;
    case Special::BlocksX:
      value = grid.x;
      break;
    case Special::BlocksY:
      value = grid.y;
      break;
    case Special::BlocksZ:
      value = grid.z;
      break;
    case Special::Lane:
      value = lane;
      break;
    case Special::Warp:
      value = number;
      break;
    case Special::WarpSize:
      value = warpSize;
      break;
    case Special::Warps:
      value = launch.warpsPerBlock();
      break;
    case Special::LanesEqual:
      value = own;
      break;
    case Special::LanesLess:
      value = own - 1;
      break;
    case Special::LanesLessEqual:
      value = own | (own - 1);
      break;
    case Special::LanesGreater:
      value = ~(own | (own - 1));
      break;
    case Special::LanesGreaterEqual:
      value = ~(own - 1);
      break;
    case Special::DynamicShared:
      value = launch.program.staticShared;
      break;
    }
    lanesOf(op.result)[lane] = value;
  });
}

void Warp::castSpace(const Instruction &op, uint32_t pc, LaneMask active) {
  auto window = [](uint32_t space) {
    return space == Shared ? sharedWindow : space == Local ? localWindow : 0;
  };
  const uint64_t from = window(op.detail), to = window(op.count);
  forEachLane(active, [&](unsigned lane) {
    const uint64_t generic = lanesOf(op.a)[lane] + from;
    if (to && (generic < to || generic - to > UINT32_MAX))
      report(ReportKind::Undefined, pc, lane, "the pointer is not one of that address space");
    lanesOf(op.result)[lane] = generic - to;
  });
}

} // namespace seqmix::gpu
