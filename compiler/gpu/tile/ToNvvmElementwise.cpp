//===- ToNvvmElementwise.cpp - element by element ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/ToNvvm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

#include <numbers>

using namespace mlir;

namespace seqmix::gpu {
namespace {

/// Functions by the instructions that the hardware has for them; none for others. Errors are those
/// of ex2.approx and lg2.approx, which is what these kernels are for.
Value emitFunction(Emitter &emit, Operation *op, ValueRange operands) {
  Value x = operands[0];
  if (!x.getType().isF32())
    return {};
  OpBuilder &b = emit.builder;
  auto intrinsic = [&](StringRef name, Value value) -> Value {
    return LLVM::CallIntrinsicOp::create(b, emit.loc, b.getF32Type(), b.getStringAttr(name),
                                         ValueRange{value})
        ->getResult(0);
  };
  auto scaled = [&](Value value, double factor) -> Value {
    Value number = arith::ConstantOp::create(b, emit.loc, b.getF32FloatAttr(float(factor)));
    return arith::MulFOp::create(b, emit.loc, value, number);
  };
  constexpr StringLiteral exp2 = "llvm.nvvm.ex2.approx.ftz", log2 = "llvm.nvvm.lg2.approx.ftz.f";
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case([&](math::Exp2Op) { return intrinsic(exp2, x); })
      .Case([&](math::ExpOp) { return intrinsic(exp2, scaled(x, std::numbers::log2e)); })
      .Case([&](math::Log2Op) { return intrinsic(log2, x); })
      .Case([&](math::LogOp) { return scaled(intrinsic(log2, x), std::numbers::ln2); })
      .Case([&](math::RsqrtOp) { return intrinsic("llvm.nvvm.rsqrt.approx.ftz.f", x); })
      .Case([&](math::SqrtOp) -> Value { return LLVM::SqrtOp::create(b, emit.loc, x); })
      .Case([&](math::AbsFOp) -> Value { return LLVM::FAbsOp::create(b, emit.loc, x); })
      .Case([&](math::FmaOp) -> Value {
        return LLVM::FMAOp::create(b, emit.loc, x, operands[1], operands[2]);
      })
      .Default([](Operation *) { return Value(); });
}

struct ElementwiseLowering : ConversionPattern {
  ElementwiseLowering(TypeConverter &types, MLIRContext *context)
      : ConversionPattern(types, MatchAnyOpTypeTag(), 1, context) {}

  LogicalResult matchAndRewrite(Operation *op, ArrayRef<ValueRange> operands,
                                ConversionPatternRewriter &rewriter) const override {
    if (!OpTrait::hasElementwiseMappableTraits(op) || op->getNumResults() != 1)
      return failure();
    auto result = dyn_cast<RankedTensorType>(op->getResult(0).getType());
    if (!result)
      return failure();
    std::optional<tile::Layout> layout = tile::layoutOf(result);
    for (Type type : op->getOperandTypes())
      if (isa<RankedTensorType>(type) && tile::layoutOf(type) != layout)
        return op->emitError("operands and result of an elementwise op have one layout");
    Emitter emit(rewriter, op->getLoc());
    Registers values;
    for (unsigned reg = 0; reg < layout->registers(); ++reg) {
      Registers scalars;
      for (auto [operand, values] : llvm::zip_equal(op->getOperands(), operands))
        scalars.push_back(isa<RankedTensorType>(operand.getType()) ? values[reg] : values[0]);
      if (isa<math::MathDialect>(op->getDialect())) {
        Value value = emitFunction(emit, op, scalars);
        if (!value)
          return op->emitError("this function has no lowering for GPUs");
        values.push_back(value);
        continue;
      }
      OperationState state(op->getLoc(), op->getName(), scalars, result.getElementType(),
                           op->getAttrs());
      values.push_back(rewriter.create(state)->getResult(0));
    }
    rewriter.replaceOpWithMultiple(op, {values});
    return success();
  }
};

struct ConstantLowering : OpConversionPattern<arith::ConstantOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(arith::ConstantOp op, OneToNOpAdaptor,
                                ConversionPatternRewriter &rewriter) const override {
    std::optional<tile::Layout> layout = tile::layoutOf(op.getType());
    auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
    if (!layout || !elements || !elements.isSplat())
      return op.emitError("constant tiles have a layout and one value for all elements");
    Value value =
        arith::ConstantOp::create(rewriter, op.getLoc(), elements.getSplatValue<TypedAttr>());
    rewriter.replaceOpWithMultiple(op, {Registers(layout->registers(), value)});
    return success();
  }
};

struct SplatLowering : OpConversionPattern<tensor::SplatOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(tensor::SplatOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    std::optional<tile::Layout> layout = tile::layoutOf(op.getType());
    if (!layout)
      return op.emitError("has a tile without layout");
    rewriter.replaceOpWithMultiple(op, {Registers(layout->registers(), adaptor.getInput()[0])});
    return success();
  }
};

} // namespace

void populateElementwisePatterns(TypeConverter &types, RewritePatternSet &patterns) {
  patterns.add<ElementwiseLowering, ConstantLowering, SplatLowering>(types, patterns.getContext());
}

} // namespace seqmix::gpu
