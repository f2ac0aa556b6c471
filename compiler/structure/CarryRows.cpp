//===- CarryRows.cpp - which rows pairs of positions need later -----------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/CarryRows.h"

#include "compiler/Passes.h"
#include "compiler/structure/Model.h"
#include "compiler/structure/PairDomain.h"
#include "dialect/Carry.h"
#include "dialect/Rows.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/MapVector.h"

#include <fmt/format.h>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

namespace {

class RowFinder {
public:
  RowFinder(MixerOp mixer, MixerOp formed)
      : mixer(mixer), formed(formed), token(tokenDimOf(mixer)) {}

  /// Why there can be no later call; empty when there can, and `rows` then holds what it needs.
  std::string find() {
    // Other forms of reading than pairs of positions, and definitions over lengths that grow with
    // the tokens: the conditions of the file's equations tell whether only earlier positions are
    // read.
    if (readsFarTokens(formed) || llvm::any_of(formed.getOps<PairsOp>(), [&](PairsOp pairs) {
          return pairs.getOverAttr() == token && pairs.getRowDim() != token;
        })) {
      findFarReads();
      if (!reason.empty())
        return reason;
    }
    for (auto convolution : formed.getOps<ConvolutionOp>())
      if (!findSignal(convolution))
        return reason;
    for (auto pairs : formed.getOps<PairsOp>()) {
      if (pairs.getOverAttr() != token)
        continue;
      ring = 0;
      if (pairs.getRowDim() == token) {
        if (!isCausal(pairs))
          return fmt::format("its reductions over '{}' look at later positions",
                             name(token.getAttr()));
        auto back = farthestBack(pairs);
        ring = back ? *back + 1 : 0;
      }
      for (Region &part : pairs.getParts()) {
        auto result = part.walk([&](ReadOp read) { return findRead(pairs, part.front(), read); });
        if (result.wasInterrupted())
          return reason;
      }
    }
    // What the equations as written read has to be among what the compiler's form of them keeps.
    for (const RowReads::Source &each : written)
      if (auto symbol = SymbolTable::getSymbolName(each.of); !rows.contains(symbol))
        return fmt::format("'{}' is read at earlier positions in more than one way", name(symbol));
    return {};
  }

  /// Notes the rows on the mixer; why that cannot be, when it cannot.
  std::string record() {
    SmallVector<DefineOp> added;
    for (auto &[symbol, length] : rows)
      collectAdded(symbol, added);
    if (!added.empty())
      useDefinitions(added);
    for (auto &[symbol, length] : rows)
      if (!SymbolTable::lookupSymbolIn(mixer, symbol))
        return fmt::format("what its reductions over '{}' read is not written as one expression",
                           name(token.getAttr()));
    for (auto &[symbol, length] : rows)
      seq::recordCarryRows(mixer, symbol, length);
    return {};
  }

private:
  /// Rows that are read one by one, of all tokens: `k[at[t,n],i]`.
  void findFarReads() {
    for (auto tensor : formed.getOps<TensorOp>())
      if (llvm::any_of(tensor.getDims(), [&](Attribute dim) { return growsWithTokens(dim); })) {
        reason = fmt::format("'{}' is over a length that grows with the tokens",
                             name(tensor.getSymNameAttr()));
        return;
      }
    RowReads reads = findRowReads(mixer);
    if (!reads.later.empty()) {
      reason = reads.later;
      return;
    }
    formed.walk([&](ReadOp read) {
      if (!isFarRead(formed, read))
        return WalkResult::advance();
      auto symbol = read.getSourceAttr().getAttr();
      Operation *source = SymbolTable::lookupSymbolIn(formed, symbol);
      if (!isPerToken(formed, token, source->getAttrOfType<ArrayAttr>("dims")))
        return refuse(fmt::format("'{}' has a value for each pair of positions", name(symbol)));
      if (isa<ProducedOp>(source) || readsProduced(source))
        return refuse(fmt::format("'{}' is made of other reductions over positions", name(symbol)));
      rows[symbol] = 0;
      return WalkResult::advance();
    });
    written = std::move(reads.sources);
  }

  MixerOp mixer, formed;
  FlatSymbolRefAttr token;
  llvm::MapVector<StringAttr, int64_t> rows; // and how many of them; 0: all
  int64_t ring = 0;
  SmallVector<RowReads::Source> written;
  std::string reason;

  static std::string_view name(StringAttr symbol) { return symbol.getValue(); }

