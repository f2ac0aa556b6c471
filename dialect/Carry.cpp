//===- Carry.cpp - what the next token needs ----------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "dialect/Carry.h"

#include "mlir/Analysis/FlatLinearValueConstraints.h"
#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <numeric>

using namespace mlir;
using namespace mlir::seq;

namespace {
constexpr llvm::StringLiteral kWindows = "carry_windows";
constexpr llvm::StringLiteral kTokenDim = "token_dim";
constexpr llvm::StringLiteral kRows = "carry_rows";

DimOp dimOp(MixerOp mixer, FlatSymbolRefAttr dim) {
  auto op = dyn_cast_or_null<DimOp>(SymbolTable::lookupSymbolIn(mixer, dim.getAttr()));
  assert(op && "a dim is declared in its mixer");
  return op;
}

/// The dim that an index value runs over; null for a computed integer.
FlatSymbolRefAttr dimOfIndex(Value index) {
  auto argument = dyn_cast<BlockArgument>(index);
  if (!argument)
    return {};
  Operation *parent = argument.getOwner()->getParentOp();
  ArrayAttr dims;
  if (auto define = dyn_cast<DefineOp>(parent))
    dims = define.getDims();
  else if (auto next = dyn_cast<NextOp>(parent))
    dims = next.getDims();
  else if (auto reduce = dyn_cast<ReduceOp>(parent))
    dims = reduce.getDims();
  else if (auto map = dyn_cast<MapOp>(parent))
    return map.getDimAttr();
  return dims ? cast<FlatSymbolRefAttr>(dims[argument.getArgNumber()]) : FlatSymbolRefAttr();
}

/// How many tokens a read looks back at most; zero when it does not, or when its token is no simple
/// expression.
int64_t lookBack(MixerOp mixer, ReadOp read) {
  auto span = tokenSpan(mixer, read);
  return span && span->first < 0 ? -span->first : 0;
}

SmallVector<BatchAttr> allBatchDims(MixerOp mixer) {
  SmallVector<BatchAttr> batch;
  for (auto dim : mixer.getOps<DimOp>())
    if (dim.getKind() == DimKind::Batch)
      batch.push_back(
          BatchAttr::get(mixer.getContext(), FlatSymbolRefAttr::get(dim.getSymNameAttr()), 1));
  return batch;
}

bool yieldsInteger(DefineOp define) {
  return !isa<FloatType>(define.getBody().front().getTerminator()->getOperand(0).getType());
}

/// Window lengths by name, in the order in which the tensors and then the definitions stand.
SmallVector<std::pair<Operation *, int64_t>> findWindows(MixerOp mixer) {
  llvm::StringMap<int64_t> lengths;
  FlatSymbolRefAttr token = tokenDimOf(mixer);
  mixer.walk([&](ReadOp read) {
    Operation *source = SymbolTable::lookupSymbolIn(mixer, read.getSourceAttr().getAttr());
    ArrayAttr dims;
    // A param is there as a whole.
    if (auto tensor = dyn_cast_or_null<TensorOp>(source); tensor && tensor.getRole() == Role::Input)
      dims = tensor.getDims();
    else if (auto define = dyn_cast_or_null<DefineOp>(source))
      dims = define.getDims();
    // Nothing stands in front of other run-time dims.
    if (!dims || dims.empty() || dims[0] != token)
      return;
    if (int64_t tokens = lookBack(mixer, read))
      lengths[read.getSource()] = std::max(lengths[read.getSource()], tokens);
  });
  SmallVector<std::pair<Operation *, int64_t>> windows;
  for (Operation &op : mixer.getBody().front())
    if (isa<TensorOp>(op))
      if (auto found = lengths.find(SymbolTable::getSymbolName(&op)); found != lengths.end())
        windows.push_back({&op, found->second});
  for (Operation &op : mixer.getBody().front())
    if (isa<DefineOp>(op))
      if (auto found = lengths.find(SymbolTable::getSymbolName(&op)); found != lengths.end())
        windows.push_back({&op, found->second});
  return windows;
}

/// A window of, or the rows of, a tensor or definition over tokens.
CarryComponent tokensComponent(MixerOp mixer, Operation *source, CarryComponent::Kind kind,
                               int64_t tokens) {
  CarryComponent component;
  component.kind = kind;
  auto name = SymbolTable::getSymbolName(source);
  component.name = (name.getValue() + (kind == CarryComponent::Window ? "_window" : "_rows")).str();
  component.of = FlatSymbolRefAttr::get(name);
  component.shape.push_back(tokens);
  ArrayAttr dims;
  if (auto tensor = dyn_cast<TensorOp>(source)) {
    dims = tensor.getDims();
    for (auto batch : tensor.getBatch().getAsRange<BatchAttr>())
      component.batch.push_back(batch);
    component.isInteger = !isa<FloatType>(tensor.getDtype());
    if (kind == CarryComponent::Rows)
      component.storage = tensor.getDtype();
  } else {
    dims = cast<DefineOp>(source).getDims();
    component.batch = batchDimsOf(mixer, name.getValue());
    component.isInteger = yieldsInteger(cast<DefineOp>(source));
  }
  // Packed sequences have tokens of their own even of what batch elements share.
  SmallVector<BatchAttr> all = allBatchDims(mixer);
  if (!all.empty() && llvm::none_of(component.batch, [&](BatchAttr batch) {
        return batch.getDim() == all.front().getDim();
      }))
    component.batch.insert(component.batch.begin(), all.front());
  for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
    if (dimOp(mixer, dim).getKind() == DimKind::Fixed)
      component.shape.push_back(fixedSize(mixer, dim));
  return component;
}

/// A component in an attribute, and back: what later stages no longer see in the mixer.
Attribute recorded(const CarryComponent &component, MLIRContext *context) {
  Builder builder(context);
  SmallVector<Attribute> batch(component.batch.begin(), component.batch.end());
  SmallVector<NamedAttribute> info = {
      builder.getNamedAttr("of", component.of),
      builder.getNamedAttr("batch", builder.getArrayAttr(batch)),
      builder.getNamedAttr("shape", builder.getDenseI64ArrayAttr(component.shape))};
  if (component.isInteger)
    info.push_back(builder.getNamedAttr("integer", builder.getUnitAttr()));
  if (component.storage)
    info.push_back(builder.getNamedAttr("storage", TypeAttr::get(component.storage)));
  return builder.getDictionaryAttr(info);
}

CarryComponent fromRecord(DictionaryAttr info, CarryComponent::Kind kind) {
  CarryComponent component;
  component.kind = kind;
  component.of = info.getAs<FlatSymbolRefAttr>("of");
  component.name =
      (component.of.getValue() + (kind == CarryComponent::Window ? "_window" : "_rows")).str();
  for (auto batch : info.getAs<ArrayAttr>("batch").getAsRange<BatchAttr>())
    component.batch.push_back(batch);
  llvm::append_range(component.shape, info.getAs<DenseI64ArrayAttr>("shape").asArrayRef());
  component.isInteger = info.contains("integer");
  if (auto storage = info.getAs<TypeAttr>("storage"))
    component.storage = storage.getValue();
  return component;
}
} // namespace

