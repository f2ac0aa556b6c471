//===- ExecuteMatrices.cpp - tensor core ops ---------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Where the elements of a matrix are in the registers of a warp is from the PTX ISA, "Matrix
// Fragments for mma.m16n8k8" and ".m16n8k16 with floating point type", "mma.m8n8k4 with .f64",
// "ldmatrix", "stmatrix" and "movmatrix". With group = lane / 4 and member = lane % 4, in terms of
// elements a0, a1, ...:
//
//   16 bits, A: row = group (+ 8 for i in {2, 3, 6, 7}), column = 2 member + i % 2 (+ 8 for i >= 4)
//            B: row = 2 member + i % 2 (+ 8 for i >= 2), column = group
//   tf32,    A: row = group (+ 8 for a1, a3), column = member (+ 4 for a2, a3)
//            B: row = member (+ 4 for b1), column = group
//   C and D:    row = group (+ 8 for c2, c3), column = 2 member + i % 2
//   f64 (m8n8k4), A: row = group, column = member;  B: row = member, column = group
//            C and D: row = group, column = 2 member + i
//   8x8 matrix: row = group, columns = 2 member and 2 member + 1; its row r begins at the address
//               that lane r gives (of the second matrix lane 8 + r, and so on)
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/emulator/Machine.h"

#include "compiler/gpu/emulator/Numbers.h"

#include <bit>
#include <cmath>

namespace seqmix::gpu {
namespace {

uint16_t halfOf(uint64_t word, unsigned which) { return word >> (16 * which); }

/// In f64, m8n8k4.
void multiplyDoubles(const MatrixProduct &product,
                     llvm::function_ref<uint64_t *(uint32_t)> lanesOf) {
  double a[8][4], b[4][8], sums[8][8];
  for (unsigned lane = 0; lane < warpSize; ++lane) {
    const unsigned group = lane / 4, member = lane % 4;
    a[group][member] = std::bit_cast<double>(lanesOf(product.a[0])[lane]);
    b[member][group] = std::bit_cast<double>(lanesOf(product.b[0])[lane]);
    for (unsigned i = 0; i < 2; ++i)
      sums[group][2 * member + i] = std::bit_cast<double>(lanesOf(product.c[i])[lane]);
  }
  for (unsigned row = 0; row < 8; ++row)
    for (unsigned k = 0; k < 4; ++k)
      for (unsigned column = 0; column < 8; ++column)
        sums[row][column] = std::fma(a[row][k], b[k][column], sums[row][column]);
  for (unsigned lane = 0; lane < warpSize; ++lane)
    for (unsigned i = 0; i < 2; ++i)
      lanesOf(product.results[i])[lane] =
          std::bit_cast<uint64_t>(sums[lane / 4][2 * (lane % 4) + i]);
}

} // namespace

void Warp::multiplyMatrices(const Instruction &op) {
  using Element = MatrixProduct::Element;
  const MatrixProduct &product = launch.program.products[op.immediate];
  if (product.element == Element::Double)
    return multiplyDoubles(product, [&](uint32_t index) { return lanesOf(index); });
  float a[16][16] = {}, b[16][8] = {};
  const bool isTf32 = product.element == Element::Tf32;
  auto number = [&](uint64_t word, unsigned which) {
    if (isTf32)
      return readTf32(word);
    return product.element == Element::Half ? halfToSingle(halfOf(word, which))
                                            : brainToSingle(halfOf(word, which));
  };
  const unsigned perRegister = isTf32 ? 1 : 2;
  const unsigned step = isTf32 ? 4 : 8; // columns from one pair of A's registers to the next
  for (unsigned lane = 0; lane < warpSize; ++lane) {
    const unsigned group = lane / 4, member = lane % 4;
    for (auto [i, index] : llvm::enumerate(product.a))
      for (unsigned j = 0; j < perRegister; ++j)
        a[group + 8 * (i % 2)][perRegister * member + j + step * (i / 2)] =
            number(lanesOf(index)[lane], j);
    for (auto [i, index] : llvm::enumerate(product.b))
      for (unsigned j = 0; j < perRegister; ++j)
        b[perRegister * member + j + step * i][group] = number(lanesOf(index)[lane], j);
  }
  float sums[16][8];
  for (size_t lane = 0; lane < warpSize; ++lane)
    for (auto [i, index] : llvm::enumerate(product.c))
      sums[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2] = singleOf(lanesOf(index)[lane]);
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned k = 0; k < product.k; ++k)
      for (unsigned column = 0; column < 8; ++column)
        sums[row][column] = std::fma(a[row][k], b[k][column], sums[row][column]);
  for (size_t lane = 0; lane < warpSize; ++lane)
    for (auto [i, index] : llvm::enumerate(product.results))
      lanesOf(index)[lane] = bitsOf(sums[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2]);
}

