//===- MixerSupport.cpp - mixers from text, for tests ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "MixerSupport.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>

namespace seqmix::test {

std::string Imported::print() {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream);
  return text;
}

Imported importText(const std::string &text, ast::DType dtype) {
  Imported imported;
  SourceFile source("test.seq", text);
  Diagnostics diagnostics;
  diagnostics.setFile(source);
  std::unique_ptr<ast::File> file = parseAndCheck(source, {}, diagnostics);
  imported.errors = diagnostics.render();
  imported.context = std::make_unique<mlir::MLIRContext>();
  if (!file)
    return imported;
  mlir::ScopedDiagnosticHandler handler(imported.context.get(), [&](mlir::Diagnostic &diagnostic) {
    imported.errors += diagnostic.str();
    return mlir::success();
  });
  imported.module = importFile(*file, *imported.context, {dtype});
  return imported;
}

reference::Array randomArray(std::vector<int64_t> shape, unsigned seed, double scale) {
  reference::Array array(std::move(shape));
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  for (double &value : array.values)
    value = scale * normal(generator);
  return array;
}

reference::Array slice(const reference::Array &array, unsigned dim, int64_t begin, int64_t end) {
  std::vector<int64_t> shape = array.shape;
  shape[dim] = end - begin;
  reference::Array part(shape);
  int64_t inner = 1;
  for (size_t other = dim + 1; other < shape.size(); ++other)
    inner *= shape[other];
  for (int64_t element = 0; element < part.size(); ++element) {
    int64_t row = element / inner % shape[dim], outer = element / inner / shape[dim];
    part.values[element] =
        array.values[(outer * array.shape[dim] + begin + row) * inner + element % inner];
  }
  return part;
}

reference::RunResult run(Imported &imported, const reference::Arrays &inputs,
                         const reference::RunOptions &options) {
  if (!imported.module) {
    ADD_FAILURE() << imported.errors;
    return {};
  }
  llvm::Expected<reference::RunResult> result =
      reference::interpret(imported.mixer(), inputs, options);
  if (result)
    return std::move(*result);
  ADD_FAILURE() << llvm::toString(result.takeError());
  return {};
}

double difference(const reference::Array &got, const reference::Array &expected) {
  if (got.shape != expected.shape)
    return std::numeric_limits<double>::infinity();
  double most = 0;
  for (int64_t element = 0; element < got.size(); ++element) {
    double off = std::fabs(got.values[element] - expected.values[element]) /
                 (1 + std::fabs(expected.values[element]));
    most = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(most, off);
  }
  return most;
}

} // namespace seqmix::test
