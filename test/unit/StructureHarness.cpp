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

#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::test {

MixerOp Structured::mixer() { return *after->getOps<MixerOp>().begin(); }

AffineOp Structured::affine(StringRef state) {
  for (auto op : mixer().getOps<AffineOp>())
    if (op.makes(StringAttr::get(op.getContext(), state)))
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
  if (!after)
    return errors;
  std::string result;
  llvm::raw_string_ostream os(result);
  after->print(os);
  return result;
}

Structured structure(StringRef source, int64_t minSize, const Overrides &sizes, bool findSums) {
  Structured s;
  s.context = std::make_unique<MLIRContext>();
  Diagnostics diagnostics;
  auto file = parseAndCheck(SourceFile("test.seq", source.str()), sizes, diagnostics);
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
  if (findSums)
    passes.addPass(createFindLinearSums());
  addStructurePasses(passes, minSize, /*lanes=*/0);
  if (failed(passes.run(*s.after)))
    s.after = {};
  return s;
}

// Values in the declared range, or around zero.
static reference::Arrays randomInputs(MixerOp mixer, int64_t tokens) {
  std::mt19937 random(7);
  reference::Arrays inputs;
  // Batch dims are as short as their divisors allow.
  int64_t batch = 1;
  for (const reference::Buffer &buffer : reference::inputBuffers(mixer))
    for (const reference::Axis &axis : buffer.axes)
      batch = std::lcm(batch, axis.div);
  for (const reference::Buffer &buffer : reference::inputBuffers(mixer)) {
    auto tensor = mixer.lookupSymbol<TensorOp>(buffer.name);
    std::vector<int64_t> shape;
    for (const reference::Axis &axis : buffer.axes) {
      auto op = mixer.lookupSymbol<DimOp>(axis.dim);
      shape.push_back(axis.isBatch                       ? batch / axis.div
                      : op.getKind() == DimKind::Runtime ? tokens
                                                         : *op.getSize());
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

// The elements of the first batch element.
static reference::Array firstElement(const reference::Array &array,
                                     llvm::ArrayRef<reference::Axis> axes) {
  std::vector<int64_t> shape;
  for (auto [size, axis] : llvm::zip_equal(array.shape, axes))
    if (!axis.isBatch)
      shape.push_back(size);
  reference::Array result(shape);
  std::vector<int64_t> at(array.shape.size(), 0);
  for (double &value : result.values) {
    int64_t offset = 0;
    for (auto [size, index] : llvm::zip_equal(array.shape, at))
      offset = offset * size + index;
    value = array.values[offset];
    for (int64_t k = at.size() - 1; k >= 0; --k)
      if (!axes[k].isBatch) {
        if (++at[k] < array.shape[k])
          break;
        at[k] = 0;
      }
  }
  return result;
}

static void expectNear(const reference::Array &want, const reference::Array &have, double tolerance,
                       StringRef name) {
  ASSERT_EQ(want.shape, have.shape) << name.str();
  double scale = 1;
  for (double x : want.values)
    if (std::isfinite(x))
      scale = std::max(scale, std::fabs(x));
  for (size_t i = 0; i < want.values.size(); ++i) {
    double a = want.values[i], b = have.values[i];
    if (a == b || (std::isnan(a) && std::isnan(b)))
      continue;
    ASSERT_NEAR(a, b, tolerance * scale) << name.str() << " element " << i;
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
  for (const reference::Buffer &buffer : reference::outputBuffers(before))
    expectNear(firstElement(wanted->outputs.at(buffer.name), buffer.axes),
               evaluator.output(buffer.name), tolerance, buffer.name);
  for (auto state : before.getOps<StateOp>()) {
    if (!s.mixer().lookupSymbol(state.getSymName()))
      continue;
    // Batch dims stand first: the first element's values are the first ones.
    reference::Array have = evaluator.finalState(state.getSymName()), want = have;
    const reference::Array &all = wanted->carry.at(state.getSymName().str());
    std::copy_n(all.values.begin(), want.values.size(), want.values.begin());
    expectNear(want, have, tolerance, state.getSymName());
  }
}

} // namespace seqmix::test
