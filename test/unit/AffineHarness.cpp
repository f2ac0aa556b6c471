//===- AffineHarness.cpp - compiles and runs one affine recurrence ----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//

#include "test/unit/AffineHarness.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace seqmix::test {
namespace {
bool isColsFirst(StateForm form) {
  return form == StateForm::ColsFirst || form == StateForm::StepCols;
}
/// Whether the state is copied between a carry and panels.
bool isCopied(StateForm form) {
  return form == StateForm::ColsFirst || form == StateForm::RowsFirst;
}
} // namespace

AffineProgram::AffineProgram(const AffineBlockSpec &spec, int64_t maxRows,
                             const AffineLayoutOptions &options)
    : spec(spec), maxRows(maxRows), options(options) {
  auto flag = [](uint64_t &bits) {
    const bool result = bits & 1;
    bits >>= 1;
    return result;
  };
  uint64_t overFeatures = options.constantOverFeatures, overRows = options.constantOverRows;
  uint64_t vectorCoefs = options.vectorCoefs;
  auto factor = [&](int64_t features) {
    const bool vector = !flag(overFeatures);
    return makeBuffer(features, vector, !flag(overRows));
  };
  uint64_t scalarCoupling = options.scalarCoupling;
  for (bool exists : spec.coupling)
    coupling.push_back(exists ? makeBuffer(spec.rows, !flag(scalarCoupling), !flag(overRows))
                              : RowsBuffer());
  auto ofComponents = [&](const AffineComponents &of) {
    std::vector<RowsBuffer> factors;
    for (bool exists : of)
      factors.push_back(exists ? factor(spec.rows) : RowsBuffer());
    return factors;
  };
  if (spec.rowDecay == RowDecay::Scalar || spec.rowDecay == RowDecay::PerRow)
    rowDecay = makeBuffer(spec.rows, spec.rowDecay == RowDecay::PerRow, !flag(overRows));
  if (spec.colDecay)
    colDecay = makeBuffer(spec.cols, true, true);
  for (const AffineUpdate &update : spec.updates) {
    AffineUpdateData data;
    data.lefts = ofComponents(update.of);
    for (const AffineTerm &term : update.terms) {
      AffineTermData from;
      if (term.coef)
        from.coef = makeBuffer(spec.cols, flag(vectorCoefs), !flag(overRows));
      if (term.read < 0)
        from.right = factor(spec.cols);
      data.terms.push_back(from);
    }
    updates.push_back(data);
  }
  for (const AffineRead &read : spec.reads) {
    AffineReadData data;
    data.rows = ofComponents(read.of);
    if (read.result)
      data.result = makeBuffer(spec.cols, true, true);
    reads.push_back(data);
  }
  for (const AffineElementRead &read : spec.elements) {
    AffineElementData data;
    for (bool exists : read.of)
      data.weights.push_back(
          !exists ? RowsBuffer()
          : read.elements
              ? makeBuffer(spec.rows * llvm::alignTo(spec.cols, spec.lanes), true, read.perToken)
              : factor(spec.cols));
    data.result = makeBuffer(read.columns ? spec.rows : spec.cols, true, true);
    elementReads.push_back(data);
  }
  const bool colsFirst = isColsFirst(options.state), copied = isCopied(options.state);
  carryStride = (colsFirst ? spec.rows : spec.cols) + 3;
  if (options.state == StateForm::Plain)
    carryStride = llvm::alignTo(spec.cols, spec.lanes);
  const int64_t panelElements = affineStateType(spec).getNumElements();
  for (int64_t a = 0; a < spec.components; ++a)
    stateOffsets.push_back(reserve(options.state == StateForm::Panels
                                       ? panelElements
                                       : (colsFirst ? spec.cols : spec.rows) * carryStride));
  panelsOffsets = stateOffsets;
  scratchOffset = elements;
  for (int64_t a = 0; copied && a < spec.components; ++a)
    panelsOffsets[a] = reserve(panelElements);
  reserve(affineScratchSize(spec, maxRows));
  storage.resize(elements);
}

int64_t AffineProgram::reserve(int64_t count) {
  const int64_t start = elements;
  elements += llvm::alignTo(count, 16) + 16;
  return start;
}

RowsBuffer AffineProgram::makeBuffer(int64_t features, bool vector, bool overRows) {
  RowsBuffer buffer;
  buffer.isVector = vector;
  buffer.features = vector ? features : 1;
  buffer.padded = vector ? llvm::alignTo(features, spec.lanes) : 1;
  buffer.rowStride = overRows ? buffer.padded : 0;
  buffer.offset = reserve((overRows ? maxRows : 1) * buffer.padded);
  return buffer;
}

