//===- Dependencies.cpp - what ops of equations depend on --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/kernels/Dependencies.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace seqmix::gpu {

ArrayRef<BlockArgument> Dependencies::of(Operation *op) {
  auto found = known.find(op);
  if (found != known.end())
    return found->second;
  llvm::SmallSetVector<BlockArgument, 4> all;
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands()) {
      if (auto argument = dyn_cast<BlockArgument>(operand)) {
        if (!op->isAncestor(argument.getOwner()->getParentOp()))
          all.insert(argument);
      } else if (!op->isAncestor(operand.getDefiningOp())) {
        all.insert_range(of(operand.getDefiningOp()));
      }
    }
  });
  return known[op] = llvm::to_vector(all);
}

} // namespace seqmix::gpu
