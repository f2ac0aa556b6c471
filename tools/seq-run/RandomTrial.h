//===- RandomTrial.h - what happens to a random mixer -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_RANDOMTRIAL_H
#define SEQMIX_TOOLS_SEQRUN_RANDOMTRIAL_H

#include "tools/seq-run/Commands.h"
#include "tools/seq-run/Session.h"

#include "llvm/Support/JSON.h"

namespace seqmix::run {

/// What came of one random mixer.
struct RandomVerdict {
  std::string problem;               ///< why it could not be run
  std::vector<std::string> failures; ///< one line each: shape, way, detail
  std::vector<std::string> coverage; ///< classes and forms that it went to
  uint64_t trials = 0;
  uint64_t illConditioned = 0;

  bool passed() const { return problem.empty() && failures.empty(); }
  std::string text() const;
};

llvm::json::Object toJson(const RandomVerdict &verdict);
RandomVerdict verdictFrom(const llvm::json::Object &object);

/// Compiles the sources (one mixer each) to one library and tries each at several random shapes,
/// with and without a carry, packed and not.
void tryRandomMixers(llvm::ArrayRef<SourceFile> sources, ast::DType dtype,
                     const RandomOptions &options,
                     llvm::function_ref<void(size_t, const RandomVerdict &)> done);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_RANDOMTRIAL_H
