//===- Convolve.cpp - operands of convolutions side by side ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/ConvolutionCost.h"
#include "compiler/tiles/ConvolveEmitter.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
int64_t transformWidth(const Layout &layout, ConvolutionOp op, int64_t lanesFeature) {
  if (lanesFeature < 0)
    return 1;
  const SymbolInfo &info = layout.symbol(op.getProducedAttr().getAttr());
  int64_t size = info.sizes[lanesFeature];
  bool isNarrow = size < layout.lanes && info.dims[lanesFeature] != layout.split;
  return isNarrow ? static_cast<int64_t>(llvm::PowerOf2Ceil(size)) : layout.lanes;
}

std::optional<unsigned> carriedRowsOf(Kernel &kernel, std::optional<LagOperandAttr> operand) {
  return operand ? rowsOf(kernel, operand->getSymbol().getAttr()) : std::nullopt;
}
} // namespace

ConvolveEmitter::ConvolveEmitter(Kernel &kernel, const ConvolvePlan &plan)
    : kernel(kernel), builder(kernel.builder), loc(kernel.loc), plan(plan), op(plan.op),
      lanes(kernel.lanes), result(*kernel.layout.readable(op.getProducedAttr().getAttr())),
      info(kernel.layout.symbol(result.of)), width(lanes),
      carried(carriedRowsOf(kernel, op.getSignal())),
      carriedWeights(carriedRowsOf(kernel, op.getPast())) {}

void ConvolveEmitter::emit() {
  chooseDistances();
  signal = panelAt(plan.signalAt);
  product = panelAt(plan.resultAt);
  filter = panelAt(plan.filterAt);
  if (plan.transforms) {
    Value tables = kernel.sequenceAt(kernel.layout.convolveScratch + plan.tablesAt);
    Value most = sub(kernel.tokens, constant(1));
    // Positions that keep the products of one end from those of the other.
    Value needed = add(maximum(sub(most, first), add(most, last)), constant(1));
    needed = maximum(needed, constant(0));
    PanelTransform made(kernel, needed, plan.width, tables);
    emitIf(
        kernel, isLong(made),
        [&] {
          made.emitTables();
          transform = &made;
          width = plan.width;
          forAll([&](Indices indices) { transformFilter(indices); },
                 [&](Indices indices) { emitTransformed(indices); });
          transform = nullptr;
          width = lanes;
        },
        [&] { emitDirectForm(); });
  } else {
    emitDirectForm();
  }
  if (carried)
    emitPast();
}

//===----------------------------------------------------------------------===//
// Small things
//===----------------------------------------------------------------------===//

Value ConvolveEmitter::add(Value a, Value b) {
  return builder.createOrFold<arith::AddIOp>(loc, a, b);
}
Value ConvolveEmitter::sub(Value a, Value b) {
  return builder.createOrFold<arith::SubIOp>(loc, a, b);
}
Value ConvolveEmitter::mul(Value a, Value b) {
  return builder.createOrFold<arith::MulIOp>(loc, a, b);
}
Value ConvolveEmitter::minimum(Value a, Value b) {
  return arith::MinSIOp::create(builder, loc, a, b);
}
Value ConvolveEmitter::maximum(Value a, Value b) {
  return arith::MaxSIOp::create(builder, loc, a, b);
}

Value ConvolveEmitter::panelAt(int64_t tokenBytes) {
  Value pointer = kernel.sequenceAt(kernel.layout.convolveScratch + tokenBytes);
  return flatMemref(builder, loc, pointer, kernel.real);
}

Value ConvolveEmitter::zero() {
  return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(vectorType()));
}

void ConvolveEmitter::fillRows(Value panel, Value from, Value count) {
  if (width < lanes)
    return emitFill(kernel, elementsOf(panelRows(panel, from)), {IndexValue::of(row(count))}, 0);
  Value value = zero();
  kernel.forEach(count, 1, [&](Value number) {
    vector::StoreOp::create(builder, loc, value, panel, row(add(from, number)));
  });
}

