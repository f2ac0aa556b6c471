//===- Work.cpp - operations and bytes of a token -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Work.h"

#include "compiler/structure/PairDomain.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

Work &Work::operator+=(const Work &other) {
  operations += other.operations;
  functions += other.functions;
  bytesIn += other.bytesIn;
  bytesOut += other.bytesOut;
  moved += other.moved;
  return *this;
}

static bool isArithmetic(Expr e) {
  if (e->is(ExprKind::Binary))
    return e->binaryFn() != BinaryFn::Div && e->binaryFn() != BinaryFn::Pow &&
           e->binaryFn() != BinaryFn::LogAddExp;
  if (e->is(ExprKind::Unary))
    return e->unaryFn() == UnaryFn::Neg || e->unaryFn() == UnaryFn::Abs ||
           e->unaryFn() == UnaryFn::Relu || e->unaryFn() == UnaryFn::Not ||
           e->unaryFn() == UnaryFn::Sign;
  return true;
}

// Integers are subscripts and positions, which become addresses; a negation joins the operation
// around it.
static bool isFree(Expr e) {
  return e->type() == ValueType::Integer || e->operands().empty() || e->is(ExprKind::Read) ||
         e->is(ExprKind::ToReal) || e->isUnary(UnaryFn::Neg);
}

// For all elements of an equation and one token: each part for the indices that it depends on, a
// reduction for those of its body. Parts in `seen` are there already; what depends on no token is
// made once a call.
static Work workOf(Model &model, Expr body, llvm::DenseSet<Expr> &seen) {
  Work work;
  model.exprs().walk(body, [&](Expr e) {
    if (isFree(e) || !seen.insert(e).second)
      return;
    double count = 1;
    bool isPerToken = false;
    for (Var var : e->is(ExprKind::Reduce) ? e->operand(0)->freeVars() : e->freeVars())
      if (model.isRuntime(var->dim))
        isPerToken = true;
      else
        count *= model.size(var->dim);
    if (isPerToken)
      (isArithmetic(e) ? work.operations : work.functions) += count;
  });
  return work;
}

Work workOf(Model &model, PairsOp op) {
  Work work;
  for (unsigned part = 0; part < op.getParts().size(); ++part) {
    if (op.isFactoredForm(part))
      continue;
    llvm::DenseSet<Expr> alone;
    work += workOf(model, model.exprs().import(op, part).body, alone);
  }
  for (auto result : op.getOuts().getAsRange<PairResultAttr>()) {
    // A weight times a value, and the sum; each score is compared.
    double features = 1;
    ArrayAttr dims = model.dimsOf(result.getProduced().getAttr());
    for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
      if (!model.isRuntime(dim.getAttr()))
        features *= model.size(dim.getAttr());
    work.operations += features * (result.getWeight() >= 0 && result.getValue() >= 0 ? 2 : 1);
  }
  if (op.getScore()) {
    work.operations += 2;
    work.functions += 1;
  }
  return work;
}

double pairsOfRow(PairsOp op, double tokens) {
  if (!isCausal(op))
    return tokens;
  double window = tokens;
  if (auto back = farthestBack(op))
    window = std::min(tokens, static_cast<double>(*back + 1));
  // The first rows of a window have fewer.
  return tokens > 0 ? window - window * (window - 1) / (2 * tokens) : 0;
}

namespace {
/// The loop that makes each equation, if one does: what its members have in common it makes once.
class Loops {
public:
  explicit Loops(Model &model) : model(model) {
    for (auto group : model.mixer().getOps<RecurrenceOp>())
      for (auto member : group.getMembers().getAsRange<FlatSymbolRefAttr>())
        loopOf[member.getAttr()] = group;
  }

