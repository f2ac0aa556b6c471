//===- PairGroups.cpp - which launch makes what ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/gpu/pairs/PairGroups.h"

#include "compiler/chunk/Reads.h"
#include "dialect/Carry.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix::gpu {
namespace {

using Names = llvm::SetVector<StringAttr>;

/// Whether a definition has sums or products of its own, which depend on the order of terms.
bool hasSums(DefineOp define) {
  return define
      .walk([](ReduceOp reduce) {
        const bool isExact =
            llvm::is_contained({ReduceKind::Max, ReduceKind::Min}, reduce.getKind());
        return isExact ? WalkResult::advance() : WalkResult::interrupt();
      })
      .wasInterrupted();
}

class Grouping {
public:
  Grouping(MixerOp mixer, const Names &divided) : mixer(mixer), divided(divided) {}

  FailureOr<PairGroups> run() {
    findComparedSums();
    findReductionsOfPlaces();
    if (failed(addRecurrences()))
      return failure();
    for (auto pairs : mixer.getOps<PairsOp>())
      if (failed(addPairs(pairs)))
        return failure();
    const auto inputs = static_cast<int32_t>(llvm::range_size(mixer.getOps<TensorOp>()));
    for (auto [number, output] : llvm::enumerate(mixer.getOps<OutputOp>()))
      if (failed(addOutput(inputs + static_cast<int32_t>(number), output)))
        return failure();
    if (result.groups.size() > kMostGroups)
      return refuse(mixer, "reductions over pairs that would take more than " + Twine(kMostGroups) +
                               " launches"),
             failure();
    keepWhatOthersRead();
    return std::move(result);
  }

private:
  /// Launches of a forward pass, beside the one that writes the carry.
  static constexpr size_t kMostGroups = 8;

  MixerOp mixer;
  const Names &divided;
  PairGroups result;
  llvm::DenseMap<StringAttr, size_t> makers; // groups, by what they make
  Names once;
  llvm::DenseMap<StringAttr, Names> known;

  InFlightDiagnostic refuse(Operation *op, const Twine &what) {
    return emitError(op->getLoc()) << "not lowered for CUDA yet: " << what;
  }

  /// Definitions over tokens whose sums are compared for equality, through others that take one of
  /// several values.
  void findComparedSums() {
    Names seen;
    auto addReads = [&](Value value) {
      SmallVector<Value> values = {value};
      for (size_t number = 0; number < values.size(); ++number)
        if (Operation *op = values[number].getDefiningOp()) {
          llvm::append_range(values, op->getOperands());
          op->walk([&](ReadOp read) { seen.insert(read.getSourceAttr().getAttr()); });
        }
    };
    mixer.walk([&](CompareOp compare) {
      if (compare.getLhs().getType().isF64() &&
          llvm::is_contained({Predicate::Eq, Predicate::Ne}, compare.getPredicate())) {
        addReads(compare.getLhs());
        addReads(compare.getRhs());
      }
    });
    for (size_t number = 0; number < seen.size(); ++number) {
      auto define = dyn_cast<DefineOp>(chunk::lookup(mixer, seen[number]));
      if (!define)
        continue;
      if (!hasSums(define))
        define.walk([&](ReadOp read) { seen.insert(read.getSourceAttr().getAttr()); });
      else if (isOfTokens(chunk::dimsOf(define)))
        once.insert(seen[number]);
    }
    if (once.empty())
      return;
    // What pairs read of them.
    for (auto pairs : mixer.getOps<PairsOp>())
      pairs.walk([&](ReadOp read) {
        StringAttr name = read.getSourceAttr().getAttr();
        auto define = dyn_cast<DefineOp>(chunk::lookup(mixer, name));
        if (define && isOfTokens(chunk::dimsOf(define)) && dependsOnOnce(define))
          once.insert(name);
      });
  }

  bool isOfTokens(ArrayAttr dims) { return !dims.empty() && dims[0] == tokenDimOf(mixer); }

  /// Of a dim whose extent follows from others there are few places, which many rows read: what is
  /// reduced for each of them is made once.
  void findReductionsOfPlaces() {
    for (auto define : mixer.getOps<DefineOp>())
      if (ArrayAttr dims = chunk::dimsOf(define);
          !dims.empty() &&
          cast<DimOp>(chunk::lookup(mixer, cast<FlatSymbolRefAttr>(dims[0]))).getBy() &&
          define.walk([](ReduceOp) { return WalkResult::interrupt(); }).wasInterrupted())
        once.insert(define.getSymNameAttr());
  }

  bool dependsOnOnce(DefineOp define) {
    Names all = namesIn(define);
    for (size_t number = 0; number < all.size(); ++number) {
      if (once.contains(all[number]))
        return true;
      if (auto other = dyn_cast<DefineOp>(chunk::lookup(mixer, all[number])))
        all.insert_range(namesIn(other));
    }
    return false;
  }

