//===- MathExpand.cpp - elementary functions as arithmetic ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/cpu/MathExpand.h"

#include "compiler/cpu/MathEmitter.h"
#include "compiler/cpu/MathInteger.h"
#include "dialect/Seq.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Pass/Pass.h"
#include <cmath>
#include <optional>

using namespace mlir;

namespace seqmix::cpu {
namespace {

using seq::BinaryFn;
using seq::UnaryFn;

Real emitSign(Real x) {
  Real one = copySign(x.emitter->constant(1.0), x);
  return select(abs(x) > 0.0, one, x);
}

std::optional<Real> emitReal(UnaryFn fn, Real x) {
  switch (fn) {
  case UnaryFn::Neg:
    return -x;
  case UnaryFn::Exp:
    return emitExp(x);
  case UnaryFn::Log:
    return emitLog(x);
  case UnaryFn::Log1p:
    return emitLog1p(x);
  case UnaryFn::Expm1:
    return emitExpm1(x);
  case UnaryFn::Sqrt:
    return sqrt(x);
  case UnaryFn::Rsqrt:
    return 1.0 / sqrt(x);
  case UnaryFn::Abs:
    return abs(x);
  case UnaryFn::Sign:
    return emitSign(x);
  case UnaryFn::Floor:
    return floor(x);
  case UnaryFn::Sigmoid:
    return emitSigmoid(x);
  case UnaryFn::LogSigmoid:
    return emitLogSigmoid(x);
  case UnaryFn::Silu:
    return emitSilu(x);
  case UnaryFn::Softplus:
    return emitSoftplus(x);
  case UnaryFn::Tanh:
    return emitTanh(x);
  case UnaryFn::Relu:
    return atLeast(x, 0.0);
  case UnaryFn::Gelu:
    return emitGelu(x);
  case UnaryFn::Erf:
    return emitErf(x);
  case UnaryFn::Sin:
    return emitSin(x);
  case UnaryFn::Cos:
    return emitCos(x);
  case UnaryFn::Not:
    return std::nullopt;
  }
  llvm_unreachable("every function has its case");
}

Real emitMod(Real x, Real y) {
  // The quotient may round up to the next integer, or down to the one before: the remainder is
  // exact and shows it.
  Real remainder = fmaExact(-floor(x / y), y, x);
  Real outside = remainder * copySign(x.emitter->constant(1.0), y);
  Real size = abs(y);
  remainder = select(outside < 0.0, remainder + y, remainder);
  remainder = select((outside > size) | (outside == size), remainder - y, remainder);
  // An infinite divisor leaves an operand of its own sign as it is.
  double infinity = std::numeric_limits<double>::infinity();
  Mask infinite = (size == infinity) & (abs(x) < infinity);
  Mask opposite = (x * copySign(x.emitter->constant(1.0), y)) < 0.0;
  return select(infinite, select(opposite, y, x), remainder);
}

/// The small whole number that `exponent` is on every lane, if it is one.
std::optional<int> wholeExponent(Value exponent) {
  while (auto broadcast = exponent.getDefiningOp<vector::BroadcastOp>())
    exponent = broadcast.getSource();
  Attribute attribute;
  if (!matchPattern(exponent, m_Constant(&attribute)))
    return std::nullopt;
  if (auto elements = dyn_cast<DenseFPElementsAttr>(attribute)) {
    if (!elements.isSplat())
      return std::nullopt;
    attribute = elements.getSplatValue<FloatAttr>();
  }
  auto number = dyn_cast<FloatAttr>(attribute);
  if (!number)
    return std::nullopt;
  double value = number.getValueAsDouble();
  if (std::abs(value) > 8 || value != std::nearbyint(value))
    return std::nullopt;
  return static_cast<int>(value);
}

Real emitWholePow(Real x, int n) {
  if (n == 0)
    return x.emitter->constant(1.0);
  if (n < 0)
    return 1.0 / emitWholePow(x, -n);
  if (n == 1)
    return x;
  Real half = emitWholePow(x, n / 2);
  return n % 2 ? half * half * x : half * half;
}

std::optional<Real> emitReal(BinaryFn fn, Real a, Real b, std::optional<int> exponent) {
  switch (fn) {
  case BinaryFn::Add:
    return a + b;
  case BinaryFn::Sub:
    return a - b;
  case BinaryFn::Mul:
    return a * b;
  case BinaryFn::Div:
    return a / b;
  case BinaryFn::FloorDiv:
    return floor(a / b);
  case BinaryFn::Mod:
    return emitMod(a, b);
  case BinaryFn::Pow:
    return exponent ? emitWholePow(a, *exponent) : emitPow(a, b);
  case BinaryFn::Min:
    return select(a < b, a, b);
  case BinaryFn::Max:
    return select(a > b, a, b);
  case BinaryFn::LogAddExp:
    return emitLogAddExp(a, b);
  case BinaryFn::And:
  case BinaryFn::Or:
    return std::nullopt;
  }
  llvm_unreachable("every function has its case");
}

/// Lanes of one piece: AVX-512 has its instructions for whole registers only.
int64_t pieceLanes(VectorType type, const MathOptions &options) {
  int64_t lanes = type.getNumElements();
  int64_t full = type.getElementType().isF32() ? 16 : 8;
  return options.avx512 && lanes > full && lanes % full == 0 ? full : lanes;
}

/// Calls `emitPiece` on the operands, in pieces of whole registers where the vectors are longer.
template <typename EmitPiece>
Value inPieces(OpBuilder &builder, Location loc, ValueRange operands, const MathOptions &options,
               EmitPiece emitPiece) {
  auto type = dyn_cast<VectorType>(operands[0].getType());
  if (!type || pieceLanes(type, options) == type.getNumElements())
    return emitPiece(operands[0].getType(), operands);
  int64_t lanes = pieceLanes(type, options);
  auto pieceType = VectorType::get(lanes, type.getElementType());
  Value result = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  for (int64_t offset = 0; offset < type.getNumElements(); offset += lanes) {
    SmallVector<Value> pieces;
    for (Value operand : operands)
      pieces.push_back(
          vector::ExtractStridedSliceOp::create(builder, loc, operand, offset, lanes, 1));
    Value piece = emitPiece(pieceType, pieces);
    result = vector::InsertStridedSliceOp::create(builder, loc, piece, result, offset, 1);
  }
  return result;
}

LogicalResult checkType(Operation *op, Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (vector && (vector.getRank() != 1 || vector.isScalable()))
    return op->emitOpError("has a vector of rank ")
           << vector.getRank() << "; elementary functions are expanded on 1-D vectors";
  Type element = getElementTypeOrSelf(type);
  if (!element.isF32() && !element.isF64() && !element.isIntOrIndex())
    return op->emitOpError("has elements of type ") << element << "; expected f32, f64 or integers";
  return success();
}

LogicalResult expand(seq::UnaryOp op, const MathOptions &options) {
  Type type = op.getOperand().getType();
  if (failed(checkType(op, type)))
    return failure();
  if (op.getType() != type)
    return op->emitOpError("has a result of type ")
           << op.getType() << "; expected that of its operand";
  OpBuilder builder(op);
  Value result;
  if (isa<FloatType>(getElementTypeOrSelf(type)))
    result = inPieces(builder, op.getLoc(), op->getOperands(), options,
                      [&](Type pieceType, ValueRange operands) -> Value {
                        MathEmitter emitter(builder, op.getLoc(), pieceType, options);
                        auto real = emitReal(op.getFn(), emitter.real(operands[0]));
                        return real ? real->value : nullptr;
                      });
  else
    result = emitInteger(builder, op.getLoc(), op.getFn(), op.getOperand());
  if (!result)
    return op->emitOpError("has no meaning on ") << type;
  op.replaceAllUsesWith(result);
  op.erase();
  return success();
}

LogicalResult expand(seq::BinaryOp op, const MathOptions &options) {
  Type type = op.getType();
  if (failed(checkType(op, type)))
    return failure();
  OpBuilder builder(op);
  Value result;
  auto exponent = wholeExponent(op.getRhs());
  if (isa<FloatType>(getElementTypeOrSelf(type)))
    result = inPieces(builder, op.getLoc(), op->getOperands(), options,
                      [&](Type pieceType, ValueRange operands) -> Value {
                        MathEmitter emitter(builder, op.getLoc(), pieceType, options);
                        auto real = emitReal(op.getFn(), emitter.real(operands[0]),
                                             emitter.real(operands[1]), exponent);
                        return real ? real->value : nullptr;
                      });
  else
    result = emitInteger(builder, op.getLoc(), op.getFn(), op.getLhs(), op.getRhs());
  if (!result)
    return op->emitOpError("has no meaning on ") << type;
  op.replaceAllUsesWith(result);
  op.erase();
  return success();
}

struct ExpandMathPass : PassWrapper<ExpandMathPass, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMathPass)