void ConvolveEmitter::chooseDistances() {
  Value most = sub(kernel.tokens, constant(1));
  Value least = sub(constant(1), kernel.tokens);
  first = !op.getAhead() ? constant(0) : least;
  if (auto from = op.getFirst())
    first = maximum(first, constant(*from));
  last = !op.getPast() ? constant(-1) : most;
  if (auto to = op.getLast())
    last = minimum(last, constant(*to));
}

Value ConvolveEmitter::isLong(PanelTransform &made) {
  // Of n = 0, 1, ... below a count there are tokens - n pairs each.
  Value none = constant(0);
  auto pairs = [&](Value count) {
    Value less = arith::DivUIOp::create(
        builder, loc, mul(count, maximum(sub(count, constant(1)), none)), constant(2));
    return sub(mul(count, kernel.tokens), less);
  };
  auto between = [&](Value from, Value to) { return sub(pairs(maximum(to, from)), pairs(from)); };
  Value past = between(maximum(first, none), maximum(add(last, constant(1)), none));
  Value ahead =
      between(maximum(sub(none, last), constant(1)), maximum(sub(constant(1), first), constant(1)));
  Value steps = add(mul(made.doublings, constant(kStepCost)),
                    constant(kTransformCost + kPhaseCost * (made.phases - 1)));
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, add(past, ahead),
                               mul(made.size, steps));
}

//===----------------------------------------------------------------------===//
// Panels
//===----------------------------------------------------------------------===//

bool ConvolveEmitter::variesOver(LagOperandAttr operand, int64_t feature) {
  return llvm::is_contained(operand.getFeatures(), feature);
}

bool ConvolveEmitter::filtersVaryOver(int64_t feature) {
  return (op.getPast() && variesOver(*op.getPast(), feature)) ||
         (op.getAhead() && variesOver(*op.getAhead(), feature));
}

Value ConvolveEmitter::countOf(int64_t feature) {
  return kernel.isSplit(info.dims[feature]) ? kernel.splitCount : constant(info.sizes[feature]);
}

void ConvolveEmitter::forAll(function_ref<void(Indices)> perFilter,
                             function_ref<void(Indices)> perSignal) {
  SmallVector<Value> indices(info.sizes.size());
  forFeatures(0, /*ofFilters=*/true, indices, [&] {
    perFilter(indices);
    forFeatures(0, /*ofFilters=*/false, indices, [&] { perSignal(indices); });
  });
}

void ConvolveEmitter::forFeatures(int64_t feature, bool ofFilters, SmallVectorImpl<Value> &indices,
                                  Body body) {
  if (feature == static_cast<int64_t>(info.sizes.size()))
    return body();
  if (filtersVaryOver(feature) != ofFilters)
    return forFeatures(feature + 1, ofFilters, indices, body);
  kernel.forEach(countOf(feature), feature == plan.lanesFeature ? lanes : 1, [&](Value index) {
    indices[feature] = index;
    forFeatures(feature + 1, ofFilters, indices, body);
  });
}

Strided ConvolveEmitter::rowsOf(LagOperandAttr operand, Indices indices) {
  IndexMath math = kernel.index();
  auto name = operand.getSymbol().getAttr();
  const SymbolInfo &own = kernel.layout.symbol(name);
  Strided all;
  if (auto *buffer = kernel.layout.buffer(name, Space::Sequence)) {
    all = bufferElements(kernel, *buffer);
    all.base = IndexValue::constant(buffer->halo * buffer->rowStride);
  } else {
    // Rows of a param count from the first position, here as everywhere.
    bool isParam = cast<TensorOp>(own.op).getRole() == Role::Param;
    IndexValue start = IndexValue::constant(0);
    if (isParam)
      start = math.sub(start, IndexValue::of(kernel.position));
    all = callerElements(kernel, kernel.tensor(name), own, start);
  }
  return selectRows(all, operand.getFeatures(), indices);
}

Strided ConvolveEmitter::selectRows(const Strided &all, ArrayRef<int64_t> features,
                                    Indices indices) {
  IndexMath math = kernel.index();
  Strided rows{all.memref, all.base, {all.strides[1], IndexValue::constant(0)}, all.dtype};
  for (auto [place, feature] : llvm::enumerate(features)) {
    const IndexValue &stride = all.strides[2 + place];
    rows.base = math.add(rows.base, math.mul(IndexValue::of(indices[feature]), stride));
    if (feature == plan.lanesFeature)
      rows.strides[1] = stride;
  }
  return rows;
}