std::optional<std::pair<int64_t, int64_t>> mlir::seq::tokenSpan(MixerOp mixer, ReadOp read) {
  SmallVector<int64_t> flat;
  AffineMap map = read.getMap();
  if (failed(getFlattenedAffineExpr(map.getResult(0), map.getNumDims(), 0, &flat)) ||
      flat.size() != map.getNumDims() + 1)
    return std::nullopt; // `//` or `%`
  Operation *source = SymbolTable::lookupSymbolIn(mixer, read.getSourceAttr().getAttr());
  auto dims = source ? source->getAttrOfType<ArrayAttr>("dims") : ArrayAttr();
  FlatSymbolRefAttr ownDim = isa_and_nonnull<StateOp>(source) || !dims || dims.empty()
                                 ? tokenDimOf(mixer)
                                 : cast<FlatSymbolRefAttr>(dims[0]);
  std::pair<int64_t, int64_t> span(flat.back(), flat.back());
  bool hasToken = false;
  for (auto [coefficient, operand] : llvm::zip(flat, read.getOperands())) {
    if (coefficient == 0)
      continue;
    FlatSymbolRefAttr dim = dimOfIndex(operand);
    if (!dim)
      return std::nullopt;
    auto op = dimOp(mixer, dim);
    if (op.getKind() == DimKind::Runtime) {
      // A position of another dim is a number like any other.
      if (coefficient != 1 || hasToken || dim != ownDim)
        return std::nullopt;
      hasToken = true;
      continue;
    }
    int64_t reach = coefficient * (static_cast<int64_t>(*op.getSize()) - 1);
    (reach < 0 ? span.first : span.second) += reach;
  }
  return hasToken ? std::optional(span) : std::nullopt;
}

