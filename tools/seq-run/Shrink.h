//===- Shrink.h - the smallest mixer that still fails -------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_SHRINK_H
#define SEQMIX_TOOLS_SEQRUN_SHRINK_H

#include "tools/seq-run/Commands.h"

namespace seqmix::run {

/// Drops outputs, declarations and terms of a failing mixer and makes its dims smaller, as long as
/// it keeps failing. `verdict` says how the result fails.
std::string shrink(const std::string &text, const std::string &name, ast::DType dtype,
                   const RandomOptions &options, std::string &verdict);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_SHRINK_H
