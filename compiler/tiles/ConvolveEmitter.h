//===- ConvolveEmitter.h - sums whose weights depend on the distance -*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A vector holds the elements of some features at one position. Signal and filter are packed,
// vector by vector, to panels whose rows are positions and distances. For transforms of fewer
// features than lanes a panel's rows are as narrow as these, so that a vector holds several
// positions.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_CONVOLVEEMITTER_H
#define SEQMIX_COMPILER_TILES_CONVOLVEEMITTER_H

#include "compiler/tiles/ConvolvePlan.h"
#include "compiler/tiles/Copy.h"
#include "compiler/tiles/PanelTransform.h"

namespace seqmix {

class ConvolveEmitter {
public:
  ConvolveEmitter(Kernel &kernel, const ConvolvePlan &plan);

  void emit();

private:
  using Value = mlir::Value;
  using LagOperandAttr = mlir::seq::LagOperandAttr;
  using Indices = llvm::ArrayRef<mlir::Value>; // of features
  using Body = llvm::function_ref<void()>;

  /// What a panel of the signal holds, and where its products go.
  struct Range {
    Value rows;        // of the signal
    Value first, last; // distances t - s between a token and a row of the signal: weights
    bool accumulates;  // adds to what the panel of the result holds
  };

  Kernel &kernel;
  mlir::OpBuilder &builder;
  mlir::Location loc;
  const ConvolvePlan &plan;
  mlir::seq::ConvolutionOp op;
  int64_t lanes;
  const BufferLayout &result;
  const SymbolInfo &info;
  int64_t width; // of a panel's row: the lanes, or fewer in transforms
  // Components of the carry with earlier rows of the signal and of the weights of the past.
  std::optional<unsigned> carried, carriedWeights;
  Value signal, product, filter;       // panels
  Value first, last;                   // distances that this call has: first <= n <= last
  PanelTransform *transform = nullptr; // null in the direct form

  Value constant(int64_t value) { return kernel.constant(value); }
  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value row(Value number) { return mul(number, constant(width)); }
  Value minimum(Value a, Value b);
  Value maximum(Value a, Value b);
  Value panelAt(int64_t tokenBytes);
  mlir::VectorType vectorType() { return kernel.vectorType(kernel.real); }
  Value zero();
  void fillRows(Value panel, Value from, Value count);

  /// The distances of the equation that a call of so many tokens has.
  void chooseDistances();
  /// Whether transforms cost less than the products of all distances and positions.
  Value isLong(PanelTransform &made);

  //===--- panels ---------------------------------------------------------===//

  bool variesOver(LagOperandAttr operand, int64_t feature);
  bool filtersVaryOver(int64_t feature);
  Value countOf(int64_t feature);
  /// Calls `perFilter` for each vector of features that the filters have, and in it `perSignal` for
  /// each of the others, so that a filter is packed once.
  void forAll(llvm::function_ref<void(Indices)> perFilter,
              llvm::function_ref<void(Indices)> perSignal);
  void forFeatures(int64_t feature, bool ofFilters, llvm::SmallVectorImpl<Value> &indices,
                   Body body);
  /// Rows of an operand at some features, its position (or distance) and lanes as dims. Without
  /// lanes the stride of the second is zero.
  Strided rowsOf(LagOperandAttr operand, Indices indices);
  Strided selectRows(const Strided &all, llvm::ArrayRef<int64_t> features, Indices indices);
  /// Rows of a panel from one on, upwards or (with step -1) downwards.
  Strided panelRows(Value panel, Value from, int64_t step = 1);
  /// The elements of rows without gaps, as one dim.
  Strided elementsOf(Strided rows);
  /// Copies rows between a panel and elements elsewhere; only the last vector is partly used.
  void copyRows(const Strided &from, const Strided &to, Value count, Indices indices);
  /// The same of fewer features than lanes.
  void copyNarrow(const Strided &from, const Strided &to, Value count, int64_t size);
  /// Rows of an operand into a panel, the same value in all lanes where it has none.
  void packRows(LagOperandAttr operand, Strided from, Value fromRow, const Strided &to, Value count,
                Indices indices);
  void packSignal(Indices indices, Value to);
  /// Weights of `count` distances from `start` on to the rows of a panel from `to` on.
  void packPast(Value panel, Value to, Value start, Value count, Indices indices);
  /// Weights of distances n >= 0 to rows `pastZero` + n of a panel, of others to `aheadZero` + n.
  void packWeights(Value panel, Value pastZero, Value aheadZero, Indices indices);
  Strided resultRows(Indices indices);

  //===--- the direct form ------------------------------------------------===//

  void emitDirectForm();
  /// Weights in the order of their distances, those after the last zero up to a whole tile.
  void packFilter(Indices indices);
  void emitTiles(const Range &range);
  llvm::SmallVector<Value> multiply(const Range &range, Value distance, Value token,
                                    llvm::SmallVector<Value> sums);
  Value load(Value panel, Value number);

  //===--- what earlier calls left ------------------------------------------===//

  /// Adds the products with the signal's rows in the carry.
  void emitPast();
  void emitPastBlock(Value position, Value slot, Value rows, Indices indices);
  /// Weights of `count` distances from `nearest` on, zeros where the equation has none.
  void packPastWeights(Value nearest, Value count, Indices indices);

  //===--- by transforms --------------------------------------------------===//

  /// Distances below zero come from the end: the convolution is cyclic.
  void transformFilter(Indices indices);
  void emitTransformed(Indices indices);
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_CONVOLVEEMITTER_H
