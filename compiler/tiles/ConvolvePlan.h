//===- ConvolvePlan.h - the scratch memory of convolutions ----------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_CONVOLVEPLAN_H
#define SEQMIX_COMPILER_TILES_CONVOLVEPLAN_H

#include "compiler/tiles/Layout.h"

namespace seqmix {

/// A convolution works on panels: one vector of features a row, a row a position or distance.
/// Scratch memory stands in the sequence region; the parts' numbers are bytes a token in front of
/// them, so that each has room for (tokens + SEQ_SEQUENCE_EDGE) times the difference to the next.
struct ConvolvePlan {
  mlir::seq::ConvolutionOp op;
  /// The result's feature that is vectorised, or -1; rows of the direct form's register tile.
  int64_t lanesFeature = -1, rows = 8;
  /// Whether there may be so many distances that transforms cost less than the direct form.
  bool transforms = false;
  /// Features of a transform's row: a power of two that divides the lanes.
  int64_t width = 1;
  /// Panels of the signal and of the result, and of the filter; the transforms' tables.
  int64_t signalAt = 0, resultAt = 0, filterAt = 0, tablesAt = 0;
  int64_t tokenBytes = 0;
};

/// Lays out a convolution.
ConvolvePlan planConvolve(const Layout &layout, mlir::seq::MixerOp mixer, mlir::seq::ConvolveOp op);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_CONVOLVEPLAN_H