Strided ConvolveEmitter::panelRows(Value panel, Value from, int64_t step) {
  return {panel,
          IndexValue::of(row(from)),
          {IndexValue::constant(step * width), IndexValue::constant(1)},
          {}};
}

Strided ConvolveEmitter::elementsOf(Strided rows) {
  rows.strides = {IndexValue::constant(1)};
  return rows;
}

void ConvolveEmitter::copyRows(const Strided &from, const Strided &to, Value count,
                               Indices indices) {
  auto copy = [&](const IndexValue &used) {
    emitCopy(kernel, from, to, {IndexValue::of(count), used}, 1);
  };
  int64_t size = plan.lanesFeature < 0 ? 1 : info.sizes[plan.lanesFeature];
  if (width < lanes)
    return copyNarrow(from, to, count, size);
  if (plan.lanesFeature < 0)
    return copy(IndexValue::constant(1));
  bool isSplit = kernel.isSplit(info.dims[plan.lanesFeature]);
  if (size % lanes == 0 && (!isSplit || kernel.layout.splitSize % lanes == 0))
    return copy(IndexValue::constant(lanes));
  Value left = sub(countOf(plan.lanesFeature), indices[plan.lanesFeature]);
  Value isWhole =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, left, constant(lanes));
  emitIf(
      kernel, isWhole, [&] { copy(IndexValue::constant(lanes)); },
      [&] { copy(IndexValue::of(left)); });
}

void ConvolveEmitter::copyNarrow(const Strided &from, const Strided &to, Value count,
                                 int64_t size) {
  auto copy = [&] {
    emitCopy(kernel, from, to, {IndexValue::of(count), IndexValue::constant(size)}, 1);
  };
  // Rows without gaps are one run of elements.
  IndexMath math = kernel.index();
  bool never = size != width;
  Value isDense = arith::ConstantIntOp::create(builder, loc, 1, 1);
  auto require = [&](const IndexValue &stride, int64_t wanted) {
    if (stride.isConstant()) {
      never |= stride.offset != wanted;
      return;
    }
    Value equal = math.compare(arith::CmpIPredicate::eq, stride, IndexValue::constant(wanted));
    isDense = arith::AndIOp::create(builder, loc, isDense, equal);
  };
  for (const Strided *side : {&from, &to}) {
    require(side->strides[0], width);
    if (width > 1)
      require(side->strides[1], 1);
  }
  if (never)
    return copy();
  emitIf(
      kernel, isDense,
      [&] { emitCopy(kernel, elementsOf(from), elementsOf(to), {IndexValue::of(row(count))}, 0); },
      copy);
}

void ConvolveEmitter::packRows(LagOperandAttr operand, Strided from, Value fromRow,
                               const Strided &to, Value count, Indices indices) {
  IndexMath math = kernel.index();
  from.base = math.add(from.base, math.mul(IndexValue::of(fromRow), from.strides[0]));
  if (plan.lanesFeature < 0 || variesOver(operand, plan.lanesFeature))
    return copyRows(from, to, count, indices);
  auto type = VectorType::get({width}, kernel.real);
  kernel.forEach(count, 1, [&](Value number) {
    auto place = [&](const Strided &rows) {
      IndexValue offset = math.mul(IndexValue::of(number), rows.strides[0]);
      return math.scalar(math.add(rows.base, offset));
    };
    Value value = memref::LoadOp::create(builder, loc, from.memref, place(from));
    if (from.dtype)
      value = fromStorage(builder, loc, kernel.target, value, from.dtype, kernel.real);
    vector::StoreOp::create(builder, loc, vector::BroadcastOp::create(builder, loc, type, value),
                            to.memref, place(to));
  });
}

void ConvolveEmitter::packSignal(Indices indices, Value to) {
  auto tensor = dyn_cast<TensorOp>(kernel.layout.symbol(op.getSignal().getSymbol().getAttr()).op);
  bool isParam = tensor && tensor.getRole() == Role::Param;
  packRows(op.getSignal(), rowsOf(op.getSignal(), indices), isParam ? kernel.position : constant(0),
           panelRows(signal, to), kernel.tokens, indices);
}

