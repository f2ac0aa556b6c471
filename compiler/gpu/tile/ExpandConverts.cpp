//===- ExpandConverts.cpp - conversions between warps --------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/Passes.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix {
#define GEN_PASS_DEF_TILEEXPANDCONVERTS
#include "compiler/gpu/Passes.h.inc"

namespace {

struct TileExpandConverts : impl::TileExpandConvertsBase<TileExpandConverts> {
  using TileExpandConvertsBase::TileExpandConvertsBase;

  void runOnOperation() override {
    SmallVector<ConvertOp> converts;
    getOperation()->walk([&](ConvertOp op) {
      if (conversion(*layoutOf(op.getValue().getType()), *layoutOf(op.getType())).kind ==
          ConversionKind::Shared)
        converts.push_back(op);
    });
    for (ConvertOp op : converts)
      expand(op);
  }

  static void expand(ConvertOp op) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    Value value = op.getValue();
    RankedTensorType result = op.getType();
    // Truth values take a byte each.
    const bool isBit = result.getElementType().isInteger(1);
    auto wide = [&](Type type) { return cast<RankedTensorType>(type).clone(builder.getI8Type()); };
    if (isBit)
      value = arith::ExtUIOp::create(builder, loc, wide(value.getType()), value);
    Type element = cast<RankedTensorType>(value.getType()).getElementType();
    // Rows of shared memory go along the dim that neighbouring registers are in: stores of several
    // elements.
    const Layout from = *layoutOf(value.getType());
    const bool transposed = result.getRank() == 2 && from.registerBits() > 0 &&
                            (from.elementOf(1) & from.dimMask(0)) != 0;
    SmallVector<int64_t> shape(result.getShape());
    if (transposed)
      std::swap(shape[0], shape[1]);
    const unsigned rowBytes = shape.back() * element.getIntOrFloatBitWidth() / 8;
    unsigned swizzle = result.getRank() == 2 ? std::min(128U, rowBytes) : 0;
    if (swizzle < 32)
      swizzle = 0;
    auto type = SmemType::get(op.getContext(), shape, element, swizzle);
    auto memory = AllocSmemOp::create(builder, loc, type, IntegerAttr());
    StoreOp::create(builder, loc, value, memory, transposed);
    Value loaded = LoadOp::create(builder, loc, isBit ? wide(result) : result, memory, transposed);
    if (isBit)
      loaded = arith::TruncIOp::create(builder, loc, result, loaded);
    op.replaceAllUsesWith(loaded);
    op.erase();
  }
};

} // namespace
} // namespace seqmix
