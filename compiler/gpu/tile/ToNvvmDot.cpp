//===- ToNvvmDot.cpp - matrix products by mma.sync ---------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/tile/ToNvvm.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <map>

using namespace mlir;
using namespace mlir::tile;

namespace seqmix::gpu {
namespace {

/// The registers of a fragment that begins at an element, by the bits of its own registers, as the
/// instruction takes them: 32 bits each, or an f64.
class Fragments {
public:
  Fragments(Emitter &emit, Type type, ValueRange values)
      : emit(emit), layout(*layoutOf(type)), element(cast<RankedTensorType>(type).getElementType()),
        values(values) {}

  /// `steps` are the elements that the bits of a fragment's register add, in order.
  Registers get(int64_t row, int64_t column, ArrayRef<Coordinates> steps) {
    auto [entry, isNew] = made.try_emplace({row, column});
    if (!isNew)
      return entry->second;
    Registers scalars;
    for (unsigned i = 0; i < 1U << steps.size(); ++i) {
      Coordinates place = {row, column};
      for (auto [bit, step] : llvm::enumerate(steps))
        if (i >> bit & 1) {
          place[0] += step[0];
          place[1] += step[1];
        }
      scalars.push_back(values[*layout.registerAt(layout.element(place))]);
    }
    Registers &words = entry->second;
    for (size_t i = 0; i < scalars.size(); ++i) {
      if (element.isF64())
        words.push_back(scalars[i]);
      else if (element.isF32())
        words.push_back(tf32(scalars[i]));
      else if (i % 2 == 0)
        words.push_back(emit.packWord(scalars[i], scalars[i + 1]));
    }
    return words;
  }

private:
  Value tf32(Value value) {
    return NVVM::ConvertFloatToTF32Op::create(emit.builder, emit.loc, emit.builder.getI32Type(),
                                              value, NVVM::FPRoundingMode::RNA);
  }

  Emitter &emit;
  Layout layout;
  Type element;
  ValueRange values;
  std::map<std::pair<int64_t, int64_t>, Registers> made;
};

struct DotLowering : OpConversionPattern<DotOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(DotOp op, OneToNOpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Emitter emit(rewriter, op.getLoc());
    MLIRContext *context = op.getContext();
    RankedTensorType typeA = op.getA().getType();
    const Layout sums = *layoutOf(op.getType());
    Type element = typeA.getElementType();
    const int64_t inner = typeA.getDimSize(1), k = element.getIntOrFloatBitWidth() == 16 ? 16 : 8;
    const NVVM::MMATypes kind = element.isF32()    ? NVVM::MMATypes::tf32
                                : element.isBF16() ? NVVM::MMATypes::bf16
                                                   : NVVM::MMATypes::f16;
    SmallVector<Coordinates> stepsA = {{0, 1}, {8, 0}, {0, 8}}, stepsB = {{1, 0}, {8, 0}};
    if (element.getIntOrFloatBitWidth() > 16) {
      stepsA = {{8, 0}, {0, 4}};
      stepsB = {{4, 0}};
    }
    Fragments a(emit, typeA, adaptor.getA()), b(emit, op.getB().getType(), adaptor.getB());
    Type f32 = rewriter.getF32Type();
    Type result = LLVM::LLVMStructType::getLiteral(context, SmallVector<Type>(4, f32));
    Registers results(adaptor.getSum());
    // Each tile of 16x8 sums that this thread has registers of.
    for (int64_t row = 0; row < sums.shape()[0]; row += 16)
      for (int64_t column = 0; column < sums.shape()[1]; column += 8) {
        if (!sums.registerAt(sums.element({row, column})))
          continue;
        SmallVector<unsigned> registers;
        for (int64_t i = 0; i < 4; ++i)
          registers.push_back(*sums.registerAt(sums.element({row + 8 * (i / 2), column + i % 2})));
        for (int64_t step = 0; step < inner; step += k) {
          Registers c;
          for (unsigned reg : registers)
            c.push_back(results[reg]);
          Registers wordsA = a.get(row, step, stepsA), wordsB = b.get(step, column, stepsB);
          if (element.isF64()) {
            multiplyDoubles(rewriter, op.getLoc(), wordsA, wordsB, registers, results);
            continue;
          }
          if (element.isF16()) {
            // The instruction takes halves as vectors.
            Type pair = VectorType::get(2, element);
            for (Registers *words : {&wordsA, &wordsB})
              for (Value &word : *words)
                word = LLVM::BitcastOp::create(rewriter, op.getLoc(), pair, word);
          }
          Value product = NVVM::MmaOp::create(
              rewriter, op.getLoc(), result, wordsA, wordsB, c, ArrayRef<int64_t>{16, 8, k},
              std::nullopt, std::nullopt, std::array{kind, kind},
              std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
          for (auto [i, reg] : llvm::enumerate(registers))
            results[reg] = LLVM::ExtractValueOp::create(rewriter, op.getLoc(), product, int64_t(i));
        }
      }
    rewriter.replaceOpWithMultiple(op, {results});
    return success();
  }

  /// m16n8k8 of what the hardware has, m8n8k4: registers stand as for f32.
  static void multiplyDoubles(OpBuilder &builder, Location loc, ArrayRef<Value> a,
                              ArrayRef<Value> b, ArrayRef<unsigned> registers, Registers &results) {
    Type f64 = builder.getF64Type();
    Type result = LLVM::LLVMStructType::getLiteral(builder.getContext(), {f64, f64});
    for (size_t inner = 0; inner < 2; ++inner)
      for (size_t half = 0; half < 2; ++half) {
        Value sums[] = {results[registers[2 * half]], results[registers[2 * half + 1]]};
        Value product = NVVM::MmaOp::create(builder, loc, result, ValueRange{a[half + 2 * inner]},
                                            ValueRange{b[inner]}, sums, ArrayRef<int64_t>{8, 8, 4},
                                            std::nullopt, std::nullopt,
                                            std::array{NVVM::MMATypes::f64, NVVM::MMATypes::f64},
                                            std::array{NVVM::MMALayout::row, NVVM::MMALayout::col});
        for (size_t i = 0; i < 2; ++i)
          results[registers[2 * half + i]] =
              LLVM::ExtractValueOp::create(builder, loc, product, int64_t(i));
      }
  }
};

} // namespace

void populateDotPatterns(TypeConverter &types, RewritePatternSet &patterns) {
  patterns.add<DotLowering>(types, patterns.getContext());
}

} // namespace seqmix::gpu