SmallVector<BatchAttr> mlir::seq::batchDimsOf(MixerOp mixer, StringRef symbol) {
  llvm::StringMap<int64_t> divisors; // 0: not varied over
  llvm::StringSet<> visited;
  SmallVector<StringRef> worklist = {symbol};
  while (!worklist.empty()) {
    StringRef name = worklist.pop_back_val();
    if (!visited.insert(name).second)
      continue;
    Operation *op = SymbolTable::lookupSymbolIn(mixer, StringAttr::get(mixer.getContext(), name));
    if (auto tensor = dyn_cast_or_null<TensorOp>(op))
      for (auto batch : tensor.getBatch().getAsRange<BatchAttr>())
        divisors[batch.getDim().getValue()] =
            std::gcd(divisors[batch.getDim().getValue()], batch.getDiv());
    else if (auto define = dyn_cast_or_null<DefineOp>(op))
      define.walk([&](ReadOp read) { worklist.push_back(read.getSource()); });
    else
      return allBatchDims(mixer);
  }
  SmallVector<BatchAttr> batch;
  for (BatchAttr dim : allBatchDims(mixer))
    if (int64_t divisor = divisors.lookup(dim.getDim().getValue()))
      batch.push_back(BatchAttr::get(mixer.getContext(), dim.getDim(), divisor));
  return batch;
}

FlatSymbolRefAttr mlir::seq::tokenDimOf(MixerOp mixer) {
  if (auto recorded = mixer->getAttrOfType<FlatSymbolRefAttr>(kTokenDim))
    return recorded;
  for (auto next : mixer.getOps<NextOp>())
    return cast<FlatSymbolRefAttr>(next.getDims()[0]);
  auto firstOf = [&](ArrayAttr dims) -> FlatSymbolRefAttr {
    for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
      if (DimOp op = dimOp(mixer, dim); op.getKind() == DimKind::Runtime && !op.getBy())
        return dim;
    return {};
  };
  for (auto output : mixer.getOps<OutputOp>()) {
    Operation *source = SymbolTable::lookupSymbolIn(mixer, output.getSourceAttr().getAttr());
    auto define = dyn_cast_or_null<DefineOp>(source);
    if (auto dim = define ? firstOf(define.getDims()) : FlatSymbolRefAttr())
      return dim;
  }
  for (auto tensor : mixer.getOps<TensorOp>())
    if (tensor.getRole() == Role::Input)
      if (auto dim = firstOf(tensor.getDims()))
        return dim;
  return {};
}

bool mlir::seq::carriesRows(MixerOp mixer) { return mixer->hasAttr(kRows); }

