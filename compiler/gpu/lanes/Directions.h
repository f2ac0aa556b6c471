//===- Directions.h - states that run in both directions ----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A kernel walks its sequence in one direction. A mixer whose states run in both has a launch for
// each, or three where what one direction makes goes through the other one and back. What a launch
// needs of an earlier one is stored for each token: the definitions that depend on nothing but
// earlier launches, as far up in the equations as there are some, else states.
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_GPU_LANES_DIRECTIONS_H
#define SEQMIX_COMPILER_GPU_LANES_DIRECTIONS_H

#include "dialect/Carry.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

#include <vector>

namespace seqmix::gpu {

/// One launch.
struct LanePhase {
  mlir::seq::Direction direction = mlir::seq::Direction::Forward;
  bool isLast = false;
  llvm::DenseSet<mlir::StringAttr> states;    ///< that it carries from token to token
  llvm::DenseSet<mlir::StringAttr> evaluated; ///< whose equations it evaluates
  llvm::DenseSet<mlir::StringAttr> loaded;    ///< that earlier launches have stored
  llvm::DenseSet<mlir::StringAttr> windows;   ///< whose last tokens it leaves for the next call
  llvm::DenseSet<mlir::Operation *> outputs;  ///< that it makes
  llvm::SetVector<mlir::StringAttr> stored;   ///< for later launches
};

/// Whether a later launch writes a window of the carry (CarryBehind.h): batch elements share it, so
/// that several blocks read it, or walks backward read it when they end.
bool isLeftBehind(mlir::seq::MixerOp mixer, const mlir::seq::CarryComponent &component);

/// The launches of a mixer's states, in order; with a located error where there are none.
llvm::FailureOr<std::vector<LanePhase>> findPhases(mlir::seq::MixerOp mixer);

} // namespace seqmix::gpu

#endif // SEQMIX_COMPILER_GPU_LANES_DIRECTIONS_H
