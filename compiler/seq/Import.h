//===- Import.h - from the checked syntax tree to the seq dialect ---*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_SEQ_IMPORT_H
#define SEQMIX_COMPILER_SEQ_IMPORT_H

#include "compiler/parse/Ast.h"
#include "dialect/Seq.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace seqmix {

struct ImportOptions {
  /// Storage type of the real inputs, params and outputs for which the file names none. F64 also
  /// makes the arithmetic double. One of F64, F32, BF16, F16.
  ast::DType defaultDType = ast::DType::F32;
};

/// One `seq.mixer` for each mixer of a checked file, in order; cumulative sums over tokens have
/// become states. Loads the dialect. Locations are
/// `FileLineColRange`s of the source (lines and columns from 1, columns in characters, the end
/// exclusive): where the user wrote the expression in the equation, also inside inlined functions.
/// Returns null after an error on the context's diagnostic engine; a tree that `parseAndCheck`
/// accepted gives one only for a run-time dim whose extent is not affine in other dims.
mlir::OwningOpRef<mlir::ModuleOp> importFile(const ast::File &file, mlir::MLIRContext &context,
                                             const ImportOptions &options);

} // namespace seqmix

#endif // SEQMIX_COMPILER_SEQ_IMPORT_H
