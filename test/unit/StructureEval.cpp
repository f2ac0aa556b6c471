//===- StructureEval.cpp - runs the structure stage in float64 ----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "StructureEval.h"

#include "compiler/reference/Functions.h"
#include "dialect/Carry.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <limits>
#include <optional>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::test {

StructureEvaluator::StructureEvaluator(MixerOp mixer, const reference::Arrays &inputs,
                                       int64_t tokens)
    : model(mixer), inputs(inputs), tokens(tokens) {
  for (const reference::Buffer &buffer : reference::inputBuffers(mixer)) {
    std::vector<reference::Axis> &own = axes[buffer.name] = buffer.axes;
    // The inputs have their axes as they were declared.
    auto order = mixer.lookupSymbol(buffer.name)->getAttrOfType<DenseI64ArrayAttr>(kTensorOrder);
    if (!order)
      continue;
    auto first = llvm::find_if(own, [](const reference::Axis &axis) { return !axis.isBatch; });
    std::vector<reference::Axis> moved(first, own.end());
    for (auto [axis, place] : llvm::zip_equal(moved, order.asArrayRef()))
      first[place] = axis;
  }
}

int64_t StructureEvaluator::extent(StringAttr dim) {
  auto op = cast<DimOp>(model.lookup(dim));
  if (op.getBy())
    return reference::derivedExtent(op, [&](StringRef) { return tokens; });
  return model.isRuntime(dim) ? tokens : model.size(dim);
}

double StructureEvaluator::value(StringAttr name, const std::vector<int64_t> &at) {
  auto key = std::make_pair(name.str(), at);
  if (auto found = known.find(key); found != known.end())
    return found->second;
  return known[key] = compute(name, at);
}

double StructureEvaluator::compute(StringAttr name, const std::vector<int64_t> &at) {
  Operation *op = model.lookup(name);
  if (StateOp state = model.state(name)) {
    for (auto [dim, index] :
         llvm::zip(state.getDims().getAsRange<FlatSymbolRefAttr>(), llvm::drop_begin(at)))
      if (index < 0 || index >= extent(dim.getAttr()))
        return 0;
    if (at[0] < 0 || at[0] >= tokens)
      return state.getInit().convertToDouble();
    for (auto affine : model.mixer().getOps<AffineOp>())
      if (affine.makes(name))
        return affineState(affine, name, at);
  } else {
    assert(model.dimsOf(name) && "a read of nothing");
    for (auto [dim, index] :
         llvm::zip_equal(model.dimsOf(name).getAsRange<FlatSymbolRefAttr>(), at))
      if (index < 0 || index >= extent(dim.getAttr()))
        return 0;
  }
  if (isa_and_nonnull<TensorOp>(op)) {
    const reference::Array &array = inputs.at(name.str());
    int64_t offset = 0;
    for (auto [size, axis] : llvm::zip_equal(array.shape, axes.at(name.str())))
      offset = offset * size + (axis.isBatch ? 0 : at[axis.position]);
    return array.values[offset];
  }
  if (isa_and_nonnull<ProducedOp>(op)) {
    for (auto affine : model.mixer().getOps<AffineOp>())
      for (auto [number, read] : llvm::enumerate(affine.getReads().getAsRange<RowReadAttr>()))
        if (read.getResult() && read.getResult().getAttr() == name)
          return rowRead(affine, number, at);
    for (auto pairs : model.mixer().getOps<PairsOp>())
      for (auto [number, result] : llvm::enumerate(pairs.getOuts().getAsRange<PairResultAttr>()))
        if (result.getProduced().getAttr() == name)
          return pairResult(pairs, number, at);
    for (auto convolution : model.mixer().getOps<ConvolutionOp>())
      if (convolution.getProducedAttr().getAttr() == name)
        return convolve(convolution, at);
  }
  Equation *equation = model.equation(name);
  assert(equation && !equation->domain);
  Environment env;
  for (auto [var, index] : llvm::zip_equal(equation->left, at))
    env[var] = index;
  return eval(equation->body, env);
}

double StructureEvaluator::convolve(ConvolutionOp op, const std::vector<int64_t> &at) {
  auto element = [&](LagOperandAttr operand, int64_t position) {
    std::vector<int64_t> place = {position};
    for (int64_t feature : operand.getFeatures())
      place.push_back(at[1 + feature]);
    return value(operand.getSymbol().getAttr(), place);
  };
  double total = 0;
  for (int64_t s = 0; s < tokens; ++s) {
    int64_t distance = at[0] - s;
    std::optional<LagOperandAttr> filter = distance < 0 ? op.getAhead() : op.getPast();
    bool isInside = (!op.getFirst() || distance >= static_cast<int64_t>(*op.getFirst())) &&
                    (!op.getLast() || distance <= static_cast<int64_t>(*op.getLast()));
    if (filter && isInside)
      total += element(*filter, distance < 0 ? -distance : distance) * element(op.getSignal(), s);
  }
  return total;
}