void ConvolveEmitter::packWeights(Value panel, Value pastZero, Value aheadZero, Indices indices) {
  Value none = constant(0);
  if (auto ahead = op.getAhead()) {
    // Distances -n from `first` up to -1, or to `last` where that is less.
    Value end = minimum(last, constant(-1));
    Value count = maximum(sub(add(end, constant(1)), first), none);
    packRows(*ahead, rowsOf(*ahead, indices), sub(none, end),
             panelRows(panel, add(aheadZero, end), -1), count, indices);
  }
  if (op.getPast()) {
    Value start = maximum(first, none);
    Value count = maximum(sub(add(last, constant(1)), start), none);
    packPast(panel, add(pastZero, start), start, count, indices);
  }
}

void ConvolveEmitter::packPast(Value panel, Value to, Value start, Value count, Indices indices) {
  LagOperandAttr past = *op.getPast();
  auto pack = [&](const Strided &from, Value fromRow, Value toRow, Value some) {
    packRows(past, from, fromRow, panelRows(panel, toRow), some, indices);
  };
  if (!carriedWeights)
    return pack(rowsOf(past, indices), start, to, count);
  // This call has made those from its position on.
  Value earlier = minimum(maximum(sub(kernel.position, start), constant(0)), count);
  pack(selectRows(carriedRows(kernel, *carriedWeights, /*write=*/false), past.getFeatures(),
                  indices),
       start, to, earlier);
  pack(rowsOf(past, indices), sub(add(start, earlier), kernel.position), add(to, earlier),
       sub(count, earlier));
}

Strided ConvolveEmitter::resultRows(Indices indices) {
  Strided all = bufferElements(kernel, result);
  all.base = IndexValue::constant(result.halo * result.rowStride);
  return selectRows(all, llvm::to_vector(llvm::seq<int64_t>(0, info.sizes.size())), indices);
}

//===----------------------------------------------------------------------===//
// By transforms
//===----------------------------------------------------------------------===//

void ConvolveEmitter::transformFilter(Indices indices) {
  fillRows(signal, constant(0), transform->positions);
  packWeights(signal, constant(0), transform->positions, indices);
  transform->emitForward(signal);
  transform->emitSpectrum(signal, filter);
}

void ConvolveEmitter::emitTransformed(Indices indices) {
  packSignal(indices, constant(0));
  fillRows(signal, kernel.tokens, sub(transform->positions, kernel.tokens));
  transform->emitForward(signal);
  transform->emitProduct(signal, filter);
  transform->emitInverse(signal);
  copyRows(panelRows(signal, constant(0)), resultRows(indices), kernel.tokens, indices);
}

//===----------------------------------------------------------------------===//

ConvolvePlan seqmix::planConvolve(const Layout &layout, MixerOp mixer, ConvolveOp convolve) {
  ConvolvePlan plan;
  for (auto op : mixer.getOps<ConvolutionOp>())
    if (op.getProducedAttr() == convolve.getOfAttr())
      plan.op = op;
  plan.lanesFeature = convolve.getLanes();
  plan.rows = convolve.getRows();
  int64_t row = layout.lanes * (layout.real.getIntOrFloatBitWidth() / 8);
  plan.transforms = convolve.getTransforms();
  plan.width = transformWidth(layout, plan.op, plan.lanesFeature);
  // Rows around the signal's, and up to a tile behind the result's, and weights of both signs. A
  // transform is up to four times as long as the signal.
  plan.resultAt = 2 * row;
  plan.filterAt = 4 * row;
  plan.tablesAt = plan.filterAt + (plan.transforms ? 4 : 2) * row;
  int64_t tables = PanelTransform::kTokenTables * (layout.real.getIntOrFloatBitWidth() / 8);
  plan.tokenBytes = plan.tablesAt + (plan.transforms ? llvm::alignTo(tables, 64) : 0);
  return plan;
}

void seqmix::emitConvolve(Kernel &kernel, ConvolveOp op) {
  kernel.loc = op.getLoc();
  ConvolvePlan plan = planConvolve(kernel.layout, kernel.mixer, op);
  ConvolveEmitter(kernel, plan).emit();
}
