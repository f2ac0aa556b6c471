//===- Convolve.cpp - sums whose weights depend on the distance ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A vector holds a feature's elements at one position, so nothing is ever shuffled. Signal and
// filter are packed, vector by vector, to panels whose rows are positions and distances.
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/ConvolvePlan.h"
#include "compiler/tiles/Copy.h"
#include "compiler/tiles/Memory.h"
#include "compiler/tiles/PanelTransform.h"
#include "compiler/tiles/Steps.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

namespace {
/// Rows of zeros in front of the signal in its panel: a tile of weights reaches so far.
constexpr int64_t kFront = 16;
/// Costs for each number of a transform, in products of the direct form: of a step between two
/// sizes, and of everything else.
constexpr int64_t kStepCost = 12, kTransformCost = 35;

/// Of the transforms' tables, a token: size is less than twice the tokens.
constexpr int64_t kTableBytes = 128;

class ConvolveEmitter {
public:
  ConvolveEmitter(Kernel &kernel, const ConvolvePlan &plan)
      : kernel(kernel), builder(kernel.builder), loc(kernel.loc), plan(plan), op(plan.op),
        lanes(kernel.lanes), result(*kernel.layout.readable(op.getProducedAttr().getAttr())),
        info(kernel.layout.symbol(result.of)) {}

  void emit() {
    chooseDistances();
    signal = panelAt(plan.signalAt);
    filter = panelAt(plan.filterAt);
    if (!plan.transforms)
      return emitDirectForm();
    Value tables = kernel.sequenceAt(kernel.layout.convolveScratch + plan.tablesAt);
    Value most = sub(kernel.tokens, constant(1));
    // Rows that keep the products of one end from those of the other.
    Value needed = add(maximum(sub(most, first), add(most, last)), constant(1));
    needed = maximum(needed, constant(0));
    PanelTransform made(kernel, needed, tables);
    emitIf(
        kernel, isLong(made),
        [&] {
          made.emitTables();
          transform = &made;
          forAll();
          transform = nullptr;
        },
        [&] { emitDirectForm(); });
  }

private:
  Kernel &kernel;
  OpBuilder &builder;
  Location loc;
  const ConvolvePlan &plan;
  ConvolutionOp op;
  int64_t lanes;
  const BufferLayout &result;
  const SymbolInfo &info;
  Value signal, product, filter;       // panels
  Value first, last;                   // distances that this sequence has: first <= n <= last
  PanelTransform *transform = nullptr; // null in the direct form

  //===--- small things ---------------------------------------------------===//

  Value constant(int64_t value) { return kernel.constant(value); }
  Value add(Value a, Value b) { return builder.createOrFold<arith::AddIOp>(loc, a, b); }
  Value sub(Value a, Value b) { return builder.createOrFold<arith::SubIOp>(loc, a, b); }
  Value row(Value number) {
    return builder.createOrFold<arith::MulIOp>(loc, number, constant(lanes));
  }
  Value mul(Value a, Value b) { return builder.createOrFold<arith::MulIOp>(loc, a, b); }
  Value minimum(Value a, Value b) { return arith::MinSIOp::create(builder, loc, a, b); }
  Value maximum(Value a, Value b) { return arith::MaxSIOp::create(builder, loc, a, b); }
  Value panelAt(int64_t tokenBytes) {
    Value pointer = kernel.sequenceAt(kernel.layout.convolveScratch + tokenBytes);
    return flatMemref(builder, loc, pointer, kernel.real);
  }
  VectorType vectorType() { return kernel.vectorType(kernel.real); }
  Value zero() {
    return arith::ConstantOp::create(builder, loc, builder.getZeroAttr(vectorType()));
  }

  void fillRows(Value panel, Value from, Value count) {
    Value value = zero();
    kernel.forEach(count, 1, [&](Value number) {
      vector::StoreOp::create(builder, loc, value, panel, row(add(from, number)));
    });
  }

