//===- Unroll.cpp - reductions written out ------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/Unroll.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
namespace {

Expr combine(ExprContext &context, ReduceKind kind, Expr a, Expr b) {
  switch (kind) {
  case ReduceKind::Sum:
    return context.add(a, b);
  case ReduceKind::Prod:
    return context.mul(a, b);
  case ReduceKind::Max:
    return context.binary(BinaryFn::Max, a, b);
  case ReduceKind::Min:
    return context.binary(BinaryFn::Min, a, b);
  case ReduceKind::LogSumExp:
    return context.binary(BinaryFn::LogAddExp, a, b);
  }
  return a;
}

} // namespace

Expr unrollOver(Model &model, ReduceKind kind, const OpenedExpr &opened, Var var) {
  ExprContext &context = model.exprs();
  SmallVector<Var> rest;
  llvm::copy_if(opened.vars, std::back_inserter(rest), [&](Var other) { return other != var; });
  Expr result = nullptr;
  for (int64_t element = 0; element < model.size(var->dim); ++element) {
    Substitution at = {{var, context.integer(element)}};
    Expr body = context.substitute(opened.body, at);
    Expr domain = opened.domain ? context.substitute(opened.domain, at) : nullptr;
    Expr part = context.reduce(kind, rest, body, domain);
    result = result ? combine(context, kind, result, part) : part;
  }
  return result;
}

} // namespace seqmix