bool mlir::seq::reducesOverTokens(MixerOp mixer) {
  FlatSymbolRefAttr token = tokenDimOf(mixer);
  return mixer
      .walk([&](Operation *op) {
        auto reduce = dyn_cast<ReduceOp>(op);
        auto map = dyn_cast<MapOp>(op);
        bool overTokens = (reduce && llvm::is_contained(reduce.getDims(), token)) ||
                          (map && map.getDimAttr() == token);
        return overTokens ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

/// Whether a read stands in what becomes a reduction of pairs: its domain says what later calls
/// need.
static bool isOfPairs(MixerOp mixer, ReadOp read, FlatSymbolRefAttr token) {
  for (Operation *op = read->getParentOp(); op != mixer; op = op->getParentOp()) {
    if (isa<PairsOp>(op))
      return true;
    if (auto reduce = dyn_cast<ReduceOp>(op); reduce && llvm::is_contained(reduce.getDims(), token))
      return true;
    if (auto map = dyn_cast<MapOp>(op); map && map.getDimAttr() == token)
      return true;
    auto define = dyn_cast<DefineOp>(op);
    if (define && llvm::count_if(define.getDims().getAsRange<FlatSymbolRefAttr>(), [&](auto dim) {
                    return dimOp(mixer, dim).getKind() == DimKind::Runtime;
                  }) > 1)
      return true;
  }
  return false;
}

bool mlir::seq::isFarRead(MixerOp mixer, ReadOp read) {
  Operation *source = SymbolTable::lookupSymbolIn(mixer, read.getSourceAttr().getAttr());
  auto tensor = dyn_cast_or_null<TensorOp>(source);
  if (!isa_and_nonnull<TensorOp, DefineOp>(source) || (tensor && tensor.getRole() == Role::Param))
    return false;
  auto dims = source->getAttrOfType<ArrayAttr>("dims");
  // What pairwise reductions read is judged with their domains.
  FlatSymbolRefAttr token = tokenDimOf(mixer);
  return !dims.empty() && dims[0] == token && !isOfPairs(mixer, read, token) &&
         !tokenSpan(mixer, read);
}

bool mlir::seq::readsFarTokens(MixerOp mixer) {
  return mixer
      .walk([&](ReadOp read) {
        return isFarRead(mixer, read) ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

bool mlir::seq::isTokenIndexed(MixerOp mixer, ArrayAttr dims) {
  return !dims.empty() &&
         dimOp(mixer, cast<FlatSymbolRefAttr>(dims[0])).getKind() == DimKind::Runtime;
}

int64_t mlir::seq::fixedSize(MixerOp mixer, FlatSymbolRefAttr dim) {
  auto op = dimOp(mixer, dim);
  assert(op.getKind() == DimKind::Fixed && op.getSize() && "only a fixed dim has a size");
  return *op.getSize();
}

SmallVector<CarryComponent> mlir::seq::carryComponents(MixerOp mixer) {
  SmallVector<CarryComponent> components;
  for (auto state : mixer.getOps<StateOp>()) {
    CarryComponent component;
    component.kind = CarryComponent::State;
    component.name = state.getSymName().str();
    component.of = FlatSymbolRefAttr::get(state.getSymNameAttr());
    component.batch = allBatchDims(mixer);
    for (auto dim : state.getDims().getAsRange<FlatSymbolRefAttr>())
      component.shape.push_back(fixedSize(mixer, dim));
    component.init = state.getInit().convertToDouble();
    components.push_back(std::move(component));
  }
  if (auto windows = mixer->getAttrOfType<ArrayAttr>(kWindows)) {
    for (auto info : windows.getAsRange<DictionaryAttr>())
      components.push_back(fromRecord(info, CarryComponent::Window));
  } else {
    for (auto [source, tokens] : findWindows(mixer))
      components.push_back(tokensComponent(mixer, source, CarryComponent::Window, tokens));
  }
  if (auto rows = mixer->getAttrOfType<ArrayAttr>(kRows))
    for (auto info : rows.getAsRange<DictionaryAttr>())
      components.push_back(fromRecord(info, CarryComponent::Rows));
  return components;
}

void mlir::seq::recordCarryRows(MixerOp mixer, StringAttr symbol, int64_t ring) {
  SmallVector<Attribute> rows;
  if (auto before = mixer->getAttrOfType<ArrayAttr>(kRows))
    llvm::append_range(rows, before);
  Operation *source = SymbolTable::lookupSymbolIn(mixer, symbol);
  rows.push_back(
      recorded(tokensComponent(mixer, source, CarryComponent::Rows, ring > 0 ? ring : -1),
               mixer.getContext()));
  mixer->setAttr(kRows, ArrayAttr::get(mixer.getContext(), rows));
}

void mlir::seq::recordCarryWindows(MixerOp mixer) {
  SmallVector<Attribute> windows;
  for (auto [source, tokens] : findWindows(mixer))
    windows.push_back(recorded(tokensComponent(mixer, source, CarryComponent::Window, tokens),
                               mixer.getContext()));
  mixer->setAttr(kWindows, ArrayAttr::get(mixer.getContext(), windows));
  if (auto token = tokenDimOf(mixer))
    mixer->setAttr(kTokenDim, token);
}

void mlir::seq::keepCarryWindows(MixerOp mixer, llvm::function_ref<bool(StringAttr)> isWanted) {
  auto recorded = mixer->getAttrOfType<ArrayAttr>(kWindows);
  if (!recorded)
    return;
  SmallVector<Attribute> kept;
  for (auto info : recorded.getAsRange<DictionaryAttr>())
    if (isWanted(info.getAs<FlatSymbolRefAttr>("of").getAttr()))
      kept.push_back(info);
  mixer->setAttr(kWindows, ArrayAttr::get(mixer.getContext(), kept));
}

void mlir::seq::copyCarry(MixerOp from, MixerOp to) {
  for (StringRef name : {StringRef(kWindows), StringRef(kRows), StringRef(kTokenDim)})
    if (auto recorded = from->getAttr(name))
      to->setAttr(name, recorded);
}

MixerOp mlir::seq::expandedFormOf(MixerOp mixer) {
  if (auto module = mixer->getParentOfType<ModuleOp>())
    for (auto other : module.getOps<MixerOp>())
      if (auto of = other.getFormOfAttr(); of && of.getAttr() == mixer.getSymNameAttr())
        return other;
  return {};
}
