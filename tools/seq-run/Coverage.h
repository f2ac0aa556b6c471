//===- Coverage.h - what random mixers reach ----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_COVERAGE_H
#define SEQMIX_TOOLS_SEQRUN_COVERAGE_H

#include "compiler/Options.h"

#include "mlir/IR/BuiltinOps.h"

#include <map>
#include <string>
#include <vector>

namespace seqmix::run {

/// The features of the one mixer in a module at the seq stage, in words: what it is written with,
/// and the classes that its states go to. Lowers the module to the structure stage.
std::vector<std::string> coverageOf(mlir::ModuleOp module, const Options &options);

/// Counts of features.
class Coverage {
public:
  void add(const std::vector<std::string> &features);
  void print() const;

private:
  std::map<std::string, unsigned> counts;
};

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_COVERAGE_H
