//===- Summary.cpp - the summary of a mixer's segments ------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Summary.h"

#include "compiler/structure/Work.h"

#include "mlir/IR/BuiltinOps.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

MixerOp summaryOf(MixerOp mixer) {
  if (auto module = mixer->getParentOfType<ModuleOp>())
    for (auto other : module.getOps<MixerOp>())
      if (auto of = other.getSummaryOfAttr(); of && of.getAttr() == mixer.getSymNameAttr())
        return other;
  return {};
}

double summaryWork(MixerOp summary) {
  auto mixer = summary->getParentOfType<ModuleOp>().lookupSymbol<MixerOp>(
      summary.getSummaryOfAttr().getAttr());
  Model part(summary), whole(mixer);
  return timeOf(workOf(part)) / timeOf(workOf(whole));
}

} // namespace seqmix
