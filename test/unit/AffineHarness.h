//===- AffineHarness.h - compiles and runs one affine recurrence ------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//
//
// A function `advance(arena, rows)` around emitAffineRows, with all its buffers in one arena; for
// the tests and the benchmark of the block form.
//
//===----------------------------------------------------------------------------------------===//

#ifndef SEQMIX_TEST_UNIT_AFFINEHARNESS_H
#define SEQMIX_TEST_UNIT_AFFINEHARNESS_H

#include "compiler/tiles/AffineBlock.h"
#include "test/unit/JitSupport.h"

#include <memory>
#include <vector>

namespace seqmix::test {

/// A rows buffer in the arena. Offsets and strides count elements.
struct RowsBuffer {
  int64_t offset = -1;   // -1: absent
  int64_t rowStride = 0; // 0: the same for every row
  int64_t features = 1;  // that exist
  int64_t padded = 1;    // that the buffer has
  bool isVector = true;  // or constant over its features, of rank 1

  int64_t at(int64_t row, int64_t feature) const {
    return offset + row * rowStride + (isVector ? feature : 0);
  }
};

struct AffineTermData {
  RowsBuffer coef, right;
};
struct AffineUpdateData {
  std::vector<RowsBuffer> lefts; // by component
  std::vector<AffineTermData> terms;
};
struct AffineReadData {
  std::vector<RowsBuffer> rows; // by component
  RowsBuffer result;
};

/// Of a read of elements. A weight for every element is a row of `padded / rows` columns for each
/// row of the state.
struct AffineElementData {
  std::vector<RowsBuffer> weights; // by component
  RowsBuffer result;
};

enum class StateForm {
  RowsFirst, // a carry [rows, cols], copied to panels and back
  ColsFirst, // a carry [cols, rows], copied to panels and back
  Panels,    // panels that stay
  Plain,     // [rows, cols], updated in place
  StepRows,  // emitAffineStep in place of a carry [rows, cols]: always one token
  StepCols,  // emitAffineStep in place of a carry [cols, rows]
};

inline bool isStep(StateForm form) {
  return form == StateForm::StepRows || form == StateForm::StepCols;
}

/// Which factors are constant over their features or over the tokens, and how the state is given.
struct AffineLayoutOptions {
  StateForm state = StateForm::RowsFirst;
  uint64_t constantOverFeatures = 0; // bit n: the n-th left, row, right, or coef
  uint64_t constantOverRows = 0;
  uint64_t vectorCoefs = 0;    // bit n: the n-th coef is over the columns
  uint64_t scalarCoupling = 0; // bit n: the n-th d^ab is constant over the rows
};

class AffineProgram {
public:
  /// Lays out the arena for chunks of at most `maxRows` tokens.
  AffineProgram(const AffineBlockSpec &spec, int64_t maxRows, const AffineLayoutOptions &options);

  /// The module with the function; its errors and those of compiling it abort.
  mlir::OwningOpRef<mlir::ModuleOp> build(mlir::MLIRContext &context) const;
  void compile(mlir::MLIRContext &context, JitTarget target = JitTarget::Host);
  /// Runs the function on the arena's contents.
  void run(int64_t rows);

  double get(int64_t offset) const;
  void set(int64_t offset, double value);
  int64_t size() const { return elements; }
  /// Where element (i, j) of a component of the state stands: in the carry, or in the state itself.
  int64_t stateAt(int64_t i, int64_t j, int64_t component = 0) const;

  RowsBuffer rowDecay, colDecay;
  std::vector<RowsBuffer> coupling; // by component to, from
  std::vector<AffineUpdateData> updates;
  std::vector<AffineReadData> reads;
  std::vector<AffineElementData> elementReads;
  /// The arena from here on is scratch: its contents mean nothing between calls.
  int64_t scratchOffset = 0;

private:
  int64_t reserve(int64_t count);
  RowsBuffer makeBuffer(int64_t features, bool vector, bool overRows);

  AffineBlockSpec spec;
  int64_t maxRows;
  AffineLayoutOptions options;
  int64_t elements = 0, carryStride = 0;
  std::vector<int64_t> stateOffsets, panelsOffsets; // by component
  std::vector<double> storage;                      // doubles for alignment; floats use half of it
  std::unique_ptr<JitModule> jit;
  void (*function)(void *, int64_t) = nullptr;
};

} // namespace seqmix::test

#endif // SEQMIX_TEST_UNIT_AFFINEHARNESS_H