  WalkResult findRead(PairsOp pairs, Block &part, ReadOp read) {
    auto symbol = read.getSourceAttr().getAttr();
    Operation *source = SymbolTable::lookupSymbolIn(formed, symbol);
    auto tensor = dyn_cast<TensorOp>(source);
    ArrayAttr dims = tensor                    ? tensor.getDims()
                     : isa<ProducedOp>(source) ? cast<ProducedOp>(source).getDims()
                     : isa<DefineOp>(source)   ? cast<DefineOp>(source).getDims()
                                               : ArrayAttr();
    if (!dims || dims.empty() || dims[0] != token || (tensor && tensor.getRole() == Role::Param))
      return WalkResult::advance();
    auto position = dyn_cast<AffineDimExpr>(read.getMap().getResult(0));
    Value at = position ? read.getOperands()[position.getPosition()] : Value();
    bool isPlain =
        llvm::none_of(dims.getValue().drop_front(), [&](Attribute dim) { return isRuntime(dim); });
    if (at && at == pairs.rowOf(&part) && isPlain)
      return WalkResult::advance();
    if (!at || at != pairs.columnOf(&part) || !isPlain)
      return refuse(fmt::format("'{}' is read for pairs of positions that later calls do not have",
                                name(symbol)));
    if (isa<ProducedOp>(source) || readsProduced(source))
      return refuse(fmt::format("'{}' is made of other reductions over positions", name(symbol)));
    keepRows(symbol, ring);
    return WalkResult::advance();
  }

  /// The rows of the signal are needed later, and those of the weights.
  bool findSignal(ConvolutionOp convolution) {
    auto produced = cast<ProducedOp>(
        SymbolTable::lookupSymbolIn(formed, convolution.getProducedAttr().getAttr()));
    if (produced.getDims()[0] != token)
      return true;
    if (convolution.getAhead()) {
      reason =
          fmt::format("its convolution over '{}' looks at later positions", name(token.getAttr()));
      return false;
    }
    auto isParam = [&](Operation *source) {
      auto tensor = dyn_cast<TensorOp>(source);
      return tensor && tensor.getRole() == Role::Param;
    };
    auto signal = convolution.getSignal().getSymbol().getAttr();
    auto filter = convolution.getPast()->getSymbol().getAttr();
    for (StringAttr symbol : {signal, filter}) {
      Operation *source = SymbolTable::lookupSymbolIn(formed, symbol);
      if (isParam(source) && symbol == signal)
        reason = fmt::format("'{}' is read at positions before those of a call", name(symbol));
      else if (isa<ProducedOp>(source) || readsProduced(source))
        reason = fmt::format("'{}' is made of other reductions over positions", name(symbol));
    }
    if (!reason.empty())
      return false;
    // A param has all its rows in every call; a definition's are kept, so that no token makes them
    // again.
    Operation *weights = SymbolTable::lookupSymbolIn(formed, filter);
    if (!isParam(weights))
      keepRows(filter, 0);
    keepRows(signal, convolution.getLast() ? *convolution.getLast() + 1 : 0);
    return true;
  }

  void keepRows(StringAttr symbol, int64_t length) {
    auto [entry, isNew] = rows.insert({symbol, length});
    entry->second = isNew || (entry->second && length) ? std::max(entry->second, length) : 0;
  }

  WalkResult refuse(std::string why) {
    reason = std::move(why);
    return WalkResult::interrupt();
  }

  bool growsWithTokens(Attribute dim) {
    auto op = cast<DimOp>(SymbolTable::lookupSymbolIn(formed, cast<FlatSymbolRefAttr>(dim)));
    return op.getOf() && llvm::is_contained(*op.getOf(), token);
  }

  bool isRuntime(Attribute dim) {
    auto op = cast<DimOp>(SymbolTable::lookupSymbolIn(formed, cast<FlatSymbolRefAttr>(dim)));
    return op.getKind() == DimKind::Runtime;
  }

  /// Whether a definition depends on what fulfils `isWanted`.
  bool dependsOn(Operation *source, function_ref<bool(Operation *)> isWanted) {
    llvm::DenseSet<Operation *> seen;
    auto depends = [&](auto &self, Operation *op) -> bool {
      if (isWanted(op))
        return true;
      if (!isa<DefineOp>(op) || !seen.insert(op).second)
        return false;
      return op
          ->walk([&](ReadOp read) {
            return self(self, SymbolTable::lookupSymbolIn(formed, read.getSourceAttr()))
                       ? WalkResult::interrupt()
                       : WalkResult::advance();
          })
          .wasInterrupted();
    };
    return depends(depends, source);
  }

