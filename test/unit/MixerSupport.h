//===- MixerSupport.h - mixers from text, for tests ------------------*- C++ -*-===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_MIXERSUPPORT_H
#define SEQMIX_TEST_UNIT_MIXERSUPPORT_H

#include "compiler/parse/Parse.h"
#include "compiler/reference/Interpret.h"
#include "compiler/seq/Import.h"

#include "mlir/IR/MLIRContext.h"

#include <memory>
#include <string>

namespace seqmix::test {

/// A file at the seq stage with what it lives in.
struct Imported {
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string errors;

  /// The only mixer.
  mlir::seq::MixerOp mixer() { return *module->getOps<mlir::seq::MixerOp>().begin(); }
  std::string print();
};

/// Parses, checks and imports; `module` is null where there were errors.
Imported importText(const std::string &text, ast::DType dtype = ast::DType::F32);

/// Numbers from the normal distribution, the same ones for the same seed.
reference::Array randomArray(std::vector<int64_t> shape, unsigned seed, double scale = 1);

/// Elements [begin, end) of a dim.
reference::Array slice(const reference::Array &array, unsigned dim, int64_t begin, int64_t end);

/// Runs the oracle; an error fails the test.
reference::RunResult run(Imported &imported, const reference::Arrays &inputs,
                         const reference::RunOptions &options = {});

/// The greatest difference of two arrays of one shape, relative to 1 + |expected|; infinite where
/// the shapes differ.
double difference(const reference::Array &got, const reference::Array &expected);

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_MIXERSUPPORT_H
