//===- AffineBlockState.cpp - between a carry and the panels of a state ---------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------------------------===//

#include "compiler/tiles/AffineBlockEmitter.h"
#include "compiler/tiles/Transpose.h"

#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;

namespace seqmix {
namespace {

class StateCopier : public AffineEmitter {
public:
  StateCopier(OpBuilder &builder, Location loc, const AffineBlockSpec &spec, Value carry,
              Value panels, bool toPanels)
      : AffineEmitter(builder, loc, spec), carry(carry), panels(panels), toPanels(toPanels) {}

  void copyRowsFirst();
  void copyColsFirst();

private:
  /// Calls `body` with the start of every piece of `lanes` of `extent` elements, and how many of
  /// them exist.
  void forEachPiece(int64_t extent, llvm::function_ref<void(Value, int64_t)> body) const {
    const int64_t whole = extent / spec.lanes * spec.lanes;
    if (whole > 0)
      loop(index(0), index(whole), spec.lanes, {}, [&](Value start, ValueRange) {
        body(start, spec.lanes);
        return Values();
      });
    if (whole != extent)
      body(index(whole), extent - whole);
  }
  /// The panel and the place in its rows of a column that is a multiple of lanes.
  std::pair<Value, Value> panelOf(Value column) const;
  Value carry, panels;
  bool toPanels;
};

std::pair<Value, Value> StateCopier::panelOf(Value column) const {
  Value width = index(spec.panel * spec.lanes);
  return {arith::DivUIOp::create(builder, loc, column, width),
          arith::RemUIOp::create(builder, loc, column, width)};
}

void StateCopier::copyRowsFirst() {
  forEachPiece(spec.cols, [&](Value column, int64_t valid) {
    auto [panel, place] = panelOf(column);
    loop(index(0), index(spec.rows), 1, {}, [&, panel = panel, place = place](Value r, ValueRange) {
      if (toPanels)
        store(load(carry, {r, column}, valid), panels, {panel, r, place});
      else
        store(load(panels, {panel, r, place}), carry, {r, column}, valid);
      return Values();
    });
  });
}

void StateCopier::copyColsFirst() {
  forEachPiece(spec.cols, [&](Value column, int64_t cols) {
    auto [panel, place] = panelOf(column);
    forEachPiece(spec.rows, [&, panel = panel, place = place](Value row, int64_t rows) {
      Values tile;
      if (toPanels) {
        for (int64_t k = 0; k < spec.lanes; ++k)
          tile.push_back(k < cols ? load(carry, {add(column, k), row}, rows) : splat(0));
        tile = transposed(builder, loc, tile);
        for (int64_t k = 0; k < rows; ++k)
          store(tile[k], panels, {panel, add(row, k), place});
        return;
      }
      for (int64_t k = 0; k < spec.lanes; ++k)
        tile.push_back(k < rows ? load(panels, {panel, add(row, k), place}) : splat(0));
      tile = transposed(builder, loc, tile);
      for (int64_t k = 0; k < cols; ++k)
        store(tile[k], carry, {add(column, k), row}, rows);
    });
  });
}

void copyState(OpBuilder &builder, Location loc, const AffineBlockSpec &spec, Value carry,
               bool colsFirst, Value panels, bool toPanels) {
  StateCopier copier(builder, loc, spec, carry, panels, toPanels);
  if (colsFirst)
    copier.copyColsFirst();
  else
    copier.copyRowsFirst();
}

} // namespace

void emitStateLoad(OpBuilder &builder, Location loc, const AffineBlockSpec &spec, Value carry,
                   bool colsFirst, Value panels) {
  copyState(builder, loc, spec, carry, colsFirst, panels, true);
}

void emitStateStore(OpBuilder &builder, Location loc, const AffineBlockSpec &spec, Value panels,
                    Value carry, bool colsFirst) {
  copyState(builder, loc, spec, carry, colsFirst, panels, false);
}

} // namespace seqmix
