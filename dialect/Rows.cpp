//===- Rows.cpp - what is read at earlier positions -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
// A read at another position is followed from an equation of the own token through definitions over
// pairs of positions, over blocks of them and over none, with the conditions that hold on the way:
// these say whether it is at an earlier position, and how far back.
//
//===----------------------------------------------------------------------===//

#include "dialect/Rows.h"

#include "dialect/Carry.h"
#include "dialect/Conditions.h"

#include "mlir/IR/AffineMap.h"
#include "llvm/ADT/MapVector.h"

#include <set>

using namespace mlir;
using namespace mlir::seq;

namespace {

class RowFinder {
public:
  explicit RowFinder(MixerOp mixer) : mixer(mixer), conditions(mixer), time(tokenDimOf(mixer)) {}

  RowReads run();

private:
  DimKind kindOf(Attribute dim) const {
    return mixer.lookupSymbol<DimOp>(cast<FlatSymbolRefAttr>(dim).getAttr()).getKind();
  }

  void followEquation(Operation *equation, ArrayAttr dims, ArrayAttr names);
  void bindIndices(Block::BlockArgListType arguments, ArrayAttr dims);
  void followRegions(Region &body, Region &domain);
  void follow(Value value);
  void followRead(ReadOp read);
  std::optional<Conditions::Cases> supportOf(Value value);
  void followDefinition(DefineOp define, ArrayRef<LinearValue> indices);
  void noteRow(Operation *source, StringRef name, const LinearValue &position);
  void setLater(const Twine &reason) {
    if (result.later.empty())
      result.later = reason.str();
  }

  mutable MixerOp mixer; // a handle, whose lookups are not const
  Conditions conditions;
  FlatSymbolRefAttr time;
  std::optional<LinearValue> token; ///< of the equation that is followed
  std::string tokenName;
  std::set<unsigned> fixedIndices; ///< unknowns that are indices of fixed dims
  llvm::MapVector<Operation *, std::optional<int64_t>> rows; ///< with the largest window
  RowReads result;
};

void RowFinder::bindIndices(Block::BlockArgListType arguments, ArrayAttr dims) {
  for (auto [argument, dim] : llvm::zip(arguments, dims.getAsRange<FlatSymbolRefAttr>())) {
    LinearValue index = conditions.unknown();
    if (kindOf(dim) == DimKind::Fixed)
      fixedIndices.insert(index.terms.begin()->first);
    conditions.assumeInside(index, dim);
    conditions.bind(argument, std::move(index));
  }
}

void RowFinder::followEquation(Operation *equation, ArrayAttr dims, ArrayAttr names) {
  Region &body = equation->getRegion(0), &domain = equation->getRegion(1);
  Conditions::Mark before = conditions.mark();
  bindIndices(body.getArguments(), dims);
  bool hasToken = !dims.empty() && dims[0] == time;
  token = hasToken ? std::optional(conditions.value(body.getArgument(0))) : std::nullopt;
  tokenName = hasToken ? cast<StringAttr>(names[0]).str() : "";
  if (!domain.empty())
    for (auto [outer, inner] : llvm::zip(body.getArguments(), domain.getArguments()))
      conditions.bind(inner, conditions.value(outer));
  followRegions(body, domain);
  conditions.restore(std::move(before));
}

/// With the arguments bound.
void RowFinder::followRegions(Region &body, Region &domain) {
  if (!domain.empty()) {
    Value condition = cast<YieldOp>(domain.front().getTerminator()).getValue();
    conditions.assume(condition);
    follow(condition);
  }
  follow(cast<YieldOp>(body.front().getTerminator()).getValue());
}

void RowFinder::follow(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return; // an index
  Conditions::Mark before = conditions.mark();
  if (auto select = dyn_cast<SelectOp>(op)) {
    follow(select.getCondition());
    for (bool holds : {true, false}) {
      conditions.assume(select.getCondition(), holds);
      follow(holds ? select.getWhenTrue() : select.getWhenFalse());
      conditions.restore(before);
    }
  } else if (auto product = dyn_cast<BinaryOp>(op); product && product.getFn() == BinaryFn::Mul) {
    // What is multiplied by zero does not count.
    for (auto [factor, other] : {std::pair(product.getLhs(), product.getRhs()),
                                 std::pair(product.getRhs(), product.getLhs())}) {
      if (auto cases = supportOf(other))
        conditions.assumeOneOf(*cases);
      follow(factor);
      conditions.restore(before);
    }
  } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
    bindIndices(reduce.getBody().getArguments(), reduce.getDims());
    if (!reduce.getDomain().empty())
      for (auto [outer, inner] :
           llvm::zip(reduce.getBody().getArguments(), reduce.getDomain().getArguments()))
        conditions.bind(inner, conditions.value(outer));
    followRegions(reduce.getBody(), reduce.getDomain());
  } else if (auto map = dyn_cast<MapOp>(op)) {
    follow(map.getAt());
    Block::BlockArgListType arguments = map.getBody().getArguments();
    bindIndices(arguments, ArrayAttr::get(mixer.getContext(), map.getDimAttr()));
    LinearValue point = conditions.value(arguments[0]);
    if (!map.getDomain().empty())
      conditions.bind(map.getDomain().getArgument(0), point);
    if (map.getKind() == MapKind::CumSum)
      conditions.assumeAtLeast(LinearValue(conditions.value(map.getAt())).add(point, -1), 0);
    followRegions(map.getBody(), map.getDomain());
  } else {
    for (Value operand : op->getOperands())
      follow(operand);
    if (auto read = dyn_cast<ReadOp>(op))
      followRead(read);
  }
  conditions.restore(std::move(before));
}