  ExpandMathPass() = default;
  explicit ExpandMathPass(const MathOptions &options) {
    avx512 = options.avx512;
    fma = options.fma;
  }
  ExpandMathPass(const ExpandMathPass &other) : PassWrapper(other) {}

  StringRef getArgument() const override { return "seq-expand-math"; }
  StringRef getDescription() const override {
    return "rewrites elementary functions on scalars and vectors to arithmetic";
  }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry
        .insert<arith::ArithDialect, math::MathDialect, vector::VectorDialect, LLVM::LLVMDialect>();
  }
  void runOnOperation() override {
    if (failed(expandMath(getOperation(), {avx512, fma})))
      signalPassFailure();
  }

  Option<bool> avx512{*this, "avx512", llvm::cl::desc("use AVX-512 instructions"),
                      llvm::cl::init(false)};
  Option<bool> fma{*this, "fma", llvm::cl::desc("use fused multiply-adds"), llvm::cl::init(true)};
};

} // namespace

LogicalResult expandMath(Operation *root, const MathOptions &options) {
  SmallVector<Operation *> ops;
  root->walk([&](Operation *op) {
    if (isa<seq::UnaryOp, seq::BinaryOp>(op))
      ops.push_back(op);
  });
  for (Operation *op : ops) {
    auto unary = dyn_cast<seq::UnaryOp>(op);
    if (failed(unary ? expand(unary, options) : expand(cast<seq::BinaryOp>(op), options)))
      return failure();
  }
  return success();
}

std::unique_ptr<Pass> createExpandMathPass(const MathOptions &options) {
  return std::make_unique<ExpandMathPass>(options);
}

void registerExpandMathPass() { PassRegistration<ExpandMathPass>(); }

} // namespace seqmix::cpu