const Equation &StructureEvaluator::part(PairsOp op, int64_t number) {
  auto found = parts.find({op, number});
  if (found == parts.end())
    found = parts.insert({{op, number}, model.exprs().import(op, number)}).first;
  return found->second;
}

double StructureEvaluator::pairResult(PairsOp op, int64_t number, std::vector<int64_t> at) {
  auto result = cast<PairResultAttr>(op.getOuts()[number]);
  int64_t column = 0;
  if (result.getKind() == PairKind::Each) {
    auto own = at.begin() + (op.getRowDim() ? 1 : 0);
    column = *own;
    at.erase(own);
  }
  int64_t rows = op.getRows().size(), count = extent(op.getOverAttr().getAttr());
  double inf = std::numeric_limits<double>::infinity();
  auto evalPart = [&](int64_t which, int64_t s) {
    const Equation &equation = part(op, which);
    std::vector<int64_t> place(at.begin(), at.begin() + rows);
    place.push_back(s);
    place.insert(place.end(), at.begin() + rows, at.end());
    Environment env;
    for (auto [var, index] : llvm::zip(equation.left, place))
      env[var] = index;
    return eval(equation.body, env);
  };
  if (result.getKind() == PairKind::Each)
    return evalPart(result.getValue(), column);
  std::vector<int64_t> inside;
  double max = -inf;
  for (int64_t s = 0; s < count; ++s) {
    if (op.getDomain() && evalPart(*op.getDomain(), s) == 0)
      continue;
    inside.push_back(s);
    if (op.getScore())
      max = std::max(max, evalPart(*op.getScore(), s));
  }
  if (result.getKind() == PairKind::ScoreMax)
    return max;
  if (result.getKind() == PairKind::Places) {
    std::vector<std::pair<double, int64_t>> greatest;
    for (int64_t s : inside)
      greatest.push_back({-evalPart(result.getValue(), s), s});
    llvm::sort(greatest);
    size_t rank = at.back();
    return rank < greatest.size() ? static_cast<double>(greatest[rank].second) : -1;
  }
  auto join = [&](double total, double x) {
    switch (result.getKind()) {
    case PairKind::Sum:
      return total + x;
    case PairKind::Prod:
      return total * x;
    case PairKind::Max:
      return reference::binaryFunction(BinaryFn::Max)(total, x);
    default:
      return reference::binaryFunction(BinaryFn::Min)(total, x);
    }
  };
  double total = result.getKind() == PairKind::Sum    ? 0
                 : result.getKind() == PairKind::Prod ? 1
                 : result.getKind() == PairKind::Max  ? -inf
                                                      : inf;
  for (int64_t s : inside) {
    if (op.getScore())
      exponential = std::exp(evalPart(*op.getScore(), s) - (std::isinf(max) ? 0 : max));
    double weight = result.getWeight() < 0 ? 1 : evalPart(result.getWeight(), s);
    total = join(total, result.getValue() < 0 ? weight : weight * evalPart(result.getValue(), s));
  }
  return total;
}

// A factor's element: its dims are a part of the token, the outer dims and those that it is over,
// in their order.
double StructureEvaluator::factor(FlatSymbolRefAttr symbol, AffineOp op, ArrayRef<int64_t> over,
                                  int64_t token, const std::vector<int64_t> &at) {
  StateOp state = model.state(op.getStateAttr().getAttr());
  std::vector<std::pair<StringAttr, int64_t>> places;
  for (DimOp dim : model.mixer().getOps<DimOp>())
    if (dim.getKind() == DimKind::Runtime)
      places.push_back({dim.getSymNameAttr(), token});
  for (auto [place, index] : llvm::zip_equal(op.withOuter(over), at))
    places.push_back({cast<FlatSymbolRefAttr>(state.getDims()[place]).getAttr(), index});
  ArrayAttr dims = model.dimsOf(symbol.getAttr());
  std::vector<int64_t> subscripts;
  auto place = places.begin();
  for (auto dim : dims.getAsRange<FlatSymbolRefAttr>()) {
    place = std::find_if(place, places.end(), [&](auto &p) { return p.first == dim.getAttr(); });
    assert(place != places.end() && "a factor over other dims");
    subscripts.push_back((place++)->second);
  }
  return value(symbol.getAttr(), subscripts);
}

