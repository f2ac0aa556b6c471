//===- Groups.h - which states run together ------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_GROUPS_H
#define SEQMIX_COMPILER_STRUCTURE_GROUPS_H

#include "compiler/structure/Model.h"

namespace seqmix {

/// A strongly connected component, over reads at any token, that holds a state.
struct Group {
  /// Definitions and states in the order of execution within a token.
  llvm::SmallVector<mlir::StringAttr> members;
  llvm::SmallVector<mlir::StringAttr> states;
  mlir::seq::Direction direction = mlir::seq::Direction::Forward;

  bool contains(mlir::StringAttr name) const { return llvm::is_contained(members, name); }
};

/// The groups of a mixer, each behind those that it reads. States that a seq.affine computes are in
/// none. Fails with a located error on a cycle without a state and on two directions in one group.
mlir::FailureOr<std::vector<Group>> findGroups(Model &model);

/// Puts members in an order in which reads at the same token follow what they read.
void orderMembers(Model &model, Group &group);

/// Whether `reader` reads elements of a matrix of `source`, itself or by a definition over as many
/// indices.
bool readsMatrix(Model &model, const Group &source, const Group &reader);

/// Two groups, the second of which reads the first, and the definitions between them as one;
/// nothing if another recurrence stands between.
std::optional<Group> joined(Model &model, const Group &source, const Group &reader);

/// The names among `names` that depend on one of `roots`, at any distance in tokens (roots that
/// depend on themselves included).
llvm::DenseSet<mlir::StringAttr> dependents(Model &model, llvm::ArrayRef<mlir::StringAttr> roots);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_GROUPS_H