  /// What an op reads of reductions over pairs, through definitions.
  Names readsOf(Operation *op) {
    Names all;
    op->walk([&](ReadOp read) {
      const Names &more = readsOf(read.getSourceAttr().getAttr());
      all.insert(more.begin(), more.end());
    });
    return all;
  }

  const Names &readsOf(StringAttr name) {
    auto [entry, isNew] = known.try_emplace(name);
    if (!isNew)
      return entry->second;
    Operation *source = chunk::lookup(mixer, name);
    Names own;
    if (isa<ProducedOp, StateOp>(source))
      own.insert(name);
    else if (isa<DefineOp>(source))
      own = readsOf(source);
    if (once.contains(name)) {
      const auto rows = cast<FlatSymbolRefAttr>(chunk::dimsOf(source)[0]);
      const size_t group = groupFor(rows, {}, own, {}, /*isOnce=*/true);
      result.groups[group].once.push_back(name);
      makers[name] = group;
      own.clear();
      own.insert(name);
      return known[name] = std::move(own);
    }
    // Reals that are made of states alone are made with them.
    auto isReal = [](DefineOp define) {
      return define.getBody().front().getTerminator()->getOperand(0).getType().isF64();
    };
    if (isa<DefineOp>(source) && isReal(cast<DefineOp>(source)) &&
        isOfTokens(chunk::dimsOf(source)) && !own.empty() &&
        llvm::none_of(own, [&](StringAttr read) {
          return once.contains(read) || isa<ProducedOp>(chunk::lookup(mixer, read));
        })) {
      own.clear();
      own.insert(name);
      makers[name] = 0;
    }
    return known[name] = std::move(own);
  }

  /// The group for what depends on these, with rows of this kind; `elsewhere` is what it reads at
  /// other rows than its own.
  size_t groupFor(FlatSymbolRefAttr rows, ArrayRef<FlatSymbolRefAttr> inner, const Names &reads,
                  const Names &elsewhere, bool isOnce = false) {
    auto hasRows = [&](const PairGroup &group) {
      return !group.isRecurrent && group.rows == rows &&
             ArrayRef<FlatSymbolRefAttr>(group.inner) == inner;
    };
    size_t least = 0;
    for (StringAttr name : reads) {
      const size_t maker = makers.lookup(name);
      // Blocks have what is made once at their own rows only.
      const bool isSame = hasRows(result.groups[maker]) && !divided.contains(name) &&
                          !elsewhere.contains(name) && (isOnce || !once.contains(name));
      least = std::max(least, maker + (isSame ? 0 : 1));
    }
    for (size_t number = result.groups.size(); number > least; --number)
      if (hasRows(result.groups[number - 1]))
        return number - 1;
    PairGroup group;
    group.rows = rows;
    group.inner.assign(inner.begin(), inner.end());
    result.groups.push_back(std::move(group));
    return result.groups.size() - 1;
  }

  /// What reductions over pairs read of others at columns.
  Names readsAtColumns(PairsOp pairs) {
    Names all;
    pairs.walk([&](ReadOp read) {
      for (Value operand : read.getOperands()) {
        auto argument = dyn_cast<BlockArgument>(operand);
        if (!argument || argument.getOwner()->getParentOp() != pairs.getOperation() ||
            argument != pairs.columnOf(argument.getOwner()))
          continue;
        const Names &more = readsOf(read.getSourceAttr().getAttr());
        all.insert(more.begin(), more.end());
      }
    });
    return all;
  }

  /// States come first: what they read of reductions over pairs would have to be made before.
  LogicalResult addRecurrences() {
    if (mixer.getOps<StateOp>().empty())
      return success();
    for (auto affine : mixer.getOps<AffineOp>())
      return refuse(affine, "matrix states beside reductions over pairs of positions");
    PairGroup states;
    states.isRecurrent = true;
    result.groups.push_back(std::move(states));
    for (auto state : mixer.getOps<StateOp>())
      makers[state.getSymNameAttr()] = 0;
    for (auto next : mixer.getOps<NextOp>())
      for (StringAttr name : readsOf(next))
        if (isa<ProducedOp>(chunk::lookup(mixer, name)))
          return refuse(next, "states that read reductions over pairs of positions");
    return success();
  }

