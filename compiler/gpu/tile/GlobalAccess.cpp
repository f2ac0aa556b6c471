//===- GlobalAccess.cpp - addresses of tiles in global memory ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/GlobalAccess.h"

#include "llvm/ADT/bit.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {

SmallVector<GlobalAccess::Mixed> GlobalAccess::mix(ArrayRef<int64_t> constants, ValueRange values) {
  SmallVector<Mixed> result;
  for (int64_t constant : constants) {
    if (ShapedType::isDynamic(constant)) {
      result.push_back({values.front(), 0});
      values = values.drop_front();
    } else {
      result.push_back({Value(), constant});
    }
  }
  return result;
}

void GlobalAccess::prepare() {
  OpBuilder &b = emit.builder;
  // Vectors go along a dim of stride 1, as far as addresses are aligned and all places of one exist
  // or none.
  for (unsigned dim = 0; dim < layout.rank(); ++dim) {
    if (strides[dim].value || strides[dim].constant != 1 || extents[dim].value)
      continue;
    for (unsigned bit = 0; bit < layout.bitsOf(dim); ++bit) {
      std::optional<unsigned> reg = layout.registerAt(1U << (layout.firstBit(dim) + bit));
      if (!reg || uint64_t(bytes()) << (bit + 1) > std::min<uint64_t>(align, 16) ||
          extents[dim].constant % (2 << bit) != 0)
        break;
      vectorBits.push_back(*reg);
      vectorSize *= 2;
    }
    break;
  }
  // From here on a constant that is less than the tile has is a value as any other one.
  for (unsigned dim = 0; dim < layout.rank(); ++dim)
    if (!extents[dim].value && extents[dim].constant < int64_t(1) << layout.bitsOf(dim))
      extents[dim].value = emit.i64(extents[dim].constant);
  for (Mixed &stride : strides)
    if (stride.value)
      stride.value = emit.copy(stride.value);
  threadBase = base;
  for (unsigned dim = 0; dim < layout.rank(); ++dim) {
    Value offset =
        arith::ExtUIOp::create(b, emit.loc, b.getI64Type(), emit.threadCoordinate(layout, dim));
    left.push_back(extents[dim].value
                       ? arith::SubIOp::create(b, emit.loc, extents[dim].value, offset).getResult()
                       : Value());
    Value stride = strides[dim].value ? strides[dim].value : emit.i64(strides[dim].constant);
    offset = arith::MulIOp::create(b, emit.loc, offset, stride);
    threadBase = LLVM::GEPOp::create(b, emit.loc, base.getType(), element, threadBase,
                                     ArrayRef<LLVM::GEPArg>{offset});
  }
}

SmallVector<GlobalAccess::Group> GlobalAccess::groups(bool once) {
  OpBuilder &b = emit.builder;
  Value always;
  if (once) {
    // Copies of an element differ in bits of the thread's number that move nothing.
    uint32_t copies = 0;
    for (auto [bit, element] : llvm::enumerate(layout.threadBases()))
      if (!element)
        copies |= 1U << bit;
    if (copies)
      always = emit.hasBits(emit.threadId(), copies, false);
  }
  uint32_t inVector = 0;
  for (unsigned bit : vectorBits)
    inVector |= bit;
  std::map<SmallVector<int64_t>, Group> groups; // by the coordinates that decide
  for (unsigned reg = 0; reg < layout.registers(); ++reg) {
    if (reg & inVector)
      continue;
    const Coordinates place = layout.coordinates(layout.elementOf(reg));
    SmallVector<int64_t> key;
    for (unsigned dim = 0; dim < layout.rank(); ++dim)
      key.push_back(extents[dim].value ? place[dim] : 0);
    auto [entry, isNew] = groups.try_emplace(key);
    if (isNew) {
      Value exists = always;
      for (unsigned dim = 0; dim < layout.rank(); ++dim) {
        if (!extents[dim].value)
          continue;
        // Against a constant: sums of the own place and each register's would be kept in front
        // of loops, in a register each.
        Value inside = arith::CmpIOp::create(b, emit.loc, arith::CmpIPredicate::sgt, left[dim],
                                             emit.i64(place[dim]));
        exists = exists ? arith::AndIOp::create(b, emit.loc, exists, inside) : inside;
      }
      entry->second.exists = exists;
    }
    SmallVector<unsigned> &vector = entry->second.vectors.emplace_back();
    for (unsigned i = 0; i < vectorSize; ++i) {
      unsigned member = reg;
      for (auto [bit, mask] : llvm::enumerate(vectorBits))
        if (i >> bit & 1)
          member |= mask;
      vector.push_back(member);
    }
  }
  SmallVector<Group> result;
  for (auto &[key, group] : groups)
    result.push_back(std::move(group));
  return result;
}

Value GlobalAccess::address(unsigned reg) {
  OpBuilder &b = emit.builder;
  const Coordinates place = layout.coordinates(layout.elementOf(reg));
  int64_t constant = 0;
  Coordinates key;
  for (auto [stride, coordinate] : llvm::zip_equal(strides, place)) {
    key.push_back(stride.value ? coordinate : 0);
    if (!stride.value)
      constant += stride.constant * coordinate;
  }
  Value row = rowAt(key);
  if (!constant)
    return row;
  return LLVM::GEPOp::create(b, emit.loc, base.getType(), element, row,
                             ArrayRef<LLVM::GEPArg>{int32_t(constant)});
}

/// From the row without the highest bit of a coordinate: what is added is a power of two times the
/// stride. Of other multiples there would be one for each row, and all would be kept in front of
/// loops.
Value GlobalAccess::rowAt(const Coordinates &place) {
  auto dim = llvm::find_if(place, [](int64_t coordinate) { return coordinate != 0; });
  if (dim == place.end())
    return threadBase;
  if (auto found = rows.find(place); found != rows.end())
    return found->second;
  const size_t number = dim - place.begin();
  const auto step = static_cast<int64_t>(llvm::bit_floor(static_cast<uint64_t>(*dim)));
  Coordinates before = place;
  before[number] -= step;
  Value from = rowAt(before);
  OpBuilder &b = emit.builder;
  Value offset = arith::MulIOp::create(b, emit.loc, strides[number].value, emit.i64(step));
  return rows[place] = LLVM::GEPOp::create(b, emit.loc, base.getType(), element, from,
                                           ArrayRef<LLVM::GEPArg>{offset});
}

} // namespace seqmix::gpu
