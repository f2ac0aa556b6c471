//===- BlockParts.cpp - matrix states behind other states --------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/blocks/BlockParts.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

#include "llvm/ADT/MapVector.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

using Names = llvm::SetVector<StringAttr>;

/// Launches of a forward pass.
constexpr size_t kMostParts = 3;

class PartFinder {
public:
  PartFinder(MixerOp mixer, std::string &reason) : mixer(mixer), reason(reason) {}

  std::optional<BlockParts> run() {
    if (!mixer.getOps<PairsOp>().empty() || !mixer.getOps<ConvolutionOp>().empty())
      return refuse("other structure than recurrences");
    // Parts would have windows of what other parts make; the form takes none anyhow.
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind != CarryComponent::State)
        return refuse("earlier tokens of inputs in the carry");
    if (!findUnits() || !orderUnits())
      return std::nullopt;
    for (size_t part = order.size(); part-- > 0;)
      visitPart(part);
    BlockParts result;
    for (const auto &[name, part] : kept)
      result.kept.push_back(keptValueOf(mixer, name, part));
    for (size_t part = 0; part < order.size(); ++part)
      result.parts.push_back(makePart(part, result.kept));
    return result;
  }

private:
  /// What one kernel makes: all states that are no matrices, or a matrix.
  struct Unit {
    SmallVector<Operation *> ops; ///< equations, or the affine recurrence
    Names makes;                  ///< states and reads
  };

  MixerOp mixer;
  std::string &reason;
  std::vector<Unit> units;
  std::vector<size_t> order;                  ///< units by part
  llvm::DenseMap<StringAttr, size_t> unitOf;  ///< by what it makes
  llvm::DenseMap<size_t, int> partOfUnit;     ///< its number in `order`
  llvm::DenseMap<StringAttr, Names> known;    ///< states and reads that a symbol depends on
  llvm::DenseMap<StringAttr, bool> knownSums; ///< whether it sums over a dim
  llvm::MapVector<StringAttr, size_t> kept;   ///< with the part that makes it
  llvm::DenseSet<std::pair<size_t, StringAttr>> visited;

  std::nullopt_t refuse(const Twine &what) {
    reason = what.str();
    return std::nullopt;
  }

  bool findUnits() {
    Unit others;
    llvm::DenseSet<StringAttr> ofMatrices;
    for (auto affine : mixer.getOps<AffineOp>()) {
      Unit own;
      own.ops.push_back(affine);
      for (FlatSymbolRefAttr state : affine.states()) {
        own.makes.insert(state.getAttr());
        ofMatrices.insert(state.getAttr());
      }
      for (auto read : affine.getReads().getAsRange<RowReadAttr>())
        if (read.getResult())
          own.makes.insert(read.getResult().getAttr());
      units.push_back(std::move(own));
    }
    for (auto next : mixer.getOps<NextOp>()) {
      others.ops.push_back(next);
      others.makes.insert(next.getStateAttr().getAttr());
    }
    if (!others.ops.empty())
      units.insert(units.begin(), std::move(others));
    for (auto [number, unit] : llvm::enumerate(units))
      for (StringAttr name : unit.makes)
        unitOf[name] = number;
    if (units.size() > kMostParts)
      refuse("more states than launches");
    return units.size() <= kMostParts;
  }

  /// Units whose factors depend on none that comes later.
  bool orderUnits() {
    while (order.size() < units.size()) {
      const size_t before = order.size();
      for (size_t number = 0; number < units.size(); ++number) {
        if (partOfUnit.contains(number))
          continue;
        const bool isReady = llvm::all_of(dependenciesOf(number), [&](size_t other) {
          return other == number || partOfUnit.contains(other);
        });
        if (!isReady)
          continue;
        partOfUnit[number] = static_cast<int>(order.size());
        order.push_back(number);
      }
      if (order.size() == before) {
        refuse("states that depend on each other");
        return false;
      }
    }
    if (!isa<NextOp>(units[order.front()].ops.front()) &&
        llvm::any_of(units, [](const Unit &unit) { return isa<NextOp>(unit.ops.front()); })) {
      refuse("states that read a matrix");
      return false;
    }
    return true;
  }

  llvm::SmallDenseSet<size_t> dependenciesOf(size_t unit) {
    llvm::SmallDenseSet<size_t> result;
    for (Operation *op : units[unit].ops)
      for (StringAttr name : namesIn(op))
        for (StringAttr state : statesOf(name))
          result.insert(unitOf.lookup(state));
    return result;
  }

  /// The states and reads of matrices that a symbol depends on.
  const Names &statesOf(StringAttr name) {
    auto [entry, isNew] = known.try_emplace(name);
    if (!isNew)
      return entry->second;
    Names all;
    if (unitOf.contains(name))
      all.insert(name);
    else if (Operation *source = chunk::lookup(mixer, name); isa<DefineOp>(source))
      for (StringAttr read : namesIn(source))
        all.insert_range(Names(statesOf(read)));
    return known[name] = std::move(all);
  }

  /// Whether a definition has sums over a dim, itself or in those that depend on states.
  bool sums(StringAttr name) {
    auto [entry, isNew] = knownSums.try_emplace(name, false);
    if (!isNew)
      return entry->second;
    Operation *source = chunk::lookup(mixer, name);
    bool result = false;
    if (isa<DefineOp>(source) && !statesOf(name).empty()) {
      source->walk([&](Operation *op) { result |= isa<ReduceOp, MapOp>(op); });
      for (StringAttr read : namesIn(source))
        result |= sums(read);
    }
    return knownSums[name] = result;
  }

  /// The last part that a symbol depends on; -1: none.
  int partOf(StringAttr name) {
    int last = -1;
    for (StringAttr state : statesOf(name))
      last = std::max(last, partOfUnit.lookup(unitOf.lookup(state)));
    return last;
  }

  void visitPart(size_t part) {
    for (Operation *op : units[order[part]].ops)
      for (StringAttr name : namesIn(op))
        visit(name, part);
    if (part + 1 == order.size())
      for (auto output : mixer.getOps<OutputOp>())
        visit(output.getSourceAttr().getAttr(), part);
    for (const auto &[name, maker] : llvm::to_vector(kept))
      if (maker == part)
        visitReads(name, part);
  }

  /// Notes what a part needs of earlier ones.
  void visit(StringAttr name, size_t part) {
    const int own = partOf(name);
    if (own < 0)
      return;
    if (static_cast<size_t>(own) < part && (unitOf.contains(name) || !sums(name)))
      kept.insert({name, static_cast<size_t>(own)});
    else
      visitReads(name, part);
  }

  void visitReads(StringAttr name, size_t part) {
    if (unitOf.contains(name) || !visited.insert({part, name}).second)
      return;
    for (StringAttr read : namesIn(chunk::lookup(mixer, name)))
      visit(read, part);
  }

  BlockPart makePart(size_t part, ArrayRef<KeptValue> all) {
    BlockPart result;
    SmallVector<StringAttr> names;
    for (auto [number, value] : llvm::enumerate(all))
      if (value.maker == part) {
        names.push_back(value.name);
        result.kept.push_back(number);
      }
    const Unit &unit = units[order[part]];
    result.isRecurrent = isa<NextOp>(unit.ops.front());
    if (result.isRecurrent)
      result.module = recurrencesOf(mixer, names);
    else
      result.module =
          matrixOf(cast<AffineOp>(unit.ops.front()), part + 1 == order.size(), names, all, part);
    return result;
  }

  /// A matrix alone, with what earlier parts keep as inputs.
  OwningOpRef<ModuleOp> matrixOf(AffineOp affine, bool isLast, ArrayRef<StringAttr> names,
                                 ArrayRef<KeptValue> all, size_t part) {
    OwningOpRef<ModuleOp> module = ModuleOp::create(mixer.getLoc());
    auto own = cast<MixerOp>(mixer->clone());
    module->push_back(own);
    SmallVector<OutputOp> outputs(own.getOps<OutputOp>());
    OpBuilder builder(outputs.front());
    if (!isLast) {
      for (StringAttr name : names) {
        auto copy = cast<OutputOp>(builder.clone(*outputs.front()));
        copy.setSourceAttr(FlatSymbolRefAttr::get(name));
      }
      for (OutputOp output : outputs)
        output.erase();
    }
    const Names &makes = units[unitOf.lookup(affine.getStateAttr().getAttr())].makes;
    for (Operation &op : llvm::make_early_inc_range(own.getBody().front())) {
      auto name = op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName());
      auto other = dyn_cast<AffineOp>(op);
      if ((isa<StateOp, ProducedOp>(op) && !makes.contains(name)) ||
          (other && other.getStateAttr() != affine.getStateAttr()) || isa<NextOp, RecurrenceOp>(op))
        op.erase();
    }
    for (const KeptValue &value : all) {
      if (value.maker >= part)
        continue;
      if (auto define = dyn_cast_or_null<DefineOp>(SymbolTable::lookupSymbolIn(own, value.name)))
        define.erase();
      builder.setInsertionPointAfter(*own.getOps<DimOp>().begin());
      // Behind the dims.
      for (auto dim : own.getOps<DimOp>())
        builder.setInsertionPointAfter(dim);
      TensorOp::create(builder, own.getLoc(), value.name, Role::Input, value.dims,
                       builder.getArrayAttr({}), own.getCompute(), ArrayAttr());
    }
    eraseUnneeded(own);
    return module;
  }
};

} // namespace

int64_t summandsOfProducts(MixerOp mixer) {
  int64_t most = 0;
  for (auto define : mixer.getOps<DefineOp>())
    if (define.getDims().size() > 1)
      define.walk([&](ReduceOp reduce) {
        for (auto dim : reduce.getDims().getAsRange<FlatSymbolRefAttr>())
          if (auto size = cast<DimOp>(chunk::lookup(mixer, dim)).getSize())
            most = std::max(most, static_cast<int64_t>(*size));
      });
  return most;
}

std::optional<BlockParts> divideStates(MixerOp mixer, std::string &reason) {
  return PartFinder(mixer, reason).run();
}

} // namespace seqmix::gpu
