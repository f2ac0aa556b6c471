//===- StructureHarness.cpp - mixers through the structure stage --------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "StructureHarness.h"

#include "StructureEval.h"
#include "compiler/Passes.h"
#include "compiler/parse/Parse.h"
#include "compiler/reference/Interpret.h"
#include "compiler/seq/Import.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include <gtest/gtest.h>

#include <random>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::test {

MixerOp Structured::mixer() { return *after->getOps<MixerOp>().begin(); }

AffineOp Structured::affine(StringRef state) {
  for (auto op : mixer().getOps<AffineOp>())
    if (op.getState() == state)
      return op;
  return {};
}

RecurrenceOp Structured::recurrence(StringRef state) {
  for (auto op : mixer().getOps<RecurrenceOp>())
    for (auto name : op.getStates().getAsRange<FlatSymbolRefAttr>())
      if (name.getValue() == state)
        return op;
  return {};
}

std::string Structured::text() {
  std::string result;
  llvm::raw_string_ostream os(result);
  after->print(os);
  return result;
}

Structured structure(StringRef source, int64_t minSize) {
  Structured s;
  s.context = std::make_unique<MLIRContext>();
  Diagnostics diagnostics;
  auto file = parseAndCheck(SourceFile("test.seq", source.str()), {}, diagnostics);
  EXPECT_FALSE(diagnostics.hasErrors()) << diagnostics.render();
  if (!file)
    return s;
  ScopedDiagnosticHandler handler(s.context.get(), [&](mlir::Diagnostic &diagnostic) {
    s.errors += diagnostic.str() + "\n";
    return success();
  });
  s.before = importFile(*file, *s.context, {});
  EXPECT_TRUE(s.before) << s.errors;
  if (!s.before)
    return s;
  s.after = cast<ModuleOp>((*s.before)->clone());
  PassManager passes(s.context.get());
  addStructurePasses(passes, minSize);
  if (failed(passes.run(*s.after)))
    s.after = {};
  return s;
}

// Values in the declared range, or around zero.
static reference::Arrays randomInputs(MixerOp mixer, int64_t tokens) {
  std::mt19937 random(7);
  reference::Arrays inputs;
  for (auto tensor : mixer.getOps<TensorOp>()) {
    std::vector<int64_t> shape;
    for (auto dim : tensor.getDims().getAsRange<FlatSymbolRefAttr>()) {
      auto op = mixer.lookupSymbol<DimOp>(dim.getAttr());
      shape.push_back(op.getKind() == DimKind::Runtime ? tokens : *op.getSize());
    }
    double low = -1, high = 1;
    if (tensor.getRange()) {
      low = std::max(-3.0, cast<FloatAttr>((*tensor.getRange())[0]).getValueAsDouble());
      high = std::min(3.0, cast<FloatAttr>((*tensor.getRange())[1]).getValueAsDouble());
    }
    reference::Array array(shape);
    bool isReal = isa<FloatType>(tensor.getDtype());
    for (double &x : array.values)
      x = isReal ? std::uniform_real_distribution<>(low, high)(random) : double(random() % 2);
    inputs[tensor.getSymName().str()] = array;
  }
  return inputs;
}

static void expectNear(const reference::Array &want, const reference::Array &have, double tolerance,
                       StringRef name) {
  ASSERT_EQ(want.shape, have.shape) << name.str();
  double scale = 1;
  for (double x : want.values)
    if (std::isfinite(x))
      scale = std::max(scale, std::fabs(x));
  for (size_t i = 0; i < want.values.size(); ++i) {
    if (want.values[i] == have.values[i] ||
        (std::isnan(want.values[i]) && std::isnan(have.values[i])))
      continue;
    ASSERT_NEAR(want.values[i], have.values[i], tolerance * scale)
        << name.str() << " element " << i;
  }
}

void expectSameValues(Structured &s, int64_t tokens, double tolerance) {
  ASSERT_TRUE(s.after) << s.errors;
  ASSERT_TRUE(succeeded(verify(*s.after)));
  MixerOp before = *s.before->getOps<MixerOp>().begin();
  reference::Arrays inputs = randomInputs(before, tokens);
  auto wanted = reference::interpret(before, inputs);
  ASSERT_TRUE(bool(wanted)) << llvm::toString(wanted.takeError());
  StructureEvaluator evaluator(s.mixer(), inputs, tokens);
  for (auto &[name, array] : wanted->outputs)
    expectNear(array, evaluator.output(name), tolerance, name);
  for (auto state : before.getOps<StateOp>())
    expectNear(wanted->carry.at(state.getSymName().str()), evaluator.finalState(state.getSymName()),
               tolerance, state.getSymName());
}

} // namespace seqmix::test
