//===- Report.h - diagnostics of the IR as messages about the source ----*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_COMPILER_REPORT_H
#define SEQMIX_COMPILER_REPORT_H

#include "compiler/parse/Diagnostics.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/raw_ostream.h"

namespace seqmix {

/// While it lives, errors and remarks that passes report on the IR of one file are printed like the
/// parser's: with the line and a caret.
class SourceReporter {
public:
  SourceReporter(mlir::MLIRContext &context, SourceFile source, llvm::raw_ostream &os);

private:
  SourceFile source;
  llvm::raw_ostream &os;
  mlir::ScopedDiagnosticHandler handler;

  void report(mlir::Diagnostic &diagnostic);
  std::optional<SourceRange> rangeOf(mlir::Location location) const;
};

} // namespace seqmix

#endif // SEQMIX_COMPILER_REPORT_H