double StructureEvaluator::rowRead(AffineOp op, int64_t number, const std::vector<int64_t> &at) {
  auto read = cast<RowReadAttr>(op.getReads()[number]);
  StateOp state = model.state(op.getStateAttr().getAttr());
  int64_t past = op.getDirection() == Direction::Forward ? -1 : 1;
  std::vector<int64_t> element(1 + state.getDims().size());
  element[0] = at[0] + (read.getBefore() ? past : 0);
  auto component = [&](RowFactorAttr row) {
    if (auto inner = op.getInner())
      element[1 + *inner] = row.getComponent() % op.innerSize();
    return op.states()[row.getComponent() / op.innerSize()].getAttr();
  };
  auto result = op.resultSide(read.getKind());
  for (auto [place, index] : llvm::zip_equal(op.withOuter(result), llvm::drop_begin(at)))
    element[1 + place] = index;
  double total = 0;
  ArrayRef<int64_t> summed = sumsColumns(read.getKind()) ? op.getCols() : op.getRows();
  SmallVector<int64_t> over = op.factorSide(read.getKind());
  std::vector<int64_t> row(summed.size(), 0);
  while (true) {
    for (auto [place, index] : llvm::zip_equal(summed, row))
      element[1 + place] = index;
    std::vector<int64_t> side;
    for (int64_t place : op.withOuter(over))
      side.push_back(element[1 + place]);
    for (RowFactorAttr own : read.getRow()) {
      StringAttr name = component(own);
      total += factor(own.getSymbol(), op, over, at[0], side) * value(name, element);
    }
    int64_t k = row.size() - 1;
    while (k >= 0 &&
           ++row[k] == extent(cast<FlatSymbolRefAttr>(state.getDims()[summed[k]]).getAttr()))
      row[k--] = 0;
    if (k < 0)
      return total;
  }
}

double StructureEvaluator::affineState(AffineOp op, StringAttr name,
                                       const std::vector<int64_t> &at) {
  int64_t t = at[0];
  std::vector<int64_t> row, col, before = at;
  for (int64_t place : op.withOuter(op.getRows()))
    row.push_back(at[1 + place]);
  for (int64_t place : op.withOuter(op.getCols()))
    col.push_back(at[1 + place]);
  before[0] += op.getDirection() == Direction::Forward ? -1 : 1;
  int64_t component = 0;
  for (auto [number, state] : llvm::enumerate(op.states()))
    if (state.getAttr() == name)
      component = static_cast<int64_t>(number) * op.innerSize();
  if (auto inner = op.getInner())
    component += at[1 + *inner];
  double result = op.getCouplingAttr() ? 0 : value(name, before);
  if (ArrayAttr coupling = op.getCouplingAttr())
    for (auto entry : coupling.getAsRange<CouplingAttr>()) {
      if (entry.getTo() != component)
        continue;
      std::vector<int64_t> from = before;
      if (auto inner = op.getInner())
        from[1 + *inner] = entry.getFrom() % op.innerSize();
      result += factor(entry.getFactor(), op, op.getRows(), t, row) *
                value(op.states()[entry.getFrom() / op.innerSize()].getAttr(), from);
    }
  if (op.getRowDecayAttr())
    result *= factor(op.getRowDecayAttr(), op, op.getRows(), t, row);
  if (op.getColDecayAttr())
    result *= factor(op.getColDecayAttr(), op, op.getCols(), t, col);
  for (auto update : op.getUpdates().getAsRange<UpdateAttr>()) {
    double w = 0;
    for (TermAttr term : update.getTerms()) {
      double coef = term.getCoef() ? factor(term.getCoef(), op, op.getCols(), t, col) : 1;
      if (term.getRight()) {
        w += coef * factor(term.getRight(), op, op.getCols(), t, col);
      } else {
        std::vector<int64_t> read{t};
        read.insert(read.end(), col.begin(), col.end());
        assert(cast<RowReadAttr>(op.getReads()[term.getRead()]).getBefore());
        w += coef * rowRead(op, term.getRead(), read);
      }
    }
    for (RowFactorAttr left : update.getLefts())
      if (left.getComponent() == component)
        result += factor(left.getSymbol(), op, op.getRows(), t, row) * w;
  }
  return result;
}

