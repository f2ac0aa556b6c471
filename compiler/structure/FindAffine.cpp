//===- FindAffine.cpp - matrix states to seq.affine ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/AffineForm.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <limits>

using namespace mlir;
using namespace mlir::seq;

namespace seqmix {
#define GEN_PASS_DEF_FINDAFFINE
#include "compiler/Passes.h.inc"

namespace {

// Writes a form into the mixer: definitions for its factors, seq.affine, seq.produced, and the
// rewritten equations.
class AffineWriter {
public:
  AffineWriter(Model &model, AffineForm &form) : model(model), context(model.exprs()), form(form) {}

  void write() {
    Equation equation = *model.equation(form.state);
    loc = equation.loc;
    for (auto &[name, body] : form.rewritten)
      model.equation(name)->body = body;
    for (StringAttr name : form.dissolved)
      model.removeDefinition(name);
    model.nexts().erase(form.state);

    MLIRContext *mlir = context.mlirContext();
    FlatSymbolRefAttr rowDecay = factor("decay", form.rowDecay),
                      colDecay = factor("col_decay", form.colDecay);
    SmallVector<Attribute> updates, reads;
    llvm::SmallVector<int64_t> readNumbers = numberReads();
    for (const FormUpdate &update : form.updates) {
      SmallVector<TermAttr> terms;
      for (const FormTerm &term : update.terms)
        terms.push_back(TermAttr::get(mlir, factor("coef", term.coef), factor("right", term.right),
                                      term.read < 0 ? -1 : readNumbers[term.read]));
      updates.push_back(UpdateAttr::get(mlir, factor("left", update.left), terms));
    }
    for (auto [number, read] : llvm::enumerate(form.reads))
      if (readNumbers[number] >= 0) {
        FlatSymbolRefAttr result =
            read.isUsed ? FlatSymbolRefAttr::get(read.result) : FlatSymbolRefAttr();
        reads.push_back(RowReadAttr::get(mlir, factor("row", read.row), read.before, result));
      }

    StateOp state = model.state(form.state);
    OpBuilder builder(mlir);
    builder.setInsertionPointAfter(state);
    for (const FormRead &read : form.reads)
      if (read.isUsed)
        model.declare(ProducedOp::create(builder, loc, read.result, producedDims(state)));
    builder.setInsertionPointToEnd(&model.mixer().getBody().front());
    auto affine = AffineOp::create(
        builder, loc, FlatSymbolRefAttr::get(form.state), builder.getDenseI64ArrayAttr(form.rows),
        builder.getDenseI64ArrayAttr(form.cols), rowDecay, colDecay, builder.getArrayAttr(updates),
        builder.getArrayAttr(reads), DirectionAttr::get(mlir, form.direction));
    // What the file calls the token and the state's indices, for people.
    SmallVector<Attribute> names;
    for (Var var : equation.left)
      names.push_back(var->name);
    affine->setAttr("seq.names", builder.getArrayAttr(names));
  }

private:
  // Reads that are used get new numbers, in order; the others -1.
  SmallVector<int64_t> numberReads() {
    SmallVector<int64_t> numbers(form.reads.size(), -1);
    int64_t count = 0;
    for (auto [number, read] : llvm::enumerate(form.reads)) {
      bool isInUpdate = llvm::any_of(form.updates, [&](const FormUpdate &update) {
        return llvm::any_of(update.terms,
                            [&](const FormTerm &term) { return term.read == int64_t(number); });
      });
      if (read.isUsed || isInUpdate)
        numbers[number] = count++;
    }
    return numbers;
  }

  ArrayAttr producedDims(StateOp state) {
    SmallVector<Attribute> dims{FlatSymbolRefAttr::get(form.token->dim)};
    for (int64_t place : form.cols)
      dims.push_back(state.getDims()[place]);
    return ArrayAttr::get(context.mlirContext(), dims);
  }

  // The symbol whose elements are the factor: what it reads, or a new definition.
  FlatSymbolRefAttr factor(StringRef what, Expr e) {
    if (!e)
      return {};
    if (e->is(ExprKind::Read) && e->type() == ValueType::Real && !model.state(e->symbol()) &&
        isPlain(e))
      return FlatSymbolRefAttr::get(e->symbol());
    // Parts that are factors already are read from them.
    Expr body = context.rewrite(e, [&](Expr node) -> Expr {
      auto known = made.find(node);
      if (known != made.end())
        return known->second;
      // Inner products of factors occur in several scalars.
      bool isScalar = llvm::all_of(node->freeVars(), [&](Var v) { return v == form.token; });
      if (node->is(ExprKind::Reduce) && node != e && isScalar)
        return made[node] = model.define(form.state.getValue() + ".dot", node, loc);
      return node;
    });
    if (body != e && body->is(ExprKind::Read))
      return FlatSymbolRefAttr::get(body->symbol());
    SmallVector<Var> order(form.rowVars);
    llvm::append_range(order, form.colVars);
    Expr read = model.define(form.state.getValue() + "." + what, body, loc, order);
    // Numbers are no cheaper to read than to have.
    if (!e->is(ExprKind::Real))
      made[e] = read;
    return FlatSymbolRefAttr::get(read->symbol());
  }

