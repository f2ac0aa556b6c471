//===- ToNvvmGlobal.cpp - loads from and stores to global memory -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/GlobalAccess.h"
#include "compiler/gpu/tile/ToNvvm.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {
namespace {

struct LoadGlobalLowering : OpConversionPattern<LoadGlobalOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LoadGlobalOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getType());
    Type element = op.getType().getElementType();
    Emitter emit(rewriter, op.getLoc());
    GlobalAccess access(emit, op, layout, element, adaptor.getBase(), adaptor.getStrides(),
                        adaptor.getExtents());
    Type type =
        access.vector() == 1 ? element : cast<Type>(VectorType::get(access.vector(), element));
    Registers results(layout.registers());
    for (const GlobalAccess::Group &group : access.groups(/*once=*/false)) {
      Registers addresses, vectors;
      for (ArrayRef<unsigned> vector : group.vectors)
        addresses.push_back(access.address(vector[0]));
      auto load = [&](OpBuilder &builder, Location loc) {
        Registers loaded;
        for (Value address : addresses)
          loaded.push_back(LLVM::LoadOp::create(builder, loc, type, address, access.alignment()));
        return loaded;
      };
      if (group.exists) {
        auto choice = scf::IfOp::create(
            rewriter, op.getLoc(), group.exists,
            [&](OpBuilder &builder, Location loc) {
              scf::YieldOp::create(builder, loc, load(builder, loc));
            },
            [&](OpBuilder &builder, Location loc) {
              Value zero = Emitter(builder, loc).zero(type);
              scf::YieldOp::create(builder, loc, Registers(addresses.size(), zero));
            });
        vectors.assign(choice.result_begin(), choice.result_end());
      } else {
        vectors = load(rewriter, op.getLoc());
      }
      for (auto [registers, value] : llvm::zip_equal(group.vectors, vectors))
        for (auto [reg, part] : llvm::zip_equal(registers, emit.unpack(value)))
          results[reg] = part;
    }
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

struct StoreGlobalLowering : OpConversionPattern<StoreGlobalOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(StoreGlobalOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getValue().getType());
    Emitter emit(rewriter, op.getLoc());
    auto flat = [](ArrayRef<ValueRange> values) {
      Registers result;
      for (ValueRange value : values)
        llvm::append_range(result, value);
      return result;
    };
    const Registers strides = flat(adaptor.getStrides()), extents = flat(adaptor.getExtents());
    GlobalAccess access(emit, op, layout, op.getValue().getType().getElementType(),
                        adaptor.getBase()[0], strides, extents);
    for (const GlobalAccess::Group &group : access.groups(/*once=*/true)) {
      OpBuilder::InsertionGuard guard(rewriter);
      if (group.exists) {
        auto choice = scf::IfOp::create(rewriter, op.getLoc(), group.exists, /*withElse=*/false);
        // Addresses may be shared with the other groups, so they stand in front of the choice.
        Registers addresses;
        rewriter.setInsertionPoint(choice);
        for (ArrayRef<unsigned> vector : group.vectors)
          addresses.push_back(access.address(vector[0]));
        rewriter.setInsertionPointToStart(&choice.getThenRegion().front());
        store(rewriter, op.getLoc(), group, addresses, adaptor.getValue(), access);
        continue;
      }
      Registers addresses;
      for (ArrayRef<unsigned> vector : group.vectors)
        addresses.push_back(access.address(vector[0]));
      store(rewriter, op.getLoc(), group, addresses, adaptor.getValue(), access);
    }
    rewriter.eraseOp(op);
    return success();
  }

  static void store(OpBuilder &builder, Location loc, const GlobalAccess::Group &group,
                    ArrayRef<Value> addresses, ValueRange values, const GlobalAccess &access) {
    Emitter emit(builder, loc);
    for (auto [registers, address] : llvm::zip_equal(group.vectors, addresses)) {
      Registers parts;
      for (unsigned reg : registers)
        parts.push_back(values[reg]);
      LLVM::StoreOp::create(builder, loc, emit.pack(parts), address, access.alignment());
    }
  }
};

struct GatherLowering : OpConversionPattern<GatherOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(GatherOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Type element = op.getType().getElementType();
    Value base = adaptor.getBase()[0];
    Registers results;
    for (auto [offset, exists] : llvm::zip_equal(adaptor.getOffsets(), adaptor.getExists())) {
      auto choice = scf::IfOp::create(
          rewriter, op.getLoc(), exists,
          [&](OpBuilder &builder, Location loc) {
            Value address = LLVM::GEPOp::create(builder, loc, base.getType(), element, base,
                                                ArrayRef<LLVM::GEPArg>{offset});
            scf::YieldOp::create(builder, loc,
                                 LLVM::LoadOp::create(builder, loc, element, address).getResult());
          },
          [&](OpBuilder &builder, Location loc) {
            scf::YieldOp::create(builder, loc, Emitter(builder, loc).zero(element));
          });
      results.push_back(choice.getResult(0));
    }
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }
};

struct ScatterLowering : OpConversionPattern<ScatterOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(ScatterOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    const Layout layout = *layoutOf(op.getValue().getType());
    Emitter emit(rewriter, op.getLoc());
    // Of copies one thread writes one, once.
    uint32_t copies = 0;
    for (auto [bit, column] : llvm::enumerate(layout.threadBases()))
      if (!column)
        copies |= 1U << bit;
    Value isFirst = copies ? emit.hasBits(emit.threadId(), copies, false) : Value();
    Type element = op.getValue().getType().getElementType();
    Value base = adaptor.getBase()[0];
    for (auto [value, offset, exists] :
         llvm::zip_equal(adaptor.getValue(), adaptor.getOffsets(), adaptor.getExists())) {
      Value isOwn = exists;
      if (isFirst)
        isOwn = arith::AndIOp::create(rewriter, op.getLoc(), isFirst, isOwn);
      auto choice = scf::IfOp::create(rewriter, op.getLoc(), isOwn, /*withElse=*/false);
      OpBuilder::InsertionGuard guard(rewriter);
      rewriter.setInsertionPointToStart(choice.thenBlock());
      Value address = LLVM::GEPOp::create(rewriter, op.getLoc(), base.getType(), element, base,
                                          ArrayRef<LLVM::GEPArg>{offset});
      LLVM::StoreOp::create(rewriter, op.getLoc(), value, address);
    }
    rewriter.eraseOp(op);
    return success();
  }
};

} // namespace

void populateGlobalPatterns(TypeConverter &types, RewritePatternSet &patterns) {
  patterns.add<LoadGlobalLowering, StoreGlobalLowering, ScatterLowering>(types,
                                                                         patterns.getContext());
  // It is an elementwise op, too.
  patterns.add<GatherLowering>(types, patterns.getContext(), /*benefit=*/2);
}

} // namespace seqmix::gpu
