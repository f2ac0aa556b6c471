//===- StructureHarness.h - mixers through the structure stage -----*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_STRUCTUREHARNESS_H
#define SEQMIX_TEST_UNIT_STRUCTUREHARNESS_H

#include "compiler/parse/Parse.h"
#include "dialect/Seq.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <string>

namespace seqmix::test {

/// A mixer's text, imported, and the same after the structure stage.
struct Structured {
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> before, after;
  std::string errors;

  mlir::seq::MixerOp mixer();
  /// The affine recurrence of a state, or null.
  mlir::seq::AffineOp affine(llvm::StringRef state);
  /// The group with a state, or null.
  mlir::seq::RecurrenceOp recurrence(llvm::StringRef state);
  std::string text();
};

/// Parses, imports and structures. Test failures for whatever the text does not allow; errors of
/// the structure stage are in `errors`. With `findSums`, `after` has states for sums over tokens,
/// `before` the equations as written.
Structured structure(llvm::StringRef source, int64_t minSize = 1, const Overrides &sizes = {},
                     bool findSums = false);

/// Compares outputs and final states of the structure stage with the interpreter's on random
/// inputs. States that are gone count for nothing.
void expectSameValues(Structured &s, int64_t tokens = 7, double tolerance = 1e-12);

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_STRUCTUREHARNESS_H