OwningOpRef<ModuleOp> AffineProgram::build(MLIRContext &context) const {
  OpBuilder builder(&context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module(ModuleOp::create(builder, loc));
  builder.setInsertionPointToEnd(module->getBody());
  auto arenaType = MemRefType::get({elements}, spec.element);
  auto type = builder.getFunctionType({arenaType, builder.getIndexType()}, {});
  auto function = func::FuncOp::create(builder, loc, "advance", type);
  Block *entry = function.addEntryBlock();
  builder.setInsertionPointToEnd(entry);
  Value arena = entry->getArgument(0), rows = entry->getArgument(1);

  auto view = [&](int64_t offset, ArrayRef<int64_t> shape, ArrayRef<int64_t> strides) -> Value {
    auto layout = StridedLayoutAttr::get(&context, offset, strides);
    auto result = MemRefType::get(shape, spec.element, layout);
    return memref::ReinterpretCastOp::create(builder, loc, result, arena, offset, shape, strides);
  };
  auto rowsView = [&](const RowsBuffer &buffer) -> Value {
    if (buffer.offset < 0)
      return {};
    if (!buffer.isVector)
      return view(buffer.offset, {maxRows}, {buffer.rowStride});
    return view(buffer.offset, {maxRows, buffer.padded}, {buffer.rowStride, 1});
  };
  AffineBlockBuffers buffers;
  buffers.rowDecay = rowsView(rowDecay);
  buffers.colDecay = rowsView(colDecay);
  for (const AffineUpdateData &update : updates) {
    AffineUpdateBuffers to;
    for (const RowsBuffer &left : update.lefts)
      to.lefts.push_back(rowsView(left));
    for (const AffineTermData &term : update.terms)
      to.terms.push_back({rowsView(term.coef), rowsView(term.right)});
    buffers.updates.push_back(to);
  }
  for (const AffineReadData &read : reads) {
    AffineReadBuffers to;
    for (const RowsBuffer &row : read.rows)
      to.rows.push_back(rowsView(row));
    to.result = rowsView(read.result);
    buffers.reads.push_back(to);
  }
  for (auto [read, data] : llvm::zip_equal(spec.elements, elementReads)) {
    AffineElementBuffers to;
    for (const RowsBuffer &weight : data.weights) {
      const int64_t columns = llvm::alignTo(spec.cols, spec.lanes);
      to.weights.push_back(
          read.elements && weight.offset >= 0
              ? view(weight.offset, {maxRows, spec.rows, columns}, {weight.rowStride, columns, 1})
              : rowsView(weight));
    }
    to.result = rowsView(data.result);
    buffers.elements.push_back(to);
  }
  for (const RowsBuffer &entry : coupling)
    buffers.coupling.push_back(rowsView(entry));

  const auto panels = affineStateType(spec);
  const int64_t scratchSize = affineScratchSize(spec, maxRows);
  const bool colsFirst = isColsFirst(options.state), copied = isCopied(options.state);
  buffers.scratch = view(elements - (llvm::alignTo(scratchSize, 16) + 16), {scratchSize}, {1});
  SmallVector<Value> carries;
  for (int64_t a = 0; a < spec.components; ++a) {
    if (options.state != StateForm::Panels)
      carries.push_back(colsFirst
                            ? view(stateOffsets[a], {spec.cols, spec.rows}, {carryStride, 1})
                            : view(stateOffsets[a], {spec.rows, spec.cols}, {carryStride, 1}));
    if (options.state == StateForm::Plain)
      buffers.states.push_back(view(stateOffsets[a], {spec.rows, carryStride}, {carryStride, 1}));
    else
      buffers.states.push_back(
          view(panelsOffsets[a], panels.getShape(),
               {panels.getDimSize(1) * panels.getDimSize(2), panels.getDimSize(2), 1}));
    if (copied)
      emitStateLoad(builder, loc, spec, carries[a], colsFirst, buffers.states[a]);
  }
  if (isStep(options.state))
    emitAffineStep(builder, loc, spec, buffers, carries, carries, colsFirst);
  else
    emitAffineRows(builder, loc, spec, buffers, rows);
  for (int64_t a = 0; copied && a < spec.components; ++a)
    emitStateStore(builder, loc, spec, buffers.states[a], carries[a], colsFirst);
  func::ReturnOp::create(builder, loc);
  if (failed(verify(*module)))
    llvm::report_fatal_error("the recurrence does not verify");
  return module;
}

void AffineProgram::compile(MLIRContext &context, JitTarget target) {
  JitOptions jitOptions;
  jitOptions.target = target;
  jit = llvm::cantFail(JitModule::compile(*build(context), jitOptions));
  function = jit->get<void(void *, int64_t)>("advance");
}

void AffineProgram::run(int64_t rows) { function(storage.data(), rows); }

double AffineProgram::get(int64_t offset) const {
  if (spec.element.isF64())
    return storage[offset];
  return reinterpret_cast<const float *>(storage.data())[offset];
}

void AffineProgram::set(int64_t offset, double value) {
  if (spec.element.isF64())
    storage[offset] = value;
  else
    reinterpret_cast<float *>(storage.data())[offset] = static_cast<float>(value);
}

int64_t AffineProgram::stateAt(int64_t i, int64_t j, int64_t component) const {
  const int64_t stateOffset = stateOffsets[component];
  if (isColsFirst(options.state))
    return stateOffset + j * carryStride + i;
  if (options.state != StateForm::Panels)
    return stateOffset + i * carryStride + j;
  const int64_t width = spec.panel * spec.lanes;
  return stateOffset + (j / width * spec.rows + i) * width + j % width;
}

} // namespace seqmix::test