double StructureEvaluator::reduce(Expr e, Environment &env) {
  auto found = opened.find(e);
  if (found == opened.end())
    found = opened.insert({e, model.exprs().open(e)}).first;
  const OpenedExpr &o = found->second;
  double inf = std::numeric_limits<double>::infinity();
  double total = e->isReduce(ReduceKind::Sum)    ? 0
                 : e->isReduce(ReduceKind::Prod) ? 1
                 : e->isReduce(ReduceKind::Min)  ? inf
                                                 : -inf;
  for (Var var : o.vars)
    env[var] = 0;
  while (true) {
    bool isInside = !o.domain || eval(o.domain, env) != 0;
    double x = isInside ? eval(o.body, env) : 0;
    total = !isInside                       ? total
            : e->isReduce(ReduceKind::Sum)  ? total + x
            : e->isReduce(ReduceKind::Prod) ? total * x
            : e->isReduce(ReduceKind::Max)  ? reference::binaryFunction(BinaryFn::Max)(total, x)
            : e->isReduce(ReduceKind::Min)
                ? reference::binaryFunction(BinaryFn::Min)(total, x)
                : reference::binaryFunction(BinaryFn::LogAddExp)(total, x);
    int64_t k = o.vars.size() - 1;
    while (k >= 0 && ++env[o.vars[k]] == extent(o.vars[k]->dim))
      env[o.vars[k--]] = 0;
    if (k < 0)
      return total;
  }
}

double StructureEvaluator::eval(Expr e, Environment &env) {
  auto operand = [&](unsigned i) { return eval(e->operand(i), env); };
  switch (e->kind()) {
  case ExprKind::Real:
    return e->real();
  case ExprKind::Integer:
  case ExprKind::Boolean:
    return static_cast<double>(e->integer());
  case ExprKind::Index:
    return static_cast<double>(env.at(e->var()));
  case ExprKind::Extent:
    return static_cast<double>(extent(e->symbol()));
  case ExprKind::Read: {
    if (e->symbol() == "e" && e->operands().empty())
      return exponential;
    std::vector<int64_t> at;
    for (auto [number, subscript] : llvm::enumerate(e->operands())) {
      at.push_back(static_cast<int64_t>(eval(subscript, env)));
      // What data decide is clamped.
      if (!model.sources(subscript).empty()) {
        ArrayAttr dims = model.dimsOf(e->symbol());
        size_t place = number - (model.state(e->symbol()) ? 1 : 0); // behind the token
        int64_t last = extent(cast<FlatSymbolRefAttr>(dims[place]).getAttr()) - 1;
        at.back() = std::max<int64_t>(0, std::min(at.back(), last));
      }
    }
    return value(e->symbol(), at);
  }
  case ExprKind::Unary:
    return reference::unaryFunction(e->unaryFn())(operand(0));
  case ExprKind::Binary:
    return reference::binaryFunction(e->binaryFn())(operand(0), operand(1));
  case ExprKind::Compare:
    return reference::comparison(e->predicate())(operand(0), operand(1));
  case ExprKind::Select:
    return operand(0) != 0 ? operand(1) : operand(2);
  case ExprKind::ToReal:
    return operand(0);
  case ExprKind::Reduce:
    return reduce(e, env);
  case ExprKind::Map:
    break;
  }
  llvm_unreachable("a map after normalisation");
}

static void fill(reference::Array &array,
                 llvm::function_ref<double(const std::vector<int64_t> &)> get) {
  std::vector<int64_t> at(array.shape.size(), 0);
  for (double &value : array.values) {
    value = get(at);
    for (int64_t k = at.size() - 1; k >= 0 && ++at[k] == array.shape[k]; --k)
      at[k] = 0;
  }
}

reference::Array StructureEvaluator::output(StringRef name) {
  StringAttr symbol = model.exprs().attr(name);
  std::vector<int64_t> shape;
  if (model.state(symbol))
    shape.push_back(tokens);
  for (auto dim : model.dimsOf(symbol).getAsRange<FlatSymbolRefAttr>())
    shape.push_back(extent(dim.getAttr()));
  reference::Array array(shape);
  fill(array, [&](const std::vector<int64_t> &at) { return value(symbol, at); });
  return array;
}

reference::Array StructureEvaluator::finalState(StringRef name) {
  StringAttr symbol = model.exprs().attr(name);
  std::vector<int64_t> shape;
  for (auto dim : model.dimsOf(symbol).getAsRange<FlatSymbolRefAttr>())
    shape.push_back(extent(dim.getAttr()));
  int64_t last = model.state(symbol).getDirection() == Direction::Forward ? tokens - 1 : 0;
  reference::Array array(shape);
  fill(array, [&](const std::vector<int64_t> &at) {
    std::vector<int64_t> element{last};
    element.insert(element.end(), at.begin(), at.end());
    return value(symbol, element);
  });
  return array;
}

} // namespace seqmix::test