  Work workOf(const Equation &equation) {
    auto found = loopOf.find(equation.name);
    llvm::DenseSet<Expr> alone;
    if (found == loopOf.end())
      return seqmix::workOf(model, equation.body, alone);
    // Equal parts are one expression over the same variables.
    Substitution common;
    llvm::DenseMap<StringAttr, unsigned> count;
    for (Var var : equation.left) {
      Var &shared = vars[{var->dim, count[var->dim]++}];
      shared = shared ? shared : var;
      common[var] = model.exprs().index(shared);
    }
    return seqmix::workOf(model, model.exprs().substitute(equation.body, common),
                          seen[found->second]);
  }

private:
  Model &model;
  llvm::DenseMap<StringAttr, Operation *> loopOf;
  llvm::DenseMap<Operation *, llvm::DenseSet<Expr>> seen;
  llvm::DenseMap<std::pair<StringAttr, unsigned>, Var> vars;
};
} // namespace

static double bytesOf(Type type) {
  return type.isInteger(1) ? 1 : type.getIntOrFloatBitWidth() / 8.0;
}

// What an equation or a canonical recurrence reads, or the caller gets as it is.
static llvm::DenseSet<StringAttr> readSymbols(Model &model) {
  llvm::DenseSet<StringAttr> names = model.outputs();
  for (auto &[name, equation] : model.definitions())
    for (StringAttr source : model.sources(equation.body))
      names.insert(source);
  for (auto &[name, equation] : model.nexts())
    for (StringAttr source : model.sources(equation.body))
      names.insert(source);
  for (Operation &op : model.mixer().getBody().front())
    names.insert_range(sourcesOf(&op));
  return names;
}

double timeOf(const Work &work) {
  // A function takes about eight operations' time. So does a stream of four bytes; what is written
  // is read before. Elements of states and their coefficients are loaded and stored.
  return work.operations + work.moved + 8 * work.functions + 2 * (work.bytesIn + 2 * work.bytesOut);
}

Work workOf(Model &model) {
  Work total;
  auto elements = [&](ArrayAttr dims) {
    double count = 1;
    for (auto dim : dims.getAsRange<FlatSymbolRefAttr>())
      if (!model.isRuntime(dim.getAttr()))
        count *= model.size(dim.getAttr());
    return count;
  };
  Loops loops(model);
  auto addEquations = [&](Model::Equations &equations) {
    for (auto &[name, equation] : equations) {
      // What has no token dim is made once.
      if (!model.tokenOf(equation))
        continue;
      total += loops.workOf(equation);
    }
  };
  addEquations(model.definitions());
  addEquations(model.nexts());
  for (auto &[name, equation] : model.nexts())
    total.moved += elements(model.state(name).getDims());
  for (auto affine : model.mixer().getOps<AffineOp>()) {
    double size = elements(model.state(affine.getStateAttr().getAttr()).getDims());
    // Of a state of several components: over all of these.
    double ofInner = size / static_cast<double>(affine.innerSize()), passes = 0;
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
      passes += 2.0 * update.getLefts().size();
    for (auto read : affine.getReads().getAsRange<RowReadAttr>())
      passes += 2.0 * read.getRow().size();
    passes += affine.getRowDecayAttr() ? 1 : 0;
    if (ArrayAttr coupling = affine.getCouplingAttr()) { // the first product is added to nothing
      llvm::SmallDenseSet<int64_t> to;
      for (auto entry : coupling.getAsRange<CouplingAttr>())
        to.insert(entry.getTo());
      passes += 2.0 * coupling.size() - to.size();
    }
    passes += affine.getColDecayAttr() ? affine.componentCount() : 0;
    total.operations += passes * ofInner;
  }
  llvm::DenseSet<StringAttr> isRead = readSymbols(model);
  for (auto tensor : model.mixer().getOps<TensorOp>())
    if (tensor.getRole() == Role::Input && model.variesOverTokens(tensor.getSymNameAttr()) &&
        isRead.contains(tensor.getSymNameAttr()))
      total.bytesIn += elements(tensor.getDims()) * bytesOf(tensor.getDtype());
  for (auto output : model.mixer().getOps<OutputOp>())
    total.bytesOut +=
        elements(model.dimsOf(output.getSourceAttr().getAttr())) * bytesOf(output.getDtype());
  return total;
}

} // namespace seqmix
