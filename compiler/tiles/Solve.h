//===- Solve.h - the block form of a matrix state --------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_TILES_SOLVE_H
#define SEQMIX_COMPILER_TILES_SOLVE_H

#include "compiler/cpu/Target.h"
#include "compiler/tiles/AffineBlock.h"
#include "dialect/Seq.h"

namespace seqmix {

/// The canonical recurrence of `state`, or null.
mlir::seq::AffineOp findAffine(mlir::seq::MixerOp mixer, mlir::StringAttr state);

/// Whether a row decay varies over the rows.
RowDecay rowDecayOf(mlir::seq::AffineOp affine, mlir::FlatSymbolRefAttr decay);

/// The shape of a recurrence: all but what depends on the target and on the choice of blocks.
/// `split` names the dim of which a task has `splitSize` elements, if any.
AffineBlockSpec affineShape(mlir::seq::MixerOp mixer, mlir::seq::AffineOp affine,
                            mlir::StringAttr split = {}, int64_t splitSize = 0);

/// The same for the generator of its code, with `block` tokens and `panel`
/// vectors a sweep.
AffineBlockSpec affineSpec(mlir::seq::MixerOp mixer, mlir::seq::AffineOp affine,
                           const TargetInfo &target, int64_t block, int64_t panel,
                           mlir::StringAttr split, int64_t splitSize);

/// Matrices in a state: the elements of its outer and inner dims.
int64_t matrixCount(mlir::seq::MixerOp mixer, mlir::seq::AffineOp affine);

/// Elements of scratch for factors that are copied to rows over all rows or columns of a state
/// with several dims of them.
int64_t expansionSize(mlir::seq::AffineOp affine, const AffineBlockSpec &spec, int64_t chunk);

} // namespace seqmix

#endif // SEQMIX_COMPILER_TILES_SOLVE_H
