//===- PairTerms.cpp - reductions over positions as requests --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/PairTerms.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {

namespace {
constexpr double kInf = std::numeric_limits<double>::infinity();

bool isZeroOutside(Expr e) { return e->is(ExprKind::Select) && e->operand(2)->isReal(0); }

/// Whether a sum should be multiplied out: a term of it has a domain or an exponential of its own.
bool hasOwnTerms(Expr e) {
  if (isZeroOutside(e) || e->isUnary(UnaryFn::Exp))
    return true;
  bool isArithmetic = e->isBinary(BinaryFn::Add) || e->isBinary(BinaryFn::Sub) ||
                      e->isBinary(BinaryFn::Mul) || e->isBinary(BinaryFn::Div) ||
                      e->isUnary(UnaryFn::Neg);
  return isArithmetic && llvm::any_of(e->operands(), hasOwnTerms);
}
} // namespace

PairTerms::PairTerms(Model &model) : model(model), context(model.exprs()) {
  // What has a definition already needs no other one.
  for (auto &[name, equation] : model.definitions()) {
    bool isPlain = !equation.left.empty() && !equation.domain && isRuntime(equation.left[0]) &&
                   llvm::none_of(ArrayRef(equation.left).drop_front(),
                                 [&](Var var) { return isRuntime(var); });
    if (isPlain)
      definitions.insert({{canonicalBody(equation.body, equation.left), 0u}, name});
  }
}

Expr PairTerms::canonicalBody(Expr e, ArrayRef<Var> vars) {
  Substitution toCanonical;
  llvm::DenseMap<StringAttr, unsigned> ordinals;
  for (Var var : vars) {
    unsigned ordinal = isRuntime(var) ? 0 : 2 + ordinals[var->dim]++;
    toCanonical[var] =
        context.index(canonical(var->dim, ordinal, var->name ? var->name.getValue() : "i"));
  }
  return context.substitute(e, toCanonical);
}

Expr PairTerms::refuse(const llvm::Twine &what) {
  if (!failed)
    emitError(*loc) << "not lowered yet: " << what;
  failed = true;
  return context.real(0);
}

Var PairTerms::canonical(StringAttr dim, unsigned ordinal, StringRef name) {
  Var &var = canonicalVars[{dim.getAsOpaquePointer(), ordinal}];
  if (!var)
    var = context.freshVar(dim, context.attr(name));
  return var;
}

Expr PairTerms::lower(Expr e, StringAttr name, Location location) {
  owner = name;
  loc = location;
  failed = false;
  Expr result = lower(e);
  return failed ? nullptr : result;
}

Expr PairTerms::lower(Expr e) {
  if (e->is(ExprKind::Reduce))
    return lowerReduce(e);
  if (e->is(ExprKind::Map)) {
    OpenedExpr o = context.open(e);
    o.body = lower(o.body);
    o.at = lower(o.at);
    if (o.domain)
      o.domain = lower(o.domain);
    if (!isRuntime(o.vars[0]))
      return context.map(e->mapKind(), o.vars[0], o.at, o.body, o.domain, e->count());
    if (e->mapKind() == MapKind::Softmax)
      return softmax(o);
    return refuse(std::string(stringifyMapKind(e->mapKind())) + " over all positions");
  }
  SmallVector<Expr> operands;
  for (Expr operand : e->operands())
    operands.push_back(lower(operand));
  return llvm::equal(operands, e->operands()) ? e : context.withOperands(e, operands);
}

