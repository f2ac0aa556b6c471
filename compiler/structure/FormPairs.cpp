//===- FormPairs.cpp - reductions over positions to seq.pairs -------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/PairTerms.h"
#include "compiler/structure/RowSelection.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"

#include <tuple>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_FORMPAIRS
#include "compiler/Passes.h.inc"

namespace {

/// Stands for the number that the score gives a pair in the weights.
constexpr llvm::StringLiteral kExponential = "seq.exponential";

class PairFormer {
public:
  PairFormer(MixerOp mixer, bool gathersBlocks)
      : model(mixer), context(model.exprs()), terms(model), selection(model, terms, gathersBlocks) {
  }

  LogicalResult run() {
    if (failed(inlinePairs()))
      return failure();
    SmallVector<StringAttr> names;
    for (auto &[name, equation] : model.definitions())
      names.push_back(name);
    for (auto &[name, equation] : model.nexts())
      names.push_back(name);
    for (StringAttr name : names) {
      Equation equation = *model.equation(name);
      if (!selection.addNamed(equation))
        return failure();
    }
    for (StringAttr name : names) {
      Equation equation = *model.equation(name);
      Expr body = selection.rewrite(equation.body, name, equation.loc);
      body = body ? terms.lower(body, name, equation.loc) : nullptr;
      if (!body)
        return failure();
      model.equation(name)->body = body;
      if (positions(equation) > 1 && failed(keepEach(*model.equation(name))))
        return failure();
    }
    if (terms.requests().empty())
      return success();
    findLevels();
    writeOps();
    model.write();
    return success();
  }

private:
  struct Op {
    unsigned level;
    const PairRequest *first;
    Expr score = nullptr;
    SmallVector<const PairRequest *> results;
  };

  Model model;
  ExprContext &context;
  PairTerms terms;
  RowSelection selection;
  llvm::DenseMap<StringAttr, unsigned> levels; // of produced tensors and definitions

  unsigned positions(const Equation &equation) {
    return llvm::count_if(equation.left, [&](Var var) { return model.isRuntime(var->dim); });
  }

  /// What the caller wants for every pair is a result of a seq.pairs of its own.
  LogicalResult keepEach(Equation equation) {
    auto refuse = [&](StringRef what) -> LogicalResult {
      return emitError(equation.loc) << "not lowered yet: an output with " << what;
    };
    if (positions(equation) > 2)
      return refuse("a value for more than two positions");
    if (equation.body->type() != ValueType::Real)
      return refuse("an integer or truth value for every pair of positions");
    Expr body = equation.body;
    if (equation.domain)
      body = context.select(equation.domain, body, context.real(0));
    model.lookup(equation.name)->erase();
    model.removeDefinition(equation.name);
    return success(terms.addEach(equation.name, equation.left, body, equation.loc));
  }

  /// A pair's value at any indices, which is zero outside of the extents; null where data decide
  /// the indices.
  Expr valueAt(const Equation &equation, ArrayRef<Expr> subscripts) {
    Substitution map;
    Expr isInside = equation.domain;
    auto require = [&](Expr condition) {
      isInside = isInside ? context.binary(BinaryFn::And, isInside, condition) : condition;
    };
    for (auto [var, at] : llvm::zip_equal(equation.left, subscripts))
      map[var] = at;
    if (isInside)
      isInside = context.substitute(isInside, map);
    for (auto [var, at] : llvm::zip_equal(equation.left, subscripts)) {
      if (at->is(ExprKind::Index) && at->var()->dim == var->dim)
        continue;
      if (!model.sources(at).empty())
        return nullptr;
      bool isPosition = model.isRuntime(var->dim);
      Expr extent = isPosition ? context.extent(var->dim) : context.integer(model.size(var->dim));
      require(context.compare(Predicate::Ge, at, context.integer(0)));
      require(context.compare(Predicate::Lt, at, extent));
    }
    Expr body = context.substitute(equation.body, map);
    if (!isInside)
      return body;
    if (body->type() == ValueType::Boolean)
      return context.binary(BinaryFn::And, isInside, body);
    Expr zero = body->type() == ValueType::Integer ? context.integer(0) : context.real(0);
    return context.select(isInside, body, zero);
  }