void Warp::transposeMatrix(const Instruction &op) {
  uint16_t matrix[8][8];
  for (size_t lane = 0; lane < warpSize; ++lane)
    for (unsigned j = 0; j < 2; ++j)
      matrix[lane / 4][2 * (lane % 4) + j] = halfOf(lanesOf(op.b)[lane], j);
  for (size_t lane = 0; lane < warpSize; ++lane)
    lanesOf(op.result)[lane] = uint32_t(matrix[2 * (lane % 4)][lane / 4]) |
                               uint32_t(matrix[2 * (lane % 4) + 1][lane / 4]) << 16;
}

/// The row of 16 bytes that a lane names, after all checks; null if it is not in shared memory.
uint8_t *Warp::matrixRow(uint32_t pc, unsigned lane, bool isStore) {
  const uint64_t address = lanesOf(launch.program.code[pc].a)[lane];
  Place place = locate(pc, lane, Shared, address, 16, 16);
  if (!place.data)
    return nullptr;
  Accessor by = accessor(pc, lane);
  by.isCollective = true;
  if (!isStore && !block.shared.isInitialised(place.offset, 16))
    report(ReportKind::Uninitialised, pc, lane, "a read of shared memory that nobody wrote");
  auto conflict = isStore ? block.shared.write(place.offset, 16, by, block.clocks)
                          : block.shared.read(place.offset, 16, by, block.clocks);
  if (conflict) {
    // The threads that hold elements of the row; one of them that is not the other access's.
    const bool isTransposed = launch.program.code[pc].detail;
    const unsigned row = lane % 8;
    unsigned holder = isTransposed ? row / 2 : 4 * row;
    if (conflict->with.warp == number && conflict->with.lane == holder)
      holder += isTransposed ? 4 : 1;
    reportConflict(pc, holder, *conflict, isStore);
  }
  return place.data;
}

void Warp::loadMatrix(uint32_t pc) {
  const Instruction &op = launch.program.code[pc];
  const LaneMask rows = op.count == 4 ? allLanes : (LaneMask(1) << (8 * op.count)) - 1;
  countBanksOf(pc, rows, Shared, lanesOf(op.a), 16, 16);
  uint16_t matrices[4][8][8] = {};
  forEachLane(rows, [&](unsigned lane) {
    if (const uint8_t *row = matrixRow(pc, lane, /*isStore=*/false))
      std::memcpy(matrices[lane / 8][lane % 8], row, 16);
  });
  for (unsigned i = 0; i < op.count; ++i) {
    uint64_t *result = lanesOf(launch.program.operands[op.b + i]);
    for (unsigned lane = 0; lane < warpSize; ++lane) {
      const unsigned group = lane / 4, first = 2 * (lane % 4);
      const auto &matrix = matrices[i];
      const uint32_t low = op.detail ? matrix[first][group] : matrix[group][first];
      const uint32_t high = op.detail ? matrix[first + 1][group] : matrix[group][first + 1];
      result[lane] = low | high << 16;
    }
  }
}

void Warp::storeMatrix(uint32_t pc) {
  const Instruction &op = launch.program.code[pc];
  const LaneMask rows = op.count == 4 ? allLanes : (LaneMask(1) << (8 * op.count)) - 1;
  countBanksOf(pc, rows, Shared, lanesOf(op.a), 16, 16);
  uint16_t matrices[4][8][8];
  for (unsigned i = 0; i < op.count; ++i)
    for (unsigned lane = 0; lane < warpSize; ++lane)
      for (unsigned j = 0; j < 2; ++j) {
        const unsigned group = lane / 4, element = 2 * (lane % 4) + j;
        const uint16_t value = halfOf(lanesOf(launch.program.operands[op.b + i])[lane], j);
        (op.detail ? matrices[i][element][group] : matrices[i][group][element]) = value;
      }
  forEachLane(rows, [&](unsigned lane) {
    if (uint8_t *row = matrixRow(pc, lane, /*isStore=*/true))
      std::memcpy(row, matrices[lane / 8][lane % 8], 16);
  });
}

} // namespace seqmix::gpu
