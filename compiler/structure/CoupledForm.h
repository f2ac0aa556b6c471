//===- CoupledForm.h - matrix states that are coupled ---------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_COUPLEDFORM_H
#define SEQMIX_COMPILER_STRUCTURE_COUPLEDFORM_H

#include "compiler/structure/AffineForm.h"

namespace seqmix {

/// Groups of which one needs the elements of another's matrices, as one group each; groups that are
/// alone as they are.
std::vector<Group> coupledGroups(Model &model, const std::vector<Group> &groups);

/// One list of updates from one list for each component: updates whose terms differ by a factor
/// that is constant over the columns share them.
llvm::SmallVector<FormUpdate>
mergeComponents(mlir::seq::ExprContext &context, const AffineForm &form,
                llvm::ArrayRef<llvm::SmallVector<FormUpdate>> updates);

/// Sums of products of reads in which reads of different components, at the same subscripts, are
/// one read. `token` is the position of the products' equation.
void mergeReads(
    mlir::seq::ExprContext &context, AffineForm &form, mlir::seq::Var token,
    llvm::SmallVectorImpl<mlir::seq::Product> &products,
    llvm::function_ref<unsigned(mlir::seq::ReadKind, const RowFactors &, bool)> findRead);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_COUPLEDFORM_H
