//===- Dependencies.h - the nodes of a mixer and their passes --------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_CHUNK_DEPENDENCIES_H
#define SEQMIX_COMPILER_CHUNK_DEPENDENCIES_H

#include "dialect/Seq.h"
#include "llvm/ADT/MapVector.h"

namespace seqmix::chunk {

/// How far around its own token a node reads a symbol.
struct ReadSpan {
  int64_t min = 0;
  int64_t max = 0;
  bool local = true; // false: some token expression is not `t + c`
  bool near = false; // some token expression is
};

/// One step of a task: a definition, the canonical recurrence of a state, or a group of members
/// that run token by token.
struct Node {
  mlir::Operation *op = nullptr; // DefineOp, AffineOp, PairsOp, ConvolutionOp or RecurrenceOp
  llvm::SmallVector<mlir::Operation *> bodies; // the equations in it, in order of execution
  llvm::SmallVector<mlir::StringAttr> makes;   // symbols that it gives a value
  llvm::MapVector<mlir::StringAttr, ReadSpan> reads;
  std::optional<mlir::seq::Direction> direction;
  mlir::FlatSymbolRefAttr dim; // the run-time dim that it varies over; null: none
  bool tokenFree = false;      // made before the first token
  bool late = false; // varies over no run-time dim, but is made from what does: between two passes
  bool fromInputs = false; // depends on no recurrence: cheap to make again in every pass
  int pass = 0;
};

/// A walk over a run-time dim; without one (`dim` is null), steps that run once.
struct PassPlan {
  mlir::FlatSymbolRefAttr dim;
  mlir::seq::Direction direction = mlir::seq::Direction::Forward;
};

/// The nodes in an order in which each follows what it reads, and the passes that they need.
struct Dependencies {
  llvm::SmallVector<Node> nodes;
  llvm::DenseMap<mlir::StringAttr, unsigned> producer; // symbol -> node; tensors have none
  llvm::SmallVector<PassPlan> passes;
  /// Whether a reduction over positions reads what its own results for the token before decide, so
  /// that all nodes are done for a token before the next. Then what a node reads of tokens before
  /// its own may stand behind it.
  bool tokenByToken = false;
};

/// Collects and orders the nodes and assigns passes: a pass walks one dim in one direction, and a
/// node stands in the first pass in which everything that it reads is there in time. Fails with a
/// located error on a cycle (a defect of the structure stage).
mlir::FailureOr<Dependencies> findDependencies(mlir::seq::MixerOp mixer);

/// The bodies (region blocks) of an equation.
mlir::Region &bodyOf(mlir::Operation *equation);

} // namespace seqmix::chunk

#endif // SEQMIX_COMPILER_CHUNK_DEPENDENCIES_H