  LogicalResult addPairs(PairsOp pairs) {
    SmallVector<FlatSymbolRefAttr> rows(pairs.getRows().getAsRange<FlatSymbolRefAttr>());
    for (FlatSymbolRefAttr dim : ArrayRef(rows).drop_front(rows.empty() ? 0 : 1))
      if (!cast<DimOp>(chunk::lookup(mixer, dim)).getSize())
        return refuse(pairs, "reductions over pairs whose rows are over several run-time dims");
    const size_t group = groupFor(rows.empty() ? FlatSymbolRefAttr() : rows[0],
                                  ArrayRef(rows).drop_front(rows.empty() ? 0 : 1), readsOf(pairs),
                                  readsAtColumns(pairs));
    result.groups[group].pairs.push_back(pairs);
    for (auto own : pairs.getOuts().getAsRange<PairResultAttr>())
      makers[own.getProduced().getAttr()] = group;
    return success();
  }

  /// An output's rows are those of a run-time dim, or of its dims the one that the last reduction
  /// it reads has.
  LogicalResult addOutput(int32_t number, OutputOp output) {
    Operation *source = chunk::lookup(mixer, output.getSourceAttr());
    ArrayAttr dims = placesOf(mixer, source);
    const Names &reads = readsOf(output.getSourceAttr().getAttr());
    for (auto pairs : mixer.getOps<PairsOp>())
      for (auto own : pairs.getOuts().getAsRange<PairResultAttr>())
        if (own.getKind() == PairKind::Each && own.getProduced() == output.getSourceAttr())
          return success(); // the loop stores it
    FlatSymbolRefAttr rows;
    if (isTokenIndexed(mixer, dims)) {
      rows = cast<FlatSymbolRefAttr>(dims[0]);
    } else {
      std::optional<size_t> last;
      for (StringAttr name : reads) {
        const size_t maker = makers.lookup(name);
        FlatSymbolRefAttr own = result.groups[maker].rows;
        if ((!own || llvm::is_contained(dims, own)) && (!last || maker >= *last)) {
          last = maker;
          rows = own;
        }
      }
      if (!last)
        return refuse(output, "an output without tokens");
    }
    // Where the last of these reductions has further dims, a block makes results at its place.
    std::optional<size_t> last;
    for (StringAttr name : reads)
      last = std::max(last.value_or(0), makers.lookup(name));
    ArrayRef<FlatSymbolRefAttr> inner;
    if (last && result.groups[*last].rows == rows &&
        llvm::all_of(result.groups[*last].inner,
                     [&](FlatSymbolRefAttr dim) { return llvm::is_contained(dims, dim); }))
      inner = result.groups[*last].inner;
    const SmallVector<FlatSymbolRefAttr> own(inner);
    result.groups[groupFor(rows, own, reads, {})].outputs.push_back({number, output});
    return success();
  }

  void keepWhatOthersRead() {
    Names kept;
    auto keep = [&](const Names &reads, std::optional<size_t> group) {
      for (StringAttr name : reads)
        if (makers.lookup(name) != group)
          kept.insert(name);
    };
    for (auto [number, group] : llvm::enumerate(result.groups)) {
      for (PairsOp pairs : group.pairs) {
        keep(readsOf(pairs), number);
        for (auto own : pairs.getOuts().getAsRange<PairResultAttr>())
          if (own.getKind() == PairKind::Places)
            kept.insert(own.getProduced().getAttr());
      }
      for (StringAttr name : group.once) {
        kept.insert(name);
        keep(readsOf(chunk::lookup(mixer, name)), number);
      }
      for (auto [output, op] : group.outputs)
        keep(readsOf(op.getSourceAttr().getAttr()), number);
    }
    for (const CarryComponent &component : carryComponents(mixer))
      if (component.kind == CarryComponent::Rows)
        keep(readsOf(component.of.getAttr()), std::nullopt);
    for (StringAttr name : kept)
      result.kept.push_back(keptValueOf(mixer, name, makers.lookup(name)));
  }
};

} // namespace

const KeptValue *PairGroups::find(StringAttr name) const {
  auto found = llvm::find_if(kept, [&](const KeptValue &own) { return own.name == name; });
  return found == kept.end() ? nullptr : &*found;
}

bool PairGroups::isMadeOnce(StringAttr name) const {
  return llvm::any_of(groups,
                      [&](const PairGroup &group) { return llvm::is_contained(group.once, name); });
}

bool PairGroups::isStoredEarly(StringAttr name) const {
  return isMadeOnce(name) || llvm::any_of(groups, [&](const PairGroup &group) {
           return llvm::any_of(group.pairs, [&](PairsOp pairs) {
             return llvm::any_of(
                 pairs.getOuts().getAsRange<PairResultAttr>(), [&](PairResultAttr own) {
                   return own.getKind() == PairKind::Places && own.getProduced().getAttr() == name;
                 });
           });
         });
}

FailureOr<PairGroups> groupPairs(MixerOp mixer, const Names &divided) {
  return Grouping(mixer, divided).run();
}

} // namespace seqmix::gpu