Expr PairTerms::lowerReduce(Expr e) {
  OpenedExpr o = context.open(e);
  SmallVector<Var> fixed;
  Var over = nullptr;
  for (Var var : o.vars) {
    if (!isRuntime(var))
      fixed.push_back(var);
    else if (over)
      return refuse("a reduction over two positions at once");
    else
      over = var;
  }
  Expr body = lower(o.body), domain = o.domain ? lower(o.domain) : nullptr;
  if (!over)
    return context.reduce(e->reduceKind(), o.vars, body, domain);
  if (!fixed.empty()) {
    if (domain && llvm::any_of(fixed, [&](Var var) { return domain->dependsOn(var); }))
      return refuse("a domain over positions and other indices of one reduction");
    body = context.reduce(e->reduceKind(), fixed, body);
  }
  switch (e->reduceKind()) {
  case ReduceKind::Sum:
    return sum(over, body, domain);
  case ReduceKind::LogSumExp:
    return logSumExp(over, body, domain);
  case ReduceKind::Max:
    return extremum(PairKind::Max, over, body, domain);
  case ReduceKind::Min:
    return extremum(PairKind::Min, over, body, domain);
  case ReduceKind::Prod:
    return extremum(PairKind::Prod, over, body, domain);
  }
  llvm_unreachable("all kinds are covered");
}

//===----------------------------------------------------------------------===//
// Requests
//===----------------------------------------------------------------------===//

Expr PairTerms::conjunction(Expr a, Expr b) {
  SmallVector<Expr> parts;
  auto collect = [&](auto &self, Expr e) -> void {
    if (!e)
      return;
    if (e->isBinary(BinaryFn::And)) {
      self(self, e->operand(0));
      self(self, e->operand(1));
    } else if (!llvm::is_contained(parts, e)) {
      parts.push_back(e);
    }
  };
  collect(collect, a);
  collect(collect, b);
  llvm::sort(parts, [](Expr x, Expr y) { return ExprContext::compareStructure(x, y) < 0; });
  Expr result = nullptr;
  for (Expr part : parts)
    result = result ? context.binary(BinaryFn::And, result, part) : part;
  return result;
}

Expr PairTerms::ordered(Expr e) {
  SmallVector<Product> terms = context.summands(e, [](Expr) { return false; });
  return context.sumOf(terms);
}

FailureOr<Var> PairTerms::rowOf(ArrayRef<Expr> parts, Var over) {
  Var row = nullptr;
  for (Expr part : parts)
    if (part)
      for (Var var : part->freeVars())
        if (var != over && isRuntime(var)) {
          if (row && row != var)
            return failure();
          row = var;
        }
  return row;
}

bool PairTerms::isElement(Expr e, Var row, Var over) {
  if (!e->is(ExprKind::Read) || model.state(e->symbol()))
    return false;
  if (!model.variesOverTokens(e->symbol()))
    return true;
  Expr position = e->operand(0);
  return position->is(ExprKind::Index) && (position->var() == row || position->var() == over);
}

Expr PairTerms::named(Expr e, StringRef what, Var position) {
  SmallVector<Var> vars;
  if (position && !e->dependsOn(position))
    vars.push_back(position);
  for (bool runtime : {true, false})
    llvm::copy_if(e->freeVars(), std::back_inserter(vars),
                  [&](Var var) { return isRuntime(var) == runtime; });
  SmallVector<Expr> subscripts;
  for (Var var : vars)
    subscripts.push_back(context.index(var));
  unsigned isConstant = position && !e->dependsOn(position);
  StringAttr &name = definitions[{canonicalBody(e, vars), isConstant}];
  if (!name) {
    Equation equation{model.freshName(owner.getValue() + "." + what), {}, nullptr, nullptr, *loc};
    Substitution own;
    for (Var var : vars) {
      equation.left.push_back(context.freshVar(var->dim, var->name));
      own[var] = context.index(equation.left.back());
    }
    equation.body = context.substitute(e, own);
    name = equation.name;
    model.addDefinition(std::move(equation));
  }
  return context.read(name, subscripts, e->type());
}

Expr PairTerms::within(Expr e, Expr domain) {
  llvm::DenseSet<Expr> granted;
  auto collect = [&](auto &self, Expr part) -> void {
    if (part->isBinary(BinaryFn::And)) {
      self(self, part->operand(0));
      self(self, part->operand(1));
    }
    granted.insert(part);
  };
  if (domain)
    collect(collect, domain);
  auto holds = [&](auto &self, Expr condition) -> bool {
    return granted.contains(condition) ||
           (condition->isBinary(BinaryFn::And) && self(self, condition->operand(0)) &&
            self(self, condition->operand(1)));
  };
  return context.rewrite(e, [&](Expr node) {
    return node->is(ExprKind::Select) && holds(holds, node->operand(0)) ? node->operand(1) : node;
  });
}