  /// A value for every pair is made where it is used.
  LogicalResult inlinePairs() {
    llvm::DenseSet<StringAttr> outputs = model.outputs();
    llvm::SmallSetVector<StringAttr, 4> pairs;
    for (auto &[name, equation] : model.definitions())
      if (positions(equation) > 1)
        pairs.insert(name);
    if (pairs.empty())
      return success();
    auto inlined = [&](auto &self, Expr e) -> Expr {
      return context.rewrite(e, [&](Expr node) {
        bool isPair = node->is(ExprKind::Read) && pairs.contains(node->symbol());
        Expr value = isPair ? valueAt(*model.equation(node->symbol()), node->operands()) : node;
        return isPair && value ? self(self, value) : node;
      });
    };
    SmallVector<StringAttr> users;
    for (auto &[name, equation] : model.definitions())
      if (!pairs.contains(name) || outputs.contains(name))
        users.push_back(name);
    for (auto &[name, equation] : model.nexts())
      users.push_back(name);
    for (StringAttr name : users) {
      Equation *equation = model.equation(name);
      equation->body = inlined(inlined, equation->body);
      if (equation->domain)
        equation->domain = inlined(inlined, equation->domain);
      for (StringAttr source : model.sources(equation->body))
        if (pairs.contains(source))
          return emitError(equation->loc) << "not lowered yet: '" << source.getValue()
                                          << "' read for a pair of positions that data decide";
    }
    for (StringAttr name : pairs)
      if (!outputs.contains(name))
        model.removeDefinition(name);
    return success();
  }

  //===--- order ----------------------------------------------------------===//

  /// Pairwise reductions that must be done before a symbol's values are there.
  unsigned levelOf(StringAttr name) {
    auto [entry, isNew] = levels.insert({name, 0});
    if (!isNew)
      return entry->second;
    unsigned level = 0;
    if (Equation *equation = model.equation(name))
      for (StringAttr source : model.sources(equation->body))
        level = std::max(level, levelOf(source));
    return levels[name] = level;
  }

  void findLevels() {
    // Requests come after those that they read.
    for (const PairRequest &request : terms.requests())
      levels[request.name] = 1 + levelBelow(request);
  }

  unsigned levelBelow(const PairRequest &request) {
    unsigned level = 0;
    if (request.lags)
      for (const LagOperand *operand : operandsOf(*request.lags))
        level = std::max(level, levelOf(operand->name));
    for (Expr part : {request.score, request.domain, request.weight, request.value})
      if (part)
        for (StringAttr source : model.sources(part))
          level = std::max(level, levelOf(source));
    return level;
  }

  //===--- ops ------------------------------------------------------------===//

  SmallVector<Op> formOps() {
    SmallVector<Op> ops;
    auto place = [&](const PairRequest &request) {
      unsigned level = levels.lookup(request.name);
      auto fits = [&](const Op &op) {
        return op.level == level && !op.first->lags && !request.lags &&
               op.first->rows == request.rows && op.first->overDim == request.overDim &&
               op.first->domain == request.domain && (!request.score || op.score == request.score);
      };
      auto found = llvm::find_if(ops, fits);
      if (found == ops.end()) {
        ops.push_back({level, &request, request.score, {}});
        found = std::prev(ops.end());
      }
      found->results.push_back(&request);
    };
    // Those with a score first: the others join one of theirs.
    for (bool scored : {true, false})
      for (const PairRequest &request : terms.requests())
        if ((request.score != nullptr) == scored && isNeeded(request))
          place(request);
    llvm::sort(ops, [](const Op &a, const Op &b) {
      return std::tuple(a.level, a.first->name.getValue()) <
             std::tuple(b.level, b.first->name.getValue());
    });
    return ops;
  }

  /// The maximum is often only there to shift by.
  bool isNeeded(const PairRequest &request) {
    if (request.kind == PairKind::Each)
      return true;
    auto reads = [&](Expr e) { return e && context.reads(e, request.name); };
    for (auto &[name, equation] : model.definitions())
      if (reads(equation.body) || reads(equation.domain))
        return true;
    for (auto &[name, equation] : model.nexts())
      if (reads(equation.body))
        return true;
    return llvm::any_of(terms.requests(), [&](const PairRequest &other) {
      bool isOperand =
          other.lags && llvm::any_of(operandsOf(*other.lags), [&](const auto *operand) {
            return operand->name == request.name;
          });
      return isOperand || reads(other.score) || reads(other.domain) || reads(other.weight) ||
             reads(other.value);
    });
  }

  void writeOps() {
    SmallVector<Op> ops = formOps();
    for (auto produced : llvm::make_early_inc_range(model.mixer().getOps<ProducedOp>())) {
      bool isMade = llvm::any_of(ops, [&](const Op &op) {
        return llvm::any_of(op.results, [&](const PairRequest *request) {
          return request->name == produced.getSymNameAttr();
        });
      });
      if (!isMade) {
        model.removeDefinition(produced.getSymNameAttr());
        produced.erase();
      }
    }
    for (const Op &op : ops)
      op.first->lags ? writeConvolution(*op.first) : writeOp(op);
  }

