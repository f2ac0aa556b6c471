//===- FindAffine.cpp - matrix states to seq.affine ---------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "compiler/Passes.h"
#include "compiler/structure/CoupledForm.h"

#include "llvm/ADT/STLExtras.h"
#include <fmt/format.h>

#include <cmath>
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
    Equation equation = *model.equation(form.states.front());
    loc = equation.loc;
    for (auto &[name, body] : form.rewritten)
      model.equation(name)->body = body;
    for (StringAttr name : form.dissolved)
      model.removeDefinition(name);
    for (StringAttr state : form.states)
      model.nexts().erase(state);

    MLIRContext *mlir = context.mlirContext();
    FlatSymbolRefAttr rowDecay = factor("decay", form.rowDecay, form.rowSide),
                      colDecay = factor("col_decay", form.colDecay, form.colSide);
    ArrayAttr coupling = couplingAttr();
    SmallVector<Attribute> updates, reads;
    llvm::SmallVector<int64_t> readNumbers = numberReads();
    for (const FormUpdate &update : form.updates) {
      SmallVector<TermAttr> terms;
      for (const FormTerm &term : update.terms)
        terms.push_back(TermAttr::get(mlir, factor("coef", term.coef, form.colSide),
                                      factor("right", term.right, form.colSide),
                                      term.read < 0 ? -1 : readNumbers[term.read]));
      updates.push_back(
          UpdateAttr::get(mlir, rowFactors("left", update.lefts, form.rowSide), terms));
    }
    for (auto [number, read] : llvm::enumerate(form.reads))
      if (readNumbers[number] >= 0) {
        FlatSymbolRefAttr result =
            read.isUsed ? FlatSymbolRefAttr::get(read.result) : FlatSymbolRefAttr();
        reads.push_back(RowReadAttr::get(mlir, rowFactors("row", read.rows, factorSide(read.kind)),
                                         read.before, result, read.kind));
      }

    OpBuilder builder(mlir);
    builder.setInsertionPointAfter(model.state(form.states.back()));
    for (const FormRead &read : form.reads)
      if (read.isUsed)
        model.declare(ProducedOp::create(builder, loc, read.result, producedDims(read.kind)));
    builder.setInsertionPointToEnd(&model.mixer().getBody().front());
    auto affine = AffineOp::create(
        builder, loc, FlatSymbolRefAttr::get(form.states.front()), others(),
        form.sides.outer.empty() ? DenseI64ArrayAttr()
                                 : builder.getDenseI64ArrayAttr(form.sides.outer),
        form.sides.inner ? builder.getI64IntegerAttr(*form.sides.inner) : IntegerAttr(),
        builder.getDenseI64ArrayAttr(form.sides.rows),
        builder.getDenseI64ArrayAttr(form.sides.cols), rowDecay, colDecay, coupling,
        builder.getArrayAttr(updates), builder.getArrayAttr(reads),
        DirectionAttr::get(mlir, form.direction));
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

  ArrayAttr others() {
    SmallVector<Attribute> names;
    for (StringAttr state : llvm::drop_begin(form.states))
      names.push_back(FlatSymbolRefAttr::get(state));
    return names.empty() ? ArrayAttr() : ArrayAttr::get(context.mlirContext(), names);
  }

  ArrayAttr couplingAttr() {
    int64_t count = form.components();
    if (count == 1)
      return {};
    SmallVector<Attribute> entries;
    for (auto [number, entry] : llvm::enumerate(form.coupling)) {
      int64_t place = number;
      if (entry)
        entries.push_back(CouplingAttr::get(context.mlirContext(), place / count, place % count,
                                            factor("coupling", entry, form.rowSide)));
    }
    return ArrayAttr::get(context.mlirContext(), entries);
  }

  // What the factors of a read may vary over.
  ArrayRef<Var> factorSide(ReadKind kind) {
    if (weighsElements(kind))
      return form.bothSides;
    return sumsColumns(kind) ? form.colSide : form.rowSide;
  }

  SmallVector<RowFactorAttr> rowFactors(StringRef what, ArrayRef<Expr> byComponent,
                                        ArrayRef<Var> side) {
    SmallVector<RowFactorAttr> factors;
    for (auto [component, e] : llvm::enumerate(byComponent))
      if (e)
        factors.push_back(
            RowFactorAttr::get(context.mlirContext(), component, factor(what, e, side)));
    return factors;
  }

  ArrayAttr producedDims(ReadKind kind) {
    SmallVector<Attribute> dims{FlatSymbolRefAttr::get(form.token->dim)};
    for (Var var : sumsColumns(kind) ? form.rowSide : form.colSide)
      dims.push_back(FlatSymbolRefAttr::get(var->dim));
    return ArrayAttr::get(context.mlirContext(), dims);
  }

  // The symbol whose elements are the factor: what it reads, or a new definition.
  FlatSymbolRefAttr factor(StringRef what, Expr e, ArrayRef<Var> side) {
    if (!e)
      return {};
    if (e->is(ExprKind::Read) && e->type() == ValueType::Real && !model.state(e->symbol()) &&
        isPlain(e, side))
      return FlatSymbolRefAttr::get(e->symbol());
    // Parts that are factors already are read from them.
    Expr body = context.rewrite(e, [&](Expr node) -> Expr {
      auto known = made.find(node);
      if (known != made.end())
        return known->second;
      // Inner products of factors occur in several scalars.
      bool isScalar = llvm::all_of(node->freeVars(), [&](Var v) { return v == form.token; });
      if (node->is(ExprKind::Reduce) && node != e && isScalar)
        return made[node] = model.define(form.states.front().getValue() + ".dot", node, loc);
      return node;
    });
    if (body != e && body->is(ExprKind::Read))
      return FlatSymbolRefAttr::get(body->symbol());
    bool isScalar = llvm::none_of(side, [&](Var var) { return body->dependsOn(var); });
    bool overAll = !isScalar && !isDistinct(side);
    Expr read = model.define(form.states.front().getValue() + "." + what, body, loc, side, overAll);
    // Numbers are no cheaper to read than to have.
    if (!e->is(ExprKind::Real) && !overAll)
      made[e] = read;
    return FlatSymbolRefAttr::get(read->symbol());
  }

  // Which dims of its side a factor varies over follows from the dims' names; where these do not
  // differ, it must have all of them.
  static bool isDistinct(ArrayRef<Var> side) {
    for (auto [i, a] : llvm::enumerate(side))
      for (Var b : side.drop_front(i + 1))
        if (a->dim == b->dim)
          return false;
    return true;
  }

  // Subscripts are the token and variables of the side, in their order, none twice.
  bool isPlain(Expr read, ArrayRef<Var> side) {
    SmallVector<Expr> places{context.index(form.token)};
    for (Var var : side)
      places.push_back(context.index(var));
    auto place = places.begin();
    for (Expr at : read->operands()) {
      place = std::find(place, places.end(), at);
      if (place == places.end())
        return false;
      ++place;
    }
    size_t count = llvm::count_if(read->operands(), [&](Expr at) { return at != places[0]; });
    return count == 0 || count == side.size() || isDistinct(side);
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
    if (failed(findAll(model, /*coupled=*/false)) || failed(findAll(model, /*coupled=*/true)))
      return failure();
    model.write();
    dropUnreadResults(mixer);
    return success();
  }

  // Finds forms of single states, or of coupled ones among those that have none. Writing one
  // changes the equations, so the groups are found anew after each.
  LogicalResult findAll(Model &model, bool coupled) {
    llvm::DenseSet<StringAttr> tried;
    while (true) {
      FailureOr<std::vector<Group>> groups = findGroups(model);
      if (failed(groups))
        return failure();
      std::vector<Group> candidates = coupled ? coupledGroups(model, *groups) : *groups;
      auto next = llvm::find_if(candidates, [&](const Group &group) {
        return tried.insert(group.states.front()).second;
      });
      if (next == candidates.end())
        return success();
      std::string reason;
      if (std::optional<AffineForm> form =
              coupled ? findCoupledForm(model, *next, reason) : findForm(model, *next, reason)) {
        for (StringAttr name : form->states)
          model.state(name)->removeAttr("seq.not_affine");
        AffineWriter(model, *form).write();
        continue;
      }
      for (StringAttr name : next->states)
        if (!reason.empty())
          model.state(name)->setAttr("seq.not_affine",
                                     StringAttr::get(model.mixer().getContext(), reason));
    }
  }

  // Reads that served only definitions of the cycle have no readers any more.
  void dropUnreadResults(MixerOp mixer) {
    llvm::DenseSet<StringAttr> isRead;
    mixer.walk([&](ReadOp read) { isRead.insert(read.getSourceAttr().getAttr()); });
    for (auto output : mixer.getOps<OutputOp>())
      isRead.insert(output.getSourceAttr().getAttr());
    for (auto convolution : mixer.getOps<ConvolutionOp>())
      for (StringAttr operand : sourcesOf(convolution))
        isRead.insert(operand);
    for (auto affine : mixer.getOps<AffineOp>())
      dropUnreadResults(affine, isRead);
    for (auto pairs : llvm::make_early_inc_range(mixer.getOps<PairsOp>()))
      dropUnreadResults(pairs, isRead);
    for (auto convolution : llvm::make_early_inc_range(mixer.getOps<ConvolutionOp>()))
      if (!isRead.contains(convolution.getProducedAttr().getAttr()))
        convolution.erase();
    for (auto produced : llvm::make_early_inc_range(mixer.getOps<ProducedOp>()))
      if (!isRead.contains(produced.getSymNameAttr()))
        produced.erase();
  }

  static void dropUnreadResults(PairsOp pairs, const llvm::DenseSet<StringAttr> &isRead) {
    SmallVector<Attribute> results;
    for (auto result : pairs.getOuts().getAsRange<PairResultAttr>())
      if (isRead.contains(result.getProduced().getAttr()))
        results.push_back(result);
    if (results.empty())
      pairs.erase();
    else
      pairs.setOutsAttr(ArrayAttr::get(pairs.getContext(), results));
  }

  static void dropUnreadResults(AffineOp affine, const llvm::DenseSet<StringAttr> &isRead) {
    MLIRContext *mlir = affine.getContext();
    llvm::DenseSet<int64_t> isUsed;
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>())
      for (TermAttr term : update.getTerms())
        isUsed.insert(term.getRead());
    SmallVector<Attribute> reads, updates;
    SmallVector<int64_t> numbers;
    for (auto [number, read] : llvm::enumerate(affine.getReads().getAsRange<RowReadAttr>())) {
      bool keep = read.getResult() && isRead.contains(read.getResult().getAttr());
      numbers.push_back(reads.size());
      if (keep || isUsed.contains(number))
        reads.push_back(RowReadAttr::get(mlir, read.getRow(), read.getBefore(),
                                         keep ? read.getResult() : FlatSymbolRefAttr(),
                                         read.getKind()));
    }
    for (auto update : affine.getUpdates().getAsRange<UpdateAttr>()) {
      SmallVector<TermAttr> terms;
      for (TermAttr term : update.getTerms())
        terms.push_back(TermAttr::get(mlir, term.getCoef(), term.getRight(),
                                      term.getRead() < 0 ? -1 : numbers[term.getRead()]));
      updates.push_back(UpdateAttr::get(mlir, update.getLefts(), terms));
    }
    affine.setReadsAttr(ArrayAttr::get(mlir, reads));
    affine.setUpdatesAttr(ArrayAttr::get(mlir, updates));
  }

  std::optional<AffineForm> findForm(Model &model, const Group &group, std::string &reason) {
    if (group.states.size() > 1) {
      reason = "these states depend on each other";
      return std::nullopt;
    }
    int64_t rank = model.state(group.states.front()).getDims().size();
    if (rank < 2) {
      reason = "it is no matrix, so there are no matrix products to win";
      return std::nullopt;
    }
    return findBest(model, group, choices(rank), reason);
  }

  // Several states of the same dims, or a state with a short dim that its equation mixes.
  std::optional<AffineForm> findCoupledForm(Model &model, const Group &group, std::string &reason) {
    StateOp first = model.state(group.states.front());
    int64_t rank = first.getDims().size(), count = group.states.size();
    if (count == 1) {
      SmallVector<AffineSides> all;
      for (int64_t inner = 0; rank > 2 && inner < rank; ++inner)
        if (int64_t size = model.size(cast<FlatSymbolRefAttr>(first.getDims()[inner]).getAttr());
            size > 1 && size <= kMostComponents)
          llvm::append_range(all, choices(rank, inner));
      std::string why; // of the single state the reason is more telling
      return findBest(model, group, all, why);
    }
    bool areAlike = rank >= 2 && llvm::all_of(group.states, [&](StringAttr name) {
                      return model.state(name).getDims() == first.getDims();
                    });
    if (!areAlike)
      return std::nullopt;
    if (count > kMostComponents) {
      reason = fmt::format("{} states depend on each other, and blocks of more than {} do not pay",
                           count, kMostComponents);
      return std::nullopt;
    }
    return findBest(model, group, choices(rank), reason);
  }

  std::optional<AffineForm> findBest(Model &model, const Group &group,
                                     const SmallVector<AffineSides> &all, std::string &reason) {
    int64_t rank = model.state(group.states.front()).getDims().size();
    std::optional<AffineForm> best;
    std::string why;
    for (const AffineSides &sides : all) {
      // With many dims there are many choices; outer ones are for what has no other form.
      if (best && rank > 3 && !sides.outer.empty())
        break;
      why.clear();
      std::optional<AffineForm> form = findAffineForm(model, group, sides, why);
      if (form && pays(model, *form, why)) {
        if (!best || cost(model, *form) < cost(model, *best))
          best = std::move(form);
        continue;
      }
      // The most telling reason is one about the equation itself, with as few outer dims as can be.
      if (reason.empty() || StringRef(reason).contains("needs more of it") || form)
        reason = why;
    }
    if (best)
      reason.clear();
    return best;
  }

  // Every choice of dims as rows and as outer ones; none of these first, then fewer rows.
  static SmallVector<AffineSides> choices(int64_t rank, std::optional<int64_t> inner = {}) {
    SmallVector<AffineSides> all;
    auto numbers = [&](int64_t mask) {
      SmallVector<int64_t> places;
      for (int64_t place = 0; place < rank; ++place)
        if (mask >> place & 1)
          places.push_back(place);
      return places;
    };
    int64_t full = (int64_t(1) << rank) - 1;
    if (inner)
      full &= ~(int64_t(1) << *inner);
    for (int64_t outer = 0; outer <= full; ++outer)
      for (int64_t rows = 1; rows <= full; ++rows)
        if (!(outer & rows) && !((outer | rows) & ~full) && (outer | rows) != full)
          all.push_back({numbers(outer), numbers(rows), numbers(full & ~outer & ~rows), inner});
    return all;
  }

  static int64_t extent(Model &model, ArrayRef<Var> vars) {
    int64_t product = 1;
    for (Var var : vars)
      product *= model.size(var->dim);
    return product;
  }

  // Reads and updates count most; then vector operations a token.
  std::pair<size_t, double> cost(Model &model, const AffineForm &form) const {
    double width = std::max<int64_t>(lanes, 1);
    size_t passes = 0; // through a component
    auto count = [](const RowFactors &factors) {
      return llvm::count_if(factors, [](Expr e) { return e != nullptr; });
    };
    // Reads of single elements take the decays for every token, and the sums across lanes.
    for (const FormRead &read : form.reads)
      passes += count(read.rows) * (read.kind == ReadKind::Rows ? 1 : 3);
    for (const FormUpdate &update : form.updates)
      passes += count(update.lefts);
    double rows = extent(model, form.rowVars), cols = extent(model, form.colVars);
    // Every matrix starts its sweeps anew; a decay per row or column goes to every element, a
    // scalar one does not. Factors over several dims are copied to rows first.
    constexpr double start = 24;
    auto dependsOn = [](Expr e, ArrayRef<Var> vars) {
      return e && llvm::any_of(vars, [&](Var v) { return e->dependsOn(v); });
    };
    double decays = dependsOn(form.rowDecay, form.rowVars) + dependsOn(form.colDecay, form.colVars);
    decays += llvm::count_if(form.coupling, [](Expr e) { return e != nullptr; });
    double all = static_cast<double>(passes);
    double sweep = rows * std::ceil(cols / width) * (all + decays) + start * all;
    double copies = (form.rowVars.size() > 1 ? rows : 0) + (form.colVars.size() > 1 ? cols : 0);
    return {passes, extent(model, form.outerVars) * (sweep + all * copies / 4)};
  }

  bool pays(Model &model, const AffineForm &form, std::string &reason) const {
    int64_t rows = extent(model, form.rowVars), cols = extent(model, form.colVars);
    if (minSize == std::numeric_limits<int64_t>::max())
      reason = "it fits the affine form, but this is the sequential form";
    else if (rows < minSize || cols < minSize)
      reason = fmt::format("it fits the affine form, but blocks do not pay for a state of {} by {}",
                           rows, cols);
    else
      return true;
    return false;
  }
};

} // namespace
} // namespace seqmix
