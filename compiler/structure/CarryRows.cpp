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
    // The signal's earlier positions are not carried.
    if (!formed.getOps<ConvolutionOp>().empty())
      return fmt::format("its convolution over '{}' takes all positions in one call",
                         name(token.getAttr()));
    for (auto pairs : formed.getOps<PairsOp>()) {
      if (pairs.getOverAttr() != token)
        continue;
      if (pairs.getRowDim() != token)
        return fmt::format("it reduces over all positions of '{}'", name(token.getAttr()));
      if (!isCausal(pairs))
        return fmt::format("its reductions over '{}' look at later positions",
                           name(token.getAttr()));
      auto back = farthestBack(pairs);
      ring = back ? *back + 1 : 0;
      for (Region &part : pairs.getParts()) {
        auto result = part.walk([&](ReadOp read) { return findRead(pairs, part.front(), read); });
        if (result.wasInterrupted())
          return reason;
      }
    }
    return {};
  }

  void record() {
    SmallVector<DefineOp> added;
    for (auto &[symbol, length] : rows)
      collectAdded(symbol, added);
    if (!added.empty())
      useDefinitions(added);
    for (auto &[symbol, length] : rows)
      seq::recordCarryRows(mixer, symbol, length);
  }

private:
  MixerOp mixer, formed;
  FlatSymbolRefAttr token;
  llvm::MapVector<StringAttr, int64_t> rows; // and how many of them; 0: all
  int64_t ring = 0;
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
    auto [entry, isNew] = rows.insert({symbol, ring});
    entry->second = isNew || (entry->second && ring) ? std::max(entry->second, ring) : 0;
    return WalkResult::advance();
  }

  WalkResult refuse(std::string why) {
    reason = std::move(why);
    return WalkResult::interrupt();
  }

  bool isRuntime(Attribute dim) {
    auto op = cast<DimOp>(SymbolTable::lookupSymbolIn(formed, cast<FlatSymbolRefAttr>(dim)));
    return op.getKind() == DimKind::Runtime;
  }

  bool readsProduced(Operation *source) {
    llvm::DenseSet<Operation *> seen;
    auto reads = [&](auto &self, Operation *op) -> bool {
      if (isa<ProducedOp>(op))
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
    return reads(reads, source);
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

  /// A read of the equation when the node is its body with other variables.
  static Expr matched(ExprContext &context, const Equation &equation, Expr node) {
    SmallVector<Var> vars;
    for (Var own : equation.left) {
      auto other = llvm::find_if(node->freeVars(), [&](Var var) {
        return var->dim == own->dim && !llvm::is_contained(vars, var);
      });
      if (other == node->freeVars().end())
        return node;
      vars.push_back(*other);
    }
    Substitution map;
    SmallVector<Expr> subscripts;
    for (auto [own, var] : llvm::zip_equal(equation.left, vars)) {
      map[own] = context.index(var);
      subscripts.push_back(context.index(var));
    }
    if (vars.size() != node->freeVars().size() || context.substitute(equation.body, map) != node)
      return node;
    return context.read(equation.name, subscripts, node->type());
  }
};

} // namespace

void recordCarryRows(MixerOp mixer) {
  if (!reducesOverTokens(mixer))
    return;
  // The form that the structure stage will give it, with nothing said about what it cannot do.
  OwningOpRef<ModuleOp> copy = ModuleOp::create(mixer.getLoc());
  copy->getBody()->push_back(mixer->clone());
  ScopedDiagnosticHandler silent(mixer.getContext(), [](Diagnostic &) { return success(); });
  PassManager passes(mixer.getContext());
  passes.addPass(createUnrollWindows());
  passes.addPass(createFormPairs());
  std::string reason = "its equations reduce over all positions";
  if (succeeded(passes.run(*copy))) {
    RowFinder finder(mixer, *copy->getOps<MixerOp>().begin());
    reason = finder.find();
    if (reason.empty() && !mixer.getNoStep())
      return finder.record();
  }
  if (!mixer.getNoStep())
    mixer.setNoStep(reason);
}

} // namespace seqmix