  static SmallVector<const LagOperand *> operandsOf(const LagSum &sum) {
    SmallVector<const LagOperand *> operands;
    for (const LagOperand *operand : {&sum.signal, &sum.past, &sum.ahead})
      if (operand->name)
        operands.push_back(operand);
    return operands;
  }

  void writeConvolution(const PairRequest &request) {
    OpBuilder builder(context.mlirContext());
    builder.setInsertionPointToEnd(&model.mixer().getBody().front());
    auto operand = [&](const LagOperand &own) {
      if (!own.name)
        return LagOperandAttr();
      SmallVector<int64_t> features;
      for (Var var : own.features)
        features.push_back(llvm::find(request.features, var) - request.features.begin());
      return LagOperandAttr::get(builder.getContext(), FlatSymbolRefAttr::get(own.name), features);
    };
    auto optional = [&](std::optional<int64_t> bound) {
      return bound ? builder.getI64IntegerAttr(*bound) : IntegerAttr();
    };
    const LagSum &sum = *request.lags;
    ConvolutionOp::create(builder, request.loc, FlatSymbolRefAttr::get(request.name),
                          operand(sum.signal), operand(sum.past), operand(sum.ahead),
                          optional(sum.first), optional(sum.last));
  }

  void writeOp(const Op &op) {
    MLIRContext *mlir = context.mlirContext();
    OpBuilder builder(mlir);
    builder.setInsertionPointToEnd(&model.mixer().getBody().front());
    SmallVector<Var> pair(op.first->rows);
    SmallVector<Attribute> rows, names;
    for (Var row : pair) {
      rows.push_back(FlatSymbolRefAttr::get(row->dim));
      names.push_back(row->name);
    }
    pair.push_back(terms.overVar(op.first->overDim));
    names.push_back(builder.getStringAttr("s"));

    enum Role { Shared, Weight, Value };
    struct Part {
      Role role;
      Expr body;
      SmallVector<Var> left;
      bool takesExponential;
    };
    SmallVector<Part> parts;
    auto add = [&](Role role, Expr body, ArrayRef<Var> features, bool takesExponential) -> int64_t {
      SmallVector<Var> left(pair);
      left.append(features.begin(), features.end());
      for (auto [number, part] : llvm::enumerate(parts))
        if (part.role == role && part.body == body && part.left == left &&
            part.takesExponential == takesExponential)
          return number;
      parts.push_back({role, body, left, takesExponential});
      return parts.size() - 1;
    };
    auto optional = [&](Expr e) {
      return e ? builder.getI64IntegerAttr(add(Shared, e, {}, false)) : IntegerAttr();
    };
    IntegerAttr score = optional(op.score), domain = optional(op.first->domain);
    Expr exponential = context.read(context.attr(kExponential), {});
    SmallVector<Attribute> results;
    for (const PairRequest *request : op.results) {
      Expr weight = request->weight;
      if (request->kind == PairKind::Sum && request->score)
        weight = weight ? context.mul(exponential, weight) : exponential;
      bool isPlaces = request->kind == PairKind::Places;
      bool hasValue = request->value || (request->kind == PairKind::Sum && !weight);
      int64_t value = hasValue
                          ? add(Value, request->value ? request->value : context.real(1),
                                isPlaces ? ArrayRef<Var>() : ArrayRef(request->features), false)
                          : -1;
      results.push_back(
          PairResultAttr::get(mlir, FlatSymbolRefAttr::get(request->name), request->kind,
                              weight ? add(Weight, weight, {}, op.score != nullptr) : -1, value));
    }
    auto pairs =
        PairsOp::create(builder, op.first->loc, builder.getArrayAttr(rows),
                        FlatSymbolRefAttr::get(op.first->overDim), builder.getArrayAttr(names),
                        builder.getArrayAttr(results), score, domain, ArrayAttr(), parts.size());
    for (auto [part, region] : llvm::zip_equal(parts, pairs.getParts())) {
      context.exportBody(part.body, part.left, region, op.first->loc);
      if (part.takesExponential)
        takeExponential(region);
    }
  }

  static void takeExponential(Region &region) {
    Value argument = region.addArgument(Float64Type::get(region.getContext()), region.getLoc());
    region.walk([&](ReadOp read) {
      if (read.getSource() != kExponential)
        return;
      read.replaceAllUsesWith(argument);
      read.erase();
    });
  }
};

class FormPairs : public impl::FormPairsBase<FormPairs> {
public:
  using FormPairsBase::FormPairsBase;

private:
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      if (failed(PairFormer(mixer, gathersBlocks).run()))
        return signalPassFailure();
  }
};

} // namespace
} // namespace seqmix