/// Where a term of a sum can be other than zero: inside of the domains of the definitions that are
/// its factors. Nothing where it can be so anywhere.
std::optional<Conditions::Cases> RowFinder::supportOf(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto read = dyn_cast_or_null<ReadOp>(op)) {
    auto define = mixer.lookupSymbol<DefineOp>(read.getSource());
    if (!define || define.getDomain().empty())
      return std::nullopt;
    SmallVector<LinearValue> operands;
    for (Value operand : read.getOperands())
      operands.push_back(conditions.value(operand));
    for (auto [argument, expr] :
         llvm::zip(define.getDomain().getArguments(), read.getMap().getResults()))
      conditions.bind(argument, conditions.value(expr, operands));
    return conditions.casesOf(cast<YieldOp>(define.getDomain().front().getTerminator()).getValue());
  }
  if (auto unary = dyn_cast_or_null<UnaryOp>(op))
    return unary.getFn() == UnaryFn::Neg ? supportOf(unary.getOperand()) : std::nullopt;
  auto binary = dyn_cast_or_null<BinaryOp>(op);
  if (!binary)
    return std::nullopt;
  switch (binary.getFn()) {
  case BinaryFn::Div:
    return supportOf(binary.getLhs());
  case BinaryFn::Mul:
  case BinaryFn::Add:
  case BinaryFn::Sub: {
    auto lhs = supportOf(binary.getLhs()), rhs = supportOf(binary.getRhs());
    if (binary.getFn() == BinaryFn::Mul)
      return lhs && rhs ? Conditions::both(*lhs, *rhs) : lhs ? lhs : rhs;
    if (!lhs || !rhs)
      return std::nullopt;
    llvm::append_range(*lhs, *rhs);
    return lhs;
  }
  default:
    return std::nullopt;
  }
}

