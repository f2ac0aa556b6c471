//===- PairTerms.cpp - reductions over positions as requests --------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/structure/PairTerms.h"

#include "dialect/Carry.h"

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
    StringRef name = var->name ? var->name.getValue() : "i";
    Var to =
        isRuntime(var) ? rowVar(var->dim) : canonical(var->dim, 2 + ordinals[var->dim]++, name);
    toCanonical[var] = context.index(to);
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

FailureOr<PairTerms::Rows> PairTerms::rowsOf(ArrayRef<Expr> parts, ArrayRef<Expr> shared,
                                             Var over) {
  Var position = nullptr;
  for (Expr part : parts)
    if (part)
      for (Var var : part->freeVars())
        if (var != over && isRuntime(var)) {
          if (position && position != var)
            return failure();
          position = var;
        }
  Rows rows;
  if (position)
    rows.push_back(position);
  for (Expr part : shared)
    if (part)
      for (Var var : part->freeVars())
        if (!isRuntime(var) && !llvm::is_contained(rows, var))
          rows.push_back(var);
  return rows;
}

void PairTerms::addFeatureRow(Rows &rows, ArrayRef<Expr> values, Var over) {
  bool dependsOnRows = llvm::any_of(values, [&](Expr value) {
    return value && llvm::any_of(rows, [&](Var row) { return value->dependsOn(row); });
  });
  bool hasFixedRow = llvm::any_of(rows, [&](Var row) { return !isRuntime(row); });
  if (dependsOnRows || hasFixedRow)
    return;
  // The one whose elements follow each other in most of what is read at s.
  Var best = nullptr;
  std::pair<unsigned, int64_t> bestWorth;
  for (Expr value : values)
    if (value)
      for (Var var : value->freeVars()) {
        if (var == over || isRuntime(var))
          continue;
        unsigned reads = 0;
        for (Expr other : values)
          if (other)
            context.walk(other, [&](Expr node) {
              reads += node->is(ExprKind::Read) && node->operands().size() > 1 &&
                       node->operands().back() == context.index(var);
            });
        std::pair<unsigned, int64_t> worth(reads, model.size(var->dim));
        if (!best || worth > bestWorth) {
          best = var;
          bestWorth = worth;
        }
      }
  if (best)
    rows.push_back(best);
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
  bool isReal = e->type() == ValueType::Real;
  // What a score shares among all its pairs is made once for each position.
  bool isShared = onRow != onOver && isReal && !isElement(e, row, over);
  bool isCheap = e->is(ExprKind::ToReal) ||
                 (e->is(ExprKind::Unary) && e->unaryFn() == UnaryFn::Neg) ||
                 (!onOver && e->is(ExprKind::Binary) && e->binaryFn() != BinaryFn::Pow &&
                  e->operand(0)->operands().empty());
  if (isShared && !isCheap)
    return named(e, onRow ? "row" : "col");
  bool isWork = e->is(ExprKind::Reduce) || (e->is(ExprKind::Unary) && !isCheap) ||
                e->isBinary(BinaryFn::Div) || e->isBinary(BinaryFn::Pow);
  if (!onRow && !onOver && isReal && isWork)
    return named(e, "part");
  if (e->is(ExprKind::Read)) {
    if (isElement(e, row, over) || !model.variesOverTokens(e->symbol()))
      return e;
    auto tensor = dyn_cast_or_null<TensorOp>(model.lookup(e->symbol()));
    if (isReal && tensor && tensor.getRole() == Role::Param)
      return e; // its rows are all there
    if (onRow != onOver || (!onRow && !onOver))
      return named(e, onRow ? "row" : onOver ? "col" : "part");
    if (model.state(e->symbol()))
      return refuse(fmt::format("the state '{}' read at a position made of both of a pair",
                                std::string_view(e->symbol().getValue())));
    return e; // any position: what is read is kept for all of them
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

Expr PairTerms::add(PairRequest request, const Rows &rows, Var over, bool mustExist) {
  for (Expr *part : {&request.score, &request.weight, &request.value})
    if (*part)
      *part = within(*part, request.domain);
  Substitution toCanonical;
  toCanonical[over] = context.index(overVar(over->dim));
  request.overDim = over->dim;
  SmallVector<Expr> subscripts;
  llvm::DenseMap<StringAttr, unsigned> ordinals;
  auto canonicalOf = [&](Var var) {
    Var to = isRuntime(var) ? rowVar(var->dim)
                            : canonical(var->dim, 2 + ordinals[var->dim]++,
                                        var->name ? var->name.getValue() : StringRef("i"));
    toCanonical[var] = context.index(to);
    subscripts.push_back(context.index(var));
    return to;
  };
  for (Var row : rows)
    request.rows.push_back(canonicalOf(row));
  if (request.value)
    for (Var var : request.value->freeVars())
      if (var != over && !llvm::is_contained(rows, var))
        request.features.push_back(canonicalOf(var));
  Var position = !rows.empty() && isRuntime(rows[0]) ? rows[0] : nullptr;
  for (Expr *part : {&request.score, &request.domain, &request.weight, &request.value})
    if (*part) {
      *part = separate(*part, position, over);
      *part = context.substitute(*part, toCanonical);
      for (Var var : (*part)->freeVars())
        if (var != overVar(over->dim) && !llvm::is_contained(request.rows, var) &&
            !llvm::is_contained(request.features, var))
          return refuse("a score or domain that varies over more than two positions");
    }
  auto same = llvm::find_if(all, [&](const PairRequest &other) {
    return !other.lags && other.rows == request.rows && other.overDim == request.overDim &&
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

bool PairTerms::addEach(StringAttr name, ArrayRef<Var> left, Expr value, Location location) {
  owner = name;
  loc = location;
  failed = false;
  Rows rows(left);
  rows.erase(rows.begin() + 1);
  PairRequest request{name, {}, {}, PairKind::Each, nullptr, nullptr, nullptr, value, {}, *loc};
  add(std::move(request), rows, left[1]);
  return !failed;
}

StringAttr PairTerms::addPlaces(StringAttr name, const OpenedExpr &map, StringAttr dim,
                                Location location, SmallVectorImpl<Var> &rows) {
  owner = name;
  loc = location;
  failed = false;
  Var over = map.vars[0];
  Expr score = lower(map.body);
  Expr domain = conjunction(map.domain ? lower(map.domain) : nullptr, nullptr);
  auto own = rowsOf({score, domain}, {score, domain}, over);
  if (llvm::failed(own))
    refuse("a topk over positions for every pair of positions");
  if (failed)
    return {};
  rows.assign(own->begin(), own->end());
  PairRequest request{{}, {}, {}, PairKind::Places, nullptr, domain, nullptr, score, {}, *loc};
  request.features.push_back(canonical(dim, 1, "n"));
  Expr read = add(std::move(request), *own, over);
  return failed ? StringAttr() : read->symbol();
}

void PairTerms::declare(PairRequest &request) {
  StringRef what = request.kind == PairKind::Sum        ? ".sum"
                   : request.kind == PairKind::ScoreMax ? ".max"
                   : request.kind == PairKind::Places   ? ".places"
                                                        : ".reduced";
  bool isEach = request.kind == PairKind::Each; // has a name
  if (!isEach)
    request.name = model.freshName(owner.getValue() + what);
  SmallVector<Attribute> dims;
  for (Var row : request.rows)
    dims.push_back(FlatSymbolRefAttr::get(row->dim));
  if (isEach)
    dims.insert(dims.begin() + 1, FlatSymbolRefAttr::get(request.overDim));
  for (Var feature : request.features)
    dims.push_back(FlatSymbolRefAttr::get(feature->dim));
  OpBuilder builder(context.mlirContext());
  Block &block = model.mixer().getBody().front();
  auto equation = llvm::find_if(
      block, [](Operation &op) { return !isa<DimOp, TensorOp, StateOp, ProducedOp>(op); });
  builder.setInsertionPoint(&block, equation);
  model.declare(ProducedOp::create(builder, *loc, request.name, builder.getArrayAttr(dims)));
}

Expr PairTerms::extremum(PairKind kind, Var over, Expr body, Expr domain, bool isScore) {
  auto rows = rowsOf({body, domain}, {domain, isScore ? body : nullptr}, over);
  if (llvm::failed(rows))
    return refuse("a reduction over positions for every pair of positions");
  PairRequest request{{},      {},      {}, kind, nullptr, conjunction(domain, nullptr),
                      nullptr, nullptr, {}, *loc};
  bool hasFeatures = llvm::any_of(
      body->freeVars(), [&](Var v) { return v != over && !llvm::is_contained(*rows, v); });
  if (kind == PairKind::Max && !hasFeatures) {
    request.kind = PairKind::ScoreMax;
    request.score = ordered(body);
  } else {
    addFeatureRow(*rows, {body}, over);
    request.value = body;
  }
  return add(std::move(request), *rows, over);
}

//===----------------------------------------------------------------------===//
// Softmax and sums
//===----------------------------------------------------------------------===//

Expr PairTerms::softmax(const OpenedExpr &map) {
  Var over = map.vars[0];
  Expr domain = conjunction(map.domain, nullptr);
  Expr score = ordered(map.body);
  auto rows = rowsOf({score, domain}, {score, domain}, over);
  if (llvm::failed(rows))
    return refuse("a softmax over positions for every pair of positions");
  Expr max = extremum(PairKind::Max, over, score, domain, /*isScore=*/true);
  Substitution here{{over, map.at}};
  auto normalised = [&](Expr weight, Expr total) {
    Expr inverse = context.select(context.compare(Predicate::Gt, total, context.real(0)),
                                  context.div(context.real(1), total), context.real(0));
    return context.mul(context.substitute(weight, here), inverse);
  };
  auto within = [&](Expr e) { return domain ? context.select(domain, e, context.real(0)) : e; };
  if (rows->empty()) {
    // One distribution for the whole sequence: its exponentials are numbers of the positions.
    Expr isFinite =
        context.compare(Predicate::Lt, context.unary(UnaryFn::Abs, max), context.real(kInf));
    Expr shift = context.select(isFinite, max, context.real(0));
    Expr weight = named(within(context.unary(UnaryFn::Exp, context.sub(score, shift))), "exp");
    return normalised(weight, sum(over, weight, nullptr));
  }
  Expr weight = context.unary(UnaryFn::Exp, context.sub(score, max));
  return normalised(within(weight), sum(over, weight, domain));
}

Expr PairTerms::logSumExp(Var over, Expr body, Expr domain) {
  Expr score = ordered(body);
  Expr max = extremum(PairKind::Max, over, score, domain, /*isScore=*/true);
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

Expr PairTerms::sumOfProduct(Var over, const Product &term, Expr domain) {
  Product outside, inside;
  separateFactors(over, term, domain, outside, inside);
  SmallVector<Expr> parts(inside.factors);
  parts.push_back(domain);
  auto rows = rowsOf(parts, {domain}, over);
  if (llvm::failed(rows))
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
    auto scored = rowsOf(parts, {score, domain}, over);
    Expr max = add(wanted, *scored, over, /*mustExist=*/true);
    if (!max)
      continue; // nobody asked for this maximum, so nothing is shifted by it
    rows = scored;
    request.score = score;
    Expr shift = ordered(context.add(max, context.sumOf(rest)));
    if (!shift->isReal(0))
      rescale = context.select(context.compare(Predicate::Gt, max, context.real(-kInf)),
                               context.unary(UnaryFn::Exp, shift), context.real(0));
    inside.factors.erase(it);
    break;
  }

  if (!request.score)
    addFeatureRow(*rows, inside.factors, over);
  Product weight, value;
  for (Expr factor : inside.factors) {
    bool hasFeatures = llvm::any_of(
        factor->freeVars(), [&](Var v) { return v != over && !llvm::is_contained(*rows, v); });
    (hasFeatures ? value : weight).factors.push_back(factor);
  }
  if (!weight.factors.empty())
    request.weight = context.product(weight);
  if (!value.factors.empty())
    request.value = context.product(value);
  Expr read = add(std::move(request), *rows, over);
  outside.factors.push_back(read);
  if (rescale)
    outside.factors.push_back(rescale);
  return context.product(outside);
}

} // namespace seqmix
