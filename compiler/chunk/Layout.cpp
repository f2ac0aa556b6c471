//===- Layout.cpp - lanes of equations and the order of dims in memory --------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/chunk/Layout.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::chunk {
namespace {

ArrayAttr dimsOfEquation(Operation *equation) {
  if (auto define = dyn_cast<DefineOp>(equation))
    return define.getDims();
  return cast<NextOp>(equation).getDims();
}

int64_t sizeOr1(MixerOp mixer, Attribute dim) {
  auto op = cast<DimOp>(lookup(mixer, cast<FlatSymbolRefAttr>(dim)));
  return op.getSize() ? static_cast<int64_t>(*op.getSize()) : 1;
}

bool isFixed(MixerOp mixer, Attribute dim) {
  return cast<DimOp>(lookup(mixer, cast<FlatSymbolRefAttr>(dim))).getKind() == DimKind::Fixed;
}

bool hasReduction(Operation *equation) {
  return equation->walk([](ReduceOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

/// The last dim, unless it is too short to fill a vector and another is longer.
int64_t widestDim(MixerOp mixer, ArrayAttr dims) {
  int64_t best = -1;
  int64_t bestSize = 0;
  for (int64_t number = dims.size() - 1; number >= 0; --number) {
    if (!isFixed(mixer, dims[number]))
      continue;
    int64_t size = sizeOr1(mixer, dims[number]);
    if (best < 0 || (bestSize < 8 && size >= 2 * bestSize)) {
      best = number;
      bestSize = size;
    }
  }
  return best;
}

bool dependsOn(Value value, Value index) {
  if (value == index)
    return true;
  Operation *op = value.getDefiningOp();
  if (!op)
    return false;
  return op
      ->walk([&](Operation *inner) {
        bool found = llvm::any_of(inner->getOperands(),
                                  [&](Value operand) { return dependsOn(operand, index); });
        return found ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

/// Whether a reduction in the equation runs along rows that data choose for each element of a dim:
/// they are contiguous along the reduced dim, and scattered from element to element.
bool reducesChosenRows(Operation *equation, Value element) {
  return equation
      ->walk([&](ReadOp read) {
        auto reduce = read->getParentOfType<ReduceOp>();
        if (!reduce || read.getOperands().empty())
          return WalkResult::advance();
        auto last = dyn_cast<AffineDimExpr>(read.getMap().getResults().back());
        auto argument = last ? dyn_cast<BlockArgument>(read.getOperands()[last.getPosition()])
                             : BlockArgument();
        bool isAlong = argument && argument.getOwner() == &reduce.getBody().front();
        if (!isAlong || !read.isDataDependent(0))
          return WalkResult::advance();
        AffineExpr row = read.getMap().getResult(0);
        for (auto [place, operand] : llvm::enumerate(read.getOperands()))
          if (row.isFunctionOfDim(place) && dependsOn(operand, element))
            return WalkResult::interrupt();
        return WalkResult::advance();
      })
      .wasInterrupted();
}

int64_t lanesOf(MixerOp mixer, Operation *equation, FlatSymbolRefAttr groupLanes) {
  ArrayAttr dims = dimsOfEquation(equation);
  if (groupLanes)
    for (auto [number, dim] : llvm::enumerate(dims))
      if (dim == groupLanes)
        return number;
  int64_t widest = widestDim(mixer, dims);
  if (widest >= 0 && reducesChosenRows(equation, bodyOf(equation).getArgument(widest)))
    return -1;
  if (widest >= 0 && sizeOr1(mixer, dims[widest]) > 1)
    return widest;
  if (hasReduction(equation) || dims.empty())
    return -1;
  return widest < 0 ? 0 : widest;
}

/// How often one evaluation of an equation visits a read: the product of the sizes of every loop
/// around it.
int64_t visits(MixerOp mixer, ReadOp read) {
  int64_t count = 1;
  for (Operation *op = read->getParentOp(); op && !isa<MixerOp>(op); op = op->getParentOp()) {
    ArrayAttr dims;
    if (auto reduce = dyn_cast<ReduceOp>(op))
      dims = reduce.getDims();
    else if (isa<DefineOp, NextOp>(op))
      dims = dimsOfEquation(op);
    if (dims)
      for (Attribute dim : dims)
        count *= sizeOr1(mixer, dim);
  }
  return count;
}

/// The index that runs over the lanes at this read: the equation's own, or inside vectorised
/// reductions the widest of the innermost one.
Value laneIndex(MixerOp mixer, Operation *equation, int64_t lanes, ReadOp read) {
  if (lanes >= 0)
    return bodyOf(equation).getArgument(lanes);
  if (auto reduce = read->getParentOfType<ReduceOp>()) {
    int64_t widest = widestDim(mixer, reduce.getDims());
    return widest < 0 ? Value() : Value(reduce.getBody().getArgument(widest));
  }
  return {};
}

/// Votes for the contiguous place of every symbol, by how often each read wants which.
struct Votes {
  MixerOp mixer;
  llvm::DenseMap<StringAttr, llvm::DenseMap<int64_t, int64_t>> wanted;

  void add(StringAttr symbol, int64_t place, int64_t weight) { wanted[symbol][place] += weight; }

  void addReads(Operation *equation, int64_t lanes) {
    equation->walk([&](ReadOp read) {
      Value lane = laneIndex(mixer, equation, lanes, read);
      if (!lane)
        return;
      if (auto place = placeOf(read, lane)) {
        int64_t token = readsToken(mixer, read) ? 1 : 0;
        if (static_cast<int64_t>(*place) >= token)
          add(read.getSourceAttr().getAttr(), *place - token, visits(mixer, read));
      }
    });
  }

  /// The place with most votes; of equals the last.
  std::optional<int64_t> best(StringAttr symbol) const {
    auto found = wanted.find(symbol);
    if (found == wanted.end())
      return std::nullopt;
    std::optional<int64_t> best;
    for (auto [place, votes] : found->second)
      if (int64_t most = best ? found->second.lookup(*best) : 0;
          votes > most || (votes == most && place > *best))
        best = place;
    return best;
  }

  /// What is read at rows that are lanes, and the results for them.
  void addPairs(PairsOp pairs) {
    int64_t lane = laneRowOf(pairs), token = pairs.getRowDim() ? 1 : 0;
    if (lane < token || pairs.getRows().empty())
      return;
    constexpr int64_t many = 64; // columns see each read
    for (Region &part : pairs.getParts())
      part.walk([&](ReadOp read) {
        if (auto place = placeOf(read, part.getArgument(lane)); place && !readsToken(mixer, read))
          add(read.getSourceAttr().getAttr(), *place, many);
      });
    for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
      add(result.getProduced().getAttr(), lane - token, 1);
  }

  SmallVector<int64_t> order(StringAttr symbol, unsigned rank) const {
    SmallVector<int64_t> order;
    int64_t best = this->best(symbol).value_or(static_cast<int64_t>(rank) - 1);
    for (int64_t place = 0; place < static_cast<int64_t>(rank); ++place)
      if (place != best)
        order.push_back(place);
    if (best >= 0)
      order.push_back(best);
    return order;
  }
};

/// The lanes of a convolution: the feature that its readers want contiguous, else the widest; -1
/// without features. Operands want them contiguous, too.
int64_t lanesOfConvolution(MixerOp mixer, ConvolutionOp convolution, Votes &votes) {
  StringAttr name = convolution.getProducedAttr().getAttr();
  ArrayAttr dims = dimsOf(lookup(mixer, name));
  int64_t lanes = votes.best(name).value_or(widestDim(mixer, dims) - 1);
  if (lanes < 0)
    return -1;
  votes.add(name, lanes, 1);
  for (LagOperandAttr operand : convolution.getLagOperands())
    for (auto [place, feature] : llvm::enumerate(operand.getFeatures()))
      if (feature == lanes)
        votes.add(operand.getSymbol().getAttr(), place, 1);
  return lanes;
}

} // namespace

/// The block form wants its factors' rows as they are, one matrix after the other.
static void orderFactors(AffineOp affine, Layout &layout) {
  auto order = [&](FlatSymbolRefAttr name, ArrayRef<int64_t> side) {
    if (!name)
      return;
    SmallVector<int64_t> numbers = affine.numbersOf(name, side),
                         &places = layout.order[name.getAttr()];
    if (numbers.size() != places.size())
      return llvm::sort(places);
    // Of a factor for every element, rows of columns.
    llvm::sort(places, [&](int64_t a, int64_t b) {
      auto sideOf = [&](int64_t place) {
        return llvm::is_contained(affine.outerDims(), numbers[place]) ? 0
               : llvm::is_contained(affine.getRows(), numbers[place]) ? 1
                                                                      : 2;
      };
      return std::pair(sideOf(a), a) < std::pair(sideOf(b), b);
    });
  };
  order(affine.getRowDecayAttr(), affine.getRows());
  order(affine.getColDecayAttr(), affine.getCols());
  if (ArrayAttr coupling = affine.getCouplingAttr())
    for (auto entry : coupling.getAsRange<CouplingAttr>())
      order(entry.getFactor(), affine.getRows());
  for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
    for (RowFactorAttr left : update.getLefts())
      order(left.getSymbol(), affine.getRows());
    for (TermAttr term : update.getTerms()) {
      order(term.getCoef(), affine.getCols());
      order(term.getRight(), affine.getCols());
    }
  }
  for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
    for (RowFactorAttr row : read.getRow())
      order(row.getSymbol(), affine.factorSide(read.getKind()));
    order(read.getResult(), affine.resultSide(read.getKind()));
  }
}

int64_t laneRowOf(PairsOp pairs) {
  int64_t rows = pairs.getRows().size();
  if (!pairs.getRowDim())
    return std::max<int64_t>(0, rows - 1);
  bool isUsed = pairs.getScore().has_value();
  for (auto [number, part] : llvm::enumerate(pairs.getParts()))
    isUsed |= pairs.getDomain() != static_cast<int64_t>(number) && !part.getArgument(0).use_empty();
  return isUsed ? 0 : rows - 1;
}

int64_t elementsPerToken(MixerOp mixer, ArrayAttr dims) {
  int64_t count = 1;
  for (Attribute dim : dims)
    count *= sizeOr1(mixer, dim);
  return count;
}

Layout chooseLayout(MixerOp mixer, const Dependencies &all) {
  Layout layout;
  Votes votes;
  votes.mixer = mixer;
  // Readers first, so that a definition is made along the dim that they want contiguous.
  for (const Node &node : llvm::reverse(all.nodes)) {
    if (auto pairs = dyn_cast<PairsOp>(node.op))
      votes.addPairs(pairs);
    FlatSymbolRefAttr groupLanes;
    if (auto convolution = dyn_cast<ConvolutionOp>(node.op))
      layout.lanes[convolution] = lanesOfConvolution(mixer, convolution, votes);
    if (auto recurrence = dyn_cast<RecurrenceOp>(node.op))
      groupLanes = recurrence.getLanesAttr();
    for (auto [equation, name] : llvm::zip(node.bodies, node.makes)) {
      ArrayAttr dims = dimsOfEquation(equation);
      int64_t token = isTokenIndexed(mixer, dims) ? 1 : 0;
      int64_t lanes = lanesOf(mixer, equation, groupLanes);
      if (auto wanted = votes.best(name); !groupLanes && lanes >= token && wanted)
        lanes = *wanted + token;
      layout.lanes[equation] = lanes;
      votes.addReads(equation, lanes);
      if (lanes >= token)
        votes.add(name, lanes - token, 1);
    }
  }
  for (Operation &op : mixer.getBody().front()) {
    ArrayAttr dims = dimsOf(&op);
    if (!dims)
      continue;
    auto name = SymbolTable::getSymbolName(&op);
    unsigned rank = dims.size() - (!isa<StateOp>(op) && isTokenIndexed(mixer, dims) ? 1 : 0);
    layout.order[name] = votes.order(name, rank);
  }
  for (const Node &node : all.nodes)
    if (auto affine = dyn_cast<AffineOp>(node.op))
      orderFactors(affine, layout);
  return layout;
}

static bool carriesRowsOf(MixerOp mixer, FlatSymbolRefAttr symbol) {
  return llvm::any_of(carryComponents(mixer), [&](const CarryComponent &component) {
    return component.kind == CarryComponent::Rows && component.of == symbol;
  });
}

FlatSymbolRefAttr findSplitDim(MixerOp mixer, const Dependencies &all) {
  auto splits = [&](FlatSymbolRefAttr dim) {
    for (const Node &node : all.nodes) {
      if (auto convolution = dyn_cast<ConvolutionOp>(node.op)) {
        // A dim of an operand is the feature of that dim, so that equal ones meet. Tasks that share
        // what is carried would all write its rows.
        if (llvm::count(dimsOf(lookup(mixer, convolution.getProducedAttr())), dim) > 1)
          return false;
        for (LagOperandAttr operand : convolution.getLagOperands())
          if (carriesRowsOf(mixer, operand.getSymbol()) &&
              !llvm::is_contained(dimsOf(lookup(mixer, operand.getSymbol())), dim))
            return false;
        continue;
      }
      if (!isa<DefineOp, RecurrenceOp>(node.op))
        return false;
      for (Operation *equation : node.bodies) {
        ArrayAttr dims = dimsOfEquation(equation);
        SmallVector<Value> own;
        for (auto [number, left] : llvm::enumerate(dims))
          if (left == dim)
            own.push_back(bodyOf(equation).getArgument(number));
        if (own.size() > 1)
          return false;
        auto crosses = equation->walk([&](Operation *op) {
          if (auto reduce = dyn_cast<ReduceOp>(op))
            return llvm::is_contained(reduce.getDims(), dim) ? WalkResult::interrupt()
                                                             : WalkResult::advance();
          if (auto map = dyn_cast<MapOp>(op))
            return map.getDimAttr() == dim ? WalkResult::interrupt() : WalkResult::advance();
          auto read = dyn_cast<ReadOp>(op);
          if (!read) // the index as a number would need the task's offset; no such equation is
                     // split
            return !own.empty() && llvm::is_contained(op->getOperands(), own[0])
                       ? WalkResult::interrupt()
                       : WalkResult::advance();
          Operation *source = lookup(mixer, read.getSourceAttr());
          int64_t token = isa<StateOp>(source) ? 1 : 0;
          for (auto [number, sourceDim] : llvm::enumerate(dimsOf(source)))
            if (sourceDim == dim && (own.empty() || placeOf(read, own[0]) != number + token ||
                                     !isa<AffineDimExpr>(read.getMap().getResult(number + token))))
              return WalkResult::interrupt();
          return WalkResult::advance();
        });
        if (crosses.wasInterrupted())
          return false;
      }
    }
    for (auto output : mixer.getOps<OutputOp>())
      if (!llvm::is_contained(dimsOf(lookup(mixer, output.getSourceAttr())), dim))
        return false;
    for (auto state : mixer.getOps<StateOp>())
      if (!llvm::is_contained(state.getDims(), dim))
        return false;
    return true;
  };
  FlatSymbolRefAttr best;
  int64_t bestSize = 0;
  for (auto dim : mixer.getOps<DimOp>()) {
    if (dim.getKind() != DimKind::Fixed || static_cast<int64_t>(*dim.getSize()) <= bestSize)
      continue;
    auto name = FlatSymbolRefAttr::get(dim.getSymNameAttr());
    if (splits(name)) {
      best = name;
      bestSize = *dim.getSize();
    }
  }
  return best;
}

} // namespace seqmix::chunk