void RowFinder::followRead(ReadOp read) {
  Operation *source = mixer.lookupSymbol(read.getSource());
  ArrayAttr dims;
  if (auto tensor = dyn_cast<TensorOp>(source); tensor && tensor.getRole() == Role::Input)
    dims = tensor.getDims();
  else if (auto define = dyn_cast<DefineOp>(source))
    dims = define.getDims();
  else
    return; // a param is there as a whole, and a state is read at its reader's token
  SmallVector<LinearValue> operands, indices;
  for (Value operand : read.getOperands())
    operands.push_back(conditions.value(operand));
  for (AffineExpr expr : read.getMap().getResults())
    indices.push_back(conditions.value(expr, operands));

  bool isOverTokens = !dims.empty() && dims[0] == time;
  bool isAtToken = false; // or a fixed number of tokens before or after it
  if (isOverTokens && token) {
    LinearValue ahead = indices[0];
    ahead.add(*token, -1);
    isAtToken = llvm::all_of(ahead.terms,
                             [&](const auto &term) { return fixedIndices.count(term.first) != 0; });
  }
  if (isPerToken(mixer, time, dims)) {
    if (!isAtToken)
      noteRow(source, read.getSource(), indices[0]);
    return;
  }
  if (isOverTokens && !isAtToken)
    return setLater("'" + read.getSource() +
                    "', which has a value for each pair of positions, is "
                    "read at other tokens than the own one");
  if (auto define = dyn_cast<DefineOp>(source))
    return followDefinition(define, indices);
  if (llvm::count(dims, time) > 1 || (!isOverTokens && llvm::is_contained(dims, time)))
    setLater("'" + read.getSource() + "' has a value for each pair of positions");
}

void RowFinder::followDefinition(DefineOp define, ArrayRef<LinearValue> indices) {
  for (Region *region : {&define.getBody(), &define.getDomain()})
    if (!region->empty())
      for (auto [argument, index] : llvm::zip(region->getArguments(), indices))
        conditions.bind(argument, index);
  for (auto [index, dim] : llvm::zip(indices, define.getDims().getAsRange<FlatSymbolRefAttr>()))
    conditions.assumeInside(index, dim);
  followRegions(define.getBody(), define.getDomain());
}

void RowFinder::noteRow(Operation *source, StringRef name, const LinearValue &position) {
  if (!token)
    return setLater("all of '" + name + "' is read");
  LinearValue ahead = position, behind = *token;
  ahead.add(*token, -1);
  behind.add(position, -1);
  if (std::optional<int64_t> most = conditions.most(ahead); !most || *most > 0)
    return setLater("'" + name + "' may be read at positions after '" + tokenName + "'");
  std::optional<int64_t> window = conditions.most(behind);
  if (window && *window <= 0)
    return; // at the own token, or never
  if (window)
    ++*window;
  auto [entry, isNew] = rows.try_emplace(source, window);
  if (!isNew)
    entry->second =
        window && entry->second ? std::optional(std::max(*window, *entry->second)) : std::nullopt;
}

RowReads RowFinder::run() {
  if (!time)
    return {};
  std::set<StringRef> outputs;
  for (auto output : mixer.getOps<OutputOp>())
    outputs.insert(output.getSource());
  for (Operation &op : mixer.getBody().front()) {
    if (auto define = dyn_cast<DefineOp>(op)) {
      // The others are followed where they are read.
      if (isPerToken(mixer, time, define.getDims()) || outputs.count(define.getSymName()))
        followEquation(define, define.getDims(), define.getNames());
      if (outputs.count(define.getSymName()) && llvm::count(define.getDims(), time) > 1)
        setLater("the output '" + define.getSymName() + "' has a value for each pair of positions");
    } else if (auto next = dyn_cast<NextOp>(op)) {
      followEquation(next, next.getDims(), next.getNames());
    }
  }
  if (!result.later.empty())
    return {result.later, {}};
  for (auto &[source, window] : rows)
    result.sources.push_back({source, window});
  return std::move(result);
}

} // namespace

RowReads mlir::seq::findRowReads(MixerOp mixer) { return RowFinder(mixer).run(); }

bool mlir::seq::isPerToken(MixerOp mixer, FlatSymbolRefAttr time, ArrayAttr dims) {
  return !dims.empty() && dims[0] == time &&
         llvm::all_of(llvm::drop_begin(dims.getAsRange<FlatSymbolRefAttr>()),
                      [&](FlatSymbolRefAttr dim) {
                        return mixer.lookupSymbol<DimOp>(dim.getAttr()).getKind() == DimKind::Fixed;
                      });
}