  // Subscripts are the token and the rows, or the token and the columns, in their order, none
  // twice, none missing its place.
  bool isPlain(Expr read) {
    SmallVector<Expr> canonical{context.index(form.token)};
    auto isSubsequence = [&](ArrayRef<Var> vars) {
      SmallVector<Expr> places{context.index(form.token)};
      for (Var var : vars)
        places.push_back(context.index(var));
      auto place = places.begin();
      for (Expr at : read->operands()) {
        place = std::find(place, places.end(), at);
        if (place == places.end())
          return false;
        ++place;
      }
      return true;
    };
    // With fewer dims than the factor's, which one is meant follows from the dims' names; they must
    // differ for that.
    auto distinct = [](ArrayRef<Var> vars) {
      for (auto [i, a] : llvm::enumerate(vars))
        for (Var b : vars.drop_front(i + 1))
          if (a->dim == b->dim)
            return false;
      return true;
    };
    bool isFull = read->operands().size() == 1 + form.rowVars.size() ||
                  read->operands().size() == 1 + form.colVars.size();
    return (isSubsequence(form.rowVars) && (isFull || distinct(form.rowVars))) ||
           (isSubsequence(form.colVars) && (isFull || distinct(form.colVars)));
  }

  Model &model;
  ExprContext &context;
  AffineForm &form;
  Location loc = UnknownLoc::get(context.mlirContext());
  llvm::DenseMap<Expr, Expr> made;
};

class FindAffine : public impl::FindAffineBase<FindAffine> {
public:
  using FindAffineBase::FindAffineBase;

private:
  void runOnOperation() override {
    for (auto mixer : getOperation().getOps<MixerOp>())
      if (failed(runOn(mixer)))
        return signalPassFailure();
  }

  LogicalResult runOn(MixerOp mixer) {
    Model model(mixer);
    llvm::DenseSet<StringAttr> tried;
    // Writing one form changes the equations, so the groups are found anew after each.
    while (true) {
      FailureOr<std::vector<Group>> groups = findGroups(model);
      if (failed(groups))
        return failure();
      auto next = llvm::find_if(
          *groups, [&](const Group &group) { return tried.insert(group.states.front()).second; });
      if (next == groups->end())
        break;
      std::string reason;
      if (std::optional<AffineForm> form = findForm(model, *next, reason)) {
        AffineWriter(model, *form).write();
        continue;
      }
      for (StringAttr name : next->states)
        model.state(name)->setAttr("seq.not_affine", StringAttr::get(mixer.getContext(), reason));
    }
    model.write();
    dropUnreadResults(mixer);
    return success();
  }

  // Reads that served only definitions of the cycle have no readers any more.
  void dropUnreadResults(MixerOp mixer) {
    llvm::DenseSet<StringAttr> isRead;
    mixer.walk([&](ReadOp read) { isRead.insert(read.getSourceAttr().getAttr()); });
    for (auto affine : mixer.getOps<AffineOp>()) {
      SmallVector<Attribute> reads;
      for (auto read : affine.getReads().getAsRange<RowReadAttr>()) {
        bool keep = read.getResult() && isRead.contains(read.getResult().getAttr());
        reads.push_back(RowReadAttr::get(mixer.getContext(), read.getRow(), read.getBefore(),
                                         keep ? read.getResult() : FlatSymbolRefAttr()));
      }
      affine.setReadsAttr(ArrayAttr::get(mixer.getContext(), reads));
    }
    for (auto produced : llvm::make_early_inc_range(mixer.getOps<ProducedOp>()))
      if (!isRead.contains(produced.getSymNameAttr()))
        produced.erase();
  }

  std::optional<AffineForm> findForm(Model &model, const Group &group, std::string &reason) {
    if (group.states.size() > 1) {
      reason = "it is coupled with other states";
      return std::nullopt;
    }
    StateOp state = model.state(group.states.front());
    int64_t rank = state.getDims().size();
    if (rank < 2) {
      reason = "it is no matrix, so there are no matrix products to win";
      return std::nullopt;
    }
    std::optional<AffineForm> best;
    std::string why;
    // Every choice of dims as rows; fewer rows first.
    for (int64_t mask = 1; mask < (1 << rank) - 1; ++mask) {
      SmallVector<int64_t> rows;
      for (int64_t place = 0; place < rank; ++place)
        if (mask >> place & 1)
          rows.push_back(place);
      why.clear();
      std::optional<AffineForm> form = findAffineForm(model, group, rows, why);
      if (!form) {
        // The most telling reason is one about the equation itself.
        if (reason.empty() || StringRef(reason).contains("needs more of it"))
          reason = why;
        continue;
      }
      if (!best || cost(*form) < cost(*best))
        best = std::move(form);
    }
    if (!best)
      return std::nullopt;
    if (doesNotPay(model, *best, reason))
      return std::nullopt;
    return best;
  }

  static size_t cost(const AffineForm &form) { return form.reads.size() + form.updates.size(); }

  bool doesNotPay(Model &model, const AffineForm &form, std::string &reason) {
    auto extent = [&](ArrayRef<Var> vars) {
      int64_t product = 1;
      for (Var var : vars)
        product *= model.size(var->dim);
      return product;
    };
    int64_t rows = extent(form.rowVars), cols = extent(form.colVars);
    if (minSize == std::numeric_limits<int64_t>::max()) {
      reason = "it fits the affine form, but block form is switched off";
      return true;
    }
    if (rows < minSize || cols < minSize) {
      reason = fmt::format("it fits the affine form, but blocks do not pay for a {} by {} state",
                           rows, cols);
      return true;
    }
    if (lanes == 0)
      return false;
    if (form.rowVars.size() > 1) {
      reason = "it fits the affine form, but blocks take rows over one index only";
      return true;
    }
    bool isWhole =
        llvm::all_of(form.colVars, [&](Var v) { return model.size(v->dim) % lanes == 0; });
    if (form.colVars.size() > 1 && !isWhole) {
      reason = fmt::format("it fits the affine form, but blocks take columns over several indices "
                           "only in multiples of {}",
                           lanes.getValue());
      return true;
    }
    return false;
  }
};

} // namespace
} // namespace seqmix
