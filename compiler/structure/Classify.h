//===- Classify.h - the algebraic class of a group -----------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_STRUCTURE_CLASSIFY_H
#define SEQMIX_COMPILER_STRUCTURE_CLASSIFY_H

#include "compiler/structure/Groups.h"

namespace seqmix {

/// The class of a group from its equations.
mlir::seq::StateClass classify(Model &model, const Group &group);

/// The dim along which all members are independent: each has it once on the left and reads members
/// at the same index. The largest one; of equal ones the last. Null when there is none.
mlir::StringAttr findLanes(Model &model, llvm::ArrayRef<mlir::StringAttr> members);

} // namespace seqmix

#endif // SEQMIX_COMPILER_STRUCTURE_CLASSIFY_H
