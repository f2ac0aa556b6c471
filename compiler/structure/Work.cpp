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

// For all elements of an equation: each part for the indices that it depends on, a reduction for
// those of its body.
static Work workOf(Model &model, Expr body) {
  Work work;
  model.exprs().walk(body, [&](Expr e) {
    if (isFree(e))
      return;
    double count = 1;
    for (Var var : e->is(ExprKind::Reduce) ? e->operand(0)->freeVars() : e->freeVars())
      if (!model.isRuntime(var->dim))
        count *= model.size(var->dim);
    (isArithmetic(e) ? work.operations : work.functions) += count;
  });
  return work;
}

Work workOf(Model &model, PairsOp op) {
  Work work;
  for (unsigned part = 0; part < op.getParts().size(); ++part)
    work += workOf(model, model.exprs().import(op, part).body);
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

static double bytesOf(Type type) {
  return type.isInteger(1) ? 1 : type.getIntOrFloatBitWidth() / 8.0;
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
  auto addEquations = [&](Model::Equations &equations) {
    for (auto &[name, equation] : equations) {
      // What has no token dim is made once.
      if (!model.tokenOf(equation))
        continue;
      total += workOf(model, equation.body);
    }
  };
  addEquations(model.definitions());
  addEquations(model.nexts());
  for (auto affine : model.mixer().getOps<AffineOp>()) {
    double size = elements(model.state(affine.getStateAttr().getAttr()).getDims());
    double passes = 2.0 * (affine.getReads().size() + affine.getUpdates().size());
    passes += (affine.getRowDecayAttr() ? 1 : 0) + (affine.getColDecayAttr() ? 1 : 0);
    total.operations += passes * size;
  }
  for (auto tensor : model.mixer().getOps<TensorOp>())
    if (tensor.getRole() == Role::Input && model.variesOverTokens(tensor.getSymNameAttr()))
      total.bytesIn += elements(tensor.getDims()) * bytesOf(tensor.getDtype());
  for (auto output : model.mixer().getOps<OutputOp>())
    total.bytesOut +=
        elements(model.dimsOf(output.getSourceAttr().getAttr())) * bytesOf(output.getDtype());
  return total;
}

} // namespace seqmix
