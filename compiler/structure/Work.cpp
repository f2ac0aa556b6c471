//===- Work.cpp - operations and bytes of a token -----------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Work.h"

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

Work workOf(Model &model, Expr e) {
  Work work;
  // Integers are subscripts and positions, which the compiler folds into addresses.
  if (e->type() == ValueType::Integer)
    return work;
  if (e->is(ExprKind::Reduce)) {
    double count = 1;
    for (Var var : e->boundVars())
      count *= model.size(var->dim);
    Work body = workOf(model, e->operand(0));
    work.operations = count * (body.operations + 1);
    work.functions = count * body.functions;
    return work;
  }
  llvm::DenseSet<Expr> seen;
  for (Expr operand : e->operands())
    if (seen.insert(operand).second)
      work += workOf(model, operand);
  bool isFree = e->operands().empty() || e->is(ExprKind::Read) || e->is(ExprKind::ToReal) ||
                e->isUnary(UnaryFn::Neg);
  if (!isFree)
    (isArithmetic(e) ? work.operations : work.functions) += 1;
  return work;
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
      double count = 1;
      for (Var var : equation.left)
        count *= model.isRuntime(var->dim) ? 1 : model.size(var->dim);
      Work one = workOf(model, equation.body);
      total.operations += count * one.operations;
      total.functions += count * one.functions;
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
