//===- SolveShape.cpp - the shape of a block form and the scratch it takes ------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/tiles/Solve.h"

#include "dialect/Carry.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::seq;
using namespace seqmix;

AffineOp seqmix::findAffine(MixerOp mixer, StringAttr state) {
  for (auto affine : mixer.getBody().getOps<AffineOp>())
    if (affine.makes(state))
      return affine;
  return {};
}

RowDecay seqmix::rowDecayOf(AffineOp affine, FlatSymbolRefAttr decay) {
  auto rows = affine.getRows();
  bool varies = llvm::any_of(affine.numbersOf(decay, rows),
                             [&](int64_t number) { return llvm::is_contained(rows, number); });
  return varies ? RowDecay::PerRow : RowDecay::Scalar;
}

int64_t seqmix::matrixCount(MixerOp mixer, AffineOp affine) {
  auto state = cast<StateOp>(SymbolTable::lookupSymbolIn(mixer, affine.getStateAttr().getAttr()));
  int64_t count = affine.innerSize();
  for (int64_t number : affine.outerDims())
    count *= fixedSize(mixer, cast<FlatSymbolRefAttr>(state.getDims()[number]));
  return count;
}

AffineBlockSpec seqmix::affineShape(MixerOp mixer, AffineOp affine, StringAttr split,
                                    int64_t splitSize) {
  AffineBlockSpec spec;
  auto state = cast<StateOp>(SymbolTable::lookupSymbolIn(mixer, affine.getStateAttr().getAttr()));
  auto size = [&](ArrayRef<int64_t> numbers) {
    int64_t product = 1;
    for (int64_t number : numbers) {
      auto dim = cast<FlatSymbolRefAttr>(state.getDims()[number]);
      product *= split && dim.getAttr() == split ? splitSize : fixedSize(mixer, dim);
    }
    return product;
  };
  spec.rows = size(affine.getRows());
  spec.cols = size(affine.getCols());
  if (auto decay = affine.getRowDecayAttr())
    spec.rowDecay = rowDecayOf(affine, decay);
  spec.colDecay = static_cast<bool>(affine.getColDecayAttr());
  spec.components = affine.componentCount();
  if (ArrayAttr coupling = affine.getCouplingAttr()) {
    spec.rowDecay = RowDecay::Coupled;
    spec.coupling.assign(spec.components * spec.components, false);
    for (auto entry : coupling.getAsRange<CouplingAttr>())
      spec.coupling[entry.getTo() * spec.components + entry.getFrom()] = true;
  }
  auto componentsOf = [&](ArrayRef<RowFactorAttr> factors) {
    AffineComponents of(spec.components, false);
    for (RowFactorAttr factor : factors)
      of[factor.getComponent()] = true;
    return of;
  };
  auto variesOverTokens = [&](RowFactorAttr factor) {
    Operation *source = SymbolTable::lookupSymbolIn(mixer, factor.getSymbol());
    return isTokenIndexed(mixer, source->getAttrOfType<ArrayAttr>("dims"));
  };
  SmallVector<int64_t> readNumbers; // of sums over rows with one factor for all columns
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    readNumbers.push_back(spec.reads.size());
    if (read.getKind() == ReadKind::Rows)
      spec.reads.push_back(
          {read.getBefore(), static_cast<bool>(read.getResult()), componentsOf(read.getRow())});
    else
      spec.elements.push_back({sumsColumns(read.getKind()), weighsElements(read.getKind()),
                               llvm::any_of(read.getRow(), variesOverTokens), read.getBefore(),
                               componentsOf(read.getRow())});
  }
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    AffineUpdate result;
    result.of = componentsOf(update.getLefts());
    for (TermAttr term : update.getTerms())
      result.terms.push_back({static_cast<bool>(term.getCoef()),
                              term.getRead() < 0 ? -1 : readNumbers[term.getRead()]});
    spec.updates.push_back(std::move(result));
  }
  spec.descending = affine.getDirection() == Direction::Backward;
  spec.element = cast<FloatType>(mixer.getCompute());
  return spec;
}

AffineBlockSpec seqmix::affineSpec(MixerOp mixer, AffineOp affine, const TargetInfo &target,
                                   int64_t block, int64_t panel, StringAttr split,
                                   int64_t splitSize) {
  AffineBlockSpec spec = affineShape(mixer, affine, split, splitSize);
  spec.lanes = target.lanes(mixer.getCompute());
  spec.block = block;
  spec.panel = panel;
  spec.registers = target.registers;
  return spec;
}

int64_t seqmix::expansionSize(AffineOp affine, const AffineBlockSpec &spec, int64_t chunk) {
  // With outer dims a matrix's part of a factor need not stand in rows of its own.
  bool outer = !affine.outerDims().empty();
  int64_t rows = outer || affine.getRows().size() > 1 ? llvm::alignTo(spec.rows, spec.lanes) : 0;
  int64_t cols = outer || affine.getCols().size() > 1 ? llvm::alignTo(spec.cols, spec.lanes) : 0;
  int64_t width = rows + cols; // the decays
  if (ArrayAttr coupling = affine.getCouplingAttr())
    width += rows * static_cast<int64_t>(coupling.size());
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
    width += rows * static_cast<int64_t>(update.getLefts().size()) +
             2 * cols * static_cast<int64_t>(update.getTerms().size());
  int64_t elements = 0, number = 0;
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    int64_t factors = read.getRow().size();
    if (weighsElements(read.getKind())) // copied where their order is not that of the state
      elements += factors * spec.rows * llvm::alignTo(spec.cols, spec.lanes) *
                  (spec.elements[number].perToken ? chunk : 1);
    number += read.getKind() != ReadKind::Rows;
    width += (sumsColumns(read.getKind()) ? cols : rows) * factors + std::max(rows, cols);
  }
  return width * chunk + elements;
}