Expr PairTerms::separate(Expr e, Var row, Var over) {
  if (e->operands().empty())
    return e;
  bool onRow = row && e->dependsOn(row), onOver = e->dependsOn(over);
  // What a score shares among all its pairs is made once for each position.
  bool isShared = onRow != onOver && e->type() == ValueType::Real && !isElement(e, row, over);
  bool isCheap = e->is(ExprKind::ToReal) ||
                 (e->is(ExprKind::Unary) && e->unaryFn() == UnaryFn::Neg) ||
                 (!onOver && e->is(ExprKind::Binary) && e->binaryFn() != BinaryFn::Pow &&
                  e->operand(0)->operands().empty());
  if (isShared && !isCheap)
    return named(e, onRow ? "row" : "col");
  if (e->is(ExprKind::Read)) {
    if (isElement(e, row, over) || !model.variesOverTokens(e->symbol()))
      return e;
    auto tensor = dyn_cast_or_null<TensorOp>(model.lookup(e->symbol()));
    if (e->type() == ValueType::Real && tensor && tensor.getRole() == Role::Param)
      return e; // its rows are all there
    if (onRow != onOver && e->type() != ValueType::Real)
      return named(e, onRow ? "row" : "col");
    return refuse(fmt::format("'{}' read at a position made of both of a pair",
                              std::string_view(e->symbol().getValue())));
  }
  if (e->is(ExprKind::Reduce)) {
    OpenedExpr o = context.open(e);
    Expr body = separate(o.body, row, over);
    return body == o.body ? e : context.reduce(e->reduceKind(), o.vars, body, o.domain);
  }
  if (e->is(ExprKind::Map))
    return refuse("a map for every pair of positions");
  SmallVector<Expr> operands;
  for (Expr operand : e->operands())
    operands.push_back(separate(operand, row, over));
  return llvm::equal(operands, e->operands()) ? e : context.withOperands(e, operands);
}

Expr PairTerms::add(PairRequest request, Var row, Var over, bool mustExist) {
  if (!row)
    return refuse("a reduction over all positions for no token");
  for (Expr *part : {&request.score, &request.weight, &request.value})
    if (*part)
      *part = within(*part, request.domain);
  Substitution toCanonical;
  toCanonical[over] = context.index(overVar(over->dim));
  if (row)
    toCanonical[row] = context.index(rowVar(row->dim));
  request.rowDim = row ? row->dim : StringAttr();
  request.overDim = over->dim;
  SmallVector<Expr> subscripts;
  if (row)
    subscripts.push_back(context.index(row));
  llvm::DenseMap<StringAttr, unsigned> ordinals;
  if (request.value) {
    for (Var var : request.value->freeVars()) {
      if (var == row || var == over)
        continue;
      Var feature =
          canonical(var->dim, 2 + ordinals[var->dim]++, var->name ? var->name.getValue() : "i");
      toCanonical[var] = context.index(feature);
      request.features.push_back(feature);
      subscripts.push_back(context.index(var));
    }
  }
  for (Expr *part : {&request.score, &request.domain, &request.weight, &request.value})
    if (*part) {
      *part = separate(*part, row, over);
      *part = context.substitute(*part, toCanonical);
      for (Var var : (*part)->freeVars())
        if (var != overVar(over->dim) && !(row && var == rowVar(row->dim)) &&
            !llvm::is_contained(request.features, var))
          return refuse("a score or domain that varies over more than two positions");
    }
  auto same = llvm::find_if(all, [&](const PairRequest &other) {
    return other.rowDim == request.rowDim && other.overDim == request.overDim &&
           other.kind == request.kind && other.score == request.score &&
           other.domain == request.domain && other.weight == request.weight &&
           other.value == request.value && other.features == request.features;
  });
  if (same == all.end()) {
    if (mustExist)
      return nullptr;
    declare(request);
    all.push_back(std::move(request));
    same = std::prev(all.end());
  }
  return context.read(same->name, subscripts);
}

