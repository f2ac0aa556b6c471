//===- SharedAccess.cpp - addresses of tiles in shared memory ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/SharedAccess.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {

SharedAccess::SharedAccess(Emitter &emit, Value base, const LinearMap &threadOffsets)
    : emit(emit), base(base), own(emit.apply(threadOffsets, emit.threadId())) {
  for (uint32_t column : threadOffsets.bits())
    threadBits |= column;
}

Value SharedAccess::address(uint32_t constant) {
  OpBuilder &b = emit.builder;
  auto offset = [&](Value from, LLVM::GEPArg by) -> Value {
    return LLVM::GEPOp::create(b, emit.loc, base.getType(), b.getI8Type(), from, by);
  };
  auto [entry, isNew] = bases.try_emplace(constant & threadBits);
  if (isNew)
    entry->second = offset(base, emit.xorWith(own, constant & threadBits));
  const uint32_t rest = constant & ~threadBits;
  return rest ? offset(entry->second, int32_t(rest)) : entry->second;
}

LinearMap sharedOffsets(SmemType tile, const Layout &layout, bool transposed) {
  return tile.offsets().after(transposed ? layout.transposed().map() : layout.map());
}

} // namespace seqmix::gpu
