//===- Npy.h - arrays in NumPy's file format ----------------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TOOLS_SEQRUN_NPY_H
#define SEQMIX_TOOLS_SEQRUN_NPY_H

#include "compiler/reference/Array.h"

#include "llvm/Support/Error.h"

#include <string>

namespace seqmix::run {

/// Reads a .npy file: little-endian f64, f32, i64, i32 or bool, last dim contiguous.
llvm::Expected<reference::Array> readNpy(const std::string &path);

/// Writes one, as f64.
llvm::Error writeNpy(const std::string &path, const reference::Array &array);

} // namespace seqmix::run

#endif // SEQMIX_TOOLS_SEQRUN_NPY_H