  bool readsProduced(Operation *source) {
    return dependsOn(source, [](Operation *op) { return isa<ProducedOp>(op); });
  }

  /// Definitions that only the reductions' form has, each after those that it reads.
  void collectAdded(StringAttr symbol, SmallVectorImpl<DefineOp> &added) {
    if (SymbolTable::lookupSymbolIn(mixer, symbol))
      return;
    auto define = cast<DefineOp>(SymbolTable::lookupSymbolIn(formed, symbol));
    if (llvm::is_contained(added, define))
      return;
    define.walk([&](ReadOp read) { collectAdded(read.getSourceAttr().getAttr(), added); });
    added.push_back(define);
  }

  /// Adds them to the mixer and reads them wherever an equation has what they define, so that later
  /// calls find the rows of these definitions and not of what they are made of.
  void useDefinitions(ArrayRef<DefineOp> added) {
    Model model(mixer);
    ExprContext &context = model.exprs();
    for (DefineOp define : added) {
      Equation equation = context.import(define);
      auto use = [&](Equation &other) {
        auto replace = [&](Expr e) {
          return context.rewrite(e, [&](Expr node) { return matched(context, equation, node); });
        };
        other.body = replace(other.body);
        if (other.domain)
          other.domain = replace(other.domain);
      };
      for (auto &[name, other] : model.definitions())
        use(other);
      for (auto &[name, other] : model.nexts())
        use(other);
      model.addDefinition(std::move(equation));
    }
    model.write();
  }

  /// What an index of a dim may stand for in a node: its variables, and distances of two of them.
  static SmallVector<Expr> candidates(ExprContext &context, Expr node, StringAttr dim) {
    SmallVector<Expr> all, distances;
    for (Var var : node->freeVars())
      if (var->dim == dim)
        all.push_back(context.index(var));
    for (Expr a : all)
      for (Expr b : all)
        if (a != b)
          distances.push_back(context.sub(a, b));
    llvm::append_range(all, distances);
    return all;
  }

  static void collectFactors(Expr e, SmallVectorImpl<Expr> &factors) {
    if (!e->isBinary(BinaryFn::Mul))
      return factors.push_back(e);
    for (Expr operand : e->operands())
      collectFactors(operand, factors);
  }

  /// With a read of the equation when the node is its body with other variables, or a product whose
  /// factors include those of the body; else the node.
  static Expr matched(ExprContext &context, const Equation &equation, Expr node) {
    SmallVector<Expr> own, factors;
    collectFactors(equation.body, own);
    collectFactors(node, factors);
    if (factors.size() < own.size())
      return node;
    Substitution map;
    SmallVector<Expr> subscripts;
    auto replaced = [&]() -> Expr {
      SmallVector<Expr> rest(factors);
      for (Expr factor : own) {
        auto found = llvm::find(rest, context.substitute(factor, map));
        if (found == rest.end())
          return nullptr;
        rest.erase(found);
      }
      Expr result = context.read(equation.name, subscripts, equation.body->type());
      for (Expr factor : rest)
        result = context.mul(result, factor);
      return result;
    };
    auto assign = [&](auto &self) -> Expr {
      if (subscripts.size() == equation.left.size())
        return replaced();
      Var left = equation.left[subscripts.size()];
      for (Expr index : candidates(context, node, left->dim)) {
        if (llvm::is_contained(subscripts, index))
          continue;
        map[left] = index;
        subscripts.push_back(index);
        if (Expr result = self(self))
          return result;
        subscripts.pop_back();
      }
      return nullptr;
    };
    Expr result = assign(assign);
    return result ? result : node;
  }
};

} // namespace

void recordCarryRows(MixerOp mixer) {
  if (!reducesOverTokens(mixer) && !readsFarTokens(mixer))
    return;
  // The form that the structure stage will give it, with nothing said about what it cannot do.
  OwningOpRef<ModuleOp> copy = ModuleOp::create(mixer.getLoc());
  copy->getBody()->push_back(mixer->clone());
  ScopedDiagnosticHandler silent(mixer.getContext(), [](Diagnostic &) { return success(); });
  PassManager passes(mixer.getContext());
  addPairPasses(passes);
  std::string reason = "its equations reduce over all positions";
  if (succeeded(passes.run(*copy))) {
    RowFinder finder(mixer, *copy->getOps<MixerOp>().begin());
    reason = finder.find();
    if (reason.empty() && !mixer.getNoStep())
      reason = finder.record();
  }
  if (!reason.empty() && !mixer.getNoStep())
    mixer.setNoStep(reason);
}

} // namespace seqmix