  /// The distances of the equation that a sequence of this length has.
  void chooseDistances() {
    Value most = sub(kernel.tokens, constant(1));
    Value least = sub(constant(1), kernel.tokens);
    first = !op.getAhead() ? constant(0) : least;
    if (auto from = op.getFirst())
      first = maximum(first, constant(*from));
    last = !op.getPast() ? constant(-1) : most;
    if (auto to = op.getLast())
      last = minimum(last, constant(*to));
  }

  /// Whether transforms cost less than the products of all distances and positions.
  Value isLong(PanelTransform &made) {
    // Of n = 0, 1, ... below a count there are tokens - n pairs each.
    Value none = constant(0);
    auto pairs = [&](Value count) {
      Value less = arith::DivUIOp::create(
          builder, loc, mul(count, maximum(sub(count, constant(1)), none)), constant(2));
      return sub(mul(count, kernel.tokens), less);
    };
    auto between = [&](Value from, Value to) { return sub(pairs(maximum(to, from)), pairs(from)); };
    Value past = between(maximum(first, none), maximum(add(last, constant(1)), none));
    Value ahead = between(maximum(sub(none, last), constant(1)),
                          maximum(sub(constant(1), first), constant(1)));
    Value steps = add(mul(made.doublings, constant(kStepCost)), constant(kTransformCost));
    return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, add(past, ahead),
                                 mul(made.size, steps));
  }

  void emitDirectForm() {
    product = panelAt(plan.resultAt);
    fillRows(signal, constant(0), constant(kFront));
    fillRows(signal, add(kernel.tokens, constant(kFront)), constant(plan.rows));
    forAll();
  }

  void forAll() {
    SmallVector<Value> indices(info.sizes.size());
    forFilters(0, indices);
  }

  //===--- panels ---------------------------------------------------------===//

  bool variesOver(LagOperandAttr operand, int64_t feature) {
    return llvm::is_contained(operand.getFeatures(), feature);
  }
  bool filtersVaryOver(int64_t feature) {
    return (op.getPast() && variesOver(*op.getPast(), feature)) ||
           (op.getAhead() && variesOver(*op.getAhead(), feature));
  }
  Value countOf(int64_t feature) {
    return kernel.isSplit(info.dims[feature]) ? kernel.splitCount : constant(info.sizes[feature]);
  }

  /// Outside are the features that the filters have, so that each filter is packed once.
  void forFilters(int64_t feature, SmallVectorImpl<Value> &indices) {
    if (feature == static_cast<int64_t>(info.sizes.size())) {
      transform ? transformFilter(indices) : packFilter(indices);
      return forSignals(0, indices);
    }
    if (!filtersVaryOver(feature))
      return forFilters(feature + 1, indices);
    forFeature(feature, indices, [&] { forFilters(feature + 1, indices); });
  }

  void forSignals(int64_t feature, SmallVectorImpl<Value> &indices) {
    if (feature == static_cast<int64_t>(info.sizes.size())) {
      if (transform)
        return emitTransformed(indices);
      packSignal(indices, constant(kFront));
      emitDirect();
      return unpack(product, indices);
    }
    if (filtersVaryOver(feature))
      return forSignals(feature + 1, indices);
    forFeature(feature, indices, [&] { forSignals(feature + 1, indices); });
  }

  void forFeature(int64_t feature, SmallVectorImpl<Value> &indices, function_ref<void()> body) {
    kernel.forEach(countOf(feature), feature == plan.lanesFeature ? lanes : 1, [&](Value index) {
      indices[feature] = index;
      body();
    });
  }