void PairTerms::declare(PairRequest &request) {
  StringRef what = request.kind == PairKind::Sum        ? ".sum"
                   : request.kind == PairKind::ScoreMax ? ".max"
                                                        : ".reduced";
  request.name = model.freshName(owner.getValue() + what);
  SmallVector<Attribute> dims;
  if (request.rowDim)
    dims.push_back(FlatSymbolRefAttr::get(request.rowDim));
  for (Var feature : request.features)
    dims.push_back(FlatSymbolRefAttr::get(feature->dim));
  OpBuilder builder(context.mlirContext());
  Block &block = model.mixer().getBody().front();
  auto equation = llvm::find_if(
      block, [](Operation &op) { return !isa<DimOp, TensorOp, StateOp, ProducedOp>(op); });
  builder.setInsertionPoint(&block, equation);
  model.declare(ProducedOp::create(builder, *loc, request.name, builder.getArrayAttr(dims)));
}

Expr PairTerms::extremum(PairKind kind, Var over, Expr body, Expr domain) {
  auto row = rowOf({body, domain}, over);
  if (llvm::failed(row))
    return refuse("a reduction over positions for every pair of positions");
  bool hasFeatures = llvm::any_of(body->freeVars(), [&](Var v) { return v != over && v != *row; });
  PairRequest request{{},      {},      {}, kind, nullptr, conjunction(domain, nullptr),
                      nullptr, nullptr, {}, *loc};
  if (kind == PairKind::Max && !hasFeatures) {
    request.kind = PairKind::ScoreMax;
    request.score = ordered(body);
  } else {
    request.value = body;
  }
  return add(std::move(request), *row, over);
}

//===----------------------------------------------------------------------===//
// Softmax and sums
//===----------------------------------------------------------------------===//

Expr PairTerms::softmax(const OpenedExpr &map) {
  Var over = map.vars[0];
  auto row = rowOf({map.body, map.domain}, over);
  if (llvm::failed(row))
    return refuse("a softmax over positions for every pair of positions");
  Expr domain = conjunction(map.domain, nullptr);
  Expr score = ordered(map.body);
  Expr max = extremum(PairKind::Max, over, score, domain);
  Expr total = sum(over, context.unary(UnaryFn::Exp, context.sub(score, max)), domain);
  Expr inverse = context.select(context.compare(Predicate::Gt, total, context.real(0)),
                                context.div(context.real(1), total), context.real(0));
  Substitution here{{over, map.at}};
  Expr weight = context.unary(UnaryFn::Exp, context.sub(context.substitute(score, here), max));
  if (domain)
    weight = context.select(context.substitute(domain, here), weight, context.real(0));
  return context.mul(weight, inverse);
}

Expr PairTerms::logSumExp(Var over, Expr body, Expr domain) {
  Expr score = ordered(body);
  Expr max = extremum(PairKind::Max, over, score, domain);
  Expr total = sum(over, context.unary(UnaryFn::Exp, context.sub(score, max)), domain);
  Expr isFinite =
      context.compare(Predicate::Lt, context.unary(UnaryFn::Abs, max), context.real(kInf));
  return context.select(isFinite, context.add(max, context.unary(UnaryFn::Log, total)), max);
}

Expr PairTerms::takeDomain(Expr factor, Expr &domain, Var over) {
  while (isZeroOutside(factor) && factor->operand(0)->dependsOn(over)) {
    domain = conjunction(domain, factor->operand(0));
    factor = factor->operand(1);
  }
  return factor;
}

Expr PairTerms::sum(Var over, Expr body, Expr domain) {
  if (body->type() != ValueType::Real)
    body = context.toReal(body);
  // Terms with an exponential or a domain of their own are sums of their own; everything else stays
  // together.
  SmallVector<Product> terms = expandPhases(over, context.summands(body, hasOwnTerms), domain);
  SmallVector<Product> plain;
  Expr result = nullptr;
  auto accumulate = [&](Expr e) { result = result ? context.add(result, e) : e; };
  for (const Product &term : terms) {
    if (Expr read = convolutionOf(over, term, domain))
      accumulate(read);
    else if (llvm::any_of(term.factors,
                          [&](Expr f) { return f->dependsOn(over) && hasOwnTerms(f); }))
      accumulate(sumOfProduct(over, term, domain));
    else
      plain.push_back(term);
  }
  if (plain.size() == 1)
    accumulate(sumOfProduct(over, plain[0], domain));
  else if (!plain.empty())
    accumulate(sumOfProduct(over, Product{1, {context.sumOf(plain)}}, domain));
  return result;
}