  /// Rows of an operand at some features, its position (or distance) and lanes as dims. Without
  /// lanes the stride of the second is zero.
  Strided rowsOf(LagOperandAttr operand, ArrayRef<Value> indices) {
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

  Strided selectRows(const Strided &all, ArrayRef<int64_t> features, ArrayRef<Value> indices) {
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

  Strided panelRows(Value panel, Value from, int64_t stride) {
    return {panel,
            IndexValue::of(row(from)),
            {IndexValue::constant(stride), IndexValue::constant(1)},
            {}};
  }

  /// Copies rows between a panel and elements elsewhere; only the last vector is partly used.
  void copyRows(const Strided &from, const Strided &to, Value count, ArrayRef<Value> indices) {
    if (plan.lanesFeature < 0)
      return emitCopy(kernel, from, to, {IndexValue::of(count), IndexValue::constant(1)}, 1);
    auto copy = [&](const IndexValue &used) {
      emitCopy(kernel, from, to, {IndexValue::of(count), used}, 1);
    };
    int64_t size = info.sizes[plan.lanesFeature];
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

  /// Rows of an operand into a panel, the same value in all lanes where it has none.
  void packRows(LagOperandAttr operand, Value fromRow, const Strided &to, Value count,
                ArrayRef<Value> indices) {
    IndexMath math = kernel.index();
    Strided from = rowsOf(operand, indices);
    from.base = math.add(from.base, math.mul(IndexValue::of(fromRow), from.strides[0]));
    if (plan.lanesFeature < 0 || variesOver(operand, plan.lanesFeature))
      return copyRows(from, to, count, indices);
    kernel.forEach(count, 1, [&](Value number) {
      auto place = [&](const Strided &rows) {
        IndexValue offset = math.mul(IndexValue::of(number), rows.strides[0]);
        return math.scalar(math.add(rows.base, offset));
      };
      Value value = memref::LoadOp::create(builder, loc, from.memref, place(from));
      if (from.dtype)
        value = fromStorage(builder, loc, kernel.target, value, from.dtype, kernel.real);
      vector::StoreOp::create(builder, loc,
                              vector::BroadcastOp::create(builder, loc, vectorType(), value),
                              to.memref, place(to));
    });
  }

  void packSignal(ArrayRef<Value> indices, Value to) {
    packRows(op.getSignal(), constant(0), panelRows(signal, to, lanes), kernel.tokens, indices);
  }

  /// Weights in the order of their distances, those after the last zero up to a whole tile.
  void packFilter(ArrayRef<Value> indices) {
    Value none = constant(0);
    packWeights(filter, sub(none, first), sub(none, first), indices);
    Value weights = maximum(sub(add(last, constant(1)), first), none);
    fillRows(filter, weights, constant(plan.rows));
  }

  /// Weights of distances n >= 0 to rows `pastZero` + n of a panel, of others to `aheadZero` + n.
  void packWeights(Value panel, Value pastZero, Value aheadZero, ArrayRef<Value> indices) {
    Value none = constant(0);
    if (op.getAhead()) {
      // Distances -n from `first` up to -1, or to `last` where that is less.
      Value end = minimum(last, constant(-1));
      Value count = maximum(sub(add(end, constant(1)), first), none);
      Value newest = sub(none, end);
      packRows(*op.getAhead(), newest, panelRows(panel, add(aheadZero, end), -lanes), count,
               indices);
    }
    if (op.getPast()) {
      Value start = maximum(first, none);
      Value count = maximum(sub(add(last, constant(1)), start), none);
      packRows(*op.getPast(), start, panelRows(panel, add(pastZero, start), lanes), count, indices);
    }
  }

  void unpack(Value panel, ArrayRef<Value> indices) {
    Strided all = bufferElements(kernel, result);
    all.base = IndexValue::constant(result.halo * result.rowStride);
    SmallVector<int64_t> features = llvm::to_vector(llvm::seq<int64_t>(0, info.sizes.size()));
    copyRows(panelRows(panel, constant(0), lanes), selectRows(all, features, indices),
             kernel.tokens, indices);
  }

  //===--- the direct form ------------------------------------------------===//

  /// Each tile makes `rows` positions from as many distances at a time: their products need
  /// 2 * rows - 1 rows of the signal, which are loaded once.
  void emitDirect() {
    int64_t rows = plan.rows;
    kernel.forEach(kernel.tokens, rows, [&](Value token) {
      // Outside of these the signal is zero.
      Value start = maximum(first, sub(token, sub(kernel.tokens, constant(1))));
      Value end = minimum(last, add(token, constant(rows - 1)));
      SmallVector<Value> sums(rows, zero());
      auto loop =
          scf::ForOp::create(builder, loc, start, add(end, constant(1)), constant(rows), sums);
      {
        OpBuilder::InsertionGuard guard(builder);
        builder.setInsertionPointToStart(loop.getBody());
        SmallVector<Value> next =
            multiply(loop.getInductionVar(), token, SmallVector<Value>(loop.getRegionIterArgs()));
        scf::YieldOp::create(builder, loc, next);
      }
      for (int64_t number = 0; number < rows; ++number)
        vector::StoreOp::create(builder, loc, loop.getResult(number), product,
                                row(add(token, constant(number))));
    });
  }

  SmallVector<Value> multiply(Value distance, Value token, SmallVector<Value> sums) {
    int64_t rows = plan.rows;
    Value oldest = add(sub(token, distance), constant(kFront - (rows - 1)));
    SmallVector<Value> window;
    for (int64_t number = 0; number < 2 * rows - 1; ++number)
      window.push_back(load(signal, add(oldest, constant(number))));
    Value weights = sub(distance, first);
    for (int64_t lag = 0; lag < rows; ++lag) {
      Value weight = load(filter, add(weights, constant(lag)));
      for (int64_t number = 0; number < rows; ++number)
        sums[number] = vector::FMAOp::create(builder, loc, weight, window[number - lag + rows - 1],
                                             sums[number]);
    }
    return sums;
  }

  Value load(Value panel, Value number) {
    return vector::LoadOp::create(builder, loc, vectorType(), panel, row(number));
  }

  //===--- by transforms --------------------------------------------------===//

  /// Distances below zero come from the end: the convolution is cyclic.
  void transformFilter(ArrayRef<Value> indices) {
    fillRows(signal, constant(0), transform->rows);
    packWeights(signal, constant(0), transform->rows, indices);
    transform->emitForward(signal);
    transform->emitSpectrum(signal, filter);
  }

  void emitTransformed(ArrayRef<Value> indices) {
    packSignal(indices, constant(0));
    fillRows(signal, kernel.tokens, sub(transform->rows, kernel.tokens));
    transform->emitForward(signal);
    transform->emitProduct(signal, filter);
    transform->emitInverse(signal);
    unpack(signal, indices);
  }
};
} // namespace

ConvolvePlan seqmix::planConvolve(const Layout &layout, MixerOp mixer, ConvolveOp convolve) {
  ConvolvePlan plan;
  for (auto op : mixer.getOps<ConvolutionOp>())
    if (op.getProducedAttr() == convolve.getOfAttr())
      plan.op = op;
  plan.lanesFeature = convolve.getLanes();
  plan.rows = convolve.getRows();
  int64_t row = layout.lanes * (layout.real.getIntOrFloatBitWidth() / 8);
  plan.transforms = convolve.getTransforms();
  // Rows around the signal's, and up to a tile behind the result's, and weights of both signs. A
  // transform is up to four times as long as the signal.
  plan.resultAt = 2 * row;
  plan.filterAt = 4 * row;
  plan.tablesAt = plan.filterAt + (plan.transforms ? 4 : 2) * row;
  plan.tokenBytes = plan.tablesAt + (plan.transforms ? kTableBytes : 0);
  return plan;
}

void seqmix::emitConvolve(Kernel &kernel, ConvolveOp op) {
  kernel.loc = op.getLoc();
  ConvolvePlan plan = planConvolve(kernel.layout, kernel.mixer, op);
  ConvolveEmitter(kernel, plan).emit();
}