void PairTerms::separateFactors(Var over, const Product &term, Expr &domain, Product &outside,
                                Product &inside) {
  domain = conjunction(domain, nullptr);
  outside.coef = term.coef;
  SmallVector<Expr> work(term.factors);
  while (!work.empty()) {
    Expr factor = work.pop_back_val();
    if (!factor->dependsOn(over)) {
      outside.factors.push_back(factor);
      continue;
    }
    Expr inner = takeDomain(factor, domain, over);
    if (inner == factor) {
      inside.factors.push_back(factor);
      continue;
    }
    Product parts = context.factors(inner);
    outside.coef *= parts.coef;
    work.append(parts.factors);
  }
  llvm::sort(inside.factors,
             [](Expr a, Expr b) { return ExprContext::compareStructure(a, b) < 0; });
}

Expr PairTerms::convolutionOf(Var over, const Product &term, Expr domain) {
  Product outside, inside;
  separateFactors(over, term, domain, outside, inside);
  SmallVector<Expr> parts(inside.factors);
  parts.push_back(domain);
  auto row = rowOf(parts, over);
  Expr read = llvm::failed(row) ? nullptr : convolution(over, *row, inside.factors, domain);
  if (!read)
    return nullptr;
  outside.factors.push_back(read);
  return context.product(outside);
}

Expr PairTerms::sumOfProduct(Var over, const Product &term, Expr domain) {
  Product outside, inside;
  separateFactors(over, term, domain, outside, inside);
  SmallVector<Expr> parts(inside.factors);
  parts.push_back(domain);
  auto row = rowOf(parts, over);
  if (llvm::failed(row))
    return refuse("a sum over positions for every pair of positions");

  // exp(a - g) with g free of s, where the maximum of a is known: the sum is one of exp(a - max).
  PairRequest request{{}, {}, {}, PairKind::Sum, nullptr, domain, nullptr, nullptr, {}, *loc};
  Expr rescale = nullptr;
  for (auto *it = inside.factors.begin(); it != inside.factors.end(); ++it) {
    if (!(*it)->isUnary(UnaryFn::Exp))
      continue;
    SmallVector<Product> own, rest;
    for (const Product &summand : context.summands((*it)->operand(0), [](Expr) { return false; }))
      (llvm::any_of(summand.factors, [&](Expr f) { return f->dependsOn(over); }) ? own : rest)
          .push_back(summand);
    Expr score = ordered(context.sumOf(own));
    PairRequest wanted{{}, {}, {}, PairKind::ScoreMax, score, domain, nullptr, nullptr, {}, *loc};
    Expr max = add(wanted, *row, over, /*mustExist=*/true);
    if (!max)
      continue; // nobody asked for this maximum, so nothing is shifted by it
    request.score = score;
    Expr shift = ordered(context.add(max, context.sumOf(rest)));
    if (!shift->isReal(0))
      rescale = context.select(context.compare(Predicate::Gt, max, context.real(-kInf)),
                               context.unary(UnaryFn::Exp, shift), context.real(0));
    inside.factors.erase(it);
    break;
  }

  Product weight, value;
  for (Expr factor : inside.factors) {
    bool hasFeatures =
        llvm::any_of(factor->freeVars(), [&](Var v) { return v != over && v != *row; });
    (hasFeatures ? value : weight).factors.push_back(factor);
  }
  if (!weight.factors.empty())
    request.weight = context.product(weight);
  if (!value.factors.empty())
    request.value = context.product(value);
  Expr read = add(std::move(request), *row, over);
  outside.factors.push_back(read);
  if (rescale)
    outside.factors.push_back(rescale);
  return context.product(outside);
}

} // namespace seqmix
